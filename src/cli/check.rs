//! `fulcrum check`: every problem of configuration, prompts and rules, at once.

use std::path::PathBuf;

use clap::Args;

use serde_json::{Value, json};

use super::client::{file, listed};
use super::outcome::{Failure, Outcome};
use super::output::{Form, json as print_json, say};
use crate::app;
use crate::config;
use crate::types::Diagnostic;

/// Reads configuration, prompts and rules as `serve` would.
#[derive(Args)]
#[command(after_help = "Example: fulcrum check --config config/fulcrum.toml")]
pub struct Check {
    /// The configuration [default: $FULCRUM_CONFIG, then config/fulcrum.toml]
    #[arg(long)]
    config: Option<PathBuf>,
    #[arg(long, default_value = "table")]
    format: Form,
}

impl Check {
    pub fn run(self) -> Outcome {
        let problems = match config::load(file(self.config).as_deref(), &|name| std::env::var(name).ok()) {
            Ok(config) => app::check(&config),
            Err(problems) => problems,
        };
        match self.format {
            Form::Json => print_json(&json!({"problems": problems.iter().map(row).collect::<Vec<_>>()})),
            Form::Table if problems.is_empty() => say("ok"),
            Form::Table => say(&listed(&problems)),
        }
        // The mistakes are the command's output, so the failure has no message.
        if problems.is_empty() { Ok(()) } else { Err(Failure::Input(String::new())) }
    }
}

/// A mistake as a program reads it; `line` and `col` are null where they are not known.
fn row(problem: &Diagnostic) -> Value {
    let (line, col) = problem.position().map(|at| (at.line, at.column)).unzip();
    let Diagnostic { file, key, problem, fix, .. } = problem;
    let file = file.as_deref().unwrap_or_default();
    json!({"file": file, "line": line, "col": col, "key": key, "problem": problem, "fix": fix})
}
