//! Answers that were to be JSON and are not: what is wrong with one, and the request that asks for it once more.

use std::sync::OnceLock;

use serde_json::Value;

use super::rendering::Rendering;
use crate::chat::{Content, Error, Format, Response, Role, Stop};
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

    /// What is wrong with a whole answer in the caller's dialect. Answers that were cut off, refused, or that call tools
    /// have no form to keep to.
    pub fn misfit(&self, body: &[u8]) -> Option<Misfit> {
        let response = self.dialect.codec().read_response(body).ok()?;
        let alone = response.choices.len() == 1;
        let texts = texts(response);
        let found = texts.into_iter().find_map(|text| Some((self.wrong(&text)?, text)));
        found.map(|(wrong, text)| Misfit { may_improve: alone && text.len() <= MOST_TEXT, text, wrong })
    }

    fn wrong(&self, text: &str) -> Option<String> {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) if text.trim().is_empty() => return Some("it is empty".to_owned()),
            Err(error) => return Some(format!("it is not valid JSON: {error}")),
        };
        match &self.format {
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

/// The texts of an answer that ended of itself without calling a tool.
fn texts(response: Response) -> Vec<String> {
    let mut texts = Vec::new();
    for choice in response.choices {
        let ended = matches!(choice.stop, None | Some(Stop::End | Stop::Sequence(_) | Stop::Other(_)));
        let is_text = |content: &Content| !matches!(content, Content::ToolCall { .. } | Content::Refusal(_));
        if ended && choice.parts.iter().all(|part| is_text(&part.content)) {
            texts.push(choice.parts.iter().filter_map(|part| part.as_text()).collect());
        }
    }
    texts
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
        Ok(Self::of(self.endpoint, asked))
    }
}
