//! Gemini's embeddings, `embedContent` and `batchEmbedContents`: passed with another model's name, and both ways of the
//! internal form.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::check::field;
use super::usage::read_usage;
use crate::chat::{Code, Embed, Emulated, Error, Usage, Vectors};
use crate::wire::dialect::{Asked, BadAnswer};
use crate::wire::json::{Edits, Object, items, quoted};

/// The most texts of a request.
const MAX_TEXTS: usize = 2_048;

/// The fields of a request for one vector that other dialects have too.
const SHARED: [&str; 4] = ["model", "content", "outputDimensionality", "output_dimensionality"];

/// The fields that only say what the vector is for.
const HINTS: [&str; 4] = ["taskType", "task_type", "title", "autoTruncate"];

/// Reads and checks a body: of one request, or of a batch.
///
/// # Errors
/// A 400 that names the field at fault.
pub fn read_embed(body: Bytes, model: &str, is_batch: bool) -> Result<Asked, Error> {
    let object = Object::read(body)?;
    let model = model.to_owned();
    if model.is_empty() {
        return Err(Error::field("model", "the address names no model: it is `models/{model}:embedContent`"));
    }
    let asked = Asked {
        object,
        model,
        stream: false,
        include_usage: true,
        max_tokens: Some(0),
        choices: 1,
        turns: 0,
        prompt: None,
    };
    let count = requests(&asked.object, is_batch)?.len();
    if !(1..=MAX_TEXTS).contains(&count) {
        return Err(Error::field("requests", format!("`requests` must be a list of 1 to {MAX_TEXTS}")));
    }
    Ok(asked)
}

/// The request's own objects: itself, or those of its batch.
fn requests(object: &Object, is_batch: bool) -> Result<Vec<Object>, Error> {
    if !is_batch {
        let content = field(object, "content").filter(|content| content.starts_with('{'));
        content.ok_or_else(|| Error::field("content", "`content` must be an object with `parts`"))?;
        return Ok(vec![object.clone()]);
    }
    let list = field(object, "requests").filter(|list| list.starts_with('['));
    let list = list.ok_or_else(|| Error::field("requests", "`requests` must be a list"))?;
    let read = |(n, json): (usize, &str)| {
        let within = |name: &str| format!("requests[{n}]{name}");
        let object = Object::read(Bytes::copy_from_slice(json.as_bytes()));
        let object = object.map_err(|error| Error::field(within(""), error.to_string()))?;
        match field(&object, "content") {
            Some(content) if content.starts_with('{') => Ok(object),
            _ => Err(Error::field(within(".content"), "`content` must be an object with `parts`")),
        }
    };
    items(list).take(MAX_TEXTS + 1).enumerate().map(read).collect()
}

/// The body for Gemini: only the model that each request in it names is replaced.
#[must_use]
pub fn pass_embed(asked: &Asked, model: &str, is_batch: bool) -> Bytes {
    let Ok(requests) = requests(&asked.object, is_batch) else { return asked.object.bytes().clone() };
    let mut edits = Edits::default();
    edits.set("model", quoted(&format!("models/{model}")));
    let named = |request: &Object| {
        if request.get("model").is_some() { request.edited(&edits) } else { request.bytes().clone() }
    };
    if !is_batch {
        return requests.first().map(named).unwrap_or_default();
    }
    let mut list = b"[".to_vec();
    for (n, request) in requests.iter().enumerate() {
        if n > 0 {
            list.push(b',');
        }
        list.extend_from_slice(&named(request));
    }
    list.push(b']');
    let mut edits = Edits::default();
    edits.set("requests", String::from_utf8(list).unwrap_or_default());
    asked.object.edited(&edits)
}

/// The request in the internal form.
///
/// # Errors
/// `unsupported_feature` that names an input that is no text, or a field that no other dialect has.
pub fn embed_of(asked: &Asked, is_batch: bool, emulated: &mut Emulated) -> Result<Embed, Error> {
    let mut embed = Embed::default();
    for (n, request) in requests(&asked.object, is_batch)?.iter().enumerate() {
        let within = |name: &str| if is_batch { format!("requests[{n}].{name}") } else { name.to_owned() };
        for (name, _) in request.iter().filter(|(name, _)| !SHARED.contains(name)) {
            if !HINTS.contains(&name) {
                return Err(unsupported(&within(name)));
            }
            emulated.note(if name.starts_with("task") { "taskType" } else { "title" });
        }
        let dimensions = field(request, "outputDimensionality").and_then(|json| json.parse().ok());
        if n > 0 && dimensions != embed.dimensions {
            return Err(unsupported(&within("outputDimensionality")));
        }
        embed.dimensions = dimensions;
        embed.texts.push(text_of(request).ok_or_else(|| unsupported(&within("content")))?);
    }
    Ok(embed)
}

fn unsupported(param: &str) -> Error {
    let message = format!("`{param}` cannot be sent to a provider that speaks OpenAI's embeddings");
    Error::new(Code::UnsupportedFeature, message).at(param)
}

#[derive(Deserialize)]
struct Content {
    parts: Vec<Map<String, Value>>,
}

/// The texts of a content, put together; `None` where a part is something else.
fn text_of(request: &Object) -> Option<String> {
    let content: Content = serde_json::from_str(field(request, "content")?).ok()?;
    let text = |part: &Map<String, Value>| {
        let text = part.get("text")?.as_str()?;
        (part.len() == 1).then(|| text.to_owned())
    };
    content.parts.iter().map(text).collect()
}

/// The request as Gemini gets it, always as a batch.
#[must_use]
pub fn write_embed(embed: &Embed, model: &str) -> Bytes {
    let one = |text: &String| {
        let mut request = json!({"model": format!("models/{model}"), "content": {"parts": [{"text": text}]}});
        if let Some(dimensions) = embed.dimensions {
            request["outputDimensionality"] = dimensions.into();
        }
        request
    };
    json!({"requests": embed.texts.iter().map(one).collect::<Vec<_>>()}).to_string().into()
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    embeddings: Vec<Values>,
    embedding: Option<Values>,
    #[serde(borrow, rename = "usageMetadata")]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Values {
    values: Vec<f32>,
}

/// The answer in the internal form.
///
/// # Errors
/// Where `body` holds no vectors.
pub fn read_vectors(body: &[u8]) -> Result<Vectors, BadAnswer> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| BadAnswer::unread(&error))?;
    let usage = answer.usage.and_then(|usage| read_usage(usage.get()));
    let vectors: Vec<_> = answer.embeddings.into_iter().chain(answer.embedding).map(|one| one.values).collect();
    if vectors.is_empty() {
        return Err(BadAnswer("it has no embeddings".to_owned()));
    }
    Ok(Vectors { vectors, usage })
}

/// The answer for a caller.
#[must_use]
pub fn write_vectors(vectors: &Vectors, is_batch: bool) -> Bytes {
    let one = |values: &Vec<f32>| json!({"values": values});
    let usage = vectors.usage.map(|Usage { input, .. }| json!({"promptTokenCount": input, "totalTokenCount": input}));
    let mut answer = match is_batch {
        true => json!({"embeddings": vectors.vectors.iter().map(one).collect::<Vec<_>>()}),
        false => json!({"embedding": vectors.vectors.first().map(one)}),
    };
    if let Some(usage) = usage {
        answer["usageMetadata"] = usage;
    }
    answer.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value, is_batch: bool) -> Result<Asked, Error> {
        read_embed(body.to_string().into(), "m", is_batch)
    }

    fn part(text: &str) -> Value {
        json!({"model": "models/theirs", "content": {"parts": [{"text": text}]}})
    }

    #[test]
    fn only_the_models_name_changes_where_it_passes() {
        let asked =
            read(&json!({"requests": [part("a"), {"content": {"parts": [{"text": "b"}]}}], "x": 1}), true).unwrap();
        let passed = String::from_utf8(pass_embed(&asked, "ours", true).to_vec()).unwrap();
        assert_eq!(passed, String::from_utf8_lossy(asked.object.bytes()).replace("theirs", "ours"));
        let asked = read(&part("a"), false).unwrap();
        let passed = String::from_utf8(pass_embed(&asked, "ours", false).to_vec()).unwrap();
        assert_eq!(passed, part("a").to_string().replace("theirs", "ours"));
    }

    #[test]
    fn texts_and_dimensions_come_through() {
        let mut one = part("a");
        one["outputDimensionality"] = 3.into();
        one["taskType"] = "RETRIEVAL_QUERY".into();
        let mut emulated = Emulated::default();
        let embed = embed_of(&read(&json!({"requests": [one, one]}), true).unwrap(), true, &mut emulated).unwrap();
        assert_eq!(embed, Embed { texts: vec!["a".to_owned(); 2], dimensions: Some(3) });
        assert_eq!(emulated.names(), ["taskType"]);
        let written = read_embed(write_embed(&embed, "m"), "m", true).unwrap();
        assert_eq!(embed_of(&written, true, &mut emulated).unwrap(), embed);
    }

    #[test]
    fn what_cannot_be_read_or_translated_is_named() {
        for (body, is_batch, param) in [
            (json!({}), false, "content"),
            (json!({}), true, "requests"),
            (json!({"requests": []}), true, "requests"),
            (json!({"requests": [{}]}), true, "requests[0].content"),
        ] {
            assert_eq!(read(&body, is_batch).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
        let image = json!({"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]}});
        for (body, param) in [(image, "content"), (json!({"content": {"parts": []}, "novel": 1}), "novel")] {
            let error = embed_of(&read(&body, false).unwrap(), false, &mut Emulated::default()).unwrap_err();
            assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some(param)));
        }
    }

    #[test]
    fn vectors_come_back_as_they_went() {
        let vectors = Vectors { vectors: vec![vec![0.5, -1e-7], vec![2.0]], usage: None };
        assert_eq!(read_vectors(&write_vectors(&vectors, true)).unwrap(), vectors);
        let single = read_vectors(&write_vectors(&vectors, false)).unwrap();
        assert_eq!(single.vectors, vectors.vectors[..1]);
        assert!(read_vectors(b"{}").is_err() && read_vectors(b"x").is_err());
    }
}
