//! The variables of rules: each is a numbered slot of its rule, read from the call when the rule asks for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use regex::Regex;
use serde_json::{Map, Value};

use super::examples::Similarity;
use super::facts::{Facts, Needs};

/// What one slot of a rule reads.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Model,
    Stream,
    InputTokens,
    MaxTokens,
    HasMaxTokens,
    HasTools,
    HasImages,
    Text,
    HasPrompt,
    PromptName,
    PromptVersion,
    PromptLabel,
    KeyId,
    KeyName,
    KeyProject,
    Tags,
    Tag(String),
    HasTag(String),
    /// A value inside `metadata`, by its path; the whole where the path is empty.
    Metadata(Vec<String>),
    /// Whether the object or list at the path holds the key or text.
    InMetadata(Vec<String>, String),
    Header(String),
    Hour,
    Weekday,
    BudgetUsed,
    Complexity,
    /// The similarity to a set of examples.
    Similar(Arc<str>),
    /// Whether the text of another fact matches.
    Matches(Box<Fact>, Regex),
}

impl Fact {
    /// Marks the parts of a call that this fact is read from.
    pub(super) fn note(&self, needs: &mut Needs) {
        match self {
            Self::Text => needs.text = true,
            Self::InputTokens => needs.input_tokens = true,
            Self::MaxTokens | Self::HasMaxTokens => needs.max_tokens = true,
            Self::HasTools => needs.has_tools = true,
            Self::HasImages => needs.has_images = true,
            Self::Metadata(_) | Self::InMetadata(..) => needs.metadata = true,
            Self::Header(_) => needs.headers = true,
            Self::PromptName | Self::PromptVersion | Self::PromptLabel | Self::HasPrompt => needs.prompt = true,
            Self::BudgetUsed => needs.budget_used = true,
            Self::Complexity => needs.complexity = true,
            Self::Similar(_) => {
                (needs.text, needs.similar) = (true, true);
            }
            Self::Matches(fact, _) => fact.note(needs),
            _ => {}
        }
    }

    /// The value, borrowed from the call where it is text. A missing value is `""`, or 0 for a number.
    fn read<'a>(&self, facts: &'a Facts<'a>) -> CowVal<'a, 'a> {
        match self {
            Self::Model => text(facts.model),
            Self::Text => text(facts.text),
            Self::PromptName => text(facts.prompt.map_or("", |prompt| prompt.name)),
            Self::PromptLabel => text(facts.prompt.map_or("", |prompt| prompt.label)),
            Self::KeyId => text(facts.key.id),
            Self::KeyName => text(facts.key.name),
            Self::KeyProject => text(facts.key.project),
            Self::Tag(name) => text(facts.key.tags.get(name).map_or("", String::as_str)),
            Self::Header(name) => CowVal::owned(CelString::from((facts.header)(name).unwrap_or_default())),
            Self::InputTokens => count(facts.input_tokens),
            Self::MaxTokens => count(facts.max_tokens.unwrap_or(0)),
            Self::PromptVersion => count(facts.prompt.map_or(0, |prompt| u64::from(prompt.version))),
            Self::Hour => CowVal::owned(CelInt::from(i64::from(facts.now.civil().hour()))),
            Self::Weekday => CowVal::owned(CelInt::from(i64::from(facts.now.civil().weekday().to_monday_one_offset()))),
            Self::BudgetUsed => CowVal::owned(CelDouble::from(facts.budget_used)),
            Self::Complexity => CowVal::owned(CelDouble::from(facts.complexity)),
            Self::Tags => tags(facts.key.tags),
            Self::Metadata(path) if path.is_empty() => CowVal::owned(facts.metadata.map(map).unwrap_or_default()),
            Self::Metadata(path) => find(facts, path).map_or_else(|| text(""), json),
            Self::Matches(fact, pattern) => truth(matches(&fact.read(facts), pattern)),
            _ => truth(self.holds(facts)),
        }
    }

    /// Whether it is true, of one that is true or false.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Stream => facts.stream,
            Self::HasTools => facts.has_tools,
            Self::HasImages => facts.has_images,
            Self::HasPrompt => facts.prompt.is_some(),
            Self::HasMaxTokens => facts.max_tokens.is_some(),
            Self::HasTag(name) => facts.key.tags.contains_key(name),
            Self::InMetadata(path, key) if path.is_empty() => {
                facts.metadata.is_some_and(|whole| whole.contains_key(key))
            }
            Self::InMetadata(path, key) => match find(facts, path) {
                Some(Value::Object(object)) => object.contains_key(key),
                Some(Value::Array(list)) => list.iter().any(|item| item == key),
                _ => false,
            },
            _ => false,
        }
    }
}

/// How many slots a rule may read for one call: loops read some for every entry of what a caller sends.
pub(super) const MOST_READS: usize = 20_000;

/// So many bytes of a text that a loop reads again count as a slot.
const READ: usize = 1 << 10;

/// Answers a rule's slots, `@0`, `@1` and so on, from one call.
pub(super) struct Slots<'a> {
    slots: &'a [Fact],
    facts: &'a Facts<'a>,
    reads: AtomicUsize,
    /// Whether a similarity was read that is still to be worked out.
    is_open: AtomicBool,
    /// Whether a similarity was read that cannot be worked out.
    is_unjudged: AtomicBool,
    /// Lists and objects that were read, by slot: each is made once, however often a loop reads it.
    made: OnceLock<Box<[OnceLock<CowVal<'a, 'a>>]>>,
}

impl<'a> Slots<'a> {
    pub(super) fn new(slots: &'a [Fact], facts: &'a Facts<'a>) -> Self {
        let (is_open, is_unjudged) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { slots, facts, reads: AtomicUsize::new(0), is_open, is_unjudged, made: OnceLock::new() }
    }

    /// Whether the rule read more than it may.
    pub(super) fn are_exhausted(&self) -> bool {
        self.reads.load(Ordering::Relaxed) > MOST_READS
    }

    /// Whether the rule read a similarity that is still to be worked out.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Whether the rule read a similarity that cannot be worked out.
    pub(super) fn is_unjudged(&self) -> bool {
        self.is_unjudged.load(Ordering::Relaxed)
    }

    /// The similarity to a set of examples; 0 where it is not known.
    fn similar(&self, set: &str) -> f64 {
        match (self.facts.similar)(set) {
            Similarity::Known(similarity) => return similarity,
            Similarity::Open => self.is_open.store(true, Ordering::Relaxed),
            Similarity::Unknown => self.is_unjudged.store(true, Ordering::Relaxed),
        }
        0.0
    }

    /// What a slot that may be a list or an object reads.
    fn made(&self, slot: usize, fact: &Fact) -> Option<&CowVal<'a, 'a>> {
        let made = self.made.get_or_init(|| self.slots.iter().map(|_| OnceLock::new()).collect());
        Some(made.get(slot)?.get_or_init(|| fact.read(self.facts)))
    }
}

impl VariableResolver for Slots<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let slot: usize = variable.strip_prefix('@')?.parse().ok()?;
        let fact = self.slots.get(slot)?;
        let before = self.reads.fetch_add(1, Ordering::Relaxed);
        if before >= MOST_READS {
            return None;
        }
        let value = match fact {
            Fact::Similar(set) => CowVal::owned(CelDouble::from(self.similar(set))),
            Fact::Metadata(_) | Fact::Tags | Fact::Matches(..) => CowVal::Borrowed(self.made(slot, fact)?.as_ref()),
            _ => fact.read(self.facts),
        };
        // A rule without a loop reads each slot once, or twice to see whether something is there.
        if before > 2 * self.slots.len()
            && let Some(text) = value.downcast_ref::<CelString>()
        {
            self.reads.fetch_add(text.inner().len() / READ, Ordering::Relaxed);
        }
        Some(value)
    }
}

fn text<'a>(text: &'a str) -> CowVal<'a, 'a> {
    CowVal::owned(CelString::from(text))
}

fn truth<'a>(holds: bool) -> CowVal<'a, 'a> {
    CowVal::Borrowed(if holds { &CelBool::TRUE } else { &CelBool::FALSE })
}

fn count<'a>(amount: u64) -> CowVal<'a, 'a> {
    CowVal::owned(CelInt::from(i64::try_from(amount).unwrap_or(i64::MAX)))
}

fn matches(value: &CowVal<'_, '_>, pattern: &Regex) -> bool {
    value.downcast_ref::<CelString>().is_some_and(|text| pattern.is_match(text.inner()))
}

/// The value at `path` inside the metadata; `None` where it is missing or null.
pub(super) fn find<'a>(facts: &'a Facts<'a>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let mut value = facts.metadata?.get(first)?;
    for key in rest {
        value = value.as_object()?.get(key)?;
    }
    (!value.is_null()).then_some(value)
}

fn json<'a>(value: &'a Value) -> CowVal<'a, 'a> {
    CowVal::Owned(boxed(value))
}

fn tags<'a>(tags: &'a BTreeMap<String, String>) -> CowVal<'a, 'a> {
    let entry = |(key, value): (&'a String, &'a String)| -> (CelMapKey<'a>, Box<dyn Val + 'a>) {
        (CelMapKey::String(CelString::from(key.as_str())), Box::new(CelString::from(value.as_str())))
    };
    CowVal::owned(CelMap::from(tags.iter().map(entry).collect::<HashMap<_, _>>()))
}

fn map(object: &Map<String, Value>) -> CelMap<'_> {
    let entries = object.iter().map(|(key, value)| (CelMapKey::String(CelString::from(key.as_str())), boxed(value)));
    CelMap::from(entries.collect::<HashMap<_, _>>())
}

fn boxed<'a>(value: &'a Value) -> Box<dyn Val + 'a> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(list) => Box::new(CelList::from(list.iter().map(boxed).collect::<Vec<_>>())),
        Value::Object(object) => Box::new(map(object)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Box::new(CelInt::from(int)),
            (None, Some(uint)) => Box::new(CelUInt::from(uint)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
    }
}
