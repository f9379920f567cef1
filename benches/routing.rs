//! Planning alone: 100 routes whose rules are read one after the other, the last of which takes the call and has 20 targets, for
//! each strategy. And the memory of a million sessions.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the times")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use fulcrum::config;
use fulcrum::routing::{
    Expected, Facts, Figures, Health, KeyFacts, Load, Routes, Sessions, Signals, Similarity, Target,
};
use fulcrum::types::{Nanos, Timestamp};

/// The gateway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn Error + Send + Sync>;

/// How many plans are timed, one by one, after as many that are not.
const PLANS: usize = 50_000;

const ROUTES: usize = 100;
const TARGETS: usize = 20;
const SESSIONS: u32 = 1_000_000;

const NOW: Timestamp = Timestamp(1_795_427_193_000_000);

/// What the route with the targets goes by.
const ORDERS: [(&str, &str); 7] = [
    ("weighted", ""),
    ("priority", "strategy = \"priority\""),
    ("cheapest", "strategy = \"cheapest\""),
    ("fastest", "strategy = \"fastest\""),
    ("least_busy", "strategy = \"least_busy\""),
    ("session", "strategy = \"least_busy\"\naffinity = \"session\""),
    ("prompt_cache", "affinity = \"prompt_cache\""),
];

fn main() -> Result<(), Failed> {
    println!("{ROUTES} routes, {TARGETS} targets, {PLANS} plans");
    println!("{:>14} {:>10} {:>10} {:>10}", "order", "p50 us", "p99 us", "most us");
    for (name, order) in ORDERS {
        let compiled = routes(order, ROUTES)?;
        let mut times = plans(&compiled)?;
        times.sort_unstable();
        let at = |share: f64| micros(times[(times.len() as f64 * share) as usize]);
        println!("{name:>14} {:>10.2} {:>10.2} {:>10.2}", at(0.5), at(0.99), at(1.0 - 1.0 / PLANS as f64));
    }
    sessions()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// So many routes, of which each but the last has a rule that does not hold for the call.
fn routes(order: &str, count: usize) -> Result<std::sync::Arc<Routes>, Failed> {
    let mut text = String::from("[providers.s]\nkind = \"simulated\"\n");
    for n in 1..count {
        let rule = match n % 4 {
            0 => format!("metadata.team == \"team-{n}\""),
            1 => format!("prompt.name == \"prompt-{n}\" && request.stream"),
            2 => format!("request.input_tokens > {}", 100_000 + n),
            _ => format!("key.tags.plan == \"plan-{n}\" || request.text.contains(\"word-{n}\")"),
        };
        writeln!(text, "[[routes]]\nname = \"r{n}\"\nwhen = '{rule}'\ntargets = [{{ model = \"s/m\" }}]")?;
    }
    let targets: Vec<String> = (0..TARGETS).map(|n| format!("{{ model = \"s/model-{n}\", weight = 1 }}")).collect();
    writeln!(text, "[[routes]]\nname = \"last\"\n{order}\ntargets = [{}]", targets.join(", "))?;
    let config = config::parse(&text, "bench", &|_| None);
    Ok(config.map_err(|problems| format!("{problems:?}"))?.routes)
}

/// The time of each plan.
fn plans(routes: &Routes) -> Result<Vec<Duration>, Failed> {
    let (health, signals, sessions) = (Health::default(), Signals::default(), Sessions::default());
    for n in 0..TARGETS {
        let target = routes.target(&format!("s/model-{n}")).ok_or("no target")?;
        signals.enter(&target, true).answered(Duration::from_millis(100 + n as u64), NOW);
    }
    let cost = |target: &Target| Expected { input: 1_000, output: 300, cost: Some(Nanos(target.id.len() as i64)) };
    let load = |target: &Target| Load { in_flight: target.id.len(), most: 512, others: None };
    let figures = Figures { signals: &signals, sessions: &sessions, cost: &cost, load: &load, prefix: &|| 7 };
    let (tags, metadata) = (BTreeMap::new(), serde_json::json!({"team": "none", "plan": "free"}));
    let facts = Facts {
        model: "any",
        stream: true,
        input_tokens: 1_000,
        max_tokens: None,
        has_tools: false,
        has_images: false,
        text: "Where is my order, and when will it arrive at my house?",
        prompt: None,
        key: KeyFacts { id: "k", name: "app", project: "shop", tags: &tags },
        metadata: metadata.as_object(),
        header: &|_| None,
        user: Some("u"),
        session: Some("a-session"),
        now: NOW,
        budget_used: 0.0,
        complexity: 0.0,
        similar: &|_| Similarity::Unknown,
        figures: Some(&figures),
    };
    let plan = |n: usize| routes.plan(&facts, &health, (n % 997) as f64 / 997.0);
    let first = plan(0)?;
    assert_eq!((first.route.as_deref(), first.targets.len()), (Some("last"), TARGETS));
    if let Some(key) = first.follows.session {
        sessions.bind(key, &first.targets[TARGETS / 2], NOW);
    }
    let mut times = Vec::with_capacity(PLANS);
    for n in 0..2 * PLANS {
        let began = Instant::now();
        black_box(plan(black_box(n)))?;
        if n >= PLANS {
            times.push(began.elapsed());
        }
    }
    Ok(times)
}

/// Binds a million sessions, as the route's calls would, and shows what the process takes.
fn sessions() -> Result<(), Failed> {
    let routes = routes("affinity = \"session\"", 1)?;
    let (health, signals, sessions) = (Health::default(), Signals::default(), Sessions::default());
    let figures = Figures {
        signals: &signals,
        sessions: &sessions,
        cost: &|_| Expected::default(),
        load: &|_| Load::default(),
        prefix: &|| 0,
    };
    let tags = BTreeMap::new();
    let before = resident()?;
    for n in 0..SESSIONS {
        let session = format!("session-{n}");
        let facts = Facts {
            model: "any",
            stream: true,
            input_tokens: 0,
            max_tokens: None,
            has_tools: false,
            has_images: false,
            text: "",
            prompt: None,
            key: KeyFacts { id: "k", name: "app", project: "shop", tags: &tags },
            metadata: None,
            header: &|_| None,
            user: None,
            session: Some(&session),
            now: NOW,
            budget_used: 0.0,
            complexity: 0.0,
            similar: &|_| Similarity::Unknown,
            figures: Some(&figures),
        };
        let plan = routes.plan(&facts, &health, 0.5)?;
        sessions.bind(plan.follows.session.ok_or("no session")?, &plan.targets[0], NOW);
    }
    let after = resident()?;
    println!(
        "\n{SESSIONS} distinct sessions: {} remembered, process {before:.1} MiB before and {after:.1} MiB after",
        sessions.len()
    );
    Ok(())
}

/// The process's memory, in MiB.
fn resident() -> Result<f64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
