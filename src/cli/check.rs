//! `fulcrum check`: every problem of configuration, prompts and rules, at once.

use std::path::PathBuf;

use clap::Args;

use super::client::{file, told};
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
        let problems = match config::load(file(self.config).as_deref(), &|name| std::env::var(name).ok()) {
            Ok(config) => app::check(&config),
            Err(problems) => problems,
        };
        if !problems.is_empty() {
            return Err(Failure::Input(told(&problems)));
        }
        say("ok");
        Ok(())
    }
}
