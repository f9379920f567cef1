//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures Fulcrum beside other proxies.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Only these contenders: fulcrum, before, nginx, hyper, portkey, litellm.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Only these scenarios: whole1, whole64, stream1, stream16, paced16, cached64, open2000, pairs,
    /// memory, startup.
    #[arg(long, value_delimiter = ',')]
    pub(crate) scenario: Vec<String>,
    /// A tenth of the requests.
    #[arg(long)]
    pub(crate) quick: bool,
    /// How often each contender is measured in each scenario; the median is reported.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Where the results go.
    #[arg(long, default_value = "docs/benchmarks")]
    pub(crate) out: PathBuf,
    /// Fulcrum's binary.
    #[arg(long, default_value = "target/release/fulcrum")]
    pub(crate) fulcrum: PathBuf,
    /// Another of Fulcrum's binaries, measured in the same run as the contender `before`.
    #[arg(long)]
    pub(crate) before: Option<PathBuf>,
    /// Where `scripts/bench` installed the other gateways.
    #[arg(long, default_value = ".services")]
    pub(crate) services: PathBuf,
    /// `cargo bench` says this; it changes nothing.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What the bench starts itself as.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The mock upstream; prints its port.
    #[command(hide = true)]
    Mock,
    /// The bare hyper proxy.
    #[command(hide = true)]
    Proxy { port: u16, upstream: SocketAddr },
}

impl Options {
    pub(crate) fn wants(&self, contender: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == contender)
    }

    pub(crate) fn runs(&self, scenario: &str) -> bool {
        self.scenario.is_empty() || self.scenario.iter().any(|name| name == scenario)
    }
}
