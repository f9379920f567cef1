//! `fulcrum demo`: the gateway at work, on a database and providers of its own.

mod call;
mod material;
mod paste;
mod proof;
mod run;
mod sandbox;
mod screen;
mod story;
mod tally;
mod traffic;

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::client::Client;
use super::outcome::{Failure, Outcome, Where};
use super::output::{note, say};
use super::{explain, usage};
use crate::config::parse_listen;
use crate::telemetry::{LogFormat, start_logs};
use crate::upstream;
use call::Line;
use proof::{Act, Books};
use run::Run;
use sandbox::Sandbox;
use tally::Tally;

/// Shows the gateway at work: simulated providers, a temporary database, and nothing called outside.
#[derive(Args)]
#[command(after_help = "Example: fulcrum demo --exit")]
pub struct Demo {
    /// Stop after the report, instead of staying up
    #[arg(long)]
    exit: bool,
    /// Print the tables of the run, and more lines to paste
    #[arg(long)]
    full: bool,
    /// Where to listen [default: 127.0.0.1:8080 if it is free, else any free port]
    #[arg(long)]
    listen: Option<String>,
}

impl Demo {
    /// Exit code 1 where one of the five things that it shows did not happen, or a call had another outcome than it should.
    pub async fn run(self) -> Outcome {
        // Its targets fail on purpose, which the screen says itself.
        let _logs = start_logs(if self.full { "warn" } else { "error" }, LogFormat::Text);
        let named = self.listen.as_deref().map(|text| parse_listen(text, false)).transpose();
        let bad = |problem| Failure::Input(format!("--listen: {problem}; use an address such as 127.0.0.1:8080"));
        let named = named.map_err(|(problem, _fix)| bad(problem))?;
        let mut stop = Stop::listen()?;
        let sandbox = Sandbox::open(sandbox::listen(named).await?).await?;
        let outcome = tokio::select! {
            shown = self.show(&sandbox) => shown.map(Some),
            () = stop.comes() => Ok(None),
        };
        let outcome = match outcome {
            Ok(Some(missing)) => {
                if !self.exit {
                    if let Some(missing) = &missing {
                        note(missing);
                    }
                    stop.comes().await;
                }
                missing.map_or(Ok(()), |missing| Err(Failure::Negative(missing)))
            }
            Ok(None) => Ok(()),
            Err(failure) => Err(failure),
        };
        let closed = sandbox.close().await;
        outcome.and(closed)
    }

    /// Makes the run and prints it; what did not happen as it should, if anything.
    async fn show(&self, sandbox: &Sandbox) -> Result<Option<String>, Failure> {
        if sandbox.prompts.contains("cannot be used") {
            note(&format!("Prompts: {}.", sandbox.prompts));
        }
        let place = Where { url: Some(sandbox.base.clone()), key: Some(sandbox.admin.clone()), config: None };
        let admin = Client::to(&place).await?;
        let (line, intern) = line(sandbox, &admin).await?;
        let mut run = Run::new(&line, &admin);
        for wave in traffic::waves() {
            run.send(wave.name, wave.calls).await;
        }
        let release = story::release(&mut run).await.map_err(reason);
        let limited = story::limits(&mut run, &intern).await.map_err(reason);
        let (tally, took) = run.end();
        let books = Books::read(&admin, release.as_ref().ok().map(|release| release.new)).await?;
        let acts = proof::acts(&books, release, limited);
        let binary = program();
        let rest = if self.exit { screen::ended() } else { screen::try_it(&sandbox.base, &sandbox.admin, &binary) };
        let mut lines = screen::lines(tally.calls(), took.as_secs_f64(), &acts);
        if lines.len() + rest.len() > screen::HEIGHT {
            // The empty line between the two: a long path has one of its own.
            lines.pop();
        }
        lines.iter().chain(&rest).for_each(|line| say(line));
        if self.full {
            details(sandbox, &admin, &tally, took).await?;
            if !self.exit {
                heading("More lines to paste while the demo stays up (the keys end with it)");
                say(&paste::lines(sandbox, &line.shop, &binary));
                say(&format!("\nThe gateway stays up at {} until Ctrl-C.", sandbox.base));
            }
        }
        Ok(missing(&acts, &tally))
    }
}

/// How another shell starts this program: by its name where that leads here, else by its path.
fn program() -> String {
    let name = "fulcrum";
    let Ok(own) = std::env::current_exe().and_then(|path| path.canonicalize()) else { return name.to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(name).canonicalize().is_ok_and(|found| found == own)) {
        return name.to_owned();
    }
    let typed = std::env::args().next().filter(|name| name.contains('/'));
    typed.unwrap_or_else(|| own.display().to_string())
}

/// The signals that end the demo.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::Unreachable(format!("no signals can be received: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// Waits for SIGINT or SIGTERM.
    async fn comes(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        note("stopping; the temporary database is removed");
    }
}

fn reason(failure: Failure) -> String {
    match failure {
        Failure::Negative(reason) | Failure::Input(reason) | Failure::Unreachable(reason) => reason,
    }
}

/// Prints the tables of the run.
async fn details(sandbox: &Sandbox, admin: &Client, tally: &Tally, took: Duration) -> Outcome {
    heading("The gateway");
    say(&format!("At {} on a temporary SQLite database. Prompts: {}.", sandbox.base, sandbox.prompts));
    say(
        "Every provider is SIMULATED: answers, latencies, faults and prices are made up, and nothing outside is called.",
    );
    heading("What happened");
    tally.lines(took).iter().for_each(|line| say(line));
    explain_one(admin).await?;
    for by in ["route", "model", "prompt"] {
        heading(&format!("Usage by {by} (simulated)"));
        usage::show(&admin.get(&format!("/api/v1/usage?by={by}")).await?, by);
    }
    if std::env::var_os("OPENAI_API_KEY").is_some_and(|key| !key.is_empty()) {
        heading("A real provider");
        say(paste::REAL);
    }
    Ok(())
}

fn heading(text: &str) {
    say(&format!("\n== {text}"));
}

/// Makes the callers' keys through the admin API; the lines to call on, and the id of the intern's key.
async fn line(sandbox: &Sandbox, admin: &Client) -> Result<(Line, String), Failure> {
    let make = async |body: Value| -> Result<(String, String), Failure> {
        let made = admin.send(Method::POST, "/api/v1/keys", &body).await?;
        let field = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
        Ok((field("key"), field("id")))
    };
    let office = ["fast", "prompt/code-documenter", "prompt/contract-clauses"];
    let client = upstream::Client::new(&sandbox.base, Duration::from_secs(3));
    let intern = json!({"name": "intern", "project": "office", "models": ["fast"], "requests_per_minute": 5});
    let (intern, id) = make(intern).await?;
    let line = Line {
        client: client.map_err(|error| Failure::Unreachable(error.to_string()))?,
        base: sandbox.base.clone(),
        shop: make(json!({"name": "shop-backend", "project": "shop", "tags": {"env": "demo"}})).await?.0,
        office: make(json!({"name": "office-tools", "project": "office", "models": office})).await?.0,
        intern,
    };
    Ok((line, id))
}

async fn explain_one(admin: &Client) -> Outcome {
    heading("Why a call goes where it goes (POST /v1/explain; no provider is called)");
    let variables = json!({"product": "Kettle One", "ticket": "Where is my order?"});
    let body = json!({"model": "prompt/support-reply", "prompt": {"variables": variables}, "user": "customer-7"});
    explain::show(&admin.send(Method::POST, "/v1/explain", &body).await?);
    Ok(())
}

/// What did not happen, and calls with an unwanted outcome: a mistake of ours, or prompts that were changed.
fn missing(acts: &[Act], tally: &Tally) -> Option<String> {
    let mut lines: Vec<String> =
        acts.iter().filter(|act| act.shown.is_err()).map(|act| format!("this did not happen: {}", act.title)).collect();
    let odd = tally.odd();
    if !odd.is_empty() {
        lines.push(format!("{} calls had another outcome than they should have:", odd.len()));
        lines.extend(odd.iter().take(5).cloned());
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}
