//! The pace and the faults that a model's name or a provider's profile asks for.
//!
//! A name is read in parts, split at anything but letters and digits: `acme/chat-fast-error-503` is fast and answers
//! 503. Parts that say nothing here are skipped, so that any real model's name works.

use std::time::Duration;

use super::dice::Dice;

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `error-500`: this status at once.
    Status(u16),
    /// `rate-limited`: 429, to be tried again in a second.
    RateLimited,
    /// `rate-limited-date`: the same with the moment as a date.
    RateLimitedDate,
    /// `quota`: 429 that no retry cures.
    Quota,
    /// `auth`: the key is refused.
    Auth,
    /// `refuse`: the request is refused.
    Refuse,
    /// `context-length`: the request is too long.
    ContextLength,
    /// `flaky`: a third of the requests, always the same ones, get a 503.
    Flaky,
    /// `slow-first-token`: the answer's head comes three seconds late.
    SlowFirstToken,
    /// `slow-loris`: a few bytes at a time.
    SlowLoris,
    /// `stall`: a stream stops after three chunks and stays open; a whole answer never comes.
    Stall,
    /// `cut`: the connection breaks after three chunks, or in the middle of a whole answer.
    Cut,
    /// `error-event`: an error event after three chunks; a whole answer is a 500.
    ErrorEvent,
    /// `bad-json`: a chunk, or a whole answer, that is no JSON.
    BadJson,
    /// `filtered`: the answer ends early by the content filter.
    Filtered,
}

/// How quick a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Instant,
    Fast,
    Usual,
    Slow,
}

/// What a name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) pace: Pace,
    pub(super) fault: Option<Fault>,
    /// `reason…`: hidden tokens are counted before the answer.
    pub(super) reasons: bool,
    /// `long`: an answer of about a thousand tokens.
    pub(super) long: bool,
}

impl Traits {
    /// Reads the name, then the profile; where both ask for one thing, the name wins.
    pub(super) fn read(model: &str, profile: Option<&str>) -> Self {
        let (model, profile) = (parts(model), parts(profile.unwrap_or_default()));
        Self {
            pace: pace(&model).or_else(|| pace(&profile)).unwrap_or(Pace::Usual),
            fault: fault(&model).or_else(|| fault(&profile)),
            reasons: model.iter().any(|part| part.contains("reason")),
            long: has(&model, "long") || has(&profile, "long"),
        }
    }

    /// How long until the first token, spread about the pace's median as a log-normal does.
    pub(super) fn first_token(self, dice: &mut Dice) -> Duration {
        let median = match self.pace {
            Pace::Instant => Duration::ZERO,
            Pace::Fast => Duration::from_millis(5),
            Pace::Usual => Duration::from_millis(40),
            Pace::Slow => Duration::from_secs(2),
        };
        let late = if self.fault == Some(Fault::SlowFirstToken) { Duration::from_secs(3) } else { Duration::ZERO };
        late + median.mul_f64((0.3 * dice.normal()).exp().clamp(0.4, 3.0))
    }

    /// Between two tokens.
    pub(super) fn gap(self) -> Duration {
        match self.pace {
            Pace::Instant => Duration::ZERO,
            Pace::Fast => Duration::from_micros(300),
            Pace::Usual => Duration::from_millis(2),
            Pace::Slow => Duration::from_millis(20),
        }
    }
}

fn parts(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|p| !p.is_empty()).map(str::to_ascii_lowercase).collect()
}

fn has(parts: &[String], wanted: &str) -> bool {
    parts.iter().any(|part| part == wanted)
}

fn pace(parts: &[String]) -> Option<Pace> {
    // The `slow` of `slow-loris` and of `slow-first-token` is part of a fault's name.
    let slow =
        |i: usize| parts[i] == "slow" && !matches!(parts.get(i + 1).map(String::as_str), Some("loris" | "first"));
    (0..parts.len()).find_map(|i| match parts[i].as_str() {
        "instant" => Some(Pace::Instant),
        "fast" => Some(Pace::Fast),
        _ if slow(i) => Some(Pace::Slow),
        _ => None,
    })
}

fn fault(parts: &[String]) -> Option<Fault> {
    let part = |i: usize| parts.get(i).map_or("", String::as_str);
    (0..parts.len()).find_map(|i| match (part(i), part(i + 1), part(i + 2)) {
        ("error", "event", _) => Some(Fault::ErrorEvent),
        ("error", status, _) => status.parse().ok().filter(|s| (400..600).contains(s)).map(Fault::Status),
        ("rate", "limited", "date") => Some(Fault::RateLimitedDate),
        ("rate", "limited", _) => Some(Fault::RateLimited),
        ("slow", "first", "token") => Some(Fault::SlowFirstToken),
        ("slow", "loris", _) => Some(Fault::SlowLoris),
        ("context", "length", _) => Some(Fault::ContextLength),
        ("bad", "json", _) => Some(Fault::BadJson),
        ("quota", ..) => Some(Fault::Quota),
        ("auth", ..) => Some(Fault::Auth),
        ("refuse", ..) => Some(Fault::Refuse),
        ("flaky", ..) => Some(Fault::Flaky),
        ("stall", ..) => Some(Fault::Stall),
        ("cut", ..) => Some(Fault::Cut),
        ("filtered", ..) => Some(Fault::Filtered),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_name() {
        for (name, wanted) in [
            ("error-500", Fault::Status(500)),
            ("chat-error-503-fast", Fault::Status(503)),
            ("rate-limited", Fault::RateLimited),
            ("x_rate_limited_date", Fault::RateLimitedDate),
            ("slow-first-token", Fault::SlowFirstToken),
            ("slow-loris", Fault::SlowLoris),
            ("stall", Fault::Stall),
            ("cut", Fault::Cut),
            ("error-event", Fault::ErrorEvent),
            ("Bad-JSON", Fault::BadJson),
            ("auth", Fault::Auth),
            ("refuse", Fault::Refuse),
            ("flaky", Fault::Flaky),
            ("quota", Fault::Quota),
            ("context-length", Fault::ContextLength),
            ("filtered", Fault::Filtered),
        ] {
            assert_eq!(Traits::read(name, None).fault, Some(wanted), "{name}");
            assert_eq!(Traits::read("m", Some(name)).fault, Some(wanted), "profile {name}");
        }
    }

    #[test]
    fn names_that_only_look_like_a_fault_are_none() {
        for name in ["author-1", "error-200", "error", "gpt-4o-mini", "claude-3.5", "short-cuts", "ratelimited", ""] {
            assert_eq!(Traits::read(name, None).fault, None, "{name}");
        }
    }

    #[test]
    fn the_models_name_wins_over_the_profile() {
        let traits = Traits::read("m-fast-error-500", Some("instant cut"));
        assert_eq!((traits.pace, traits.fault), (Pace::Fast, Some(Fault::Status(500))));
        assert_eq!(Traits::read("m", Some("instant,flaky")).pace, Pace::Instant);
    }

    #[test]
    fn a_slow_fault_is_no_slow_pace() {
        assert_eq!(Traits::read("slow-loris", None).pace, Pace::Usual);
        assert_eq!(Traits::read("chat-slow", None).pace, Pace::Slow);
        assert_eq!(Traits::read("slow-slow-loris", None).pace, Pace::Slow);
    }

    #[test]
    fn latency_lies_about_the_median_of_its_pace() {
        for (name, low, high) in [("m-fast", 2, 15), ("m", 16, 120), ("m-slow", 800, 6000)] {
            for seed in 0..50 {
                let first = Traits::read(name, None).first_token(&mut Dice::of_text(&format!("{seed}")));
                assert!((low..=high).contains(&first.as_millis()), "{name}: {first:?}");
            }
        }
        assert_eq!(Traits::read("m-instant", None).first_token(&mut Dice::of_text("")), Duration::ZERO);
    }
}
