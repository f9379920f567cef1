//! Counts the outcomes of the demo's calls and prints them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::call::{Call, Outcome};

/// Counts of outcomes.
#[derive(Debug, Default)]
pub struct Tally {
    calls: u32,
    streams: u32,
    served: u32,
    retried: u32,
    hits: u32,
    coalesced: u32,
    hung_up: u32,
    broke: Vec<String>,
    /// By status and code: how many, and one message.
    refused: BTreeMap<(u16, String), (u32, String)>,
    /// Outcomes other than the wanted ones.
    odd: Vec<String>,
}

impl Tally {
    /// Counts a call.
    pub fn count(&mut self, call: &Call, outcome: Outcome) {
        self.calls += 1;
        self.streams += u32::from(call.is_stream());
        if !outcome.is(call.wanted) {
            self.odd.push(format!("{} {}: {outcome:?} instead of {:?}", call.path, call.body, call.wanted));
        }
        match outcome {
            Outcome::Served { retried } => {
                self.served += 1;
                self.retried += u32::from(retried);
            }
            Outcome::Hit => self.hits += 1,
            Outcome::Coalesced => self.coalesced += 1,
            Outcome::HungUp => self.hung_up += 1,
            Outcome::Broke { message } => self.broke.push(message),
            Outcome::Refused { status, code, message } => {
                self.refused.entry((status, code)).or_insert((0, message)).0 += 1;
            }
            Outcome::Lost(_) => {}
        }
    }

    /// How many calls were counted.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Calls with another outcome than the wanted one.
    pub fn odd(&self) -> &[String] {
        &self.odd
    }

    /// The report, line by line.
    pub fn lines(&self, took: Duration) -> Vec<String> {
        let Self { calls, streams, served, retried, hits, coalesced, hung_up, .. } = self;
        let mut lines = vec![
            format!("{calls} calls over HTTP in {:.1} s, {streams} of them as streams:", took.as_secs_f64()),
            format!(
                "  {served:>4}  answered by a simulated model, {retried} of them by a fallback after an injected fault"
            ),
            format!("  {hits:>4}  answered from the cache"),
            format!("  {coalesced:>4}  answered together with an equal call that was under way"),
            format!("  {hung_up:>4}  cut off by the caller in the middle of a stream"),
        ];
        if let Some(message) = self.broke.first() {
            lines.push(format!(
                "  {:>4}  broken off by an injected fault in the middle of a stream: {message}",
                self.broke.len()
            ));
        }
        let refused: u32 = self.refused.values().map(|(count, _)| count).sum();
        lines.push(format!("  {refused:>4}  refused or failed, such as"));
        for ((status, code), (count, message)) in &self.refused {
            lines.push(format!("        {count:>2} x {status} {code}: {message}"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::call::{Caller, Wanted};
    use super::*;

    #[test]
    fn every_call_is_counted_once_and_odd_ones_are_told() {
        let mut tally = Tally::default();
        let call = Call::chat(Caller::Shop, json!({"model": "fast"}));
        let refusal =
            || Outcome::Refused { status: 400, code: "invalid_variables".to_owned(), message: "m".to_owned() };
        tally.count(&call, Outcome::Served { retried: true });
        tally.count(&call.clone().streamed(), Outcome::Hit);
        tally.count(&call.clone().wants(Wanted::Refusal("invalid_variables")), refusal());
        assert!(tally.odd().is_empty());
        tally.count(&call, refusal());
        assert_eq!((tally.calls, tally.streams, tally.served, tally.retried, tally.hits), (4, 1, 1, 1, 1));
        assert_eq!(tally.odd().len(), 1);
        let lines = tally.lines(Duration::from_secs(1));
        assert_eq!(lines.last().unwrap().trim(), "2 x 400 invalid_variables: m");
    }
}
