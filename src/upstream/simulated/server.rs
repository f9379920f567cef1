//! Finds the answer to a request by its path, as a server would.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::answer::Simulated;
use super::ask::Ask;
use super::dice::Dice;
use super::fault::{break_events, break_whole};
use super::refusal::Refusal;
use super::traits::Traits;
use super::write::{self, Head};
use super::{chat, embeddings, passing};
use crate::wire::form::Form;
use crate::wire::passing::Passing;

/// Models that the provider lists; it answers for any other name too.
pub const MODELS: &[&str] = &[
    "simulated",
    "simulated-fast",
    "simulated-instant",
    "simulated-slow",
    "simulated-long",
    "simulated-reasoning",
    "simulated-embedding",
    "simulated-image",
    "simulated-speech",
    "simulated-transcription",
    "simulated-rerank",
];

/// Answers one request. `path` is what follows the base URL: `/chat/completions`, `/embeddings`, one of
/// [`Passing`], `/models` or `/models/NAME`. `profile` is the provider's own, for every model.
#[must_use]
pub fn answer(path: &str, body: &[u8], profile: Option<&str>) -> Simulated {
    if let Some(model) = path.strip_prefix("/models") {
        return models(model.trim_start_matches('/'));
    }
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return Refusal::not_json().answer(&Dice::of_text("no JSON"));
    };
    answer_fields(path, &body, profile)
}

/// Answers one request that is a form of this `content-type`. Of a file only its length and its hash are read.
#[must_use]
pub fn answer_form(path: &str, body: &Bytes, content_type: &[u8], profile: Option<&str>) -> Simulated {
    match Form::read(body.clone(), content_type).and_then(|form| Ok((form.fields()?, form))) {
        Ok((mut fields, form)) => {
            for file in form.parts().filter(|part| part.file_name.is_some()) {
                let bytes = form.value(file);
                let seen = json!({"bytes": bytes.len(), "hash": blake3::hash(&bytes).to_string()});
                fields.insert(file.name.trim_end_matches("[]").to_owned(), seen);
            }
            answer_fields(path, &fields, profile)
        }
        Err(error) => Refusal::field("body", "invalid_form", error.message).answer(&Dice::of_text("no form")),
    }
}

fn answer_fields(path: &str, body: &Map<String, Value>, profile: Option<&str>) -> Simulated {
    let dice = Dice::of(body);
    answered(path, body, profile, &dice).unwrap_or_else(|refusal| refusal.answer(&dice))
}

fn answered(path: &str, body: &Map<String, Value>, profile: Option<&str>, dice: &Dice) -> Result<Simulated, Refusal> {
    let model = body.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| Refusal::missing("model"))?;
    let traits = Traits::read(model, profile);
    if let Some(refusal) = traits.fault.and_then(|fault| Refusal::of_fault(fault, dice)) {
        return Err(refusal);
    }
    match path {
        "/chat/completions" => complete(body, model, traits, dice),
        "/embeddings" => {
            let (bytes, tokens) = embeddings::answer(body, model)?;
            let after = traits.first_token(&mut dice.fork("latency")) / if tokens < 1_000 { 4 } else { 1 };
            Ok(break_whole(traits.fault, bytes, after, dice))
        }
        _ => {
            let passing = Passing::ALL.into_iter().find(|passing| passing.route().strip_prefix("/v1") == Some(path));
            let passing = passing.ok_or_else(|| Refusal::no_route(path))?;
            let made = passing::answer(passing, body, model, (traits, dice))?;
            let after = traits.first_token(&mut dice.fork("latency"));
            let mut answer = match made.events {
                Some(events) => break_events(traits.fault, events, after, dice),
                None => break_whole(traits.fault, made.body, after, dice),
            };
            if let Some(kind) = made.kind.filter(|_| answer.status == 200) {
                answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            }
            Ok(answer)
        }
    }
}

fn complete(body: &Map<String, Value>, model: &str, traits: Traits, dice: &Dice) -> Result<Simulated, Refusal> {
    let ask = Ask::read(body)?;
    let (choices, usage) = chat::compose(&ask, traits, dice);
    let head = Head::new(model, dice);
    let hidden = u32::try_from(usage.reasoning / ask.n).unwrap_or(u32::MAX);
    let first = traits.first_token(&mut dice.fork("latency")) + traits.gap() * hidden;
    if ask.stream {
        let events = write::events(&head, &ask, &choices, usage, (traits.gap(), dice));
        return Ok(break_events(traits.fault, events, first, dice));
    }
    let longest = choices.iter().map(|choice| choice.tokens).max().unwrap_or(0);
    let after = first + traits.gap() * u32::try_from(longest).unwrap_or(u32::MAX);
    Ok(break_whole(traits.fault, write::whole(&head, &ask, &choices, usage, dice), after, dice))
}

fn models(name: &str) -> Simulated {
    let entry = |id: &str| json!({"id": id, "object": "model", "created": 1_767_225_600, "owned_by": "simulated"});
    let dice = Dice::of_text(name);
    if name.is_empty() {
        let data: Vec<Value> = MODELS.iter().map(|id| entry(id)).collect();
        return Simulated::json(200, json!({"object": "list", "data": data}).to_string().into(), &dice);
    }
    if !MODELS.contains(&name) {
        return Refusal::no_model(name).answer(&dice);
    }
    Simulated::json(200, entry(name).to_string().into(), &dice)
}
