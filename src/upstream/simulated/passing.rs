//! Makes up the answers of OpenAI's other routes: completions, moderations, images, speech, transcripts, rankings.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::dice::Dice;
use super::embeddings::vector;
use super::refusal::Refusal;
use super::traits::Traits;
use super::words::{Facts, words};
use super::write::Head;
use super::{chat, media, prose, tokens};
use crate::wire::passing::Passing;

/// The tokens of a completion where the request sets no limit, as at OpenAI.
const USUAL_LIMIT: u64 = 16;

/// The most texts that one request may hold.
const MOST_TEXTS: usize = 1_024;

/// The dimensions in which documents are compared.
const DIMENSIONS: usize = 512;

/// An answer.
pub(super) struct Made {
    pub(super) body: Bytes,
    /// The events of a stream, where one was asked for.
    pub(super) events: Option<Vec<(Duration, Bytes)>>,
    /// The `content-type` of a whole answer that is not JSON.
    pub(super) kind: Option<&'static str>,
}

impl Made {
    fn json(value: &Value) -> Self {
        Self { body: value.to_string().into(), events: None, kind: None }
    }

    fn of_kind(kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), events: None, kind: Some(kind) }
    }

    fn events(gap: Duration, events: impl IntoIterator<Item = Value>) -> Self {
        let event = |(n, event): (usize, Value)| (gap * u32::try_from(n).unwrap_or(u32::MAX), data(&event));
        let events = events.into_iter().enumerate().map(event).collect();
        Self { body: Bytes::new(), events: Some(events), kind: None }
    }
}

/// Answers a request of such a route.
pub(super) fn answer(
    passing: Passing,
    body: &Map<String, Value>,
    model: &str,
    (traits, dice): (Traits, &Dice),
) -> Result<Made, Refusal> {
    match passing {
        Passing::Completions => complete(body, model, traits, dice),
        Passing::Moderations => moderate(body, model),
        Passing::ImageGenerations | Passing::ImageEdits | Passing::ImageVariations => draw(body, dice),
        Passing::Speech => speak(body, traits, dice),
        Passing::Transcriptions | Passing::Translations => transcribe(body, traits, dice),
        Passing::Rerank => rank(body, model),
    }
}

fn data(event: &Value) -> Bytes {
    format!("data: {event}\n\n").into()
}

fn complete(body: &Map<String, Value>, model: &str, traits: Traits, dice: &Dice) -> Result<Made, Refusal> {
    let head = Head::new(model, dice);
    let id = head.id.replace("chatcmpl", "cmpl");
    let (mut choices, mut prompt_tokens, mut tokens) = (Vec::new(), 0, 0);
    let (mut stream, mut include_usage) = (false, false);
    for prompt in texts(body.get("prompt"), "prompt")? {
        let mut request = body.clone();
        // Log-probabilities have another form here, and none is made up.
        request.retain(|name, _| !["prompt", "logprobs", "suffix", "echo", "best_of"].contains(&name.as_str()));
        request.insert("messages".to_owned(), json!([{"role": "user", "content": prompt}]));
        request.entry("max_tokens").or_insert(USUAL_LIMIT.into());
        let ask = Ask::read(&request)?;
        (stream, include_usage) = (ask.stream, ask.include_usage);
        let (made, usage) = chat::compose(&ask, traits, &dice.fork(&prompt));
        prompt_tokens += tokens::count(&prompt);
        tokens += usage.completion;
        let echo = if body.get("echo") == Some(&Value::Bool(true)) { prompt.as_str() } else { "" };
        choices.extend(
            made.into_iter().map(|choice| (format!("{echo}{}", choice.content.unwrap_or_default()), choice.finish)),
        );
    }
    let usage =
        json!({"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens});
    let object = |choices: Value| {
        json!({"id": id, "object": "text_completion", "created": head.created, "model": model, "choices": choices,
            "system_fingerprint": "fp_simulated"})
    };
    let choice = |index: usize, text: &str, finish: Option<&str>| json!({"index": index, "text": text, "logprobs": null, "finish_reason": finish});
    if !stream {
        let all = choices.iter().enumerate().map(|(index, (text, finish))| choice(index, text, Some(finish)));
        let mut whole = object(all.collect());
        whole["usage"] = usage;
        return Ok(Made::json(&whole));
    }
    let mut events = Vec::new();
    for (index, (text, finish)) in choices.iter().enumerate() {
        events.extend(tokens::split(text).into_iter().map(|token| object(json!([choice(index, token, None)]))));
        events.push(object(json!([choice(index, "", Some(finish))])));
    }
    if include_usage {
        let mut last = object(json!([]));
        last["usage"] = usage;
        events.push(last);
    }
    let mut made = Made::events(traits.gap(), events);
    if let Some(events) = &mut made.events {
        let end = events.last().map_or(Duration::ZERO, |(at, _)| *at);
        events.push((end, Bytes::from_static(b"data: [DONE]\n\n")));
    }
    Ok(made)
}

/// Words that stand for a category.
const CATEGORIES: [(&str, &[&str]); 6] = [
    ("harassment", &["idiot", "stupid", "loser"]),
    ("hate", &["hate", "vermin"]),
    ("illicit", &["bomb", "steal", "forge"]),
    ("self-harm", &["suicide", "hurt myself"]),
    ("sexual", &["porn", "naked"]),
    ("violence", &["kill", "murder", "stab"]),
];

fn moderate(body: &Map<String, Value>, model: &str) -> Result<Made, Refusal> {
    let results: Vec<Value> = texts(body.get("input"), "input")?.iter().map(|text| judged(text)).collect();
    let id = format!("modr-sim-{:016x}", Dice::of(body).next());
    Ok(Made::json(&json!({"id": id, "model": model, "results": results})))
}

fn judged(text: &str) -> Value {
    let lower = text.to_lowercase();
    let (mut categories, mut scores, mut kinds) = (Map::new(), Map::new(), Map::new());
    for (name, words) in CATEGORIES {
        let found = words.iter().any(|word| lower.contains(word));
        let score = 0.01 * Dice::of_text(&format!("{name}{lower}")).unit() + if found { 0.9 } else { 0.0 };
        categories.insert(name.to_owned(), found.into());
        scores.insert(name.to_owned(), score.into());
        kinds.insert(name.to_owned(), json!(["text"]));
    }
    let flagged = categories.values().any(|found| found == &Value::Bool(true));
    json!({"flagged": flagged, "categories": categories, "category_scores": scores, "category_applied_input_types": kinds})
}

fn draw(body: &Map<String, Value>, dice: &Dice) -> Result<Made, Refusal> {
    let count = match body.get("n") {
        None | Some(Value::Null) => 1,
        Some(count) => {
            count.as_u64().filter(|count| (1..=10).contains(count)).ok_or_else(|| invalid("n", "expected 1 to 10"))?
        }
    };
    let prompt = body.get("prompt").and_then(Value::as_str).unwrap_or_default();
    let images = (0..count).map(|n| STANDARD.encode(media::png(&mut dice.fork(&format!("image {n}")))));
    let (read, written) = (tokens::count(prompt), 64 * usize::try_from(count).unwrap_or(1));
    let usage = json!({"input_tokens": read, "output_tokens": written, "total_tokens": read + written,
        "input_tokens_details": {"text_tokens": read, "image_tokens": 0}});
    let created = Head::new("", dice).created;
    if body.get("stream") == Some(&Value::Bool(true)) {
        let events = images.map(|image| {
            json!({"type": "image_generation.completed", "b64_json": image, "created_at": created, "usage": usage})
        });
        return Ok(Made::events(Duration::ZERO, events));
    }
    let as_url = body.get("response_format").is_some_and(|format| format == "url");
    let one = |image: String| match as_url {
        true => json!({"url": format!("data:image/png;base64,{image}")}),
        false => json!({"b64_json": image}),
    };
    Ok(Made::json(&json!({"created": created, "data": images.map(one).collect::<Vec<_>>(), "usage": usage})))
}

fn speak(body: &Map<String, Value>, traits: Traits, dice: &Dice) -> Result<Made, Refusal> {
    let text = body.get("input").and_then(Value::as_str).ok_or_else(|| Refusal::missing("input"))?;
    let samples = media::samples(words(text).count(), &mut dice.fork("voice"));
    let sound = match body.get("response_format").and_then(Value::as_str) {
        Some("pcm") => Made::of_kind("audio/pcm", samples),
        // No other format is made up; the answer's type says which it is.
        _ => Made::of_kind("audio/wav", media::wav(&samples)),
    };
    if body.get("stream_format").is_none_or(|format| format != "sse") {
        return Ok(sound);
    }
    let (read, written) = (tokens::count(text), sound.body.len() / 320);
    let usage = json!({"input_tokens": read, "output_tokens": written, "total_tokens": read + written});
    let deltas =
        sound.body.chunks(8_192).map(|piece| json!({"type": "speech.audio.delta", "audio": STANDARD.encode(piece)}));
    Ok(Made::events(traits.gap(), deltas.chain([json!({"type": "speech.audio.done", "usage": usage})])))
}

fn transcribe(body: &Map<String, Value>, traits: Traits, dice: &Dice) -> Result<Made, Refusal> {
    let file = body.get("file").ok_or_else(|| Refusal::missing("file"))?;
    let hash = file.get("hash").and_then(Value::as_str).unwrap_or_default();
    let mut dice_of_file = Dice::of_text(hash);
    let facts = Facts::of(body.get("prompt").and_then(Value::as_str).unwrap_or("the recording"));
    let text = [(); 2].map(|()| prose::sentence(&facts, &mut dice_of_file)).join(" ");
    // As long as 16 kHz of 16 bits would be.
    let seconds = file.get("bytes").and_then(Value::as_u64).unwrap_or(0).div_ceil(32_000).max(1);
    let usage = json!({"type": "duration", "seconds": seconds});
    if body.get("stream").is_some_and(|stream| stream == "true" || stream == true) {
        let deltas =
            tokens::split(&text).into_iter().map(|token| json!({"type": "transcript.text.delta", "delta": token}));
        let done = json!({"type": "transcript.text.done", "text": text, "usage": usage});
        return Ok(Made::events(traits.gap(), deltas.chain([done])));
    }
    let subtitles = |head: &str, comma: char| {
        format!("{head}00:00:00{comma}000 --> 00:{:02}:{:02}{comma}000\n{text}\n\n", seconds / 60 % 60, seconds % 60)
    };
    Ok(match body.get("response_format").and_then(Value::as_str) {
        Some("text") => Made::of_kind("text/plain; charset=utf-8", format!("{text}\n")),
        Some("srt") => Made::of_kind("text/plain; charset=utf-8", subtitles("1\n", ',')),
        Some("vtt") => Made::of_kind("text/plain; charset=utf-8", subtitles("WEBVTT\n\n", '.')),
        Some("verbose_json") => {
            let id = dice.fork("segment").below(1_000);
            let segment = json!({"id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": text, "tokens": [id],
                "temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.0, "no_speech_prob": 0.01});
            let language = body.get("language").and_then(Value::as_str).unwrap_or("english");
            Made::json(&json!({"task": "transcribe", "language": language, "duration": seconds, "text": text,
                "segments": [segment], "usage": usage}))
        }
        _ => Made::json(&json!({"text": text, "usage": usage})),
    })
}

fn rank(body: &Map<String, Value>, model: &str) -> Result<Made, Refusal> {
    let query = body.get("query").and_then(Value::as_str).ok_or_else(|| Refusal::missing("query"))?;
    let documents = body.get("documents").and_then(Value::as_array).ok_or_else(|| Refusal::missing("documents"))?;
    let text = |document: &Value| document.as_str().or_else(|| document.get("text")?.as_str()).map(str::to_owned);
    let texts = documents.iter().map(text).collect::<Option<Vec<_>>>().filter(|texts| texts.len() <= MOST_TEXTS);
    let texts = texts.ok_or_else(|| invalid("documents", "expected up to 1024 texts, or objects with a text"))?;
    let wanted = vector(query, DIMENSIONS);
    let score = |text: &String| {
        let alike: f32 = vector(text, DIMENSIONS).iter().zip(&wanted).map(|(a, b)| a * b).sum();
        (f64::from(alike.clamp(0.0, 1.0)) * 1e6).round() / 1e6
    };
    let mut ranked: Vec<(usize, f64)> = texts.iter().map(score).enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let most = body.get("top_n").and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
    ranked.truncate(most.unwrap_or(usize::MAX));
    let with_documents = body.get("return_documents") == Some(&Value::Bool(true));
    let result = |(index, score): (usize, f64)| match with_documents {
        true => json!({"index": index, "relevance_score": score, "document": {"text": texts[index]}}),
        false => json!({"index": index, "relevance_score": score}),
    };
    let read = texts.iter().map(|text| tokens::count(query) + tokens::count(text)).sum::<usize>();
    let results: Vec<Value> = ranked.into_iter().map(result).collect();
    let id = format!("rerank-sim-{:016x}", Dice::of(body).next());
    Ok(Made::json(&json!({"id": id, "model": model, "results": results,
        "usage": {"prompt_tokens": read, "total_tokens": read},
        "meta": {"billed_units": {"search_units": texts.len().div_ceil(100)}}})))
}

/// One text or several; lists of token numbers stand for words.
fn texts(json: Option<&Value>, name: &'static str) -> Result<Vec<String>, Refusal> {
    let numbers = |list: &[Value]| {
        let words = list.iter().map(|n| n.as_u64().map(|n| format!("token{n}"))).collect::<Option<Vec<_>>>();
        words.filter(|words| !words.is_empty()).map(|words| words.join(" "))
    };
    let one = |item: &Value| match item {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => numbers(list),
        // A part with an image has no text.
        Value::Object(part) => Some(part.get("text").and_then(Value::as_str).unwrap_or_default().to_owned()),
        _ => None,
    };
    let texts = match json.ok_or_else(|| Refusal::missing(name))? {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) if list.first().is_some_and(Value::is_number) => numbers(list).map(|text| vec![text]),
        Value::Array(list) if (1..=MOST_TEXTS).contains(&list.len()) => list.iter().map(one).collect(),
        _ => None,
    };
    texts.ok_or_else(|| invalid(name, "expected a text, or up to 1024 texts or lists of token numbers"))
}

fn invalid(param: &str, problem: &str) -> Refusal {
    Refusal::field(param, "invalid_value", format!("Invalid '{param}': {problem}."))
}

#[cfg(test)]
mod tests {
    use super::super::write::timeless;
    use super::*;

    fn made(passing: Passing, body: &Value) -> Made {
        let fields = body.as_object().unwrap();
        answer(passing, fields, "m-instant", (Traits::read("m-instant", None), &Dice::of(fields))).ok().unwrap()
    }

    fn answered(passing: Passing, body: &Value) -> Value {
        serde_json::from_slice(&made(passing, body).body).unwrap()
    }

    #[test]
    fn the_same_request_gets_the_same_answer() {
        for (passing, body) in [
            (Passing::Completions, json!({"prompt": ["Once upon a time", "Tides are"], "n": 2, "max_tokens": 30})),
            (Passing::Moderations, json!({"input": "I will kill the process"})),
            (Passing::ImageGenerations, json!({"prompt": "a boat", "n": 2})),
            (Passing::Speech, json!({"input": "Good morning", "voice": "alloy"})),
            (Passing::Transcriptions, json!({"file": {"bytes": 64_000, "hash": "ab"}})),
            (Passing::Rerank, json!({"query": "parcel", "documents": ["a volcano", "where is my parcel"]})),
        ] {
            assert_eq!(timeless(&made(passing, &body).body), timeless(&made(passing, &body).body));
        }
    }

    #[test]
    fn answers_fit_what_is_asked() {
        let completion =
            answered(Passing::Completions, &json!({"prompt": ["Say hello", "Say bye"], "n": 2, "echo": true}));
        let texts: Vec<&str> =
            completion["choices"].as_array().unwrap().iter().map(|c| c["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["Say hellohello", "Say hellohello", "Say byebye", "Say byebye"]);
        let judged = answered(Passing::Moderations, &json!({"input": ["hello", "I kill you"]}));
        assert_eq!((&judged["results"][0]["flagged"], &judged["results"][1]["flagged"]), (&json!(false), &json!(true)));
        let ranked = answered(
            Passing::Rerank,
            &json!({"query": "my parcel", "documents": ["a volcano", "where is my parcel?"]}),
        );
        assert_eq!(ranked["results"][0]["index"], 1);
        let transcribed = answered(Passing::Transcriptions, &json!({"file": {"bytes": 64_000, "hash": "ab"}}));
        assert_eq!(transcribed["usage"]["seconds"], 2);
        assert_eq!(
            answered(Passing::ImageGenerations, &json!({"prompt": "x", "n": 2}))["data"].as_array().unwrap().len(),
            2
        );
    }

    #[test]
    fn a_stream_of_a_completion_is_its_text_in_pieces() {
        let body = json!({"prompt": "How do tides work?", "max_tokens": 40});
        let whole = answered(Passing::Completions, &body);
        let mut streamed = body.clone();
        streamed["stream"] = true.into();
        let events = made(Passing::Completions, &streamed).events.unwrap();
        let (last, chunks) = events.split_last().unwrap();
        assert_eq!(last.1, "data: [DONE]\n\n");
        let text: String = chunks
            .iter()
            .map(|(_, event)| serde_json::from_slice::<Value>(&event[6..]).unwrap())
            .map(|event| event["choices"][0]["text"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(text, whole["choices"][0]["text"].as_str().unwrap());
    }
}
