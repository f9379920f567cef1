//! `fulcrum check`: every problem of configuration, prompts and rules, at once.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use serde_json::{Value, json};

use super::client::{env, listed};
use super::outcome::{Failure, Outcome, path};
use super::output::{Form, json as print_json, say};
use crate::app::{self, Checked};
use crate::config::{self, Config, Secrets};
use crate::types::Diagnostic;
use crate::upstream::{Probe, Probed};

/// Reads configuration, prompts and rules as `serve` would.
#[derive(Args)]
#[command(after_help = "Example: fulcrum check --config config/fulcrum.toml\nExample: fulcrum check --strict --probe")]
pub struct Check {
    /// The configuration [default: config/fulcrum.toml]
    #[arg(long, env = "FULCRUM_CONFIG", value_parser = path())]
    config: Option<PathBuf>,
    /// End with exit code 1 where there are warnings
    #[arg(long)]
    strict: bool,
    /// Call each provider once, with what costs nothing, and end with exit code 1 where one fails
    #[arg(long)]
    probe: bool,
    #[arg(long, default_value = "table")]
    format: Form,
}

/// What was found, and what was read where nothing was wrong.
struct Found {
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    read: Option<Value>,
    /// How each provider answered; `None` where none was called.
    probes: Option<Vec<(Arc<str>, Probe)>>,
}

impl Found {
    fn of_problems(problems: Vec<Diagnostic>) -> Self {
        Self { problems, warnings: Vec::new(), read: None, probes: None }
    }

    /// Whether every provider that was called answered.
    fn all_answered(&self) -> bool {
        self.probes.iter().flatten().all(|(_, probe)| probe.probed == Probed::Ok)
    }
}

impl Check {
    pub async fn run(self) -> Outcome {
        let found = self.look().await;
        let Found { problems, warnings, read, probes } = &found;
        let is_good = problems.is_empty() && (warnings.is_empty() || !self.strict) && found.all_answered();
        match self.format {
            Form::Json => {
                let rows = |list: &[Diagnostic]| list.iter().map(row).collect::<Vec<_>>();
                let probes = probes.as_ref().map(|probes| probes.iter().map(probe_row).collect::<Vec<_>>());
                print_json(
                    &json!({"problems": rows(problems), "warnings": rows(warnings), "read": read, "probes": probes}),
                );
            }
            Form::Table => {
                warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
                if !problems.is_empty() {
                    say(&listed(problems));
                }
                probes.iter().flatten().for_each(|(name, probe)| say(&probe_line(name, probe)));
                if let Some(read) = read.as_ref().filter(|_| is_good) {
                    say(&format!("{}: ok", summary(read)));
                }
            }
        }
        // What was found is the command's output, so the failure has no other message.
        match (is_good, problems.is_empty()) {
            (true, _) => Ok(()),
            (false, true) if self.strict && !warnings.is_empty() => Err(Failure::Negative(failed_by(warnings.len()))),
            (false, true) => Err(Failure::Negative(String::new())),
            (false, false) => Err(Failure::Input(String::new())),
        }
    }

    async fn look(&self) -> Found {
        let file = match config::find(self.config.clone(), &env) {
            Ok(file) => file,
            Err(missing) => return Found::of_problems(vec![missing]),
        };
        let config = match config::load(&file, Secrets::Read, &env) {
            Ok(config) => config,
            Err(problems) => return Found::of_problems(problems),
        };
        let mut warnings = app::warnings(&config);
        let Checked { problems, warnings: of_prompts, prompts } = app::check(&config);
        warnings.extend(of_prompts);
        warnings.extend(app::key_warnings(&config).await);
        let is_right = problems.is_empty();
        let read = is_right.then(|| counts(&file.display().to_string(), &config, prompts));
        let probes = if self.probe && is_right { Some(app::probe(&config).await) } else { None };
        Found { problems, warnings, read, probes }
    }
}

/// Why `--strict` fails where nothing is wrong.
fn failed_by(warnings: usize) -> String {
    let what = if warnings == 1 { "1 warning".to_owned() } else { format!("{warnings} warnings") };
    format!("not ok: {what}, which --strict takes for failures")
}

fn probe_line(name: &str, Probe { probed, detail, took }: &Probe) -> String {
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    format!("provider {name}: {} in {} ms{detail}", probed.text(), took.as_millis())
}

fn probe_row((name, Probe { probed, detail, took }): &(Arc<str>, Probe)) -> Value {
    let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    json!({"provider": name, "outcome": probed.text(), "ms": took, "detail": detail})
}

fn counts(file: &str, config: &Config, prompts: usize) -> Value {
    json!({
        "file": file, "providers": config.providers.len(), "models": config.models.len(),
        "routes": config.routes.list().len(), "prompts": prompts,
    })
}

fn summary(read: &Value) -> String {
    let count = |name: &str| {
        let count = read[name].as_u64().unwrap_or_default();
        format!("{count} {}", if count == 1 { &name[..name.len() - 1] } else { name })
    };
    let counts = ["providers", "models", "routes", "prompts"].map(count);
    format!("{}: {}", read["file"].as_str().unwrap_or_default(), counts.join(", "))
}

/// A mistake as a program reads it; `line` and `col` are null where they are not known.
fn row(problem: &Diagnostic) -> Value {
    let (line, col) = problem.position().map(|at| (at.line, at.column)).unzip();
    let Diagnostic { file, key, problem, fix, .. } = problem;
    let file = file.as_deref().unwrap_or_default();
    json!({"file": file, "line": line, "col": col, "key": key, "problem": problem, "fix": fix})
}
