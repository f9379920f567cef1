//! What follows a call that an attempt of its own answered well, once it is settled.

use bytes::Bytes;

use crate::types::Nanos;
use crate::usage::{AttemptRow, RequestRow};

/// What follows such a call: it may not take long.
pub type After = Box<dyn FnOnce(Settled) + Send>;

/// A call that ended well and is settled.
#[derive(Default)]
pub struct Settled {
    /// `provider/model` that answered.
    pub model: String,
    /// What it cost; `None` where no price is known.
    pub cost: Option<Nanos>,
    /// How long it took, in microseconds.
    pub latency_us: u64,
    /// The answer, whole.
    pub answer: Bytes,
}

/// What follows a call, and what is known for that.
#[derive(Default)]
pub struct Following {
    after: Option<After>,
    settled: Settled,
}

impl Following {
    /// Something that follows the call.
    pub fn of(after: After) -> Self {
        Self { after: Some(after), settled: Settled::default() }
    }

    /// Whether anything follows, so that the whole answer is wanted.
    pub fn is_any(&self) -> bool {
        self.after.is_some()
    }

    /// Keeps the answer for it.
    pub fn keep(&mut self, answer: &Bytes) {
        if self.is_any() {
            self.settled.answer = answer.clone();
        }
    }

    /// Notes the row of the call. Nothing follows one that no attempt at its own answer was made for.
    pub fn note(&mut self, row: &RequestRow, attempts: &[AttemptRow]) {
        if attempts.iter().all(|attempt| attempt.role.is_some()) {
            self.after = None;
        }
        if self.is_any() {
            let [provider, model] = [&row.provider, &row.model].map(|name| name.as_deref().unwrap_or_default());
            self.settled.model = format!("{provider}/{model}");
            (self.settled.cost, self.settled.latency_us) = (row.cost, row.latency_us);
        }
    }

    /// Does what follows.
    pub fn go_on(self) {
        if let Some(after) = self.after {
            after(self.settled);
        }
    }
}
