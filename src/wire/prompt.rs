//! A rendered prompt on its way in front of a request.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::json::{MAX_DEPTH, Object, ObjectError, depth, quoted};
use crate::chat::{self, Error, PromptMessage};

/// Reads a list of messages.
pub type ReadMessages = Box<dyn Fn(&[Value]) -> Result<Vec<chat::Message>, Error>>;

/// A rendered prompt. It is said in OpenAI's chat words, whose codec makes it and reads it.
pub struct Prompt {
    /// Its messages.
    pub messages: Vec<PromptMessage>,
    /// `model`, an empty list of `messages`, and the prompt's settings: what it is as a chat completion, but for its words.
    pub settings: Object,
    /// The model that the request leads to.
    pub model: String,
    /// Reads messages that the caller gave as a variable in the caller's own dialect; `None` where that is OpenAI's chat.
    pub own: Option<ReadMessages>,
    read: fn(Prompt) -> Result<chat::Request, Error>,
}

impl Prompt {
    /// A prompt of these messages and settings, for a request that leads to `model`; `read` reads it whole.
    ///
    /// # Errors
    /// Where a setting has a name that no request can have, or there are too many.
    pub fn new(
        messages: Vec<PromptMessage>,
        settings: &Map<String, Value>,
        model: &str,
        read: fn(Self) -> Result<chat::Request, Error>,
    ) -> Result<Self, ObjectError> {
        let mut text = format!("{{\"model\":{},\"messages\":[]", quoted(model));
        for (name, value) in settings.iter().filter(|(name, _)| *name != "model") {
            text.push_str(&format!(",{}:{value}", quoted(name)));
        }
        text.push('}');
        Ok(Self { messages, settings: Object::read(Bytes::from(text))?, model: model.to_owned(), own: None, read })
    }

    /// The same, for a caller of another dialect, whose messages `own` reads.
    #[must_use]
    pub fn in_words_of(self, own: ReadMessages) -> Self {
        Self { own: Some(own), ..self }
    }

    /// The prompt in the internal form.
    ///
    /// # Errors
    /// Where a message or a setting is wrong, or has no place in that form.
    pub fn internal(self) -> Result<chat::Request, Error> {
        (self.read)(self)
    }
}

/// A prompt's part of a request, in the caller's dialect: fields that were just written.
pub type Fields = Map<String, Value>;

/// Refuses fields that are nested deeper than a request may be. They are not read again, and the arguments of a tool's call
/// are a text where they come from.
///
/// # Errors
/// [`ObjectError::Depth`].
pub fn check_depth(fields: &Fields) -> Result<(), ObjectError> {
    if fields.values().any(|value| depth(value) >= MAX_DEPTH) { Err(ObjectError::Depth) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_may_be_as_deep_as_a_request_that_is_read() {
        for levels in MAX_DEPTH - 3..MAX_DEPTH + 3 {
            let nested = (1..levels)
                .fold(json!({}), |inner, n| if n % 2 == 0 { json!([1, inner]) } else { json!({"a": inner}) });
            assert_eq!(depth(&nested), levels);
            let fields = Fields::from_iter([("a".to_owned(), json!(1)), ("b".to_owned(), nested)]);
            let read = Object::read(Value::from(fields.clone()).to_string().into());
            assert_eq!(check_depth(&fields), read.map(drop), "{levels}");
        }
    }
}
