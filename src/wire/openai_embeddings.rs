//! OpenAI's embeddings: the request checked and kept as it came, the answer listened to.

use bytes::Bytes;

use super::dialect::BadAnswer;
use super::json::Object;
use super::openai_chat::{Check, Field, check_fields, read_usage};
use crate::chat::{Error, Usage};

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
    /// Reads and checks a body.
    ///
    /// # Errors
    /// A 400 that names the field at fault.
    pub fn read(body: Bytes) -> Result<Self, Error> {
        let object = Object::read(body)?;
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

/// Listens to an answer: its usage, where it gave one.
///
/// # Errors
/// Where the body is no list of embeddings.
pub fn listen(body: &Bytes) -> Result<Option<Usage>, BadAnswer> {
    let object = Object::read_answer(body.clone()).map_err(|flaw| BadAnswer(flaw.to_string()))?;
    if !object.get("data").is_some_and(|data| data.starts_with('[')) {
        return Err(BadAnswer("it has no `data`".to_owned()));
    }
    Ok(object.get("usage").and_then(read_usage))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let usage =
            listen(&Bytes::from_static(br#"{"data":[],"usage":{"prompt_tokens":4,"total_tokens":4}}"#)).unwrap();
        assert_eq!(usage.map(|usage| (usage.input, usage.output)), Some((4, 0)));
        assert!(listen(&Bytes::from_static(b"{}")).is_err());
    }
}
