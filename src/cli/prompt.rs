//! `fulcrum prompt`: the registry.

mod change;
mod folder;
mod life;
mod look;
mod run;
mod shared;
mod variables;

use clap::Subcommand;

use super::outcome::Outcome;

pub use variables::typed;

/// The prompt registry.
#[derive(Subcommand)]
pub enum Prompt {
    /// List the prompts with their labels
    List(look::List),
    /// Show a prompt as calls of NAME get it, or one version of it as NAME@VERSION or NAME@LABEL
    Show(look::Show),
    /// List the versions of a prompt: who made each, when and why
    Versions(look::Versions),
    /// List the moves of a prompt's labels: who moved each, when, from where, to where and why
    History(look::History),
    /// Add a version from a file; makes the prompt where there is none
    Add(change::Add),
    /// Point a label at a version
    Label(change::Label),
    /// Take a label away
    Unlabel(change::Unlabel),
    /// Archive a prompt: it answers no calls and stands in no list, and its versions and history stay
    Archive(life::Archive),
    /// Bring an archived prompt back
    Unarchive(life::Unarchive),
    /// Give a prompt another name; versions, labels and history stay, and calls of the old name are refused with the new one
    Rename(life::Rename),
    /// Tell what changed between two versions
    Diff(look::Diff),
    /// Render a version, or a file, with variables
    Render(run::Render),
    /// Call a model with a version, or with a file that is no version yet
    Run(run::Run),
    /// Add every file of a folder as a new version where its content is new
    Import(folder::Import),
    /// Write each prompt's version to a file of a folder
    Export(folder::Export),
}

impl Prompt {
    pub async fn run(self) -> Outcome {
        match self {
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Versions(command) => command.run().await,
            Self::History(command) => command.run().await,
            Self::Add(command) => command.run().await,
            Self::Label(command) => command.run().await,
            Self::Unlabel(command) => command.run().await,
            Self::Archive(command) => command.run().await,
            Self::Unarchive(command) => command.run().await,
            Self::Rename(command) => command.run().await,
            Self::Diff(command) => command.run().await,
            Self::Render(command) => command.run().await,
            Self::Run(command) => command.run().await,
            Self::Import(command) => command.run().await,
            Self::Export(command) => command.run().await,
        }
    }
}
