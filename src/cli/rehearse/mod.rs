//! `fulcrum rehearse`: every fault against every configured route, with scripts in the place of providers.

mod answers;
mod card;
mod case;
mod fault;
mod junit;
mod promise;
mod script;
mod stage;

use std::path::PathBuf;

use clap::Args;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::client::{configuration, env, listed};
use super::outcome::{Failure, Outcome, path};
use super::output::{Form, json, note, say};
use crate::app;
use crate::config::{self, Config, Secrets};
use crate::routing::Rehearsed;
use crate::upstream::Provider;
use crate::wire::DialectId;
use card::{Card, Line};
use case::Case;
use fault::{Act, FAULTS, Fault, Of, Scope};
use promise::{Promise, promises, target_of};
use stage::Stage;

/// Gateways at once.
const STAGES: usize = 4;

/// The calls of a storm, so many at once.
const STORM: usize = 50;
const AT_ONCE: usize = 5;

/// Replays faults of providers against the configured routes, and checks what the gateway promises. No provider is called.
#[derive(Args)]
#[command(after_help = "Example: fulcrum rehearse --config config/fulcrum.toml --junit rehearsal.xml")]
pub struct Rehearse {
    /// The configuration [default: config/fulcrum.toml]
    #[arg(long, env = "FULCRUM_CONFIG", value_parser = path())]
    config: Option<PathBuf>,
    #[arg(long, default_value = "table")]
    format: Form,
    /// Write the report for a CI to this file, as JUnit's XML
    #[arg(long)]
    junit: Option<PathBuf>,
}

/// What one stage has to do.
type Job<'a> = (&'a Rehearsed, Option<(&'static Fault, Scope, DialectId)>);

impl Rehearse {
    /// Exit code 1 where a promise broke, 2 for a bad configuration.
    pub async fn run(self) -> Outcome {
        let file = config::find(self.config.clone(), &env).map_err(|missing| Failure::Input(missing.to_string()))?;
        let config = configuration(&file, Secrets::Leave)?;
        let problems = app::check(&config).problems;
        if !problems.is_empty() {
            return Err(Failure::Input(listed(&problems)));
        }
        let (config, routes) = stage::routes(config)?;
        if routes.is_empty() {
            return Err(Failure::Input(format!("{}: there is no route and no model to rehearse", file.display())));
        }
        if self.format == Form::Table {
            say("No provider is called and no secret is read: a script in this process answers for each.\n");
        }
        let card = Card { file: file.display().to_string(), lines: rehearse(&config, &routes).await? };
        match self.format {
            Form::Json => json(&card.json()),
            Form::Table => card.show(),
        }
        if let Some(junit) = &self.junit {
            let written = std::fs::write(junit, junit::document(&card));
            written.map_err(|error| Failure::Input(format!("{} cannot be written: {error}", junit.display())))?;
        }
        match card.broken() {
            0 => Ok(()),
            // The card is the command's output, so the failure has no other message.
            _ => Err(Failure::Negative(String::new())),
        }
    }
}

/// Every call, some at once; in the order of routes and faults.
async fn rehearse(config: &Config, routes: &[Rehearsed]) -> Result<Vec<Line>, Failure> {
    let jobs: Vec<Job<'_>> = routes.iter().flat_map(jobs).collect();
    let stages = STAGES.min(jobs.len());
    note(&format!("{} cases on {} routes", jobs.len(), routes.len()));
    let each = (0..stages).map(|first| {
        let mine = jobs.iter().enumerate().skip(first).step_by(stages);
        async move {
            let stage = Stage::open(config).await?;
            let mut lines = Vec::new();
            for (n, job) in mine {
                stage.reset().await?;
                lines.push((n, line(&stage, job, &config.providers).await));
            }
            stage.close().await?;
            Ok::<_, Failure>(lines)
        }
    });
    let mut lines = Vec::new();
    for done in join_all(each).await {
        lines.extend(done?);
    }
    lines.sort_by_key(|(n, _)| *n);
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// What is rehearsed of one route.
fn jobs(route: &Rehearsed) -> Vec<Job<'_>> {
    const ALL: [DialectId; 4] =
        [DialectId::OpenAiChat, DialectId::OpenAiResponses, DialectId::Anthropic, DialectId::Gemini];
    let mut jobs = Vec::new();
    for fault in FAULTS.iter().filter(|fault| fault.is_of(route)) {
        // The one target that there is, is all of them.
        let is_twice = route.asked().nth(1).is_none() && fault.scopes().contains(&Scope::All);
        for scope in fault.scopes().iter().filter(|scope| !is_twice || **scope == Scope::All) {
            // Where a fault strikes one target alone, what the caller gets is an answer in any dialect.
            let count = if fault.in_all_dialects && *scope == Scope::All { ALL.len() } else { 1 };
            jobs.extend(ALL[..count].iter().map(|dialect| (route, Some((fault, *scope, *dialect)))));
        }
    }
    jobs.push((route, None));
    jobs
}

async fn line(stage: &Stage, (route, what): &Job<'_>, providers: &[Provider]) -> Line {
    let Some((fault, scope, dialect)) = *what else { return storm(stage, route).await };
    let case = Case { route, fault, scope, dialect };
    let seen = case.make(stage).await;
    let promises = promises(&case, &seen);
    Line::of(&case, &seen, providers, promises)
}

/// Many calls to targets that all fail: what is sent again adds at most a fifth of the calls, and three.
async fn storm(stage: &Stage, route: &Rehearsed) -> Line {
    static DOWN: Fault = Fault {
        name: "storm",
        says: "status 503 to 50 calls",
        act: Act::Status(503, None),
        stream: false,
        waits: None,
        goes_on: true,
        limit: None,
        in_all_dialects: false,
        of: Of::Any,
    };
    let began = Instant::now();
    let case = Case { route, fault: &DOWN, scope: Scope::All, dialect: DialectId::OpenAiChat };
    let (mut attempts, mut again) = (0, 0);
    for _ in 0..STORM / AT_ONCE {
        for seen in join_all((0..AT_ONCE).map(|_| case.make(stage))).await {
            let mut asked: Vec<String> = seen.attempts().iter().map(target_of).collect();
            let all = asked.len();
            attempts += all;
            asked.sort_unstable();
            asked.dedup();
            again += all - asked.len();
        }
    }
    let most = STORM / 5 + 3;
    let broken = (again > most).then(|| format!("{again} calls were repeated, and {most} may be"));
    let promise = Promise { name: "retries add at most a fifth of the calls, and three", broken };
    Line::of_storm(&route.name, (STORM, attempts), began.elapsed(), promise)
}
