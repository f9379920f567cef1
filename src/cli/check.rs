//! `fulcrum check`: every problem of configuration, prompts and rules, at once.

use std::path::PathBuf;

use clap::Args;

use serde_json::{Value, json};

use super::client::{env, listed};
use super::outcome::{Failure, Outcome};
use super::output::{Form, json as print_json, say};
use crate::app::{self, Checked};
use crate::config::{self, Config, Secrets};
use crate::types::Diagnostic;

/// Reads configuration, prompts and rules as `serve` would.
#[derive(Args)]
#[command(after_help = "Example: fulcrum check --config config/fulcrum.toml")]
pub struct Check {
    /// The configuration [default: $FULCRUM_CONFIG, then config/fulcrum.toml]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Take warnings for problems
    #[arg(long)]
    strict: bool,
    #[arg(long, default_value = "table")]
    format: Form,
}

/// What was found, and what was read where nothing was wrong.
struct Found {
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    read: Option<Value>,
}

impl Check {
    pub fn run(self) -> Outcome {
        let found = self.look();
        let Found { problems, warnings, read } = &found;
        let is_good = problems.is_empty() && (warnings.is_empty() || !self.strict);
        match self.format {
            Form::Json => {
                let rows = |list: &[Diagnostic]| list.iter().map(row).collect::<Vec<_>>();
                print_json(&json!({"problems": rows(problems), "warnings": rows(warnings), "read": read}));
            }
            Form::Table => {
                warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
                if !problems.is_empty() {
                    say(&listed(problems));
                }
                if let Some(read) = read.as_ref().filter(|_| is_good) {
                    say(&format!("{}: ok", summary(read)));
                }
            }
        }
        // The mistakes are the command's output, so the failure has no message.
        if is_good { Ok(()) } else { Err(Failure::Input(String::new())) }
    }

    fn look(&self) -> Found {
        let of_problems = |problems| Found { problems, warnings: Vec::new(), read: None };
        let file = match config::find(self.config.clone(), &env) {
            Ok(file) => file,
            Err(missing) => return of_problems(vec![missing]),
        };
        let config = match config::load(&file, Secrets::Read, &env) {
            Ok(config) => config,
            Err(problems) => return of_problems(problems),
        };
        let shown = file.display().to_string();
        let of_file = |warning: Diagnostic| warning.of_file(shown.clone());
        let mut warnings: Vec<Diagnostic> = app::warnings(&config).into_iter().map(of_file).collect();
        let Checked { problems, warnings: of_prompts, prompts } = app::check(&config);
        warnings.extend(of_prompts);
        let read = problems.is_empty().then(|| counts(&shown, &config, prompts));
        Found { problems, warnings, read }
    }
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
