//! `fulcrum check`: every problem of configuration, prompts and rules, at once.

use std::path::PathBuf;

use clap::Args;

use super::output::say;
use super::{Failure, Outcome};
use crate::app;
use crate::config;

/// Reads configuration, prompts and rules as `serve` would.
#[derive(Args)]
#[command(after_help = "Example: fulcrum check --config config/fulcrum.toml")]
pub struct Check {
    /// The configuration [default: $FULCRUM_CONFIG, then config/fulcrum.toml]
    #[arg(long)]
    config: Option<PathBuf>,
}

impl Check {
    pub fn run(self) -> Outcome {
        let path = self.config.or_else(|| app::default_config(std::env::var("FULCRUM_CONFIG").ok()));
        let env = |name: &str| std::env::var(name).ok();
        let problems = match config::load(path.as_deref(), &env) {
            Ok(config) => app::check(&config),
            Err(problems) => problems,
        };
        if problems.is_empty() {
            say("ok");
            return Ok(());
        }
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Err(Failure::Input(lines.join("\n")))
    }
}
