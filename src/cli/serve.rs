//! `fulcrum serve`: runs the gateway until a signal ends it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf, absolute};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::admin_key;
use super::client::{configuration, env};
use super::outcome::{Failure, Outcome, path};
use super::watch::{Seen, Signals, Watched, WatchedFolder, watch};
use crate::app::{self, App, Built};
use crate::config::{self, Config, Secrets, parse_listen};
use crate::db;
use crate::http::{Listening, serve, serve_metrics};
use crate::prompts;
use crate::telemetry::start_logs;
use crate::upstream::Provider;

/// The most warnings of a configuration that the log has.
const MOST_WARNINGS: usize = 20;

/// Runs the gateway.
#[derive(Args)]
#[command(
    after_help = "FULCRUM_ADMIN_KEY, 24 characters or more, is the admin key from the first start with it on; without it one \
    is made and shown once.\n\n\
    Example: fulcrum serve --config config/fulcrum.toml --listen 127.0.0.1:8080"
)]
pub struct Serve {
    /// The configuration [default: config/fulcrum.toml]
    #[arg(long, env = "FULCRUM_CONFIG", value_parser = path())]
    config: Option<PathBuf>,
    /// Where to listen, instead of the configured address
    #[arg(long)]
    listen: Option<String>,
    /// Write the admin key that a first start makes to this new file, which only its owner can read, and not to stderr
    #[arg(long, value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
}

impl Serve {
    pub async fn run(self) -> Outcome {
        // Before all else: a signal that comes while the gateway starts waits until it has, and ends nothing by itself.
        let signals =
            Signals::new().map_err(|error| Failure::Unreachable(format!("cannot receive signals: {error}")))?;
        let path = config::find(self.config, &env).map_err(|missing| Failure::Input(missing.to_string()))?;
        // Looked at before the file is read: a change from then on is seen.
        let seen = Seen::of(&path);
        let mut config = configuration(&path, Secrets::Read)?;
        let configured = config.server.listen;
        if let Some(listen) = &self.listen {
            let parsed = parse_listen(listen, config.server.allow_public_bind);
            let refusal = |(problem, fix)| Failure::Input(format!("--listen: {problem}; {fix}"));
            config.server.listen = parsed.map_err(refusal)?;
        }
        let _logs = start_logs(config.telemetry.log, config.telemetry.log_format);
        introduce(&config, &path);
        let listen = config.server.listen;
        let listening = listening_at(listen, "--listen, or listen under [server]").await?;
        let metrics = metrics_listening(&config).await?;
        let database = config.database.url.clone();
        let folder = WatchedFolder::of(&config);
        let built = App::build(config).await;
        let Built { app, new_admin_key } = built.map_err(|error| not_built(&error))?;
        if let Some(key) = new_admin_key {
            admin_key::hand_over(&key, self.admin_key_file.as_deref(), &database);
        }
        let stop = CancellationToken::new();
        #[expect(
            clippy::disallowed_methods,
            reason = "the configuration is watched beside the server, until it stops"
        )]
        tokio::spawn(watch(app.clone(), Watched { path, seen, folder, configured, listen }, signals, stop.clone()));
        if let Some(metrics) = metrics {
            tracing::info!("metrics without a key at http://{}/metrics", metrics.address());
            #[expect(clippy::disallowed_methods, reason = "the metrics are served beside the server, until it stops")]
            tokio::spawn(serve_metrics(app.clone(), metrics, stop.clone()));
        }
        tracing::info!("listening at http://{}", listening.address());
        let served = serve(app.clone(), listening, stop.clone()).await;
        served.map_err(|error| Failure::Unreachable(format!("cannot start a worker: {error}")))?;
        app.close().await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Where the metrics are served without a key, if anywhere.
async fn metrics_listening(config: &Config) -> Result<Option<Listening>, Failure> {
    match config.telemetry.metrics_listen {
        Some(address) => listening_at(address, "metrics_listen under [telemetry]").await.map(Some),
        None => Ok(None),
    }
}

/// Listens at `address`, which `setting` names.
async fn listening_at(address: SocketAddr, setting: &str) -> Result<Listening, Failure> {
    let listening = Listening::at(address).await;
    listening.map_err(|error| {
        let other = match error.kind() {
            ErrorKind::AddrInUse => format!("; another process listens there: name another address with {setting}"),
            _ => String::new(),
        };
        Failure::Unreachable(format!("cannot listen at {address}: {error}{other}"))
    })
}

/// Logs what runs: the version, what it reads and writes, whom it calls, and what is likely to surprise.
fn introduce(config: &Config, path: &Path) {
    let file = absolute(path).unwrap_or_else(|_| path.to_owned());
    let database = db::place(&config.database.url);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        configuration = %file.display(),
        %database,
        "fulcrum {} with configuration {} and database {database}",
        env!("CARGO_PKG_VERSION"),
        file.display(),
    );
    let named = |provider: &Provider| format!("{} ({})", provider.name, provider.kind.row().name);
    let providers: Vec<String> = config.providers.iter().map(named).collect();
    tracing::info!(providers = providers.len(), "providers: {}", providers.join(", "));
    let warnings = app::warnings(config);
    for warning in warnings.iter().take(MOST_WARNINGS) {
        tracing::warn!(key = warning.key, "{}: {}; {}", warning.key, warning.problem, warning.fix);
    }
    if warnings.len() > MOST_WARNINGS {
        tracing::warn!("there are {} warnings; `fulcrum check` shows them all", warnings.len());
    }
}

fn not_built(error: &app::Error) -> Failure {
    let message = error.to_string();
    match error {
        app::Error::Provider(..) | app::Error::Config(_) | app::Error::Prompts(prompts::Error::Files(_)) => {
            Failure::Input(message)
        }
        _ => Failure::Unreachable(message),
    }
}
