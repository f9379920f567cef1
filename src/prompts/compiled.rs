//! A draft with its templates parsed and its schemas built.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::draft::{Draft, Entry, TestCase};
use super::schema_work::Visits;
use super::variables::{Variable, is_messages, unknown};
use crate::chat::{PromptMessage, Role};
use crate::template::{self, Template, Values, Work, weigh};
use crate::types::{Diagnostic, Place, Position};

/// The most that all templates of a prompt may have together, in bytes.
const MAX_SOURCES: usize = 256 << 10;

/// The most that a prompt's own messages may come to, in bytes.
const MAX_OUTPUT: usize = template::MAX_OUTPUT;

/// A searched text costs this many times less than one that a filter reads.
const SEARCHED: usize = 16;

/// What the rendering of one request, or the tests of one version, may still do.
struct Effort {
    work: Work,
    visits: Visits,
}

impl Effort {
    fn begin() -> Self {
        Self { work: Work::begin(), visits: Visits::default() }
    }
}

#[derive(Debug)]
pub(super) struct Compiled {
    parts: Vec<Part>,
    variables: BTreeMap<String, Variable>,
}

#[derive(Debug)]
enum Part {
    Text { role: Role, template: Template },
    Placeholder(String),
}

/// Why a rendering failed: a variable, or a template with these variables.
#[derive(Debug)]
pub(super) enum Failure {
    Variable { variable: String, message: String },
    Template { message: String },
}

impl Compiled {
    pub(super) fn new(draft: &Draft) -> Result<Self, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let mut variables = BTreeMap::new();
        let mut visits = Visits::default();
        for (name, schema) in &draft.variables {
            match Variable::read(&format!("variables.{name}"), schema, &mut visits) {
                Ok(variable) => drop(variables.insert(name.clone(), variable)),
                Err(more) => diagnostics.extend(more),
            }
        }
        let mut parts = Vec::with_capacity(draft.messages.len());
        for (i, entry) in draft.messages.iter().enumerate() {
            match part(&format!("messages[{i}]"), entry, draft) {
                Ok(part) => parts.push(part),
                Err(more) => diagnostics.extend(more),
            }
        }
        let sources = draft.messages.iter().map(|entry| match entry {
            Entry::Text { content, .. } => content.len(),
            Entry::Placeholder(_) => 0,
        });
        if sources.sum::<usize>() > MAX_SOURCES {
            diagnostics.push(Diagnostic::new(
                "messages",
                format!("the templates have more than {MAX_SOURCES} bytes together"),
            ));
        }
        if diagnostics.is_empty() { Ok(Self { parts, variables }) } else { Err(diagnostics) }
    }

    /// Renders the messages of one request: all of them share one meter.
    pub(super) fn render(&self, values: &Map<String, Value>) -> Result<Vec<PromptMessage>, Failure> {
        self.render_within(values, &mut Effort::begin())
    }

    fn render_within(
        &self,
        values: &Map<String, Value>,
        Effort { work, visits }: &mut Effort,
    ) -> Result<Vec<PromptMessage>, Failure> {
        self.check(values, visits)?;
        let value = |name: &str| values.get(name).or_else(|| self.variables.get(name)?.default.as_ref());
        let mut shared = Values::new(value);
        let mut messages = Vec::with_capacity(self.parts.len());
        let mut size = 0;
        for (i, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text { role, template } => {
                    let content = template.render(&mut shared, work);
                    let content =
                        content.map_err(|error| Failure::Template { message: format!("messages[{i}]: {error}") })?;
                    size += content.len();
                    if size > MAX_OUTPUT {
                        let message = format!("the messages have over {MAX_OUTPUT} bytes, the limit");
                        return Err(Failure::Template { message });
                    }
                    messages.push(PromptMessage::Text { role: *role, content });
                }
                Part::Placeholder(name) => {
                    let list = value(name).and_then(Value::as_array);
                    messages.extend(list.into_iter().flatten().cloned().map(PromptMessage::Raw));
                }
            }
        }
        Ok(messages)
    }

    /// Renders each test and reports what failed. All tests share one meter; none is run once its time is up.
    pub(super) fn run_tests(&self, tests: &[TestCase]) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        let mut effort = Effort::begin();
        for (i, test) in tests.iter().enumerate() {
            let texts: Vec<String> = match self.render_within(&test.variables, &mut effort) {
                Ok(messages) => messages.iter().map(text).collect(),
                Err(failure) => {
                    diagnostics.push(Diagnostic::new(format!("tests[{i}]"), failure.to_string()));
                    continue;
                }
            };
            let searched = texts.iter().map(String::len).sum::<usize>().saturating_mul(test.contains.len());
            if let Err(late) = effort.work.read(searched / SEARCHED) {
                diagnostics.push(Diagnostic::new(format!("tests[{i}]"), late.to_string()));
                continue;
            }
            for (j, wanted) in test.contains.iter().enumerate() {
                if !texts.iter().any(|text| text.contains(wanted.as_str())) {
                    let message =
                        format!("no rendered message contains {:?}", wanted.chars().take(200).collect::<String>());
                    diagnostics.push(Diagnostic::new(format!("tests[{i}].contains[{j}]"), message));
                }
            }
        }
        diagnostics
    }

    fn check(&self, values: &Map<String, Value>, visits: &mut Visits) -> Result<(), Failure> {
        let refuse = |variable: &str, message: String| {
            Err(Failure::Variable { variable: variable.chars().take(64).collect(), message })
        };
        let mut weight = 0;
        for (name, value) in values {
            let Some(variable) = self.variables.get(name) else {
                let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
                let hint =
                    if known.is_empty() { "this prompt has no variables".to_owned() } else { unknown(name, &known) };
                return refuse(name, format!("is not one of this prompt's: {hint}"));
            };
            if variable.has_schema() {
                weight += weigh(value);
            }
            if weight > template::MAX_VALUES {
                return refuse(name, format!("brings the values to over {} bytes, the limit", template::MAX_VALUES));
            }
            if let Err(message) = variable.check(value, visits) {
                return refuse(name, message);
            }
        }
        match self.variables.iter().find(|(name, variable)| variable.default.is_none() && !values.contains_key(*name)) {
            Some((name, _)) => refuse(name, "is missing; it has no default".to_owned()),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable { variable, message } => write!(f, "variable `{variable}` {message}"),
            Self::Template { message } => f.write_str(message),
        }
    }
}

fn part(key: &str, entry: &Entry, draft: &Draft) -> Result<Part, Vec<Diagnostic>> {
    match entry {
        Entry::Placeholder(name) => match draft.variables.get(name) {
            Some(schema) if is_messages(schema) => Ok(Part::Placeholder(name.clone())),
            _ => {
                let message = format!("declare `{name}` under variables with type = \"messages\"");
                Err(vec![Diagnostic::new(format!("{key}.placeholder"), message)])
            }
        },
        Entry::Text { role, content } => {
            let key = format!("{key}.content");
            let template = Template::parse(content).map_err(|error| {
                let at = Position { line: error.line, column: error.column };
                vec![Diagnostic::new(key.clone(), error.message).at(Place::InValue(at))]
            })?;
            let missing = template.variables().iter().filter(|name| !draft.variables.contains_key(*name));
            let missing: Vec<Diagnostic> = missing.map(|name| undeclared(&key, name, draft)).collect();
            if missing.is_empty() { Ok(Part::Text { role: *role, template }) } else { Err(missing) }
        }
    }
}

fn undeclared(key: &str, name: &str, draft: &Draft) -> Diagnostic {
    let known: Vec<&str> = draft.variables.keys().map(String::as_str).collect();
    let near = known.iter().find(|known| strsim::osa_distance(known, name) <= 2);
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Diagnostic::new(key, format!("`{name}` is not declared under variables{hint}"))
}

/// The text of a message, for tests to look into.
fn text(message: &PromptMessage) -> String {
    match message {
        PromptMessage::Text { content, .. } => content.clone(),
        PromptMessage::Raw(value) => match value.get("content") {
            Some(Value::String(text)) => text.clone(),
            other => other.map(Value::to_string).unwrap_or_default(),
        },
    }
}
