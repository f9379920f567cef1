//! Answers that were to be JSON and are not: what is wrong with one, and the request that asks for it once more.

use std::sync::OnceLock;

use serde_json::Value;

use super::rendering::Rendering;
use crate::chat::{Choice, Content, Error, Format, Response, Role, Stop};
use crate::wire::DialectId;
use crate::wire::dialect::Asked;
use crate::wire::json::Object;
use crate::wire::schema::Schema;

/// The most text of a bad answer that is sent back with the request for a better one.
const MOST_TEXT: usize = 256 << 10;

/// The form that an answer must have.
pub struct Wanted {
    format: Format,
    dialect: DialectId,
    schema: OnceLock<Option<Schema>>,
}

/// What a look at an answer showed.
pub enum Verdict {
    /// It was checked, and has the form.
    Fits,
    /// It was checked, and has not the form.
    Misses(Misfit),
    /// It was not checked, since it did not end of itself as a text: it was cut off, refused, or calls tools.
    Unchecked {
        /// Whether it was cut off before it had the form, so that it cannot be used.
        is_torn: bool,
    },
}

/// What is wrong with an answer.
pub struct Misfit {
    /// The text of the answer.
    text: String,
    /// What is wrong, for the model to read.
    wrong: String,
    /// Whether asking once more can do better.
    pub may_improve: bool,
}

impl Wanted {
    /// What the answer to `request` must be, where it must be JSON.
    pub fn of(request: &Rendering) -> Option<Self> {
        let format = request.format().filter(|format| *format != Format::Text)?;
        Some(Self { format, dialect: request.endpoint.dialect(), schema: OnceLock::new() })
    }

    /// The same, and any JSON where the request asks for no form.
    pub fn or_json(request: &Rendering) -> Self {
        let any = || Self { format: Format::Text, dialect: request.endpoint.dialect(), schema: OnceLock::new() };
        Self::of(request).unwrap_or_else(any)
    }

    /// Whether a whole answer in the caller's dialect has the form. Answers that were cut off, refused, or that call tools
    /// have none to keep to.
    pub fn verdict(&self, body: &[u8]) -> Verdict {
        let Ok(Response { choices, .. }) = self.dialect.codec().read_response(body) else {
            return Verdict::Unchecked { is_torn: false };
        };
        let alone = choices.len() == 1;
        let texts: Vec<String> = choices.iter().filter(|choice| is_whole_text(choice)).map(text).collect();
        let are_all = !choices.is_empty() && texts.len() == choices.len();
        let found = texts.into_iter().find_map(|text| Some((self.wrong(&text)?, text)));
        if let Some((wrong, text)) = found {
            return Verdict::Misses(Misfit { may_improve: alone && text.len() <= MOST_TEXT, text, wrong });
        }
        let is_cut = |choice: &&Choice| matches!(choice.stop, Some(Stop::Length | Stop::Context));
        let is_torn = choices.iter().filter(is_cut).any(|choice| self.wrong(&text(choice)).is_some());
        if are_all { Verdict::Fits } else { Verdict::Unchecked { is_torn } }
    }

    fn wrong(&self, text: &str) -> Option<String> {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) if text.trim().is_empty() => return Some("it is empty".to_owned()),
            Err(error) => return Some(format!("it is not valid JSON: {error}")),
        };
        match &self.format {
            // Any JSON.
            Format::Text => None,
            // Google's JSON may be of any type.
            Format::JsonObject if value.is_object() || self.dialect == DialectId::Gemini => None,
            Format::JsonObject => Some("it is not a JSON object".to_owned()),
            Format::JsonSchema { schema, .. } => {
                self.schema.get_or_init(|| Schema::read(schema)).as_ref()?.check(&value).err()
            }
        }
    }
}

/// Whether an answer ended of itself without calling a tool.
fn is_whole_text(choice: &Choice) -> bool {
    let ended = matches!(choice.stop, None | Some(Stop::End | Stop::Sequence(_) | Stop::Other(_)));
    let is_text = |content: &Content| !matches!(content, Content::ToolCall { .. } | Content::Refusal(_));
    ended && choice.parts.iter().all(|part| is_text(&part.content))
}

fn text(choice: &Choice) -> String {
    choice.parts.iter().filter_map(|part| part.as_text()).collect()
}

impl Rendering {
    /// The same work once more: the conversation goes on with the bad answer and with what is wrong with it.
    ///
    /// # Errors
    /// Where it would be longer than a request may be.
    pub fn once_more(&self, misfit: &Misfit) -> Result<Self, Error> {
        let demand = format!(
            "This answer cannot be used: {}. Answer the request again, with nothing but JSON of the form that was asked for.",
            misfit.wrong
        );
        // Some providers refuse a message that says nothing.
        let before = (!misfit.text.trim().is_empty()).then_some((Role::Assistant, misfit.text.as_str()));
        let turns: Vec<(Role, &str)> = before.into_iter().chain([(Role::User, demand.as_str())]).collect();
        let body = self.codec().followed(self.object(), &turns);
        let count = self.asked.turns + turns.len();
        let asked = Asked { object: Object::read(body)?, turns: count, ..self.asked.clone() };
        let mut again = Self::of(self.endpoint, asked);
        again.brought.clone_from(&self.brought);
        Ok(again)
    }
}
