//! How hard a conversation looks: a score of cheap features, 0 to 1, which no call is made for.
//!
//! Each part of the score grows with one feature up to its own most, and the score is their sum, at most 1. The last words of
//! the user are read, of everything else only its kind and length counts. So the score never falls where a tool, a file, a
//! format, an earlier turn or more words are added.

mod scan;
mod words;

use serde::Serialize;

use self::scan::Scan;
use crate::chat::{Content, Effort, Format, Message, Part, Reasoning, Request, Role};

/// The score of a conversation, with its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Complexity {
    /// The sum of the parts, at most 1.
    pub score: f64,
    /// What each feature adds to it.
    pub parts: Parts,
}

/// What each feature adds to a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Parts {
    /// Up to 0.40: words that ask for hard work, such as `prove`, `refactor` and `compare`, in nine languages, and words that
    /// ask for code.
    pub work: f64,
    /// Up to 0.20: the length of the user's last words, from 12 to 1,500 tokens.
    pub length: f64,
    /// Up to 0.15: lines of code in them.
    pub code: f64,
    /// Up to 0.15: the request's tools, from 1 to 16.
    pub tools: f64,
    /// Up to 0.12: questions and items of lists in the user's last words, from 2 to 5.
    pub questions: f64,
    /// Up to 0.12: numbers and signs of mathematics in them.
    pub numbers: f64,
    /// Up to 0.10: the length of the whole conversation, from 150 to 12,000 tokens.
    pub conversation: f64,
    /// Up to 0.10: how hard the request wants the model to think.
    pub effort: f64,
    /// Up to 0.08: turns of the user, from 2 to 9.
    pub turns: f64,
    /// 0.08 where the answer must match a schema, 0.04 where it must be JSON.
    pub format: f64,
    /// 0.08 where the conversation has an image, a document or sound.
    pub files: f64,
    /// 0.05 where the user's last words are of more than one script, as in a text and its translation.
    pub languages: f64,
}

impl Parts {
    fn sum(&self) -> f64 {
        let Self { work, length, code, tools, questions, numbers, .. } = self;
        let Self { conversation, effort, turns, format, files, languages, .. } = self;
        [work, length, code, tools, questions, numbers, conversation, effort, turns, format, files, languages]
            .into_iter()
            .sum()
    }
}

/// So many bytes of text are a token, roughly.
const TOKEN: f64 = 4.0;

/// What is counted of a whole conversation.
#[derive(Default)]
struct Counted {
    bytes: usize,
    turns: usize,
    has_files: bool,
}

impl Complexity {
    /// The score of a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let mut counted = Counted::default();
        request.messages.iter().for_each(|message| counted.message(message));
        let parts = Parts {
            tools: if request.tools.is_empty() { 0.0 } else { 0.08 + 0.07 * ramp(request.tools.len(), (1.0, 16.0)) },
            conversation: 0.10 * ramp(counted.bytes, (150.0 * TOKEN, 12_000.0 * TOKEN)),
            effort: 0.10 * request.reasoning.as_ref().map_or(0.0, effort),
            turns: 0.08 * share(counted.turns.saturating_sub(1), 8),
            format: match &request.format {
                Some(Format::JsonSchema { .. }) => 0.08,
                Some(Format::JsonObject) => 0.04,
                Some(Format::Text) | None => 0.0,
            },
            files: if counted.has_files { 0.08 } else { 0.0 },
            ..Self::words(&last_words(request))
        };
        Self { score: parts.sum().clamp(0.0, 1.0), parts }
    }

    /// The score of a text that no conversation is known of.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let parts = Self::words(&[text]);
        Self { score: parts.sum().clamp(0.0, 1.0), parts }
    }

    /// What the user's last words add.
    fn words(texts: &[&str]) -> Parts {
        let mut scan = Scan::default();
        texts.iter().for_each(|text| scan.read(text));
        Parts {
            work: 0.40 * share(scan.work, 4),
            length: 0.20 * ramp(scan.bytes, (12.0 * TOKEN, 1_500.0 * TOKEN)),
            code: 0.15 * share(scan.code_lines, 3),
            questions: 0.12 * share(scan.asks.saturating_sub(1), 4),
            numbers: 0.06 * share(scan.numbers, 8) + 0.06 * share(scan.signs, 4),
            languages: if scan.scripts > 1 { 0.05 } else { 0.0 },
            ..Parts::default()
        }
    }
}

impl Counted {
    fn message(&mut self, message: &Message) {
        let mut speaks = false;
        for part in &message.parts {
            speaks |= part.as_text().is_some();
            self.part(part);
        }
        // Results of tools are no turn of the user's.
        self.turns += usize::from(message.role == Role::User && speaks);
    }

    fn part(&mut self, part: &Part) {
        match &part.content {
            Content::Text { text, .. } | Content::Refusal(text) => self.bytes += text.len(),
            Content::ToolCall { arguments, .. } => self.bytes += arguments.len(),
            Content::ToolResult { parts, .. } => parts.iter().for_each(|part| self.part(part)),
            Content::Image { .. } | Content::Document { .. } | Content::Audio { .. } => self.has_files = true,
            Content::Thinking(_) | Content::RedactedThinking(_) => {}
        }
    }
}

/// The texts of the last message in which the user speaks.
fn last_words(request: &Request) -> Vec<&str> {
    let texts = |message: &'_ Message| message.parts.iter().any(|part| part.as_text().is_some());
    let of_user = |message: &&Message| message.role == Role::User && texts(message);
    let last = request.messages.iter().rev().find(of_user);
    last.map(|message| message.parts.iter().filter_map(Part::as_text).collect()).unwrap_or_default()
}

fn effort(reasoning: &Reasoning) -> f64 {
    let by_effort = match reasoning.effort {
        Some(Effort::High | Effort::XHigh | Effort::Max) => 1.0,
        Some(Effort::Medium) => 0.5,
        Some(Effort::Low) => 0.2,
        Some(Effort::None | Effort::Minimal) | None => 0.0,
    };
    let by_budget = reasoning.budget.map_or(0.0, |budget| if budget >= 8_192 { 1.0 } else { 0.5 });
    if reasoning.is_off() { 0.0 } else { f64::max(by_effort, by_budget) }
}

/// How far `count` is on its way to `most`, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "the counts are small, or their last digits do not matter")]
fn share(count: usize, most: usize) -> f64 {
    count.min(most) as f64 / most as f64
}

/// How far `amount` is on its way between two bounds, 0 to 1, each doubling alike.
#[expect(clippy::cast_precision_loss, reason = "the last digits of a length do not matter")]
fn ramp(amount: usize, (from, to): (f64, f64)) -> f64 {
    if amount == 0 {
        return 0.0;
    }
    ((amount as f64 / from).ln() / (to / from).ln()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests;
