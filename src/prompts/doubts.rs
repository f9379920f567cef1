//! What is wrong with a draft's settings, and what is no mistake of a draft but likely to surprise its author.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::compiled::Compiled;
use super::draft::{Draft, Entry};
use crate::chat::PromptMessage;
use crate::template::Template;
use crate::types::Diagnostic;
use crate::wire::openai_chat::{meant, setting_names, wrong_settings};

/// Request fields that a prompt may not set: they belong to each call.
pub(super) const NOT_SETTINGS: [&str; 6] = ["messages", "prompt", "stream", "stream_options", "user", "input"];

/// Settings that no call could have, or that are likely misspelt.
pub(super) fn settings(settings: &Map<String, Value>) -> Vec<Diagnostic> {
    let settings: Map<String, Value> = settings
        .iter()
        .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let misspelt = unknown(&settings).filter_map(|name| {
        let field = meant(name)?;
        let problem = format!("`{name:.60}` is unknown; did you mean `{field}`?");
        Some(Diagnostic::new(format!("settings.{name}"), problem))
    });
    let wrong = wrong_settings(&settings).into_iter();
    misspelt.chain(wrong.map(|(path, problem)| Diagnostic::new(format!("settings.{path}"), problem))).collect()
}

fn unknown(settings: &Map<String, Value>) -> impl Iterator<Item = &String> {
    settings.keys().filter(|name| !setting_names().any(|known| known == name.as_str()))
}

impl Draft {
    /// What is no mistake, and likely to surprise: variables that nothing reads, and settings that nobody knows.
    #[must_use]
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let mut read = BTreeSet::new();
        for entry in &self.messages {
            match entry {
                Entry::Placeholder(name) => drop(read.insert(name.clone())),
                Entry::Text { content, .. } => {
                    read.extend(Template::parse(content).iter().flat_map(|template| template.variables().clone()));
                }
            }
        }
        let unread = self.variables.keys().filter(|name| !read.contains(*name)).map(|name| {
            let problem = "no message reads this variable";
            Diagnostic::new(format!("variables.{name}"), problem).fix("use it in a message, or take it out")
        });
        let unknown = unknown(&self.settings).map(|name| {
            let problem = format!("`{name:.60}` is no field of OpenAI's API, and goes to the model's server as it is");
            Diagnostic::new(format!("settings.{name}"), problem).fix("check that the server knows it")
        });
        unread.chain(unknown).collect()
    }

    /// Renders the draft, which has no version.
    ///
    /// # Errors
    /// What is wrong with the variables, or fails with them.
    pub fn render(&self, variables: &Map<String, Value>) -> Result<Vec<PromptMessage>, String> {
        let compiled =
            Compiled::new(self).map_err(|found| found.first().map_or_else(String::new, ToString::to_string))?;
        compiled.render(variables).map_err(|failure| failure.to_string())
    }

    /// The model that the settings name.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.settings.get("model").and_then(Value::as_str)
    }
}
