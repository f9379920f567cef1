//! Prompt templates: Tera 2 without files, functions and assignments, so that no template reads or stalls anything.

mod lexer;
mod meter;
mod rules;
mod unread;
mod values;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::sync::LazyLock;

use tera::{Context, ErrorKind, Tera};

use crate::types::Position;

pub use meter::{MAX_OUTPUT, TooLong, Work};
pub use rules::MAX_SOURCE;
pub use values::{Values, weigh};

/// The most that the values which a template reads may weigh together, in bytes.
pub const MAX_VALUES: usize = 1 << 20;

const NAME: &str = "template";

/// Tera as every template starts from. Nothing is escaped: a prompt is plain text.
static BASE: LazyLock<Tera> = LazyLock::new(|| {
    let mut tera = Tera::new();
    tera.autoescape_on(Vec::<&'static str>::new());
    meter::register(&mut tera);
    tera
});

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// A parsed template.
pub struct Template {
    body: Body,
    variables: BTreeSet<String>,
}

enum Body {
    /// No tag at all: the source is the text.
    Plain(Box<str>),
    Compiled(Box<Compiled>),
}

struct Compiled {
    tera: Tera,
    source: Box<str>,
    inserted: rules::Insertions,
    heavy: usize,
}

impl Template {
    /// Parses `source`.
    ///
    /// # Errors
    /// Where it is longer than 64 KiB, is not Tera, or uses what prompts may not.
    pub fn parse(source: &str) -> Result<Self, Error> {
        if source.len() > MAX_SOURCE {
            let message = format!("the template has {} bytes; the limit is {MAX_SOURCE}", source.len());
            return Err(Error { line: 1, column: 1, message });
        }
        if !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark)) {
            return Ok(Self { body: Body::Plain(source.into()), variables: BTreeSet::new() });
        }
        let checked = rules::check(source).map_err(|(at, message)| error_at(source, at, message))?;
        let mut tera = BASE.clone();
        let added = tera.add_raw_template(NAME, &checked.source);
        if added.is_err() || checked.broken.is_some() {
            let unread = unread::explain(source, &checked);
            if let Some((at, message)) = unread {
                return Err(error_at(source, at, message));
            }
        }
        added.map_err(|error| translate(&error, source, &checked.inserted))?;
        if let Some(at) = checked.broken {
            return Err(error_at(source, at, "this tag cannot be read".to_owned()));
        }
        let names = tera.get_template_variables(NAME).map_err(|error| translate(&error, source, &checked.inserted))?;
        let variables = names.into_iter().map(str::to_owned).collect();
        let heavy = usize::try_from(checked.heavy).unwrap_or(usize::MAX);
        let compiled = Compiled { tera, source: source.into(), inserted: checked.inserted, heavy };
        Ok(Self { body: Body::Compiled(Box::new(compiled)), variables })
    }

    /// The variables that the template reads.
    #[must_use]
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }

    /// Renders with those of `values` that the template reads, as a part of `work`; a value is text, never a template.
    ///
    /// # Errors
    /// Where a variable or field is missing or of the wrong type, or the work or the text gets too large.
    pub fn render(&self, values: &mut Values<'_>, work: &mut Work) -> Result<String, Error> {
        let compiled = match &self.body {
            Body::Plain(text) => return Ok(text.as_ref().to_owned()),
            Body::Compiled(compiled) => compiled,
        };
        let mut context = Context::new();
        let mut weight = 0;
        for name in &self.variables {
            if let Some((value, bytes)) = values.get(name) {
                weight += bytes;
                context.insert_value(name.clone(), value);
            }
            if weight > MAX_VALUES {
                let message = format!("the values that this template reads have over {MAX_VALUES} bytes, the limit");
                return Err(error_at(&compiled.source, 0, message));
            }
        }
        compiled.render(&context, weight, work)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("variables", &self.variables).finish_non_exhaustive()
    }
}

impl Compiled {
    fn render(&self, context: &Context, weight: usize, work: &mut Work) -> Result<String, Error> {
        // What stands outside of loops is charged here, so that many small templates cannot pass the meter.
        work.read(self.source.len().saturating_add(self.heavy.saturating_mul(weight)))
            .map_err(|late| error_at(&self.source, 0, late.to_string()))?;
        let mut sink = Sink { text: Vec::with_capacity(self.source.len() + weight.min(4096)) };
        let rendered = work.part(weight, || self.tera.render_to(NAME, context, &mut sink));
        rendered.map_err(|error| translate(&error, &self.source, &self.inserted))?;
        String::from_utf8(sink.text).map_err(|error| error_at(&self.source, 0, error.to_string()))
    }
}

/// Takes text up to [`MAX_OUTPUT`].
struct Sink {
    text: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn translate(error: &tera::Error, source: &str, inserted: &rules::Insertions) -> Error {
    match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            let range = &report.span().range;
            let at = if report.message().starts_with("Unexpected end") { range.end } else { range.start };
            error_at(source, inserted.original(at), report.message().to_owned())
        }
        ErrorKind::Io(_) => error_at(source, 0, format!("the text grows over {MAX_OUTPUT} bytes")),
        other => {
            // The report of an unknown name is text already; its first line says all.
            let text = other.to_string();
            let line = text.lines().next().unwrap_or_default();
            error_at(source, 0, line.strip_prefix("error: ").unwrap_or(line).to_owned())
        }
    }
}

fn error_at(source: &str, at: usize, message: String) -> Error {
    let Position { line, column } = Position::of(source, at);
    Error { line, column, message }
}

#[cfg(test)]
mod tests;
