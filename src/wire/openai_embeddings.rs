//! OpenAI's embeddings: checks a request and passes its bytes; observes an answer, and writes its vectors in the encoding
//! that the caller asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::dialect::{Asked, BadAnswer};
use super::fields::{Check, Field, check_fields};
use super::json::{Object, fields, items};
use super::openai::read_usage;
use crate::chat::{Code, Embed, Error, Usage, Vectors};

const FIELDS: &[Field] = &[
    ("model", Check::Text, false),
    ("input", Check::TextOrList, false),
    ("dimensions", Check::Integer(1..=65_536), false),
    ("encoding_format", Check::Text, false),
    ("user", Check::Text, false),
];

/// A request for embeddings.
#[derive(Clone, Debug)]
pub struct EmbeddingsRequest {
    /// The bytes and their fields.
    pub object: Object,
    /// `model`.
    pub model: String,
}

impl EmbeddingsRequest {
    /// The request as the gateway reads any other.
    #[must_use]
    pub fn into_asked(self) -> Asked {
        let Self { object, model } = self;
        Asked {
            object,
            model,
            stream: false,
            include_usage: false,
            max_tokens: Some(0),
            choices: 1,
            turns: 0,
            prompt: None,
        }
    }

    /// Reads and checks a body.
    ///
    /// # Errors
    /// A 400 that names the field at fault.
    pub fn read(body: Bytes) -> Result<Self, Error> {
        let object = Object::read_tokens(body)?;
        check_fields(&object, FIELDS)?;
        if object.get("input").is_none() {
            return Err(Error::field("input", "`input` is missing"));
        }
        if let Some(format) = object.get("encoding_format")
            && !["\"float\"", "\"base64\""].contains(&format)
        {
            return Err(Error::field("encoding_format", "`encoding_format` must be \"float\" or \"base64\""));
        }
        let Some(model) = object.get("model") else {
            return Err(Error::field("model", "`model` is missing"));
        };
        let model = serde_json::from_str(model).map_err(|error| Error::field("model", error.to_string()))?;
        Ok(Self { object, model })
    }
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A list of numbers.
    Float,
    /// Base64 of 32-bit floats, the lowest byte first. SDKs ask for it unless their user sets another.
    Base64,
}

/// The encoding that a request asks for.
#[must_use]
pub fn encoding(object: &Object) -> Encoding {
    if object.get("encoding_format") == Some("\"base64\"") { Encoding::Base64 } else { Encoding::Float }
}

/// Observes an answer that passes unchanged: the usage that it reports.
///
/// # Errors
/// Where the body is no answer.
pub fn observe(body: &Bytes) -> Result<Option<Usage>, BadAnswer> {
    let object = Object::read_answer(body.clone())?;
    match object.get("data").is_some_and(|data| data.starts_with('[')) {
        true => Ok(object.get("usage").and_then(read_usage)),
        false => Err(BadAnswer("it has no `data`".to_owned())),
    }
}

/// Observes an answer: the usage that it reports. The vectors are returned in the encoding `wanted`, since some servers have
/// only one encoding and ignore what a request asks for.
///
/// # Errors
/// Where the body is no list of embeddings, or not of `count` of them, each with its own index.
pub fn recode(body: &Bytes, wanted: Encoding, count: Option<usize>) -> Result<(Bytes, Option<Usage>), BadAnswer> {
    let object = Object::read_answer(body.clone())?;
    let Some(data) = object.get("data").filter(|data| data.starts_with('[')) else {
        return Err(BadAnswer("it has no `data`".to_owned()));
    };
    check_places(data, count)?;
    let usage = object.get("usage").and_then(read_usage);
    let other = match wanted {
        Encoding::Float => '"',
        Encoding::Base64 => '[',
    };
    if !items(data).filter_map(vector_of).any(|vector| vector.starts_with(other)) {
        return Ok((body.clone(), usage));
    }
    let text = std::str::from_utf8(body).map_err(|_| BadAnswer("it is not valid UTF-8".to_owned()))?;
    Ok((recoded(text, data, wanted)?.into(), usage))
}

/// Checks that the items of `data` have the indexes from 0 on, each once, and are as many as `count` says. An item without an
/// index has that of its place.
fn check_places(data: &str, count: Option<usize>) -> Result<(), BadAnswer> {
    let found = items(data).count();
    if let Some(count) = count.filter(|count| *count != found) {
        return Err(BadAnswer(format!("it has {found} vectors, and {count} were asked for")));
    }
    let mut is_there = vec![false; found];
    for (n, item) in items(data).enumerate() {
        let place = is_there.get_mut(index_of(item).map_or(Some(n), |index| index.parse().ok()).unwrap_or(found));
        match place.filter(|is_there| !**is_there) {
            Some(is_there) => *is_there = true,
            None => return Err(BadAnswer("the indexes of its vectors are not those from 0 on, each once".to_owned())),
        }
    }
    Ok(())
}

/// The text of an item's index.
fn index_of(item: &str) -> Option<&str> {
    let item = Some(item).filter(|item| item.starts_with('{'))?;
    fields(item).find(|(name, _)| *name == "index").map(|(_, value)| value)
}

/// The request in the internal form.
///
/// # Errors
/// `unsupported_feature` that names an input which is no text, or a field that no other dialect has.
pub fn embed_of(object: &Object) -> Result<Embed, Error> {
    let unsupported = |name: &str| {
        let message = format!("`{name}` cannot be sent to a provider that speaks Gemini's embeddings");
        Error::new(Code::UnsupportedFeature, message).at(name)
    };
    if let Some((name, _)) = object.iter().find(|(name, _)| !FIELDS.iter().any(|(known, ..)| known == name)) {
        return Err(unsupported(name));
    }
    let input = object.get("input").unwrap_or_default();
    let texts = match input.starts_with('"') {
        true => serde_json::from_str(input).map(|text| vec![text]),
        false => serde_json::from_str(input),
    };
    // Numbers of tokens are those of one provider's own models.
    let texts: Vec<String> = texts.map_err(|_| unsupported("input"))?;
    Ok(Embed { texts, dimensions: object.get("dimensions").and_then(|json| json.parse().ok()) })
}

/// The request as a provider gets it.
#[must_use]
pub fn write_embed(embed: &Embed, model: &str) -> Bytes {
    let mut body = json!({"model": model, "input": embed.texts});
    if let Some(dimensions) = embed.dimensions {
        body["dimensions"] = dimensions.into();
    }
    body.to_string().into()
}

/// The answer in the internal form, its vectors in the order of their inputs.
///
/// # Errors
/// Where the body is no answer, or its vectors have wrong indexes.
pub fn read_vectors(body: &Bytes) -> Result<Vectors, BadAnswer> {
    #[derive(Deserialize)]
    struct Answer {
        data: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        index: Option<usize>,
        embedding: Vec<f32>,
    }
    let (body, usage) = recode(body, Encoding::Float, None)?;
    let Answer { mut data } = serde_json::from_slice(&body).map_err(|error| BadAnswer::unread(&error))?;
    if data.iter().all(|item| item.index.is_some()) {
        data.sort_by_key(|item| item.index);
    }
    Ok(Vectors { vectors: data.into_iter().map(|item| item.embedding).collect(), usage })
}

/// The answer for a caller that asked for `model`; `tokens` stand in where the provider reported none.
#[must_use]
pub fn write_vectors(vectors: &Vectors, wanted: Encoding, model: &str, tokens: u64) -> Bytes {
    let tokens = vectors.usage.map_or(tokens, |usage| usage.input);
    let coded = |vector: &Vec<f32>| match wanted {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()).into()
        }
    };
    let item = |(index, vector)| json!({"object": "embedding", "index": index, "embedding": coded(vector)});
    let data: Vec<Value> = vectors.vectors.iter().enumerate().map(item).collect();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    json!({"object": "list", "data": data, "model": model, "usage": usage}).to_string().into()
}

/// The text of an item's vector.
fn vector_of(item: &str) -> Option<&str> {
    let item = Some(item).filter(|item| item.starts_with('{'))?;
    fields(item).find(|(name, _)| *name == "embedding").map(|(_, value)| value)
}

/// An answer with its vectors in another encoding; every other byte stays.
fn recoded(text: &str, data: &str, wanted: Encoding) -> Result<String, BadAnswer> {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for vector in items(data).filter_map(vector_of) {
        // The vector is a slice of the text, so the difference of the addresses is its place.
        let start = vector.as_ptr() as usize - text.as_ptr() as usize;
        out.push_str(&text[copied..start]);
        match (wanted, vector.as_bytes().first()) {
            (Encoding::Base64, Some(b'[')) => write_base64(&mut out, vector)?,
            (Encoding::Float, Some(b'"')) => write_floats(&mut out, vector)?,
            _ => out.push_str(vector),
        }
        copied = start + vector.len();
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

fn write_base64(out: &mut String, list: &str) -> Result<(), BadAnswer> {
    let mut bytes = Vec::with_capacity(list.len() / 4);
    for number in items(list) {
        let number: f32 = number.parse().map_err(|_| BadAnswer("an embedding is no list of numbers".to_owned()))?;
        bytes.extend(number.to_le_bytes());
    }
    out.push('"');
    STANDARD.encode_string(&bytes, out);
    out.push('"');
    Ok(())
}

fn write_floats(out: &mut String, text: &str) -> Result<(), BadAnswer> {
    let bad = || BadAnswer("an embedding is no base64 of 32-bit floats".to_owned());
    let bytes = STANDARD.decode(text.trim_matches('"').replace("\\/", "/")).map_err(|_| bad())?;
    let (floats, []) = bytes.as_chunks::<4>() else { return Err(bad()) };
    out.push('[');
    for (n, bytes) in floats.iter().enumerate() {
        let number = f32::from_le_bytes(*bytes);
        if !number.is_finite() {
            return Err(bad());
        }
        if n > 0 {
            out.push(',');
        }
        out.push_str(&number.to_string());
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_checked() {
        let read = |text: &'static str| EmbeddingsRequest::read(Bytes::from_static(text.as_bytes()));
        assert_eq!(read(r#"{"model":"m","input":["a",[1,2]]}"#).unwrap().model, "m");
        for (text, param) in [
            (r#"{"model":"m"}"#, "input"),
            (r#"{"model":"m","input":[]}"#, "input"),
            (r#"{"input":"x"}"#, "model"),
            (r#"{"model":"m","input":"x","encoding_format":"int8"}"#, "encoding_format"),
            (r#"{"model":"m","input":"x","dimensions":0}"#, "dimensions"),
        ] {
            assert_eq!(read(text).unwrap_err().param.as_deref(), Some(param), "{text}");
        }
    }

    #[test]
    fn answers_are_listened_to() {
        let body = Bytes::from_static(br#"{"data":[],"usage":{"prompt_tokens":4,"total_tokens":4}}"#);
        let (same, usage) = recode(&body, Encoding::Base64, Some(0)).unwrap();
        assert_eq!(usage.map(|usage| (usage.input, usage.output)), Some((4, 0)));
        assert_eq!(same.as_ptr(), body.as_ptr());
        assert!(recode(&Bytes::from_static(b"{}"), Encoding::Float, None).is_err());
    }

    const FLOATS: &str =
        r#"{"x": 1, "data" : [ {"index":0, "embedding": [0.5, -0.25,1e-3] ,"y":[1]}, {"embedding":[]} ],"z":2}"#;
    const BASE64: &str =
        r#"{"x": 1, "data" : [ {"index":0, "embedding": "AAAAPwAAgL5vEoM6" ,"y":[1]}, {"embedding":""} ],"z":2}"#;

    #[test]
    fn vectors_come_in_the_form_that_was_asked_for() {
        let observed =
            |text: &'static str, wanted| recode(&Bytes::from_static(text.as_bytes()), wanted, Some(2)).unwrap().0;
        assert_eq!(observed(FLOATS, Encoding::Base64), BASE64);
        assert_eq!(observed(BASE64, Encoding::Float), FLOATS.replace("[0.5, -0.25,1e-3]", "[0.5,-0.25,0.001]"));
        assert_eq!(observed(FLOATS, Encoding::Float), FLOATS);
        assert_eq!(observed(BASE64, Encoding::Base64), BASE64);
    }

    #[test]
    fn texts_go_and_vectors_come_through_the_internal_form() {
        let read = |text: &str| EmbeddingsRequest::read(text.to_owned().into()).unwrap().object;
        let embed = embed_of(&read(r#"{"model":"m","input":["a","b"],"dimensions":2,"user":"u"}"#)).unwrap();
        assert_eq!(embed, Embed { texts: vec!["a".to_owned(), "b".to_owned()], dimensions: Some(2) });
        assert_eq!(embed_of(&read(std::str::from_utf8(&write_embed(&embed, "m")).unwrap())).unwrap(), embed);
        for (body, param) in
            [(r#"{"model":"m","input":[1]}"#, "input"), (r#"{"model":"m","input":"a","novel":1}"#, "novel")]
        {
            assert_eq!(embed_of(&read(body)).unwrap_err().param.as_deref(), Some(param));
        }
        let vectors = Vectors { vectors: vec![vec![0.5, -0.25]], usage: None };
        for wanted in [Encoding::Float, Encoding::Base64] {
            let read = read_vectors(&write_vectors(&vectors, wanted, "m", 7)).unwrap();
            assert_eq!((read.vectors, read.usage.map(|usage| usage.input)), (vectors.vectors.clone(), Some(7)));
        }
    }

    #[test]
    fn vectors_that_are_none_are_told() {
        for (vector, wanted) in [
            ("[1,\"a\"]", Encoding::Base64),
            ("[[1]]", Encoding::Base64),
            ("\"AAA\"", Encoding::Float),
            ("\"!\"", Encoding::Float),
            ("\"AADAfw==\"", Encoding::Float),
        ] {
            assert!(
                recode(&format!(r#"{{"data":[{{"embedding":{vector}}}]}}"#).into(), wanted, Some(1)).is_err(),
                "{vector}"
            );
        }
    }

    #[test]
    fn vectors_are_as_many_as_were_asked_for_each_at_its_own_place() {
        let item = |index: &str| format!("{{\"embedding\":[1]{index}}}");
        for (data, count, is_good) in [
            ("", 0, true),
            ("", 1, false),
            ("N", 1, true),
            ("N,N", 1, false),
            ("N", 2, false),
            ("0,1", 2, true),
            ("1,0", 2, true),
            ("0,N", 2, true),
            ("0,0", 2, false),
            ("0,2", 2, false),
            ("1", 1, false),
            ("-1", 1, false),
        ] {
            let item = |index: &str| if index == "N" { item("") } else { item(&format!(",\"index\":{index}")) };
            let items: Vec<_> = data.split(',').filter(|index| !index.is_empty()).map(item).collect();
            let body = format!("{{\"data\":[{}]}}", items.join(","));
            assert_eq!(recode(&body.into(), Encoding::Float, Some(count)).is_ok(), is_good, "{data} of {count}");
        }
        let answer = br#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}]}"#;
        assert_eq!(read_vectors(&Bytes::from_static(answer)).unwrap().vectors, [[1.0], [2.0]]);
    }

    proptest! {
        #[test]
        fn every_float_survives_both_ways(vector in prop::collection::vec(any::<f32>().prop_filter("finite", |x| x.is_finite()), 0..20)) {
            let body: Bytes = json!({"data": [{"embedding": vector}]}).to_string().into();
            let there = recode(&body, Encoding::Base64, None).unwrap().0;
            let back: Value = serde_json::from_slice(&recode(&there, Encoding::Float, None).unwrap().0).unwrap();
            let read: Vec<f32> = serde_json::from_value(back["data"][0]["embedding"].clone()).unwrap();
            prop_assert_eq!(read, vector);
        }
    }
}
