//! Measures what a call through Fulcrum costs, beside other proxies on the same machine in the same run.
//!
//! Run it by `scripts/bench`; `--help` lists its options. The upstream is a mock in a process of its own, each contender is
//! another, and the load comes from this process. Everything stays on the loopback interface and is bounded in count.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]
#![expect(clippy::disallowed_methods, reason = "the mock, the proxy and the load end with their process")]

mod client;
mod contenders;
mod dialect;
mod load;
mod mock;
mod options;
mod pairs;
mod process;
mod proxy;
mod report;
mod scenarios;
mod startup;

use clap::Parser;

use options::{Command, Options};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let options = Options::parse();
    match options.command {
        Some(Command::Mock) => runtime(1)?.block_on(mock::run()),
        Some(Command::Proxy { port, upstream }) => runtime(2)?.block_on(proxy::run(port, upstream)),
        None => runtime(1)?.block_on(scenarios::run(&options)),
    }
}

fn runtime(threads: usize) -> Result<tokio::runtime::Runtime> {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    Ok(builder.enable_all().build()?)
}
