//! A rendered prompt on its way in front of a request.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::asked::Asked;
use super::fields::FieldError;
use super::json::{MAX_DEPTH, Object, ObjectError, depth, quoted};
use crate::chat::{self, Code, Emulated, Error, Message, PromptMessage, Role};

/// Checks a list of messages.
pub type CheckMessages = Box<dyn Fn(&[Value]) -> Result<(), Error>>;

/// A rendered prompt. It is said in OpenAI's chat words, whose codec makes it and reads it.
pub struct Prompt {
    /// Its messages.
    pub messages: Vec<PromptMessage>,
    /// `model`, an empty list of `messages`, and the prompt's settings: what it is as a chat completion, but for its words.
    pub settings: Object,
    /// The model that the request leads to.
    pub model: String,
    /// Checks messages that the caller gave as a variable in the caller's own dialect; `None` where that is OpenAI's chat.
    pub own: Option<CheckMessages>,
    read: fn(Prompt) -> Result<Said, Error>,
}

/// A prompt in the internal form.
pub struct Said {
    /// The model and the settings, without messages.
    pub settings: chat::Request,
    /// The conversation.
    pub conversation: Vec<Segment>,
    /// Settings that only servers of OpenAI's chat know: their names, their JSON, and why no other target has them.
    pub foreign: Vec<(String, String, Error)>,
}

/// Messages of a prompt that follow one another.
#[derive(Debug, PartialEq)]
pub enum Segment {
    /// The prompt's own, and the caller's in OpenAI's chat words.
    Words(Vec<Message>),
    /// The caller's in its own dialect, as they came.
    Own(Vec<Value>),
}

impl From<chat::Request> for Said {
    fn from(mut request: chat::Request) -> Self {
        let conversation = vec![Segment::Words(std::mem::take(&mut request.messages))];
        Self { settings: request, conversation, foreign: Vec::new() }
    }
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
        read: fn(Self) -> Result<Said, Error>,
    ) -> Result<Self, ObjectError> {
        let mut text = format!("{{\"model\":{},\"messages\":[]", quoted(model));
        for (name, value) in settings.iter().filter(|(name, _)| *name != "model") {
            text.push_str(&format!(",{}:{value}", quoted(name)));
        }
        text.push('}');
        Ok(Self { messages, settings: Object::read(Bytes::from(text))?, model: model.to_owned(), own: None, read })
    }

    /// The same, for a caller of another dialect, whose messages `own` checks.
    #[must_use]
    pub fn in_words_of(self, own: CheckMessages) -> Self {
        Self { own: Some(own), ..self }
    }

    /// The prompt in the internal form.
    ///
    /// # Errors
    /// Where a message or a setting is wrong.
    pub fn said(self) -> Result<Said, Error> {
        (self.read)(self)
    }
}

/// A caller's request with a prompt in front.
#[derive(Debug)]
pub struct Prompted {
    /// The request, in the caller's dialect.
    pub asked: Asked,
    /// What the prompt brought.
    pub brought: Brought,
}

/// What a prompt brought to a request, as opposed to its caller.
#[derive(Debug, Default)]
pub struct Brought {
    /// The places, in the conversation, of messages whose role not every target of the dialect has: of the developer in OpenAI's
    /// dialects, and of the system in Anthropic's.
    pub special: Vec<usize>,
    /// Names of fields, in OpenAI's chat.
    pub fields: Vec<String>,
    /// What the caller's dialect nearly says, or leaves out.
    pub noted: Vec<&'static str>,
    /// Names of settings that the caller's dialect lacks.
    lacked: Vec<String>,
    /// All settings, where some are not said as they are.
    settings: Option<Box<chat::Request>>,
    foreign: Vec<(String, String, Error)>,
}

impl Brought {
    /// Whether the caller's dialect lacks a setting, so that a target of the dialect cannot get the request as it is.
    #[must_use]
    pub fn is_beyond(&self) -> bool {
        !self.lacked.is_empty() || !self.foreign.is_empty()
    }

    /// Forgets the settings for which the caller has its own.
    pub fn settle(&mut self, is_set: impl Fn(&str) -> bool) {
        self.lacked.retain(|name| !is_set(name));
        self.foreign.retain(|(name, ..)| !is_set(name));
    }

    /// The form of the answer, where the caller's dialect cannot ask for that form.
    #[must_use]
    pub fn format(&self) -> Option<&chat::Format> {
        let is_lacked = self.lacked.iter().any(|name| name == "response_format");
        self.settings.as_ref().filter(|_| is_lacked)?.format.as_ref()
    }

    /// Puts into a request, which was read in the caller's dialect, the settings that the dialect does not say.
    pub fn put_back(&self, request: &mut chat::Request, emulated: &mut Emulated) {
        let mut put = |name: &str| self.settings.as_ref().is_some_and(|settings| request.fill(name, settings));
        for name in &self.lacked {
            put(name);
        }
        for name in &self.noted {
            if !put(name) {
                emulated.note(name);
            }
        }
    }

    /// The settings that only servers of OpenAI's chat know, as names and JSON.
    ///
    /// # Errors
    /// Where there are some, and the target is none of these servers.
    pub fn foreign(&self, is_chat: bool) -> Result<impl Iterator<Item = (&str, &str)>, Error> {
        match self.foreign.first() {
            Some((_, _, error)) if !is_chat => Err(error.clone()),
            _ => Ok(self.foreign.iter().map(|(name, json, _)| (name.as_str(), json.as_str()))),
        }
    }
}

/// Settings that decide what an answer holds: a caller's dialect that lacks them cannot hold the answer either.
const OF_ANSWERS: [&str; 3] = ["n", "logprobs", "top_logprobs"];

/// Writes a prompt in a caller's dialect, whose conversation is the field `list`. Settings that the dialect lacks are left
/// to targets of other dialects.
///
/// # Errors
/// Where a message cannot be said, or a setting is wrong.
pub fn write(
    said: Said,
    list: &str,
    write: impl Fn(&chat::Request, &mut Emulated) -> Result<Fields, FieldError>,
) -> Result<(Fields, Brought), Error> {
    let Said { settings, mut conversation, foreign } = said;
    let mut all = settings.clone();
    let mut request = settings;
    let is_plain = matches!(&conversation[..], [] | [Segment::Words(_)]);
    let first = match conversation.first_mut() {
        Some(Segment::Words(messages)) => std::mem::take(messages),
        _ => Vec::new(),
    };
    let other = other_than(first.last());
    request.messages = first;
    if !is_plain {
        request.messages.push(other);
    }
    let (mut fields, lacked, emulated) = fitted(&mut request, &write)?;
    let mut noted = emulated.names().to_vec();
    if let (false, Some(Value::Array(turns))) = (is_plain, fields.get_mut(list)) {
        turns.pop();
        for segment in conversation {
            match segment {
                Segment::Own(messages) => turns.extend(messages),
                Segment::Words(messages) if messages.is_empty() => {}
                Segment::Words(messages) => turns.extend(written(messages, list, &write, &mut noted)?),
            }
        }
    }
    check_depth(&fields)?;
    all.messages = Vec::new();
    let settings = (!lacked.is_empty() || !noted.is_empty()).then(|| Box::new(all));
    Ok((fields, Brought { noted, lacked, settings, foreign, ..Brought::default() }))
}

/// Messages in the middle of a conversation.
fn written(
    mut messages: Vec<Message>,
    list: &str,
    write: impl Fn(&chat::Request, &mut Emulated) -> Result<Fields, FieldError>,
    noted: &mut Vec<&'static str>,
) -> Result<Vec<Value>, Error> {
    messages.insert(0, other_than(messages.first()));
    let mut emulated = Emulated::default();
    let mut fields = write(&chat::Request { messages, ..chat::Request::default() }, &mut emulated)?;
    // The rest of that request is made up.
    noted.extend(emulated.names().iter().filter(|name| **name != "max_tokens"));
    let mut turns = fields.get_mut(list).map(Value::take);
    Ok(turns
        .as_mut()
        .and_then(Value::as_array_mut)
        .map(|turns| turns.split_off(1.min(turns.len())))
        .unwrap_or_default())
}

/// A message that stands for whatever is beside this one: of another speaker, so that no dialect makes one turn of both.
fn other_than(message: Option<&Message>) -> Message {
    let role = if message.is_some_and(|message| message.role == Role::User) { Role::Assistant } else { Role::User };
    Message::text(role, "-")
}

/// The fields of a request without the settings that a dialect lacks, whose names come too, and what is noted of the others.
fn fitted(
    request: &mut chat::Request,
    write: impl Fn(&chat::Request, &mut Emulated) -> Result<Fields, FieldError>,
) -> Result<(Fields, Vec<String>, Emulated), Error> {
    let mut lacked = Vec::new();
    loop {
        let mut emulated = Emulated::default();
        let error = match write(request, &mut emulated) {
            Ok(fields) => return Ok((fields, lacked, emulated)),
            Err(error) => Error::from(error),
        };
        let name = error.param.as_deref().and_then(|param| param.split(['.', '[']).next()).unwrap_or_default();
        let is_setting = error.code == Code::UnsupportedFeature && !OF_ANSWERS.contains(&name);
        if !is_setting || !request.clear(name) {
            return Err(error);
        }
        lacked.push(name.to_owned());
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
