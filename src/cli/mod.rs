//! The command line: each command parses, asks the gateway, and prints; none decides.

mod check;
mod client;
mod demo;
mod explain;
mod key;
mod outcome;
mod output;
mod prompt;
mod serve;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use outcome::{Failure, Outcome};

pub use output::Format;

/// Threads of the runtime that accepts connections and writes the ledger; calls run on workers of their own.
const MAIN_THREADS: usize = 2;

/// One binary between applications and language models.
#[derive(Parser)]
#[command(name = "fulcrum", version, about, after_help = "Start with: fulcrum demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::Serve),
    /// Show the gateway at work on a temporary database, with simulated providers
    Demo(demo::Demo),
    /// Read configuration, prompts and rules as `serve` would, and print every problem
    Check(check::Check),
    /// Read and change the prompt registry
    #[command(subcommand, after_help = "Example: fulcrum prompt show support-reply@production")]
    Prompt(prompt::Prompt),
    /// Make, list, revoke and rotate virtual keys
    #[command(subcommand, after_help = "Example: fulcrum key create search-team --rpm 600")]
    Key(key::Key),
    /// Report what was used and spent
    Usage(usage::Usage),
    /// Explain what a request would get; no provider is called
    Explain(explain::Explain),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(MAIN_THREADS).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli.command)),
        Err(error) => Err(Failure::Unreachable(format!("cannot start: {error}"))),
    };
    let (code, message) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Negative(message)) => (1, message),
        Err(Failure::Input(message)) => (2, message),
        Err(Failure::Unreachable(message)) => (3, message),
    };
    output::complain(&message);
    ExitCode::from(code)
}

async fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Serve(command) => Box::pin(command.run()).await,
        Command::Demo(command) => Box::pin(command.run()).await,
        Command::Check(command) => command.run(),
        Command::Prompt(command) => Box::pin(command.run()).await,
        Command::Key(command) => Box::pin(command.run()).await,
        Command::Usage(command) => Box::pin(command.run()).await,
        Command::Explain(command) => Box::pin(command.run()).await,
    }
}
