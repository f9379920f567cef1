//! The command line: each command parses, asks the gateway, and prints; none decides.

mod admin_key;
mod check;
mod client;
mod dataset;
mod demo;
mod experiment;
mod explain;
mod feedback;
mod fitted;
mod init;
mod install;
mod key;
mod outcome;
mod output;
mod pages;
mod prompt;
mod rehearse;
mod request;
mod requests;
mod serve;
mod usage;
mod usage_table;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use outcome::{Failure, Outcome};

pub use output::Format;

/// Threads of the runtime that accepts connections and writes the ledger; calls run on workers of their own.
const MAIN_THREADS: usize = 2;

/// Threads that a gateway needs beside those and its workers: for the database, looking names up, and long work.
const SERVING: usize = 8;

/// One binary between applications and language models.
#[derive(Parser)]
#[command(name = "fulcrum", version = crate::types::VERSION, about, after_help = "Start with: fulcrum demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::Serve),
    /// Write a configuration and an example prompt to start from
    Init(init::Init),
    /// Show the gateway at work on a temporary database, with simulated providers
    Demo(demo::Demo),
    /// Read configuration, prompts and rules as `serve` would, and print every problem
    Check(check::Check),
    /// Read and change the prompt registry
    #[command(subcommand, after_help = "Example: fulcrum prompt show support-reply@production")]
    Prompt(prompt::Prompt),
    /// Try versions and models on a part of the calls, and keep the better one
    #[command(subcommand, after_help = "Example: fulcrum experiment show support-v4")]
    Experiment(experiment::Experiment),
    /// Make, list, revoke and rotate virtual keys
    #[command(subcommand, after_help = "Example: fulcrum key create search-team --rpm 600")]
    Key(key::Key),
    /// Show a request; read and erase the texts that are stored
    #[command(subcommand, after_help = "Example: fulcrum request show 019abd2c-7f10-7a33-b2c4-5d6e7f8090a1 --body")]
    Request(request::Request),
    /// Make, fill, show and export datasets to evaluate and to train with
    #[command(subcommand, after_help = "Example: fulcrum dataset import tickets tickets.jsonl")]
    Dataset(dataset::Dataset),
    /// Report and list what people and programs say of answers
    #[command(subcommand, after_help = "Example: fulcrum feedback list --metric resolved")]
    Feedback(feedback::Feedback),
    /// List requests by time, cost or latency
    Requests(requests::Requests),
    /// Report what was used and spent
    Usage(usage::Usage),
    /// Explain what a request would get; no provider is called
    Explain(explain::Explain),
    /// Show the faults of providers to the configured routes, and check what the gateway promises; no provider is called
    Rehearse(rehearse::Rehearse),
    /// Print what makes a shell complete the commands
    Completions(install::Completions),
    /// Write a page for each command
    Man(install::Man),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let threads = if matches!(cli.command, Command::Serve(_)) { MAIN_THREADS + SERVING } else { MAIN_THREADS };
    let runtime = can_start(threads)
        .and_then(|()| tokio::runtime::Builder::new_multi_thread().worker_threads(MAIN_THREADS).enable_all().build());
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let outcome = dispatch(cli.command).await;
            client::close().await;
            outcome
        }),
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

/// Whether the system lets so many threads run beside this one, and one for each core: a runtime that lacks one panics, and
/// half a gateway would serve nobody.
fn can_start(threads: usize) -> std::io::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let gate = std::sync::Mutex::new(());
    let gate = &gate;
    std::thread::scope(|scope| {
        let held = gate.lock();
        let started = (0..threads + cores).try_for_each(|_| {
            let waits = std::thread::Builder::new().spawn_scoped(scope, move || drop(gate.lock()));
            waits.map(drop)
        });
        drop(held);
        started.map_err(|error| {
            std::io::Error::new(
                error.kind(),
                format!("no more threads can be started ({error}); raise the limit of processes"),
            )
        })
    })
}

async fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Serve(command) => Box::pin(command.run()).await,
        Command::Init(command) => command.run(),
        Command::Demo(command) => Box::pin(command.run()).await,
        Command::Check(command) => Box::pin(command.run()).await,
        Command::Prompt(command) => Box::pin(command.run()).await,
        Command::Experiment(command) => Box::pin(command.run()).await,
        Command::Key(command) => Box::pin(command.run()).await,
        Command::Request(command) => Box::pin(command.run()).await,
        Command::Dataset(command) => Box::pin(command.run()).await,
        Command::Feedback(command) => Box::pin(command.run()).await,
        Command::Requests(command) => Box::pin(command.run()).await,
        Command::Usage(command) => Box::pin(command.run()).await,
        Command::Explain(command) => Box::pin(command.run()).await,
        Command::Rehearse(command) => Box::pin(command.run()).await,
        Command::Completions(command) => command.run(Cli::command()),
        Command::Man(command) => command.run(Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use clap::ArgMatches;

    use super::*;

    /// The words of a command line, as a shell splits it.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for letter in line.chars() {
            match letter {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                letter => word.push(letter),
            }
        }
        words.push(word);
        words.retain(|word| !word.is_empty());
        words
    }

    /// Checks every command below this one: each has examples of its own, which can be run.
    fn check(command: &clap::Command, path: &str, leaves: &mut usize) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.trim().strip_prefix("Example: ")).collect();
        assert!(!examples.is_empty() || path == "fulcrum", "{path} has no example");
        for example in examples {
            assert!(example.starts_with(&format!("{path} ")) || example == path, "the example of {path} is: {example}");
            // A second command after `&&` is another's example.
            let line = example.split(" && ").next().unwrap();
            let matches =
                Cli::command().try_get_matches_from(words(line)).unwrap_or_else(|error| panic!("{example}: {error}"));
            check_ids(&matches, example);
        }
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            check(sub, &format!("{path} {}", sub.get_name()), leaves);
        }
        *leaves += usize::from(!command.has_subcommands());
    }

    /// An id in an example looks as a real one does.
    fn check_ids(matches: &ArgMatches, example: &str) {
        if let Ok(Some(id)) = matches.try_get_one::<String>("id") {
            let is_key = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            assert!(is_key || id.parse::<crate::types::RequestId>().is_ok(), "{example}: {id} looks like no id");
        }
        if let Some((_, below)) = matches.subcommand() {
            check_ids(below, example);
        }
    }

    /// Checks the help of every command below this one: a line each option, with the variable that stands in for it.
    fn check_help(command: &clap::Command, path: &str) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            check_help(sub, &format!("{path} {}", sub.get_name()));
        }
        let help = command.clone().render_long_help().to_string();
        assert!(!help.contains("Possible values:"), "{path} has a line for each value:\n{help}");
        if !command.get_arguments().any(|option| option.get_id() == "url") {
            return;
        }
        let (above, connection) = help.split_once("Connection:\n").unwrap_or_else(|| panic!("{path}:\n{help}"));
        for (option, variable) in [("--url", "FULCRUM_URL"), ("--key", "FULCRUM_KEY"), ("--config", "FULCRUM_CONFIG")] {
            assert!(!above.contains(&format!("  {option} ")), "{path}: {option} stands above:\n{help}");
            assert!(
                connection.contains(option) && connection.contains(&format!("[env: {variable}")),
                "{path}:\n{help}"
            );
        }
    }

    #[test]
    fn every_help_has_a_line_for_an_option_and_its_connection_apart() {
        let mut command = Cli::command();
        command.build();
        check_help(&command, "fulcrum");
    }

    #[test]
    fn every_command_has_an_example_of_its_own_that_can_be_run() {
        let mut leaves = 0;
        check(&Cli::command(), "fulcrum", &mut leaves);
        assert!(leaves >= 15, "{leaves}");
    }
}
