//! Sends the demo's calls, shows how far they are, and counts their outcomes.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::super::client::Client;
use super::super::output::note;
use super::call::{Call, Line, Outcome};
use super::tally::Tally;
use super::traffic;

/// The most calls at once.
const AT_ONCE: usize = 16;

/// A plain line of progress after so many calls.
const STEP: u64 = 60;

/// A run of calls, and the counts of their outcomes.
pub struct Run<'d> {
    line: &'d Line,
    pub admin: &'d Client,
    progress: Progress,
    tally: Tally,
    began: Instant,
}

impl<'d> Run<'d> {
    pub fn new(line: &'d Line, admin: &'d Client) -> Self {
        let waves: usize = traffic::waves().iter().map(|wave| wave.calls.len()).sum();
        let story = [traffic::kinder(), traffic::back(), traffic::revoked()];
        let story: usize = story.iter().chain(&traffic::intern()).map(Vec::len).sum();
        let progress = Progress::new((waves + story) as u64);
        Self { line, admin, progress, tally: Tally::default(), began: Instant::now() }
    }

    /// Sends calls, some at once; their outcomes, in the calls' order.
    pub async fn send(&mut self, name: &'static str, calls: Vec<Call>) -> Vec<Outcome> {
        self.progress.begins(name);
        let line = self.line;
        let calls = calls.into_iter().map(|call| async move {
            let outcome = call.make(line).await;
            (call, outcome)
        });
        let (mut answers, mut outcomes) = (stream::iter(calls).buffered(AT_ONCE), Vec::new());
        while let Some((call, outcome)) = answers.next().await {
            outcomes.push(outcome.clone());
            self.tally.count(&call, outcome);
            self.progress.one();
        }
        outcomes
    }

    pub fn end(self) -> (Tally, Duration) {
        self.progress.0.finish_and_clear();
        (self.tally, self.began.elapsed())
    }
}

/// A bar on a terminal, plain lines elsewhere.
struct Progress(ProgressBar);

impl Progress {
    fn new(calls: u64) -> Self {
        let bar = ProgressBar::new(calls);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn begins(&self, name: &'static str) {
        self.0.set_message(name);
    }

    fn one(&self) {
        self.0.inc(1);
        let (at, all) = (self.0.position(), self.0.length().unwrap_or_default());
        if !stderr().is_terminal() && (at.is_multiple_of(STEP) || at == all) {
            note(&format!("sent {at} of {all} calls ({})", self.0.message()));
        }
    }
}
