//! The faults that a rehearsal shows: a row each.

use crate::routing::{Cause, Rehearsed};

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// At the target that a call asks first.
    First,
    /// At every target.
    All,
    /// At the model that judges answers.
    Judge,
}

impl Scope {
    /// The scope in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::First => "first target",
            Self::All => "all targets",
            Self::Judge => "the judge",
        }
    }
}

/// What a provider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It answers well.
    Well,
    /// It judges that an answer is good.
    Judge,
    /// It answers well, with headers that must not go down.
    Headers,
    /// It answers well, and reports no usage.
    NoUsage,
    /// It accepts no connection.
    Refuse,
    /// It never answers.
    Silence,
    /// It closes the connection before an answer.
    Reset,
    /// It answers with this status, and says when to ask again.
    Status(u16, Option<&'static str>),
    /// It refuses the request with these words.
    Refusal(&'static str),
    /// It refuses the request, and repeats the key that it was called with.
    EchoKey,
    /// It answers with this type and body.
    Nonsense(&'static str, &'static str),
    /// Its stream breaks off before its first token.
    CutBefore,
    /// Its stream begins with an error.
    ErrorFirst,
    /// Its stream breaks off after its first token.
    CutAfter,
    /// Its stream stops after its first token, and stays open.
    StallAfter,
    /// Its stream ends after its first token, without its last event.
    NoEnd,
}

/// Which of a provider's limits ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The one of the first token.
    FirstToken,
    /// The one between two pieces.
    Idle,
}

/// Which routes a fault is shown to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// All of them.
    Any,
    /// Those with targets for a cause.
    Cause(Cause),
    /// Cascades with a model that judges.
    Judge,
}

/// One fault.
#[derive(Debug)]
pub struct Fault {
    /// Its name in tables and reports.
    pub name: &'static str,
    /// What happens, for people.
    pub says: &'static str,
    /// What a target does that has it.
    pub act: Act,
    /// Whether the call asks for a stream.
    pub stream: bool,
    /// Which limit ends a call, if one does.
    pub waits: Option<Waits>,
    /// Whether the call goes on to another target, where there is one.
    pub goes_on: bool,
    /// The caller's own limit in milliseconds, where it sets one.
    pub limit: Option<u64>,
    /// Whether it is shown in every dialect.
    pub in_all_dialects: bool,
    /// Which routes it is shown to.
    pub of: Of,
}

/// A fault of a whole answer, which another target makes up for.
const WHOLE: Fault = Fault {
    name: "",
    says: "",
    act: Act::Well,
    stream: false,
    waits: None,
    goes_on: true,
    limit: None,
    in_all_dialects: false,
    of: Of::Any,
};

/// A fault of a stream that has begun, which nothing makes up for.
const BEGUN: Fault = Fault { stream: true, goes_on: false, ..WHOLE };

/// All faults, in the order in which they are shown.
#[rustfmt::skip]
pub static FAULTS: &[Fault] = &[
    Fault { name: "none", says: "every target is well", goes_on: false, in_all_dialects: true, ..WHOLE },
    Fault { name: "none-stream", says: "every target is well", in_all_dialects: true, ..BEGUN },
    Fault { name: "refused", says: "no connection", act: Act::Refuse, ..WHOLE },
    Fault { name: "black-hole", says: "no answer at all", act: Act::Silence, waits: Some(Waits::FirstToken), ..WHOLE },
    Fault { name: "reset", says: "the connection closes before an answer", act: Act::Reset, ..WHOLE },
    Fault { name: "status-500", says: "status 500", act: Act::Status(500, None), ..WHOLE },
    Fault { name: "status-503", says: "status 503", act: Act::Status(503, None), in_all_dialects: true, ..WHOLE },
    Fault { name: "status-529", says: "status 529", act: Act::Status(529, None), ..WHOLE },
    Fault { name: "rate-limited", says: "429, retry-after: 30", act: Act::Status(429, Some("30")), ..WHOLE },
    Fault { name: "rate-limited-odd", says: "429, retry-after: soon", act: Act::Status(429, Some("soon")), ..WHOLE },
    Fault { name: "bad-key", says: "401", act: Act::Status(401, None), ..WHOLE },
    Fault { name: "forbidden", says: "403", act: Act::Status(403, None), ..WHOLE },
    Fault { name: "no-credit", says: "402", act: Act::Status(402, None), ..WHOLE },
    Fault { name: "not-there", says: "404", act: Act::Status(404, None), ..WHOLE },
    Fault { name: "retired", says: "410", act: Act::Status(410, None), ..WHOLE },
    Fault { name: "redirect", says: "302 to another address", act: Act::Status(302, None), ..WHOLE },
    Fault { name: "html", says: "200 with a web page", act: Act::Nonsense("text/html", "<html>It works!</html>"), ..WHOLE },
    Fault { name: "truncated", says: "200 with half an answer", act: Act::Nonsense("application/json", "{\"choices\":[{\"mess"), ..WHOLE },
    Fault { name: "empty", says: "200 with nothing", act: Act::Nonsense("application/json", ""), ..WHOLE },
    Fault { name: "bad-request", says: "400 that repeats the provider's key", act: Act::EchoKey, goes_on: false, in_all_dialects: true, ..WHOLE },
    Fault { name: "odd-headers", says: "200 with a cookie and a key in its headers", act: Act::Headers, goes_on: false, ..WHOLE },
    Fault { name: "no-usage", says: "200 without token counts", act: Act::NoUsage, goes_on: false, ..WHOLE },
    Fault { name: "slow-for-caller", says: "no answer within the caller's own 200 ms", act: Act::Silence, goes_on: false, limit: Some(200), ..WHOLE },
    Fault { name: "stream-cut-early", says: "a stream breaks off before its first token", act: Act::CutBefore, stream: true, ..WHOLE },
    Fault { name: "stream-error-first", says: "a stream begins with an error", act: Act::ErrorFirst, stream: true, ..WHOLE },
    Fault { name: "stream-cut", says: "a stream breaks off after its first token", act: Act::CutAfter, in_all_dialects: true, ..BEGUN },
    Fault { name: "stream-stall", says: "a stream stops after its first token", act: Act::StallAfter, waits: Some(Waits::Idle), ..BEGUN },
    Fault { name: "stream-no-end", says: "a stream ends without its last event", act: Act::NoEnd, ..BEGUN },
    Fault { name: "too-long", says: "400, the request is too long", act: Act::Refusal("prompt is too long: 9000 tokens > 8192 maximum"), of: Of::Cause(Cause::ContextLength), ..WHOLE },
    Fault { name: "filtered", says: "400, a filter refuses the request", act: Act::Refusal("refused by the content filter"), of: Of::Cause(Cause::ContentFilter), ..WHOLE },
    Fault { name: "judge-down", says: "the judge answers 503", act: Act::Status(503, None), of: Of::Judge, ..WHOLE },
    Fault { name: "judge-silent", says: "the judge does not answer", act: Act::Silence, waits: Some(Waits::FirstToken), of: Of::Judge, ..WHOLE },
    Fault { name: "judge-talks", says: "the judge says neither yes nor no", of: Of::Judge, ..WHOLE },
];

impl Fault {
    /// Where it is shown to strike: where another target makes up for it, at all of them too.
    pub fn scopes(&self) -> &'static [Scope] {
        match (self.of, self.goes_on) {
            (Of::Judge, _) => &[Scope::Judge],
            (_, true) => &[Scope::First, Scope::All],
            (_, false) => &[Scope::All],
        }
    }

    /// Whether it is shown to a route.
    pub fn is_of(&self, route: &Rehearsed) -> bool {
        match self.of {
            Of::Any => true,
            Of::Cause(cause) => !route.of(cause).is_empty(),
            Of::Judge => !route.judges.is_empty(),
        }
    }

    /// Whether every call is to be answered.
    pub fn is_harmless(&self) -> bool {
        matches!(self.act, Act::Well | Act::Headers | Act::NoUsage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_name_of_its_own_and_says_what_happens() {
        let mut names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
        assert!(FAULTS.iter().all(|fault| !fault.name.is_empty() && !fault.says.is_empty()));
    }
}
