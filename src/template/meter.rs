//! Bounds the work of one rendering: templates, loops and filters report to it what they are about to do.
//!
//! Tera cannot be interrupted from outside, so [`super::rules`] puts a call of [`STEP`] at the start of each loop's body
//! and the filter [`WEIGH`] before each filter. Both add a cautious estimate. Only where the estimate *and* the clock
//! say that a rendering is long does it end: an estimate alone would refuse honest prompts, and a clock alone would
//! refuse short ones on a busy machine.

#![expect(clippy::needless_pass_by_value, reason = "Tera calls functions and filters with owned arguments")]

use std::cell::Cell;
use std::time::{Duration, Instant};

use tera::{Error, Kwargs, State, Tera, Value};

/// Called once a turn of a loop, with the tokens of its body and those operators that may read whole values.
pub(super) const STEP: &str = "__step";

/// Passes a filter's input on, having weighed it.
pub(super) const WEIGH: &str = "__weigh";

/// Estimated nanoseconds below which the clock is not asked.
const FREE: u64 = 10_000_000;

/// How long a rendering may take: all messages of a request, or all tests of a version together.
const LONGEST: Duration = Duration::from_millis(50);

/// Nanoseconds for a token, and for a byte that an operator or filter reads.
const TOKEN: u64 = 50;
const BYTE: u64 = 5;

/// The longest text that one template renders to, in bytes.
pub const MAX_OUTPUT: usize = 1 << 20;

/// The longest text that a filter may make.
const MAX_TEXT: usize = MAX_OUTPUT;

/// The work of one rendering so far. What belongs to one request, or to the saving of one version, shares it.
#[derive(Debug)]
pub struct Work {
    spent: u64,
    started: Instant,
}

/// A rendering takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the template takes too long with these values")]
pub struct TooLong;

impl Work {
    /// Begins to measure.
    #[must_use]
    pub fn begin() -> Self {
        Self { spent: 0, started: Instant::now() }
    }

    /// Adds work that reads `bytes` of values or texts.
    ///
    /// # Errors
    /// Where the work is too long.
    pub fn read(&mut self, bytes: usize) -> Result<(), TooLong> {
        charge(&mut self.spent, self.started, (bytes as u64).saturating_mul(BYTE))
    }

    /// Runs `render` on this thread, measured as a part of this work; it reads values of `weight` bytes.
    pub(super) fn part<T>(&mut self, weight: usize, render: impl FnOnce() -> T) -> T {
        METER.set(Meter { spent: self.spent, weight: weight as u64, started: Some(self.started) });
        let made = render();
        self.spent = METER.get().spent;
        made
    }
}

#[derive(Clone, Copy)]
struct Meter {
    spent: u64,
    weight: u64,
    started: Option<Instant>,
}

thread_local! {
    /// A template stays on its thread from start to end, and Tera gives its functions no other place.
    static METER: Cell<Meter> = const { Cell::new(Meter { spent: 0, weight: 0, started: None }) };
}

/// Adds the meter's own calls, and replaces the filters whose text may be far longer than their input.
pub(super) fn register(tera: &mut Tera) {
    tera.register_function(STEP, step);
    tera.register_filter(WEIGH, weigh);
    for name in ["range", "throw"] {
        tera.register_function(name, |_: Kwargs, _: &State<'_>| -> Result<Value, Error> {
            Err(Error::message("functions are not available in prompts"))
        });
    }
    tera.register_filter("replace", replace);
    tera.register_filter("indent", indent);
    tera.register_filter("join", join);
    tera.register_filter("json", json);
}

fn charge(spent: &mut u64, started: Instant, nanos: u64) -> Result<(), TooLong> {
    *spent = spent.saturating_add(nanos);
    if *spent > FREE && started.elapsed() > LONGEST { Err(TooLong) } else { Ok(()) }
}

fn charge_here(nanos: u64) -> Result<(), Error> {
    let mut meter = METER.get();
    let charged = meter.started.map_or(Ok(()), |started| charge(&mut meter.spent, started, nanos));
    METER.set(meter);
    charged.map_err(|late| Error::message(late.to_string()))
}

fn step(kwargs: Kwargs, _: &State<'_>) -> Result<&'static str, Error> {
    let tokens: u64 = kwargs.must_get("t")?;
    let heavy: u64 = kwargs.must_get("h")?;
    let weight = METER.get().weight;
    charge_here(tokens * TOKEN + heavy.saturating_mul(weight * BYTE))?;
    Ok("")
}

fn weigh(value: Value, _: Kwargs, _: &State<'_>) -> Result<Value, Error> {
    charge_here(TOKEN + size(&value).saturating_mul(BYTE))?;
    Ok(value)
}

fn size(value: &Value) -> u64 {
    if let Some(text) = value.as_str() {
        return text.len() as u64;
    }
    if let Some(items) = value.as_array() {
        return items.iter().map(|item| size(item) + 8).sum();
    }
    if let Some(fields) = value.as_map() {
        return fields.values().map(|value| size(value) + 16).sum();
    }
    8
}

fn too_long() -> Error {
    Error::message(format!("a text grows over {MAX_TEXT} bytes"))
}

fn replace(text: &str, kwargs: Kwargs, _: &State<'_>) -> Result<String, Error> {
    let (from, to): (&str, &str) = (kwargs.must_get("from")?, kwargs.must_get("to")?);
    if from.is_empty() {
        return Err(Error::message("`from` of `replace` is empty"));
    }
    let hits = text.matches(from).count();
    if text.len() + hits.saturating_mul(to.len()) > MAX_TEXT {
        return Err(too_long());
    }
    Ok(text.replace(from, to))
}

fn indent(text: &str, kwargs: Kwargs, _: &State<'_>) -> Result<String, Error> {
    let width: usize = kwargs.get("width")?.unwrap_or(4).min(200);
    let first = kwargs.get("first")?.unwrap_or(false);
    let blank = kwargs.get("blank")?.unwrap_or(false);
    let lines = text.matches('\n').count() + 1;
    if text.len() + lines * width > MAX_TEXT {
        return Err(too_long());
    }
    let space = " ".repeat(width);
    let indented = text.split('\n').enumerate().map(|(i, line)| {
        let wanted = (i > 0 || first) && (blank || !line.is_empty());
        if wanted { format!("{space}{line}") } else { line.to_owned() }
    });
    Ok(indented.collect::<Vec<_>>().join("\n"))
}

fn join(items: &[Value], kwargs: Kwargs, _: &State<'_>) -> Result<String, Error> {
    let between: &str = kwargs.get("sep")?.unwrap_or("");
    let mut text = String::new();
    for (i, item) in items.iter().enumerate() {
        let part = item.to_string();
        if text.len() + between.len() + part.len() > MAX_TEXT {
            return Err(too_long());
        }
        if i > 0 {
            text.push_str(between);
        }
        text.push_str(&part);
    }
    Ok(text)
}

/// The value as JSON; with `pretty=true`, indented.
fn json(value: Value, kwargs: Kwargs, _: &State<'_>) -> Result<String, Error> {
    let pretty = kwargs.get("pretty")?.unwrap_or(false);
    let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
    text.map_err(|error| Error::chain("this value cannot be written as JSON", error))
}
