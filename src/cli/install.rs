//! `fulcrum completions` and `fulcrum man`: what a package installs beside the binary.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::outcome::{Failure, Outcome};
use super::output::say;

/// Prints what makes a shell complete the commands.
#[derive(Args)]
#[command(after_help = "Example: fulcrum completions bash")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Writes a page for each command.
#[derive(Args)]
#[command(after_help = "Example: fulcrum man /usr/local/share/man/man1")]
pub struct Man {
    /// The folder; it is made where it is not there
    dir: PathBuf,
}

impl Completions {
    pub fn run(&self, mut command: clap::Command) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "fulcrum", &mut script);
        say(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}

impl Man {
    pub fn run(&self, command: clap::Command) -> Outcome {
        let unwritten = |error| Failure::Input(format!("{} cannot be written: {error}", self.dir.display()));
        std::fs::create_dir_all(&self.dir).map_err(unwritten)?;
        clap_mangen::generate_to(command, &self.dir).map_err(unwritten)?;
        say(&format!("wrote the pages to {}", self.dir.display()));
        Ok(())
    }
}
