//! What a stream would be charged if it broke off now, where its provider has counted it before its end.

use crate::chat::Usage;

/// The last report of a stream's provider, and how many tokens the stream had brought by then, roughly.
#[derive(Debug, Default)]
pub struct Counted {
    last: Option<(Usage, u64)>,
}

impl Counted {
    /// The charge of a stream whose provider has `reported` this, and that has brought so many tokens: an estimate is added for
    /// those alone that came after the report. Of a report that is itself no count of the output, the larger of the two stands.
    pub fn charge(&mut self, reported: Usage, written: u64) -> Usage {
        if reported.estimated {
            return Usage { output: reported.output.max(written), ..reported };
        }
        let before = match self.last {
            Some((last, before)) if last == reported => before,
            _ => written,
        };
        self.last = Some((reported, before));
        let since = written.saturating_sub(before);
        Usage { output: reported.output.saturating_add(since), estimated: since > 0, ..reported }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(output: u64, estimated: bool) -> Usage {
        Usage { input: 40_000, output, estimated, ..Usage::default() }
    }

    #[test]
    fn only_what_came_after_a_report_is_estimated() {
        let mut counted = Counted::default();
        assert_eq!(counted.charge(usage(0, false), 0), usage(0, false));
        assert_eq!(counted.charge(usage(0, false), 7), usage(7, true));
        assert_eq!(counted.charge(usage(9, false), 8), usage(9, false), "the words of this event are counted");
        assert_eq!(counted.charge(usage(9, false), 10), usage(11, true));
    }

    #[test]
    fn a_beginning_counts_no_output() {
        let mut counted = Counted::default();
        assert_eq!(counted.charge(usage(1, true), 0), usage(1, true));
        assert_eq!(counted.charge(usage(1, true), 6), usage(6, true));
    }
}
