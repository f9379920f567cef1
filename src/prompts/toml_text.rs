//! Drafts as TOML: reading with lines and columns, and writing so that the same draft is read back.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::draft::{Draft, Entry};
use crate::types::{Diagnostic, Place, Position};

/// Reads one file of prompts; `file` is its name for reports.
///
/// # Errors
/// Every mistake, with its line and column.
pub fn parse_file(file: &str, text: &str) -> Result<Draft, Vec<Diagnostic>> {
    Draft::from_toml(text).map_err(|found| found.into_iter().map(|diagnostic| diagnostic.of_file(file)).collect())
}

/// As [`parse_file`], with what `doubts` says of the draft, each with its line and column.
///
/// # Errors
/// Every mistake, with its line and column.
pub fn parse_file_with(
    file: &str,
    text: &str,
    doubts: &dyn Fn(&Draft) -> Vec<Diagnostic>,
) -> Result<(Draft, Vec<Diagnostic>), Vec<Diagnostic>> {
    let of_file = |found: Vec<Diagnostic>| found.into_iter().map(|found| found.of_file(file)).collect::<Vec<_>>();
    let (draft, found) = Draft::read_toml(text, doubts).map_err(of_file)?;
    Ok((draft, of_file(found)))
}

impl Draft {
    /// Reads a draft from TOML.
    ///
    /// # Errors
    /// Every mistake, with its line and column.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self::read_toml(text, &|_| Vec::new())?.0)
    }

    fn read_toml(
        text: &str,
        doubts: &dyn Fn(&Self) -> Vec<Diagnostic>,
    ) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().map(|error| syntax(text, error)).collect());
        }
        let mut places = Places { text, spans: HashMap::new(), diagnostics: Vec::new() };
        let value = places.table("", table.get_ref());
        let read = Self::from_json(&value);
        match read {
            Ok(draft) if places.diagnostics.is_empty() => {
                let doubts = doubts(&draft).into_iter().map(|found| places.locate(found)).collect();
                Ok((draft, doubts))
            }
            read => {
                let mut diagnostics = std::mem::take(&mut places.diagnostics);
                diagnostics.extend(read.err().unwrap_or_default());
                let mut diagnostics: Vec<_> = diagnostics.into_iter().map(|found| places.locate(found)).collect();
                diagnostics.sort_by_key(|found| found.place);
                Err(diagnostics)
            }
        }
    }

    /// Writes the draft as a file that [`Draft::from_toml`] reads back to the same content.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        if !self.description.is_empty() {
            line(&mut out, "description", &Value::String(self.description.clone()));
        }
        for entry in &self.messages {
            out.push_str(if out.is_empty() { "[[messages]]\n" } else { "\n[[messages]]\n" });
            match entry {
                Entry::Text { role, content } => {
                    line(&mut out, "role", &serde_json::json!(role));
                    line(&mut out, "content", &Value::String(content.clone()));
                }
                Entry::Placeholder(name) => line(&mut out, "placeholder", &Value::String(name.clone())),
            }
        }
        section(&mut out, "variables", &self.variables);
        section(&mut out, "settings", &self.settings);
        for test in &self.tests {
            out.push_str("\n[[tests]]\n");
            line(&mut out, "variables", &Value::Object(test.variables.clone()));
            line(&mut out, "contains", &test.contains.iter().cloned().collect());
        }
        out
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> Diagnostic {
    let at = Position::of(text, error.span().map_or(0, |span| span.start));
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    Diagnostic::new("", message).at(Place::InText(at))
}

/// Where each key and value stands in the text.
struct Places<'t> {
    text: &'t str,
    spans: HashMap<String, Span>,
    diagnostics: Vec<Diagnostic>,
}

struct Span {
    key: usize,
    value: Range<usize>,
}

impl Places<'_> {
    fn table(&mut self, at: &str, table: &DeTable<'_>) -> Value {
        let mut fields = Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let path = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
            self.spans.insert(path.clone(), Span { key: key.span().start, value: value.span() });
            fields.insert(name.to_owned(), self.value(&path, value.get_ref()));
        }
        Value::Object(fields)
    }

    fn value(&mut self, path: &str, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.as_ref().to_owned()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => self.wrong(path, "is too large a number"),
            },
            DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Number(number),
                None => self.wrong(path, "is not a number that JSON has"),
            },
            DeValue::Datetime(_) => self.wrong(path, "dates are not available; write it as a string"),
            DeValue::Table(table) => self.table(path, table),
            DeValue::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    self.spans.insert(path.clone(), Span { key: item.span().start, value: item.span() });
                    values.push(self.value(&path, item.get_ref()));
                }
                Value::Array(values)
            }
        }
    }

    fn wrong(&mut self, path: &str, message: &str) -> Value {
        self.diagnostics.push(Diagnostic::new(path, message));
        Value::Bool(false)
    }

    /// The same mistake with the line and column of its key, or of the nearest table around it.
    fn locate(&self, diagnostic: Diagnostic) -> Diagnostic {
        let mut key = diagnostic.key.as_str();
        let found = loop {
            match self.spans.get(key) {
                Some(span) => break Some(span),
                None if key.is_empty() => break None,
                None => key = &key[..key.rfind(['.', '[']).unwrap_or(0)],
            }
        };
        let at = match (found, diagnostic.place) {
            (Some(span), Place::InValue(within)) => self.inside(&span.value, within),
            (Some(span), _) => Position::of(self.text, span.key),
            (None, _) => Position { line: 1, column: 1 },
        };
        diagnostic.at(Place::InText(at))
    }

    /// The file's line and column of a place inside a string; exact but for escapes on the same line.
    fn inside(&self, literal: &Range<usize>, within: Position) -> Position {
        let Position { line, column } = within;
        let first = Position::of(self.text, literal.start);
        let text = self.text.get(literal.clone()).unwrap_or_default();
        let long = text.starts_with("\"\"\"") || text.starts_with("'''");
        let quotes = if long { 3 } else { 1 };
        let rest = text.get(quotes..).unwrap_or_default();
        if long && (rest.starts_with('\n') || rest.starts_with("\r\n")) {
            return Position { line: first.line + line, column };
        }
        match line {
            1 => Position { column: first.column + quotes + column - 1, ..first },
            _ if long => Position { line: first.line + line - 1, column },
            _ => first,
        }
    }
}

fn section(out: &mut String, name: &str, fields: &Map<String, Value>) {
    if fields.is_empty() {
        return;
    }
    out.push_str(&format!("\n[{name}]\n"));
    for (name, value) in fields {
        line(out, name, value);
    }
}

fn line(out: &mut String, key: &str, value: &Value) {
    write_key(out, key);
    out.push_str(" = ");
    match value {
        Value::String(text) if text.contains('\n') => write_lines(out, text),
        value => write_value(out, value),
    }
    out.push('\n');
}

fn write_key(out: &mut String, key: &str) {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { out.push_str(key) } else { write_text(out, key) }
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (i, (name, value)) in fields.iter().enumerate() {
                out.push_str(if i == 0 { " " } else { ", " });
                write_key(out, name);
                out.push_str(" = ");
                write_value(out, value);
            }
            out.push_str(if fields.is_empty() { "}" } else { " }" });
        }
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        // Drafts have no null; see `Reader::portable`.
        Value::Null => out.push_str("\"\""),
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => write_char(out, c),
        }
    }
    out.push('"');
}

/// A text of several lines, as an author would write it.
fn write_lines(out: &mut String, text: &str) {
    out.push_str("\"\"\"\n");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if matches!(chars.peek(), None | Some('"')) => out.push_str("\\\""),
            '"' | '\n' => out.push(c),
            c => write_char(out, c),
        }
    }
    out.push_str("\"\"\"");
}

fn write_char(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\t' => out.push('\t'),
        '\r' => out.push_str("\\r"),
        // Writing to a string cannot fail.
        c if c.is_control() => drop(write!(out, "\\u{:04X}", u32::from(c))),
        c => out.push(c),
    }
}
