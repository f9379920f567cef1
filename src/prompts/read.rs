//! Reads drafts field by field and collects every mistake, so that an author sees them all at once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::compiled::Compiled;
use super::doubts::{self, NOT_SETTINGS};
use super::draft::{Draft, Entry, Submission, TestCase};
use super::error::Error;
use super::selector::names_prompt;
use super::variables::unknown;
use crate::chat::Role;
use crate::types::{Diagnostic, Label, PromptName};

const MAX_ENTRIES: usize = 200;
const MAX_VARIABLES: usize = 100;
const MAX_TESTS: usize = 100;
const MAX_DEPTH: usize = 24;

/// The most mistakes that are reported at once.
const MOST_MISTAKES: usize = 1_000;

/// The longest description, commit message or settings, in bytes.
const MAX_DESCRIPTION: usize = 4 << 10;
const MAX_SETTINGS: usize = 64 << 10;

static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

impl Draft {
    /// Reads a draft, checks every part and runs its tests.
    ///
    /// # Errors
    /// Every mistake, each with its key.
    pub fn from_json(value: &Value) -> Result<Self, Vec<Diagnostic>> {
        let mut reader = Reader::default();
        let draft = reader.draft(value, &[]);
        draft.checked(reader.diagnostics)
    }

    /// Reads what this module wrote, without checking it again.
    pub(super) fn from_stored(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Self::of_version(&value).map_err(|mistakes| mistakes.first().map_or_else(String::new, ToString::to_string))
    }

    /// Reads the draft of a version that is stored somewhere: its settings and tests were checked when it was saved, by the
    /// rules of then.
    ///
    /// # Errors
    /// Every mistake of its form.
    pub fn of_version(value: &Value) -> Result<Self, Vec<Diagnostic>> {
        let mut reader = Reader::default();
        let draft = reader.draft(value, &[]);
        if reader.diagnostics.is_empty() { Ok(draft) } else { Err(reader.diagnostics) }
    }

    /// Adds the mistakes that only show when templates are parsed and tests are run.
    fn checked(self, mut diagnostics: Vec<Diagnostic>) -> Result<Self, Vec<Diagnostic>> {
        diagnostics.extend(doubts::settings(&self.settings));
        match Compiled::new(&self) {
            Err(more) => diagnostics.extend(more),
            Ok(compiled) if diagnostics.is_empty() => diagnostics.extend(compiled.run_tests(&self.tests)),
            Ok(_) => {}
        }
        if diagnostics.is_empty() { Ok(self) } else { Err(diagnostics) }
    }
}

impl Submission {
    /// Reads the body of `POST /prompts/{name}/versions`: a draft plus `message`, `labels` and `parent`.
    ///
    /// # Errors
    /// Every mistake.
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        let mut reader = Reader::default();
        let read = reader.submission(value, &["message", "labels", "parent"]);
        read.finish(reader.diagnostics)
    }

    /// Reads the body of `POST /prompts`: as a version's, plus `name`.
    ///
    /// # Errors
    /// Every mistake.
    pub fn named(value: &Value) -> Result<(PromptName, Self), Error> {
        let mut reader = Reader::default();
        let name = reader.name(value);
        let read = reader.submission(value, &["name", "message", "labels", "parent"]).finish(reader.diagnostics)?;
        // A name that could not be read left a mistake, which has ended this already.
        name.map(|name| (name, read)).ok_or_else(|| Error::Invalid(vec![Diagnostic::new("name", "is missing")]))
    }

    fn finish(self, diagnostics: Vec<Diagnostic>) -> Result<Self, Error> {
        let draft = self.draft.checked(diagnostics).map_err(Error::Invalid)?;
        Ok(Self { draft, ..self })
    }
}

/// What was found wrong so far.
#[derive(Default)]
struct Reader {
    diagnostics: Vec<Diagnostic>,
}

impl Reader {
    /// Reads a draft; keys in `beside` are read elsewhere.
    fn draft(&mut self, value: &Value, beside: &[&str]) -> Draft {
        let fields = self.object("", value);
        let mut known = vec!["description", "messages", "variables", "settings", "variants", "tests"];
        known.extend(beside);
        self.unknown_keys("", fields, &known);
        if fields.contains_key("variants") {
            self.wrong("variants", "other messages by provider or model are not supported yet");
        }
        Draft {
            description: self.text("description", fields.get("description"), MAX_DESCRIPTION),
            messages: self.entries(fields),
            variants: BTreeMap::new(),
            variables: self.variables(fields.get("variables")),
            settings: self.settings(fields.get("settings")),
            tests: self.tests(fields.get("tests")),
        }
    }

    fn submission(&mut self, value: &Value, beside: &[&str]) -> Submission {
        let draft = self.draft(value, beside);
        let message = self.text("message", value.get("message"), MAX_DESCRIPTION);
        let labels = self.list("labels", value.get("labels"), 20);
        let labels = labels.iter().enumerate().filter_map(|(i, label)| self.label(i, label)).collect();
        Submission { draft, message, labels, parent: self.parent(value) }
    }

    fn parent(&mut self, value: &Value) -> Option<u32> {
        let parent = value.get("parent").filter(|parent| !parent.is_null())?;
        let version = parent.as_u64().and_then(|version| u32::try_from(version).ok());
        if version.is_none() {
            self.wrong("parent", "must be the number of the version that this one was made from");
        }
        version
    }

    fn name(&mut self, value: &Value) -> Option<PromptName> {
        let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
        name.parse().map_err(|error| self.wrong("name", format!("{error}"))).ok()
    }

    fn label(&mut self, i: usize, value: &Value) -> Option<Label> {
        let label = value.as_str().unwrap_or_default();
        label.parse().map_err(|error| self.wrong(format!("labels[{i}]"), format!("{error}"))).ok()
    }

    fn entries(&mut self, fields: &Map<String, Value>) -> Vec<Entry> {
        let values = self.list("messages", fields.get("messages"), MAX_ENTRIES);
        if values.is_empty() && fields.get("messages").is_none_or(Value::is_array) {
            self.wrong("messages", "a prompt has at least one message");
        }
        values.iter().enumerate().map(|(i, value)| self.entry(&format!("messages[{i}]"), value)).collect()
    }

    /// Reads one entry. A wrong one stays in its place, so that later mistakes count the entries rightly.
    fn entry(&mut self, key: &str, value: &Value) -> Entry {
        let fields = self.object(key, value);
        self.unknown_keys(key, fields, &["role", "content", "placeholder"]);
        if let Some(name) = fields.get("placeholder") {
            if fields.len() > 1 {
                self.wrong(key, "a placeholder has no `role` and no `content`");
            }
            return Entry::Placeholder(self.text(&format!("{key}.placeholder"), Some(name), 64));
        }
        let role = match fields.get("role").and_then(Value::as_str) {
            Some("system") => Some(Role::System),
            Some("developer") => Some(Role::Developer),
            Some("user") => Some(Role::User),
            Some("assistant") => Some(Role::Assistant),
            _ => None,
        };
        if role.is_none() {
            let place = if fields.contains_key("role") { format!("{key}.role") } else { key.to_owned() };
            self.wrong(place, "`role` is one of system, developer, user, assistant");
        }
        let content = fields.get("content").and_then(Value::as_str);
        if content.is_none() {
            self.wrong(key, "`content` is a template, a string");
        }
        Entry::Text { role: role.unwrap_or(Role::User), content: content.unwrap_or_default().to_owned() }
    }

    fn variables(&mut self, value: Option<&Value>) -> Map<String, Value> {
        let fields = self.table("variables", value);
        if fields.len() > MAX_VARIABLES {
            self.wrong("variables", format!("a prompt has at most {MAX_VARIABLES} variables"));
        }
        for name in fields.keys() {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !first || !name.chars().all(fits) || name.len() > 64 || name.starts_with("__") || is_reserved(name) {
                let form = "is not a variable's name: use a-z, A-Z, 0-9 and _, beginning with a letter";
                self.wrong(format!("variables.{name:.64}"), form);
            }
        }
        fields.clone()
    }

    fn settings(&mut self, value: Option<&Value>) -> Map<String, Value> {
        let fields = self.table("settings", value);
        for name in NOT_SETTINGS.iter().filter(|name| fields.contains_key(**name)) {
            self.wrong(format!("settings.{name}"), "belongs to each request; a prompt cannot set it");
        }
        match fields.get("model") {
            None => {}
            Some(Value::String(model)) if !names_prompt(model) && !model.is_empty() => {}
            Some(_) => self.wrong("settings.model", "names a model or a route, not a prompt"),
        }
        if value.is_some_and(|value| value.to_string().len() > MAX_SETTINGS) {
            self.wrong("settings", format!("has more than {MAX_SETTINGS} bytes"));
        }
        fields.clone()
    }

    fn tests(&mut self, value: Option<&Value>) -> Vec<TestCase> {
        let tests = self.list("tests", value, MAX_TESTS);
        tests.iter().enumerate().map(|(i, test)| self.test(&format!("tests[{i}]"), test)).collect()
    }

    fn test(&mut self, key: &str, value: &Value) -> TestCase {
        let fields = self.object(key, value);
        self.unknown_keys(key, fields, &["variables", "contains"]);
        let variables = self.table(&format!("{key}.variables"), fields.get("variables")).clone();
        let place = format!("{key}.contains");
        let texts = self.list(&place, fields.get("contains"), 100);
        let contains = texts.iter().enumerate();
        let contains = contains.map(|(i, text)| self.text(&format!("{place}[{i}]"), Some(text), MAX_SETTINGS));
        TestCase { variables, contains: contains.collect() }
    }

    fn object<'v>(&mut self, key: &str, value: &'v Value) -> &'v Map<String, Value> {
        if let Value::Object(fields) = value {
            return fields;
        }
        self.wrong(key, if key.is_empty() { "a prompt is an object" } else { "must be a table" });
        &EMPTY
    }

    /// An optional table whose values are free, as far as TOML and JSON can both say them.
    fn table<'v>(&mut self, key: &str, value: Option<&'v Value>) -> &'v Map<String, Value> {
        let Some(value) = value else { return &EMPTY };
        self.portable(key, value, 0);
        self.object(key, value)
    }

    fn list<'v>(&mut self, key: &str, value: Option<&'v Value>, most: usize) -> &'v [Value] {
        match value {
            None => &[],
            Some(Value::Array(items)) if items.len() <= most => items,
            Some(Value::Array(_)) => {
                self.wrong(key, format!("has more than {most} entries"));
                &[]
            }
            Some(_) => {
                self.wrong(key, "must be a list");
                &[]
            }
        }
    }

    fn text(&mut self, key: &str, value: Option<&Value>, most: usize) -> String {
        match value {
            None => String::new(),
            Some(Value::String(text)) if text.len() <= most => text.clone(),
            Some(Value::String(_)) => {
                self.wrong(key, format!("has more than {most} bytes"));
                String::new()
            }
            Some(_) => {
                self.wrong(key, "must be a string");
                String::new()
            }
        }
    }

    fn portable(&mut self, key: &str, value: &Value, depth: usize) {
        match value {
            _ if depth > MAX_DEPTH => self.wrong(key, format!("nests deeper than {MAX_DEPTH}")),
            Value::Null => self.wrong(key, "null cannot be written in TOML; leave the key out"),
            Value::Number(number) if number.is_u64() && !number.is_i64() => self.wrong(key, "is too large a number"),
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.portable(&format!("{key}[{i}]"), item, depth + 1);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.portable(&format!("{key}.{name}"), value, depth + 1);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn unknown_keys(&mut self, at: &str, fields: &Map<String, Value>, known: &[&str]) {
        for key in fields.keys().filter(|key| !known.contains(&key.as_str())) {
            let place = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            self.wrong(place, unknown(key, known));
        }
    }

    fn wrong(&mut self, key: impl Into<String>, message: impl Into<String>) {
        if self.diagnostics.len() < MOST_MISTAKES {
            self.diagnostics.push(Diagnostic::new(key, message));
        }
    }
}

/// Words that Tera reserves.
fn is_reserved(name: &str) -> bool {
    let words = ["loop", "self", "and", "or", "not", "is", "in", "if", "else", "for", "break", "continue"];
    let values = ["true", "True", "false", "False", "none", "None", "null"];
    words.contains(&name) || values.contains(&name)
}
