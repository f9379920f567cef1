//! Reads TOML tables key by key: types, units and unknown keys, noting every mistake and reading on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::{Env, Secrets};
use super::places::{Places, offset};
use crate::routing;
use crate::types::{Diagnostic, Nanos, Place, Position, Share, parse_duration, parse_size};

/// The problem of a key that a table does not have.
pub(super) const UNKNOWN: &str = "unknown key";

/// The file that is read, and the mistakes found so far.
pub(super) struct Reader<'a> {
    pub(super) file: Arc<str>,
    pub(super) text: &'a str,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) secrets: Secrets,
    problems: RefCell<Vec<Diagnostic>>,
    /// What is no mistake, and likely to surprise.
    warnings: RefCell<Vec<Diagnostic>>,
    /// Where each key that was read stands.
    offsets: RefCell<HashMap<String, usize>>,
    /// Where each line of the text begins.
    lines: Vec<usize>,
}

/// The most mistakes that are reported; more are of a file that is none of ours.
const MOST_PROBLEMS: usize = 1_000;

/// The most known words that a wrong one is compared with.
const MOST_COMPARED: usize = 200;

/// One table.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// The table's key, such as `providers.openai`; empty for the whole file.
    pub(super) key: String,
    /// Byte offset of the table's beginning.
    pub(super) at: usize,
    table: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

/// One value.
pub(super) struct Field<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) key: String,
    pub(super) at: usize,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: Arc<str>, text: &'a str, secrets: Secrets, env: Env<'a>) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let (problems, warnings, offsets) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { file, text, env, secrets, problems, warnings, offsets, lines }
    }

    pub(super) fn problem(&self, at: usize, key: &str, problem: impl Into<String>, fix: impl Into<String>) {
        self.add(Diagnostic::new(key, problem).fix(fix).at(Place::Offset(at)));
    }

    /// Notes what is no mistake, and likely to surprise.
    pub(super) fn warn(&self, at: usize, key: &str, problem: impl Into<String>, fix: impl Into<String>) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < MOST_PROBLEMS {
            let place = Place::InText(self.position(at));
            warnings.push(Diagnostic::new(key, problem).fix(fix).at(place).of_file(self.file.clone()));
        }
    }

    /// Notes a mistake; one without a file is of the file that is read, and one without a place at its key there.
    pub(super) fn add(&self, problem: Diagnostic) {
        if self.problems.borrow().len() >= MOST_PROBLEMS {
            return;
        }
        let problem = match problem.place {
            Place::Offset(at) => problem.at(Place::InText(self.position(at))),
            Place::Unknown if problem.file.is_none() => match offset(&self.offsets.borrow(), &problem.key) {
                Some(at) => problem.at(Place::InText(self.position(at))),
                None => problem,
            },
            Place::Unknown | Place::InValue(_) | Place::InText(_) => problem,
        };
        let problem = if problem.file.is_none() { problem.of_file(self.file.clone()) } else { problem };
        self.problems.borrow_mut().push(problem);
    }

    fn position(&self, at: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines[line - 1];
        let within = self.text.get(start..).unwrap_or_default();
        Position { line, ..Position::of(within, at - start) }
    }

    /// Whether so many mistakes are known that no more are looked for.
    fn is_full(&self) -> bool {
        self.problems.borrow().len() >= MOST_PROBLEMS
    }

    /// The mistakes and the warnings, by place, and the place of each key.
    pub(super) fn into_found(self) -> (Vec<Diagnostic>, Vec<Diagnostic>, Places) {
        let sorted = |found: RefCell<Vec<Diagnostic>>| {
            let mut found = found.into_inner();
            found.sort();
            found.dedup();
            found
        };
        let places = Places::new(self.file, self.text, self.offsets.into_inner());
        (sorted(self.problems), sorted(self.warnings), places)
    }

    pub(super) fn root(&'a self, table: &'a DeTable<'a>) -> Section<'a> {
        Section { reader: self, key: String::new(), at: 0, table, asked: RefCell::default() }
    }
}

impl<'a> Section<'a> {
    /// The value of a key that the table may have.
    pub(super) fn get(&self, name: &'static str) -> Option<Field<'a>> {
        self.asked.borrow_mut().push(name);
        let (key, value) = self.table.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(self.field(key, value))
    }

    /// The table under a key that the table may have.
    pub(super) fn section(&self, name: &'static str) -> Option<Section<'a>> {
        self.get(name)?.section()
    }

    /// The table at `name`, within a list, where its name cannot stand in brackets; `example` is what to write.
    pub(super) fn inline(&self, name: &'static str, example: &str) -> Option<Section<'a>> {
        self.get(name)?.section_like(example)
    }

    /// Every key with its value: for tables whose keys are names.
    pub(super) fn entries(&self) -> Vec<(&'a str, Field<'a>)> {
        self.table.iter().map(|(key, value)| (&**key.get_ref(), self.field(key, value))).collect()
    }

    fn field(&self, key: &'a Spanned<toml::de::DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> Field<'a> {
        let is_table = matches!(value.get_ref(), DeValue::Table(_));
        let at = if is_table { key.span().start } else { value.span().start };
        Field::new(self.reader, self.below(key.get_ref()), at, value)
    }

    pub(super) fn below(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }

    pub(super) fn problem(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.reader.problem(self.at, &self.key, problem, fix);
    }

    /// Refuses the keys that no reader asked for.
    pub(super) fn done(self) {
        let mut asked: Vec<&str> = Vec::new();
        for name in self.asked.into_inner() {
            if !asked.contains(&name) {
                asked.push(name);
            }
        }
        for (key, _) in self.table {
            let name = key.get_ref();
            if asked.iter().any(|known| *known == name) {
                continue;
            }
            if self.reader.is_full() {
                return;
            }
            let shown: String = name.chars().take(60).collect();
            let key_path = if self.key.is_empty() { shown } else { format!("{}.{shown}", self.key) };
            self.reader.problem(key.span().start, &key_path, UNKNOWN, suggestion(name, &asked));
        }
    }
}

/// The nearest of the known words, or all of them.
pub(super) fn suggestion(word: &str, known: &[&str]) -> String {
    // Both halves of the work are bounded: a word may be as long as the file.
    let word: String = word.chars().take(80).collect();
    let scored = known.iter().take(MOST_COMPARED).map(|name| (strsim::damerau_levenshtein(&word, name), name));
    match scored.min_by_key(|(distance, _)| *distance) {
        Some((distance, name)) if distance <= 2.max(word.chars().count() / 3) => format!("did you mean `{name}`?"),
        _ => format!("use one of {}", known.join(", ")),
    }
}

impl<'a> Field<'a> {
    fn new(reader: &'a Reader<'a>, key: String, at: usize, value: &'a Spanned<DeValue<'a>>) -> Self {
        reader.offsets.borrow_mut().insert(key.clone(), at);
        Self { reader, key, at, value }
    }

    /// Notes what is no mistake, and likely to surprise.
    pub(super) fn warn(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.reader.warn(self.at, &self.key, problem, fix);
    }

    pub(super) fn problem(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.reader.problem(self.at, &self.key, problem, fix);
    }

    fn wanted<T>(&self, what: &str, example: &str) -> Option<T> {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with decimals",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(format!("must be {what}, not {found}"), format!("write {example}"));
        None
    }

    pub(super) fn section(self) -> Option<Section<'a>> {
        let example = format!("[{}]", self.key);
        self.section_like(&example)
    }

    /// A table such as `example`.
    fn section_like(self, example: &str) -> Option<Section<'a>> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return self.wanted("a table", example);
        };
        Some(Section { reader: self.reader, key: self.key, at: self.at, table, asked: RefCell::default() })
    }

    /// The items of a list.
    pub(super) fn list(&self, example: &str) -> Vec<Field<'a>> {
        let DeValue::Array(items) = self.value.get_ref() else {
            self.wanted::<()>("a list", example);
            return Vec::new();
        };
        let item = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| {
            Field::new(self.reader, format!("{}[{index}]", self.key), value.span().start, value)
        };
        items.iter().enumerate().map(item).collect()
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::String(_))
    }

    pub(super) fn text(&self, example: &str) -> Option<&'a str> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wanted("a text", example),
        }
    }

    /// A text, with the place of its first character rather than of its quote.
    pub(super) fn spanned(&self, example: &str) -> Option<routing::Spanned> {
        let text = self.text(example)?;
        let raw = self.reader.text.get(self.value.span()).unwrap_or_default();
        let quotes = if raw.starts_with("'''") || raw.starts_with("\"\"\"") { 3 } else { 1 };
        let rest = raw.get(quotes..).unwrap_or_default();
        let newline = if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
        let skip = if quotes == 3 { quotes + newline } else { quotes };
        Some(routing::Spanned { text: text.to_owned(), at: self.at + skip })
    }

    /// Whether the value is this truth.
    pub(super) fn is(&self, truth: bool) -> bool {
        matches!(self.value.get_ref(), DeValue::Boolean(value) if *value == truth)
    }

    pub(super) fn bool(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wanted("true or false", "true or false, without quotes"),
        }
    }

    /// A whole number within `range`.
    pub(super) fn whole<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: Copy + PartialOrd + Display + TryFrom<u64>,
    {
        let DeValue::Integer(number) = self.value.get_ref() else {
            return self.wanted("a whole number", &format!("a number such as {}", range.start()));
        };
        let value = u64::from_str_radix(number.as_str(), number.radix()).ok().and_then(|value| T::try_from(value).ok());
        self.within(value, &range, number.as_str())
    }

    fn within<T: PartialOrd + Display>(&self, value: Option<T>, range: &RangeInclusive<T>, shown: &str) -> Option<T> {
        let found = value.filter(|value| range.contains(value));
        if found.is_none() {
            let fix = format!("use {} to {}", range.start(), range.end());
            self.problem(format!("{shown} is out of range"), fix);
        }
        found
    }

    /// A number above zero.
    pub(super) fn positive(&self) -> Option<f64> {
        let text = match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return self.wanted("a number", "a number such as 12"),
        };
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
        if number.is_none() {
            self.problem(format!("{text} is not above zero"), "write a number such as 12");
        }
        number
    }

    /// A share of a whole, 0 to 1.
    pub(super) fn share(&self) -> Option<Share> {
        let text = match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return self.wanted("a number from 0 to 1", "a number such as 0.92"),
        };
        let share = text.parse().ok().and_then(Share::of);
        if share.is_none() {
            self.problem(format!("{text} is out of range"), "use 0 to 1");
        }
        share
    }

    /// A number within `range`, with or without decimals.
    pub(super) fn decimal(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let text = match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return self.wanted("a number", &format!("a number from {} to {}", range.start(), range.end())),
        };
        self.within(text.parse().ok(), &range, text)
    }

    pub(super) fn duration(&self, range: RangeInclusive<&str>) -> Option<Duration> {
        let text = self.text("a duration such as \"30s\", in quotes")?;
        let Some(duration) = parse_duration(text) else {
            let fix = "write \"500ms\", \"30s\", \"10m\", \"1h\" or \"400d\"";
            self.problem(format!("`{}` is no duration", short(text)), fix);
            return None;
        };
        let bounds = parse_duration(range.start()).zip(parse_duration(range.end()));
        if bounds.is_some_and(|(least, most)| duration < least || duration > most) {
            self.problem(format!("`{text}` is out of range"), format!("use {} to {}", range.start(), range.end()));
            return None;
        }
        Some(duration)
    }

    pub(super) fn size(&self, range: RangeInclusive<&str>) -> Option<u64> {
        let text = self.text("a size such as \"32MiB\", in quotes")?;
        let Some(size) = parse_size(text) else {
            self.problem(format!("`{}` is no size", short(text)), "write \"512B\", \"64KiB\", \"32MiB\" or \"1GiB\"");
            return None;
        };
        let bounds = parse_size(range.start()).zip(parse_size(range.end()));
        if bounds.is_some_and(|(least, most)| size < least || size > most) {
            self.problem(format!("`{text}` is out of range"), format!("use {} to {}", range.start(), range.end()));
            return None;
        }
        Some(size)
    }

    /// An amount in dollars, as a text or a number, exact either way.
    pub(super) fn money<T: FromStr>(&self) -> Option<T> {
        let text = match self.value.get_ref() {
            DeValue::String(text) => text,
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => return self.wanted("an amount in dollars", "\"0.15\""),
        };
        let amount = (!text.starts_with('-')).then(|| text.parse().ok()).flatten();
        if amount.is_none() {
            let problem = format!("`{}` is no amount in dollars of 0 or more, with at most 9 decimals", short(text));
            self.problem(problem, "write \"0.15\"");
        }
        if text.parse::<Nanos>().is_ok_and(|amount| amount > Nanos::MOST) {
            let problem =
                format!("`{}` is more than the {} dollars that anything here may cost", short(text), Nanos::MOST);
            self.problem(problem, "write \"0.15\"");
        }
        amount
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let text = self.text(&format!("one of {}, in quotes", words.join(", ")))?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.problem(format!("`{}` is none of {}", short(text), words.join(", ")), suggestion(text, &words));
        }
        found
    }
}

/// Puts a value that was read in the place of the default.
pub(super) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// A wrong value, cut short and on one line, for a message.
fn short(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
