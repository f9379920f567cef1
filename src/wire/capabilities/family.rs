//! A family of models, and what is asked of a model of which this is known.

use crate::chat::{Effort, Emulated, Reasoning, Request, Sampling};

/// What is known of a family of models. A name that shows no family has [`UNKNOWN`].
#[derive(Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The family's name, as the guide's table has it.
    pub family: &'static str,
    /// How it thinks.
    pub thinking: Thinking,
    /// The efforts that it takes, from the least. Without any it takes none.
    pub efforts: &'static [Effort],
    /// Whether it thinks where a request says nothing of thinking.
    pub thinks_unasked: bool,
    /// What it takes of `temperature`, `top_p` and the like.
    pub choosing: Choosing,
    /// How it keeps an answer to a schema.
    pub schemas: Schemas,
    /// Where a text of the system may stand behind the conversation's beginning, in APIs that have a role for that.
    pub late_system: LateSystem,
    /// Whether it can be made to call a tool.
    pub forced_calls: bool,
    /// Whether it takes another `verbosity` than `medium`.
    pub takes_verbosity: bool,
    /// The most texts at which an answer ends.
    pub most_stops: usize,
    /// OpenAI's field for the most tokens to write.
    pub limit: &'static str,
}

/// How a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// The name does not show it.
    Unknown,
    /// Not at all.
    Never,
    /// Within a number of tokens.
    Budget {
        /// The fewest.
        least: u64,
        /// The most.
        most: u64,
        /// Whether it can be turned off.
        off: bool,
    },
    /// As much as the model sees fit, guided by an effort.
    Adaptive {
        /// Whether it takes a number of tokens as well.
        budget: bool,
        /// The `type` that turns thinking off, or is the least where it cannot be turned off.
        off: Option<&'static str>,
    },
    /// By an effort, which some APIs call a level. It can be turned off where the efforts have `none`.
    Effort,
}

/// What a model takes of the settings that say how the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choosing {
    /// All of them.
    All,
    /// All of them unless it thinks.
    Unthinking,
    /// `temperature` or `top_p`, not both, unless it thinks.
    One,
    /// None but the values that are its own.
    None,
}

/// Where a text of the system may stand, behind the conversation's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateSystem {
    /// The name does not show it.
    Anywhere,
    /// Behind a turn of the user, with the assistant's turn or nothing behind it.
    BehindUser,
    /// Nowhere.
    Nowhere,
}

/// How a model keeps an answer to a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schemas {
    /// By itself.
    Native,
    /// By itself, but not beside tools.
    Alone,
    /// It does not.
    None,
}

/// Of a model whose name shows no family: what it is asked is sent as it was asked.
pub static UNKNOWN: Capabilities = Capabilities::new("any other");

impl Capabilities {
    pub(super) const fn new(family: &'static str) -> Self {
        Self {
            family,
            thinking: Thinking::Unknown,
            efforts: &[],
            thinks_unasked: false,
            choosing: Choosing::All,
            schemas: Schemas::Native,
            late_system: LateSystem::Anywhere,
            forced_calls: true,
            takes_verbosity: true,
            most_stops: usize::MAX,
            limit: "max_tokens",
        }
    }

    /// The effort that the model takes instead of `wanted`. Another one is noted.
    pub fn effort(&self, wanted: Effort, emulated: &mut Emulated) -> Effort {
        if self.efforts.is_empty() { wanted } else { nearest(self.efforts, wanted, emulated) }
    }

    /// The verbosity that the model takes of what is asked. What is left out is noted.
    pub fn verbosity<'a>(&self, wanted: Option<&'a str>, emulated: &mut Emulated) -> Option<&'a str> {
        let taken = wanted.filter(|wanted| self.takes_verbosity || *wanted == "medium");
        if taken != wanted {
            emulated.note("verbosity");
        }
        taken
    }

    /// Whether the model thinks about this request.
    #[must_use]
    pub fn thinks(&self, request: &Request) -> bool {
        let asked = request.reasoning.as_ref().filter(|_| !request.leaves_thinking);
        let is_off = asked.is_some_and(Reasoning::is_off);
        match self.thinking {
            Thinking::Never => false,
            Thinking::Unknown => asked.is_some() && !is_off,
            Thinking::Budget { off: false, .. } | Thinking::Adaptive { off: None, .. } => true,
            Thinking::Effort if !self.efforts.contains(&Effort::None) => true,
            _ if asked.is_some() => !is_off,
            _ => self.thinks_unasked,
        }
    }

    /// What the model takes of the sampling of a request. What is left out is noted, unless it is the model's own value.
    pub fn sampling(&self, request: &Request, emulated: &mut Emulated) -> Sampling {
        let mut sampling = request.sampling;
        let is_free = match self.choosing {
            Choosing::All => return sampling,
            Choosing::Unthinking | Choosing::One => !self.thinks(request),
            Choosing::None => false,
        };
        if is_free {
            if self.choosing == Choosing::One && sampling.temperature.is_some() && sampling.top_p.take().is_some() {
                emulated.note("top_p");
            }
            return sampling;
        }
        let mut leave = |place: &mut Option<f64>, own: f64, name| {
            if place.take().is_some_and(|value| value != own) {
                emulated.note(name);
            }
        };
        leave(&mut sampling.temperature, 1.0, "temperature");
        leave(&mut sampling.top_p, 1.0, "top_p");
        leave(&mut sampling.frequency_penalty, 0.0, "frequency_penalty");
        leave(&mut sampling.presence_penalty, 0.0, "presence_penalty");
        if sampling.top_k.take().is_some() {
            emulated.note("top_k");
        }
        sampling
    }
}

/// Of `efforts`, the wanted one, else the next lower one at which a model still thinks, else the least such. Another one than
/// the wanted is noted.
pub fn nearest(efforts: &[Effort], wanted: Effort, emulated: &mut Emulated) -> Effort {
    if efforts.contains(&wanted) {
        return wanted;
    }
    emulated.note("reasoning_effort");
    let mut thinking = efforts.iter().copied().filter(|effort| *effort != Effort::None);
    let least = thinking.clone().next().unwrap_or(wanted);
    thinking.rfind(|effort| *effort < wanted).unwrap_or(least)
}

/// The effort that stands for a number of tokens to think with.
#[must_use]
pub fn effort_of(budget: u64) -> Effort {
    match budget {
        0 => Effort::None,
        1..=2_048 => Effort::Low,
        2_049..=8_192 => Effort::Medium,
        _ => Effort::High,
    }
}
