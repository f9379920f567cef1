//! `fulcrum demo`: the gateway at work.

use clap::Args;

use super::Outcome;

/// Shows the gateway at work.
#[derive(Args)]
pub struct Demo {
    /// Stop after the report
    #[arg(long)]
    exit: bool,
}

impl Demo {
    pub async fn run(self) -> Outcome {
        let _later = self.exit;
        Ok(())
    }
}
