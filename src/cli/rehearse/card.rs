//! The scorecard of a rehearsal: a line for each call.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::output::{say, table};
use super::case::{Case, Seen, name_of};
use super::fault::{Fault, Scope, Waits};
use super::promise::Promise;
use super::stage::LIMITS;
use crate::gateway::JUDGE_LIMIT;
use crate::upstream::Provider;
use crate::wire::DialectId;

/// All lines.
pub struct Card {
    /// The configuration's file.
    pub file: String,
    /// A line for each call, route by route.
    pub lines: Vec<Line>,
}

/// One call.
pub struct Line {
    /// The route's name.
    pub route: String,
    fault: &'static str,
    says: &'static str,
    hits: &'static str,
    dialect: DialectId,
    status: u16,
    code: String,
    model: Option<String>,
    retry_after: Option<String>,
    attempts: usize,
    /// How long it took here.
    pub took: Duration,
    /// How long it would take at the limits of the configuration.
    would_take: Duration,
    cost: Option<String>,
    promises: Vec<Promise>,
}

impl Line {
    /// The line of one call.
    pub fn of(case: &Case<'_>, seen: &Seen, providers: &[Provider], promises: Vec<Promise>) -> Self {
        let Fault { name, says, .. } = case.fault;
        Self {
            route: case.route.name.to_string(),
            fault: name,
            says,
            hits: case.scope.text(),
            dialect: case.dialect,
            status: seen.status,
            code: seen.code.clone(),
            model: seen.model.clone(),
            retry_after: seen.retry_after().map(str::to_owned),
            attempts: seen.attempts().len(),
            took: seen.took,
            would_take: seen.took + longer(case.fault, seen, providers),
            cost: seen.cost().map(str::to_owned),
            promises,
        }
    }

    /// The line of many calls at once.
    pub fn of_storm(route: &str, (calls, attempts): (usize, usize), took: Duration, promise: Promise) -> Self {
        Self {
            route: route.to_owned(),
            fault: "storm",
            says: "status 503 to 50 calls",
            hits: Scope::All.text(),
            dialect: DialectId::OpenAiChat,
            status: 503,
            code: format!("{calls} calls"),
            model: None,
            retry_after: None,
            attempts,
            took,
            would_take: took,
            cost: None,
            promises: vec![promise],
        }
    }

    /// The promises that were broken, and what broke them.
    pub fn broken(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.promises.iter().filter_map(|promise| Some((promise.name, promise.broken.as_deref()?)))
    }

    /// Whether a promise was broken.
    pub fn is_broken(&self) -> bool {
        self.broken().next().is_some()
    }

    /// The fault, where it strikes, and the caller's dialect.
    pub fn title(&self) -> String {
        format!("{} at {}, {}", self.fault, self.hits, name_of(self.dialect))
    }

    /// What the caller saw, in words.
    pub fn saw(&self) -> String {
        let code = if self.code.is_empty() { String::new() } else { format!(" {}", self.code) };
        let wait = self.retry_after.as_ref().map_or_else(String::new, |wait| format!(" (retry-after {wait})"));
        format!("{}{code}{wait}", self.status)
    }

    fn row(&self) -> Vec<String> {
        let broken: Vec<String> = self.broken().map(|(name, broken)| format!("BROKEN: {name}: {broken}")).collect();
        vec![
            self.fault.to_owned(),
            self.hits.to_owned(),
            name_of(self.dialect).to_owned(),
            self.saw(),
            self.model.clone().unwrap_or_default(),
            self.attempts.to_string(),
            format!("{:.1} s", self.would_take.as_secs_f64()),
            self.cost.clone().unwrap_or_default(),
            if broken.is_empty() { "kept".to_owned() } else { broken.join("; ") },
        ]
    }

    fn json(&self) -> Value {
        let millis = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let promise = |promise: &Promise| json!({"promise": promise.name, "kept": promise.broken.is_none(), "broken_by": promise.broken});
        json!({
            "route": self.route, "fault": self.fault, "says": self.says, "strikes": self.hits,
            "dialect": name_of(self.dialect), "status": self.status,
            "code": if self.code.is_empty() { Value::Null } else { json!(self.code) },
            "model": self.model, "retry_after": self.retry_after, "attempts": self.attempts,
            "took_ms": millis(self.took), "would_take_ms": millis(self.would_take), "cost_usd": self.cost,
            "promises": self.promises.iter().map(promise).collect::<Vec<_>>(),
        })
    }
}

/// How much longer a call would take at the limits of the configuration: each attempt that waited for one in vain. A hedge waits
/// beside the attempt before it, so only the longer of the two counts, and neither where one of them answered.
fn longer(fault: &Fault, seen: &Seen, providers: &[Provider]) -> Duration {
    let mut total = Duration::ZERO;
    let mut last = None;
    for attempt in seen.attempts() {
        let wait = waited(fault, attempt, providers);
        match last.replace(wait) {
            Some(before) if attempt["role"] == "hedge" => {
                let both = before.zip(wait).map(|(before, wait): (Duration, Duration)| before.max(wait));
                last = Some(both);
            }
            before => total += before.flatten().unwrap_or_default(),
        }
    }
    total + last.flatten().unwrap_or_default()
}

/// How much longer an attempt would have waited in vain; `None` where it did not.
fn waited(fault: &Fault, attempt: &Value, providers: &[Provider]) -> Option<Duration> {
    if attempt["error_code"] != "upstream_timeout" {
        return None;
    }
    let name = attempt["provider"].as_str()?;
    let limits = providers.iter().find(|provider| *provider.name == *name)?.timeouts;
    let longest = if attempt["role"] == "judge" { JUDGE_LIMIT } else { Duration::MAX };
    Some(match fault.waits? {
        Waits::FirstToken => {
            limits.headers.unwrap_or(limits.first_token).min(longest).saturating_sub(LIMITS.first_token)
        }
        Waits::Idle => limits.idle.saturating_sub(LIMITS.idle),
    })
}

impl Card {
    /// How many promises were broken.
    pub fn broken(&self) -> usize {
        self.lines.iter().map(|line| line.broken().count()).sum()
    }

    /// The card for programs.
    pub fn json(&self) -> Value {
        json!({
            "file": self.file, "calls": self.lines.len(), "broken": self.broken(),
            "cases": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
        })
    }

    /// Prints the card for people.
    pub fn show(&self) {
        let heads =
            ["fault", "strikes", "called as", "the caller saw", "answered by", "attempts", "takes", "usd", "promises"];
        let mut routes: Vec<&str> = self.lines.iter().map(|line| &*line.route).collect();
        routes.dedup();
        for route in &routes {
            say(&format!("route {route}"));
            let rows: Vec<Vec<String>> = self.lines.iter().filter(|line| line.route == *route).map(Line::row).collect();
            table(&heads, &rows, &[5, 6, 7]);
            say("");
        }
        let broken = match self.broken() {
            0 => "every promise was kept".to_owned(),
            1 => "1 promise was broken".to_owned(),
            count => format!("{count} promises were broken"),
        };
        say(&format!("{}: {} cases on {} routes, {broken}", self.file, self.lines.len(), routes.len()));
    }
}
