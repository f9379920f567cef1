//! One immutable version of a prompt.

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::{Map, Value, json};

use super::compiled::{Compiled, Failure};
use super::draft::Draft;
use super::error::Error;
use crate::chat::PromptMessage;
use crate::types::{Label, PromptName, Timestamp};

/// One immutable version. Its text stays as it is stored; templates and schemas are built when it is first used.
pub struct Version {
    /// The prompt.
    pub name: PromptName,
    /// 1, 2, 3, …
    pub version: u32,
    /// BLAKE3 of the content, in hex.
    pub hash: Arc<str>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub author: Arc<str>,
    /// With which key.
    pub key_id: Arc<str>,
    /// Why.
    pub message: Box<str>,
    pub(super) content: Box<str>,
    pub(super) ready: OnceLock<Result<Ready, String>>,
}

pub(super) struct Ready {
    compiled: Compiled,
    settings: Map<String, Value>,
}

static NO_SETTINGS: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

impl Version {
    /// The messages with `variables` put in; defaults are filled in.
    ///
    /// # Errors
    /// Where a variable is unknown, missing or breaks its schema, or a template fails with them.
    pub fn render(&self, variables: &Map<String, Value>) -> Result<Vec<PromptMessage>, Error> {
        self.ready()?.compiled.render(variables).map_err(|failure| match failure {
            Failure::Variable { variable, message } => Error::Variable { variable, message },
            Failure::Template { message } => Error::Render { name: self.name.clone(), version: self.version, message },
        })
    }

    /// Request fields that hold where a request sets none, `model` among them.
    #[must_use]
    pub fn settings(&self) -> &Map<String, Value> {
        self.ready().map_or(&NO_SETTINGS, |ready| &ready.settings)
    }

    /// The text that the version was made from.
    ///
    /// # Errors
    /// Where the stored text is damaged.
    pub fn draft(&self) -> Result<Draft, Error> {
        Draft::from_stored(&self.content).map_err(|message| self.damaged(message))
    }

    /// The version as the admin API writes it: the draft's fields, and who made it when and why.
    ///
    /// # Errors
    /// Where the stored text is damaged.
    pub fn to_json(&self, labels: &[Label]) -> Result<Value, Error> {
        let mut fields = json!({
            "name": self.name, "version": self.version, "hash": self.hash, "created_at": self.created_at,
            "author": self.author, "key_id": self.key_id, "message": self.message, "labels": labels,
        });
        if let (Value::Object(fields), Value::Object(draft)) = (&mut fields, self.draft()?.to_json()) {
            fields.extend(draft);
        }
        Ok(fields)
    }

    /// Parses the templates and builds the schemas, unless that was done.
    ///
    /// # Errors
    /// Where the stored text is damaged.
    pub fn parse(&self) -> Result<(), Error> {
        self.ready().map(|_ready| ())
    }

    /// Whether tests were run when it was saved.
    #[must_use]
    pub fn has_tests(&self) -> bool {
        self.draft().is_ok_and(|draft| !draft.tests.is_empty())
    }

    fn ready(&self) -> Result<&Ready, Error> {
        let ready = self.ready.get_or_init(|| {
            let draft = Draft::from_stored(&self.content)?;
            let compiled = Compiled::new(&draft)
                .map_err(|diagnostics| diagnostics.first().map_or_else(String::new, ToString::to_string))?;
            Ok(Ready { compiled, settings: draft.settings })
        });
        ready.as_ref().map_err(|message| self.damaged(message.clone()))
    }

    fn damaged(&self, message: String) -> Error {
        Error::Damaged { name: self.name.clone(), version: self.version, message }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

#[cfg(test)]
impl Version {
    /// A version of this content, which is not stored.
    pub fn of_content(name: &str, version: u32, content: &Value) -> Self {
        let name = name.parse().unwrap_or_else(|error| panic!("{error}"));
        let text = content.to_string();
        Self {
            name,
            version,
            hash: blake3::hash(text.as_bytes()).to_hex().as_str().into(),
            created_at: Timestamp(0),
            author: "".into(),
            key_id: "".into(),
            message: "".into(),
            content: text.into(),
            ready: OnceLock::new(),
        }
    }
}
