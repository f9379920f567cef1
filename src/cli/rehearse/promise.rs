//! What a gateway promises of every call, checked of one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::case::{Case, Seen};
use super::fault::{Of, Scope};
use super::script::canary;
use crate::routing::Rehearsed;
use crate::types::Nanos;
use crate::wire::DialectId;

/// How much later than its own limit a caller may have its answer.
const LEEWAY: Duration = Duration::from_millis(800);

/// A promise, kept or broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// What is promised.
    pub name: &'static str,
    /// What broke it; `None` where it was kept.
    pub broken: Option<String>,
}

/// Every promise, checked of one call.
pub fn promises(case: &Case<'_>, seen: &Seen) -> Vec<Promise> {
    let checks: [(&'static str, Option<String>); 8] = [
        ("the caller gets an answer or an error", answered(case, seen)),
        ("the ledger has every call", ledger(seen)),
        ("no secret goes down or up", secrets(case.route, seen)),
        ("nothing is sent again after the first byte", once(case, seen)),
        ("errors have the caller's dialect", dialect(case, seen)),
        ("private calls stay in the house", at_home(case.route, seen)),
        ("the caller's own limit holds", in_time(case, seen)),
        ("another target answers where one can", made_up_for(case, seen)),
    ];
    checks.into_iter().map(|(name, broken)| Promise { name, broken }).collect()
}

fn answered(case: &Case<'_>, seen: &Seen) -> Option<String> {
    if seen.status == 0 {
        return Some("no answer came within a minute".to_owned());
    }
    // An answer that no judge accepts goes down where no later target has a better one.
    let is_well = case.fault.is_harmless() || case.scope == Scope::Judge;
    (is_well && !seen.is_answered())
        .then(|| format!("every target is well, and the answer is {} {}", seen.status, seen.code))
}

/// The ledger has a row with each call that a provider got, and their costs make up its own.
fn ledger(seen: &Seen) -> Option<String> {
    let Some(row) = &seen.row else { return Some("the request has no row".to_owned()) };
    let (rows, made) = (seen.attempts().len(), seen.made.len());
    if rows != made {
        return Some(format!("{made} calls were made, and {rows} attempts are written down"));
    }
    let mut written: Vec<String> = seen.attempts().iter().map(target_of).collect();
    let mut called = seen.made.clone();
    written.sort_unstable();
    called.sort_unstable();
    if written != called {
        return Some(format!("{} were called, and {} are written down", called.join(", "), written.join(", ")));
    }
    let cost = |value: &Value| value["cost_usd"].as_str().and_then(|cost| cost.parse::<Nanos>().ok());
    let parts: Option<Vec<Nanos>> = seen.attempts().iter().map(cost).collect();
    let sum = parts.map(|parts| parts.iter().map(|part| part.0).sum::<i64>());
    match (cost(row), sum) {
        (Some(whole), Some(sum)) if whole.0 != sum => Some("its cost is not that of its attempts".to_owned()),
        _ => None,
    }
}

/// Whom an attempt of the ledger asked, as `provider/model`.
pub fn target_of(attempt: &Value) -> String {
    let text = |name: &str| attempt[name].as_str().unwrap_or_default();
    format!("{}/{}", text("provider"), text("model"))
}

fn secrets(route: &Rehearsed, seen: &Seen) -> Option<String> {
    if seen.leaked {
        return Some("a provider got the caller's key".to_owned());
    }
    let providers: BTreeSet<&str> = route.asked().map(|target| &*target.provider).collect();
    let headers = format!("{:?}", seen.headers);
    for provider in providers {
        // Keys differ in their last part alone.
        let key = canary(provider, 0);
        if seen.body.contains(&key) || headers.contains(&key) {
            return Some(format!("the caller got the key of {provider}"));
        }
    }
    seen.headers.contains_key("set-cookie").then(|| "the caller got a cookie of the provider's".to_owned())
}

fn once(case: &Case<'_>, seen: &Seen) -> Option<String> {
    if seen.made_after_content > 0 {
        return Some(format!("{} calls were made after it", seen.made_after_content));
    }
    if !case.fault.stream || !seen.has_content {
        return None;
    }
    // A strategy that asks for whole answers has no stream that breaks off.
    match (seen.code.is_empty(), ended(case.dialect, &seen.body)) {
        (true, false) => Some("the stream broke off without an error event".to_owned()),
        (false, true) => Some("the stream has an error event, and its usual end too".to_owned()),
        _ => None,
    }
}

/// Whether a stream came to its usual end.
fn ended(dialect: DialectId, body: &str) -> bool {
    body.contains(match dialect {
        DialectId::OpenAiChat => "data: [DONE]",
        DialectId::OpenAiResponses => "response.completed",
        DialectId::Anthropic => "message_stop",
        DialectId::Gemini => "finishReason",
    })
}

fn dialect(case: &Case<'_>, seen: &Seen) -> Option<String> {
    if seen.status == 200 || seen.status == 0 {
        return None;
    }
    let body: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    let has = |path: &str| body.pointer(path).is_some_and(|value| !value.is_null());
    let is_right = has("/error/message")
        && match case.dialect {
            DialectId::OpenAiChat | DialectId::OpenAiResponses => has("/error/type"),
            DialectId::Anthropic => body["type"] == "error" && has("/error/type"),
            DialectId::Gemini => has("/error/code") && has("/error/status"),
        };
    (!is_right).then(|| format!("the error is no error of {}", super::case::name_of(case.dialect)))
}

fn at_home(route: &Rehearsed, seen: &Seen) -> Option<String> {
    let is_foreign = |made: &&String| route.asked().any(|target| *target.id == ***made && !target.local);
    let foreign = seen.made.iter().find(is_foreign).filter(|_| route.local_only)?;
    Some(format!("{foreign} was called"))
}

fn in_time(case: &Case<'_>, seen: &Seen) -> Option<String> {
    let limit = Duration::from_millis(case.fault.limit?);
    if seen.took > limit + LEEWAY {
        return Some(format!("the answer came after {} ms", seen.took.as_millis()));
    }
    (seen.status != 408).then(|| format!("the answer is {} {}", seen.status, seen.code))
}

fn made_up_for(case: &Case<'_>, seen: &Seen) -> Option<String> {
    let first = seen.made.first().map(String::as_str);
    let others = match case.fault.of {
        Of::Cause(cause) => case.route.of(cause),
        Of::Any | Of::Judge => &case.route.targets,
    };
    let has_other = others.iter().any(|target| first.is_none_or(|first| *target.id != *first));
    let can = case.scope == Scope::First && case.fault.goes_on && has_other;
    (can && !seen.is_answered()).then(|| format!("the answer is {} {}", seen.status, seen.code))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::fault::FAULTS;
    use super::*;
    use crate::routing::Target;

    fn target(id: &str, local: bool) -> Arc<Target> {
        let (provider, model) = id.split_once('/').unwrap();
        Arc::new(Target { local, ..Target::of(provider, model) })
    }

    fn route() -> Rehearsed {
        let targets = vec![target("house/a", true), target("openai/b", false)];
        let judges = vec![target("abroad/judge", false)];
        Rehearsed { name: "r".into(), model: "rehearse-0".into(), targets, causes: None, judges, local_only: true }
    }

    /// An answer as it should be.
    fn good() -> Seen {
        let attempt = json!({"provider": "house", "model": "a", "cost_usd": "0.5"});
        Seen {
            status: 200,
            body: "rehearsed".to_owned(),
            has_content: true,
            made: vec!["house/a".to_owned()],
            row: Some(json!({"cost_usd": "0.5", "attempts": [attempt]})),
            ..Seen::default()
        }
    }

    fn broken(fault: &str, scope: Scope, dialect: DialectId, seen: &Seen) -> Vec<&'static str> {
        let fault = FAULTS.iter().find(|known| known.name == fault).unwrap();
        let (route, case) = (route(), |route| Case { route, fault, scope, dialect });
        let promises = promises(&case(&route), seen);
        promises.iter().filter(|promise| promise.broken.is_some()).map(|promise| promise.name).collect()
    }

    #[test]
    fn each_promise_is_broken_by_what_it_forbids_and_by_nothing_else() {
        let chat = DialectId::OpenAiChat;
        let failed = |body: &str| Seen { status: 503, body: body.to_owned(), has_content: false, ..good() };
        let error = r#"{"error": {"message": "m", "type": "t", "code": "c"}}"#;
        let headers = |name, value: &str| [(name, value.parse().unwrap())].into_iter().collect();
        let cookie = http::header::SET_COOKIE;
        let key = canary("openai", 0);
        let late = Duration::from_secs(2);
        let two = json!({"cost_usd": "0.5", "attempts": [{"cost_usd": "0.2"}, {"cost_usd": "0.3"}]});
        for (fault, scope, seen, promise) in [
            ("none", Scope::All, good(), None),
            ("status-503", Scope::All, failed(error), None),
            ("none", Scope::All, failed(error), Some("the caller gets an answer or an error")),
            ("status-503", Scope::All, Seen { status: 0, ..good() }, Some("the caller gets an answer or an error")),
            ("none", Scope::All, Seen { row: None, ..good() }, Some("the ledger has every call")),
            ("none", Scope::All, Seen { row: Some(two), ..good() }, Some("the ledger has every call")),
            (
                "none",
                Scope::All,
                Seen { made: vec!["house/b".to_owned()], ..good() },
                Some("the ledger has every call"),
            ),
            ("none", Scope::All, Seen { leaked: true, ..good() }, Some("no secret goes down or up")),
            ("none", Scope::All, Seen { body: key.clone(), ..good() }, Some("no secret goes down or up")),
            ("none", Scope::All, Seen { headers: headers(cookie, "a=b"), ..good() }, Some("no secret goes down or up")),
            (
                "stream-cut",
                Scope::All,
                Seen { code: "e".to_owned(), made_after_content: 1, ..good() },
                Some("nothing is sent again after the first byte"),
            ),
            ("stream-cut", Scope::All, good(), Some("nothing is sent again after the first byte")),
            ("stream-cut", Scope::All, Seen { body: "data: [DONE]".to_owned(), ..good() }, None),
            ("status-503", Scope::All, failed("{}"), Some("errors have the caller's dialect")),
            (
                "slow-for-caller",
                Scope::All,
                Seen { status: 408, took: late, ..failed(error) },
                Some("the caller's own limit holds"),
            ),
            ("slow-for-caller", Scope::All, failed(error), Some("the caller's own limit holds")),
            ("status-503", Scope::First, failed(error), Some("another target answers where one can")),
            ("judge-down", Scope::Judge, good(), None),
            ("judge-down", Scope::Judge, failed(error), Some("the caller gets an answer or an error")),
        ] {
            let found = broken(fault, scope, chat, &seen);
            assert_eq!(found, promise.into_iter().collect::<Vec<_>>(), "{fault} {seen:?}");
        }
        for (dialect, body) in [
            (DialectId::Anthropic, r#"{"type": "error", "error": {"type": "t", "message": "m"}}"#),
            (DialectId::Gemini, r#"{"error": {"code": 503, "status": "S", "message": "m"}}"#),
        ] {
            assert!(broken("status-503", Scope::All, dialect, &failed(body)).is_empty(), "{dialect:?}");
            assert_eq!(broken("status-503", Scope::All, dialect, &failed(error)), ["errors have the caller's dialect"]);
        }
    }

    #[test]
    fn whoever_is_asked_is_held_to_privacy_and_secrecy() {
        let row = json!({"cost_usd": "0", "attempts": [{"provider": "openai", "model": "b", "cost_usd": "0"}]});
        let abroad = Seen { made: vec!["openai/b".to_owned()], row: Some(row), ..good() };
        assert_eq!(broken("none", Scope::All, DialectId::OpenAiChat, &abroad), ["private calls stay in the house"]);
        let attempts = json!([{"provider": "abroad", "model": "judge", "cost_usd": "0", "role": "judge"}]);
        let judged = Seen {
            made: vec!["abroad/judge".to_owned()],
            row: Some(json!({"cost_usd": "0", "attempts": attempts})),
            body: canary("abroad", 0),
            ..good()
        };
        let expected = ["no secret goes down or up", "private calls stay in the house"];
        assert_eq!(broken("none", Scope::All, DialectId::OpenAiChat, &judged), expected);
    }
}
