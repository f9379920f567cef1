//! Log lines about targets: one where a target begins to fail, fails otherwise than before, cools, or answers again. A target
//! that goes on failing has no line for each call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::chat::Code;
use crate::routing::{Health, Standing, Target};
use crate::types::{QuickMap, RequestId, Timestamp};
use crate::upstream::{Failure, Phase};

/// In so long a target and a provider have no more lines than the limits below: a caller may name any model of a provider,
/// and a target may fail and answer in turn.
const WINDOW: Duration = Duration::from_secs(60);
const MOST_OF_TARGET: u32 = 6;
const MOST_OF_PROVIDER: u32 = 60;

/// The most targets that are remembered.
const MOST: usize = 4_096;

/// A failure after so long without one begins anew.
const STALE: Duration = Duration::from_secs(600);

/// The most characters of a transport's own words.
const LONGEST_REASON: usize = 200;

/// Which targets fail, as far as the log has it.
#[derive(Debug, Default)]
pub struct TargetLog {
    /// How many fail, so that an answer of a healthy gateway takes no lock.
    failing: AtomicUsize,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    targets: QuickMap<Arc<str>, State>,
    failing: usize,
    providers: QuickMap<Arc<str>, Window>,
}

/// What the log has of one target.
#[derive(Debug, Default)]
struct State {
    failing: Option<Trouble>,
    is_cooling: bool,
    last: Timestamp,
    /// Why the target cools, or else failed last.
    cause: Arc<str>,
    /// Until when it cools for that cause.
    cools_until: Timestamp,
    window: Window,
}

/// How a target fails: a failure of the same kind is no news.
type Trouble = (Code, Option<u16>);

/// How many lines were written within the last [`WINDOW`].
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Timestamp,
    lines: u32,
}

/// What is new about a target that showed a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// Nothing, or more than may be logged.
    None,
    /// It fails, or fails otherwise than before.
    Fails,
    /// It cools.
    Cools,
}

/// Whose call met a target.
#[derive(Clone, Copy)]
pub struct Met<'a> {
    /// Who was asked.
    pub target: &'a Target,
    /// Whose call it is.
    pub key: &'a str,
    /// The call.
    pub request: RequestId,
}

impl TargetLog {
    /// Logs what is new where a call failed. Call it once `health` has the failure.
    pub fn failed(&self, met: Met<'_>, failure: &Failure, health: &Health, now: Timestamp) {
        let Some(cause) = cause(failure) else { return };
        let Met { target, key, request } = met;
        let all = health.state(target, "", now);
        let (standing, whose) = match all.is_open() {
            true => (health.state(target, key, now), " for the calls of one key"),
            false => (all, ""),
        };
        let until = match standing {
            Standing::Cooling { until } => Some(until),
            Standing::Healthy | Standing::Ripe | Standing::Probing => None,
        };
        let trouble = (failure.code(), failure.status());
        let news = {
            let mut noted = self.lock();
            let news = noted.failed(target, trouble, until.is_some(), now);
            if let Some(state) = noted.targets.get_mut(&target.id) {
                state.note_cause(&cause, until, now);
            }
            self.failing.store(noted.failing, Ordering::Release);
            news
        };
        let cooling = match until {
            Some(until) if news != News::None => format!("; it cools{whose} until {until}"),
            _ => String::new(),
        };
        let verb = match news {
            News::None => return,
            News::Fails => "fails",
            News::Cools => "goes on failing",
        };
        tracing::warn!(
            target_id = &*target.id,
            provider = &*target.provider,
            error = failure.code().text(),
            cause = &*cause,
            status = failure.status(),
            cooling = until.is_some(),
            request = request.text().as_str(),
            "target {} {verb}: {cause}{cooling}",
            target.id.escape_debug(),
        );
    }

    /// Why a target cools, or else failed last, in words of ours.
    #[must_use]
    pub fn cause(&self, target: &str) -> Option<Arc<str>> {
        self.lock().targets.get(target).map(|state| state.cause.clone()).filter(|cause| !cause.is_empty())
    }

    /// Logs that a target answered where it failed before.
    pub fn answered(&self, met: Met<'_>, now: Timestamp) {
        if self.failing.load(Ordering::Acquire) == 0 {
            return;
        }
        let Met { target, request, .. } = met;
        let is_news = {
            let mut noted = self.lock();
            let is_news = noted.answered(target, now);
            self.failing.store(noted.failing, Ordering::Release);
            is_news
        };
        if is_news {
            tracing::warn!(
                target_id = &*target.id,
                provider = &*target.provider,
                request = request.text().as_str(),
                "target {} answers again",
                target.id.escape_debug(),
            );
        }
    }

    /// A panic that held the lock leaves at worst a line too many or too few.
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn failed(&mut self, target: &Target, trouble: Trouble, is_cooling: bool, now: Timestamp) -> News {
        if self.targets.len() >= MOST && !self.targets.contains_key(&target.id) {
            self.targets.retain(|_, state| now - state.last < WINDOW);
            self.failing = self.targets.values().filter(|state| state.failing.is_some()).count();
            if self.targets.len() >= MOST {
                return News::None;
            }
        }
        let state = self.targets.entry(target.id.clone()).or_default();
        self.failing += usize::from(state.failing.is_none());
        if now - state.last >= STALE {
            (state.failing, state.is_cooling) = (None, false);
        }
        let news = match (state.failing == Some(trouble), is_cooling && !state.is_cooling) {
            (false, _) => News::Fails,
            (true, true) => News::Cools,
            (true, false) => News::None,
        };
        state.failing = Some(trouble);
        state.is_cooling |= is_cooling;
        state.last = now;
        let has_room = news != News::None
            && state.window.takes(MOST_OF_TARGET, now)
            && self.providers.entry(target.provider.clone()).or_default().takes(MOST_OF_PROVIDER, now);
        if has_room { news } else { News::None }
    }

    fn answered(&mut self, target: &Target, now: Timestamp) -> bool {
        let Some(state) = self.targets.get_mut(&target.id) else { return false };
        let is_news = state.failing.take().is_some();
        self.failing -= usize::from(is_news);
        (state.is_cooling, state.cools_until) = (false, Timestamp::default());
        is_news
            && state.window.takes(MOST_OF_TARGET, now)
            && self.providers.entry(target.provider.clone()).or_default().takes(MOST_OF_PROVIDER, now)
    }
}

impl State {
    /// Notes why a target failed that cools until then. A shorter pause than the one in force changes nothing.
    fn note_cause(&mut self, cause: &str, until: Option<Timestamp>, now: Timestamp) {
        let until = until.unwrap_or_default();
        if now >= self.cools_until || until > self.cools_until {
            (self.cause, self.cools_until) = (cause.into(), until);
        }
    }
}

impl Window {
    /// Whether there is room for one more line, which then is taken.
    fn takes(&mut self, most: u32, now: Timestamp) -> bool {
        if now - self.since >= WINDOW {
            *self = Self { since: now, lines: 0 };
        }
        self.lines += u32::from(self.lines <= most);
        self.lines <= most
    }
}

/// Why a target failed, in words of ours: none of the provider's, which may hold what callers wrote. `None` where the caller
/// made the mistake, or nobody.
fn cause(failure: &Failure) -> Option<String> {
    let limit = |what: &str| Some(format!("{what} in time"));
    match failure {
        Failure::Connect(reason) => {
            let reason: String = reason.chars().take(LONGEST_REASON).flat_map(char::escape_debug).collect();
            Some(format!("cannot be reached: {reason}"))
        }
        Failure::TimedOut(Phase::Connect) => limit("did not accept a connection"),
        Failure::TimedOut(Phase::Headers) => limit("did not send the head of its answer"),
        Failure::TimedOut(Phase::Speed) => Some("wrote more slowly than its route's min_speed".to_owned()),
        Failure::TimedOut(Phase::FirstToken) => limit("did not begin its answer"),
        Failure::TimedOut(Phase::Idle) => Some("stopped in the middle of its answer".to_owned()),
        Failure::TimedOut(Phase::Total) => limit("did not finish its answer"),
        Failure::Protocol(_) => Some("its answer broke off or cannot be read".to_owned()),
        Failure::Throttled { another_key: true, .. } => {
            Some("limits the rate of calls with one of the provider's keys (429); another is used".to_owned())
        }
        Failure::Throttled { retry_after: Some(wait), .. } => {
            Some(format!("limits the rate of calls (429), for {} s", wait.as_secs_f64().ceil()))
        }
        Failure::Throttled { retry_after: None, .. } => Some("limits the rate of calls (429)".to_owned()),
        Failure::Auth { status, another_key: true } => {
            Some(format!("refused one of the provider's keys ({status}); another is tried"))
        }
        Failure::Auth { status, another_key: false } => {
            Some(format!("refused every key that the configuration has for its provider ({status})"))
        }
        Failure::Server { status: 200, .. } => Some("reported an error within its answer".to_owned()),
        // No credit, forbidden, no such model or address: an owner can mend these, and no caller.
        Failure::Server { status, .. } | Failure::Refused { status: status @ 402..=405, .. } => {
            Some(format!("answered with status {status}"))
        }
        Failure::Refused { status, .. } if failure.is_gone() => {
            Some(format!("says that its model or its credit is gone ({status})"))
        }
        Failure::Refused { .. }
        | Failure::TimedOut(Phase::Caller)
        | Failure::Busy
        | Failure::Closing
        | Failure::NoRoom(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(id: &str) -> Target {
        let (provider, model) = id.split_once('/').unwrap();
        Target::of(provider, model)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp((1_000_000 + seconds) * 1_000_000)
    }

    const BROKEN: Trouble = (Code::UpstreamError, Some(502));
    const REFUSED: Trouble = (Code::UpstreamAuth, Some(401));

    #[test]
    fn a_line_is_written_for_what_is_new_alone() {
        let (mut noted, up) = (Noted::default(), target("up/a"));
        assert_eq!(noted.failed(&up, BROKEN, false, at(0)), News::Fails);
        assert_eq!(noted.failed(&up, BROKEN, false, at(1)), News::None);
        assert_eq!(noted.failed(&up, BROKEN, true, at(2)), News::Cools);
        assert_eq!(noted.failed(&up, BROKEN, true, at(3)), News::None);
        assert_eq!(noted.failed(&up, REFUSED, true, at(4)), News::Fails);
        assert_eq!(noted.failing, 1);
        assert!(noted.answered(&up, at(5)) && !noted.answered(&up, at(5)));
        assert_eq!(noted.failing, 0);
        assert_eq!(noted.failed(&up, REFUSED, false, at(6)), News::Fails);
        assert_eq!(noted.failed(&up, REFUSED, false, at(7)), News::None);
        assert_eq!(noted.failed(&up, REFUSED, false, at(700)), News::Fails, "after so long it is news again");
        assert!(!noted.answered(&target("up/b"), at(8)));
    }

    #[test]
    fn the_cause_is_that_of_the_pause_in_force() {
        let mut state = State::default();
        for (cause, until, now, expected) in [
            ("broke", None, 0, "broke"),
            ("limits for 30 s", Some(31), 1, "limits for 30 s"),
            ("limits for 1 s", Some(31), 2, "limits for 30 s"),
            ("broke", None, 3, "limits for 30 s"),
            ("limits for 60 s", Some(64), 4, "limits for 60 s"),
            ("broke", None, 64, "broke"),
        ] {
            state.note_cause(cause, until.map(at), at(now));
            assert_eq!(&*state.cause, expected, "{cause} at {now}");
        }
        let (mut noted, up) = (Noted::default(), target("up/a"));
        let _news = noted.failed(&up, BROKEN, true, at(0));
        noted.targets.get_mut(&up.id).unwrap().note_cause("limits", Some(at(60)), at(0));
        assert!(noted.answered(&up, at(1)));
        noted.targets.get_mut(&up.id).unwrap().note_cause("broke", None, at(2));
        assert_eq!(&*noted.targets[&up.id].cause, "broke", "an answer ended the pause");
    }

    #[test]
    fn a_target_that_fails_and_answers_in_turn_has_few_lines_a_minute() {
        let (mut noted, up) = (Noted::default(), target("up/a"));
        let mut lines_of_minute = |minute: i64| {
            let turns = (0..500).map(|n| {
                let now = Timestamp(at(minute * 60).0 + n);
                let failed = noted.failed(&up, BROKEN, false, now) != News::None;
                u32::from(failed) + u32::from(noted.answered(&up, now))
            });
            turns.sum::<u32>()
        };
        assert_eq!((lines_of_minute(0), lines_of_minute(1)), (MOST_OF_TARGET, MOST_OF_TARGET));
    }

    #[test]
    fn names_that_callers_make_up_take_few_lines_and_little_room() {
        let mut noted = Noted::default();
        let lines = (0..10_000)
            .filter(|n| noted.failed(&target(&format!("up/made-up-{n}")), BROKEN, false, at(0)) != News::None);
        assert_eq!(lines.count(), 60);
        assert_eq!(noted.targets.len(), MOST);
        assert_eq!(noted.failed(&target("other/a"), BROKEN, false, at(61)), News::Fails);
        assert_eq!(noted.targets.len(), 1);
    }
}
