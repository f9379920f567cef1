//! `fulcrum demo`: the gateway at work, on a database and providers of its own.

mod call;
mod material;
mod paste;
mod sandbox;
mod tally;
mod traffic;

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, stream};
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::client::Client;
use super::outcome::{Failure, Outcome, Where};
use super::output::{note, say};
use super::{explain, usage};
use crate::config::parse_listen;
use crate::telemetry::{LogFormat, start_logs};
use crate::upstream;
use call::Line;
use sandbox::Sandbox;
use tally::Tally;

/// The most calls at once.
const AT_ONCE: usize = 16;

/// A plain line of progress after so many calls.
const STEP: u64 = 60;

/// Shows the gateway at work: simulated providers, a temporary database, and nothing called outside.
#[derive(Args)]
#[command(after_help = "Example: fulcrum demo --exit")]
pub struct Demo {
    /// Stop after the report; exit code 1 if a call had another outcome than it should
    #[arg(long)]
    exit: bool,
    /// Where to listen [default: 127.0.0.1:8080 if it is free, else any free port]
    #[arg(long)]
    listen: Option<String>,
}

impl Demo {
    pub async fn run(self) -> Outcome {
        let _logs = start_logs("warn", LogFormat::Text);
        let named = self.listen.as_deref().map(|text| parse_listen(text, false)).transpose();
        let bad = |problem| Failure::Input(format!("--listen: {problem}; use an address such as 127.0.0.1:8080"));
        let named = named.map_err(|(problem, _fix)| bad(problem))?;
        let sandbox = Sandbox::open(sandbox::listen(named).await?).await?;
        let outcome = tokio::select! {
            shown = show(&sandbox, self.exit) => shown,
            stopped = told_to_stop() => stopped,
        };
        let closed = sandbox.close().await;
        outcome.and(closed)
    }
}

/// Waits for SIGINT or SIGTERM.
async fn told_to_stop() -> Outcome {
    let failed = |error: std::io::Error| Failure::Unreachable(format!("no signals can be received: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    note("stopping; the temporary database is removed");
    Ok(())
}

async fn show(sandbox: &Sandbox, exit: bool) -> Outcome {
    say(&format!("A Fulcrum gateway is up at {} on a temporary SQLite database.", sandbox.base));
    say(
        "Every provider is SIMULATED: answers, latencies, faults and prices are made up, and nobody outside is called.",
    );
    say(&format!("Prompts: {}.", sandbox.prompts));
    let place = Where { url: Some(sandbox.base.clone()), key: Some(sandbox.admin.clone()), config: None };
    let admin = Client::to(&place).await?;
    let line = line(sandbox, &admin).await?;
    let (tally, took) = send_all(&line).await;
    heading("What happened");
    tally.lines(took).iter().for_each(|line| say(line));
    explain_one(&admin).await?;
    for by in ["route", "model", "prompt"] {
        heading(&format!("Usage by {by} (simulated)"));
        usage::show(&admin.get(&format!("/api/v1/usage?by={by}")).await?, by);
    }
    if std::env::var_os("OPENAI_API_KEY").is_some_and(|key| !key.is_empty()) {
        heading("A real provider");
        say(paste::REAL);
    }
    heading("Lines to paste while a demo stays up (the keys end with it)");
    let binary = std::env::args().next().filter(|name| name.contains('/'));
    say(&paste::lines(sandbox, &line.shop, binary.as_deref().unwrap_or("fulcrum")));
    let odd = odd(&tally);
    if exit {
        return odd;
    }
    if let Err(Failure::Negative(message)) = &odd {
        note(message);
    }
    say(&format!("\nThe gateway stays up at {} until Ctrl-C.", sandbox.base));
    std::future::pending().await
}

fn heading(text: &str) {
    say(&format!("\n== {text}"));
}

/// Makes the callers' keys through the admin API.
async fn line(sandbox: &Sandbox, admin: &Client) -> Result<Line, Failure> {
    let make = async |body: Value| -> Result<String, Failure> {
        let made = admin.send(Method::POST, "/api/v1/keys", &body).await?;
        Ok(made["key"].as_str().unwrap_or_default().to_owned())
    };
    let office = ["fast", "prompt/code-documenter", "prompt/contract-clauses"];
    let client = upstream::Client::new(&sandbox.base, Duration::from_secs(3));
    Ok(Line {
        client: client.map_err(|error| Failure::Unreachable(error.to_string()))?,
        base: sandbox.base.clone(),
        shop: make(json!({"name": "shop-backend", "project": "shop", "tags": {"env": "demo"}})).await?,
        office: make(json!({"name": "office-tools", "project": "office", "models": office})).await?,
        trial: make(json!({"name": "trial", "project": "office", "models": ["fast"], "requests_per_minute": 3}))
            .await?,
    })
}

/// Sends every wave, one after the other.
async fn send_all(line: &Line) -> (Tally, Duration) {
    let waves = traffic::waves();
    let progress = Progress::new(waves.iter().map(|wave| wave.calls.len() as u64).sum());
    let (mut tally, began) = (Tally::default(), Instant::now());
    for wave in waves {
        progress.begins(wave.name);
        let calls = wave.calls.into_iter().map(|call| async move {
            let outcome = call.make(line).await;
            (call, outcome)
        });
        let mut answers = stream::iter(calls).buffered(AT_ONCE);
        while let Some((call, outcome)) = answers.next().await {
            tally.count(&call, outcome);
            progress.one();
        }
    }
    let took = began.elapsed();
    progress.0.finish_and_clear();
    (tally, took)
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

async fn explain_one(admin: &Client) -> Outcome {
    heading("Why a call goes where it goes (POST /v1/explain; calls nobody)");
    let variables = json!({"product": "Kettle One", "ticket": "Where is my order?"});
    let body = json!({"model": "prompt/support-reply", "prompt": {"variables": variables}, "user": "customer-7"});
    explain::show(&admin.send(Method::POST, "/v1/explain", &body).await?);
    Ok(())
}

/// Calls with an unwanted outcome: a mistake of ours, or prompts that were changed.
fn odd(tally: &Tally) -> Outcome {
    let odd = tally.odd();
    if odd.is_empty() {
        return Ok(());
    }
    let some: Vec<&str> = odd.iter().take(5).map(String::as_str).collect();
    Err(Failure::Negative(format!(
        "\n{} calls came to something else than they should have:\n{}",
        odd.len(),
        some.join("\n")
    )))
}
