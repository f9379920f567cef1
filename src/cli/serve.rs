//! `fulcrum serve`: runs the gateway until a signal ends it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::{configuration, file};
use super::outcome::{Failure, Outcome};
use super::output::note;
use crate::app::{self, App, Built};
use crate::config::parse_listen;
use crate::http::{Listening, serve};
use crate::prompts;
use crate::telemetry::start_logs;

/// How often other processes' changes and the configuration's file are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the gateway.
#[derive(Args)]
#[command(after_help = "Example: fulcrum serve --config config/fulcrum.toml --listen 127.0.0.1:8080")]
pub struct Serve {
    /// The configuration [default: $FULCRUM_CONFIG, then config/fulcrum.toml, then the defaults]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where to listen, instead of the configured address
    #[arg(long)]
    listen: Option<String>,
}

impl Serve {
    pub async fn run(self) -> Outcome {
        let path = file(self.config);
        // Looked at before the file is read: a change from then on is seen.
        let seen = written(path.as_ref());
        let mut config = configuration(path.as_deref())?;
        if let Some(listen) = self.listen {
            let parsed = parse_listen(&listen, config.server.allow_public_bind);
            let refusal = |(problem, fix)| Failure::Input(format!("--listen: {problem}; {fix}"));
            config.server.listen = parsed.map_err(refusal)?;
        }
        let _logs = start_logs(config.telemetry.log, config.telemetry.log_format);
        let listen = config.server.listen;
        let listening = Listening::at(listen).await;
        let listening =
            listening.map_err(|error| Failure::Unreachable(format!("cannot listen at {listen}: {error}")))?;
        let built = App::build(config).await;
        let Built { app, new_admin_key } = built.map_err(|error| not_built(&error))?;
        if let Some(key) = new_admin_key {
            note(&format!("admin key, shown this once: {}", key.expose()));
        }
        let stop = CancellationToken::new();
        #[expect(
            clippy::disallowed_methods,
            reason = "the configuration is watched beside the server, until it stops"
        )]
        tokio::spawn(watch(app.clone(), Watched { path, seen, listen }, stop.clone()));
        tracing::info!("listening at http://{}", listening.address());
        let served = serve(app.clone(), listening, stop.clone()).await;
        served.map_err(|error| Failure::Unreachable(format!("cannot start a worker: {error}")))?;
        app.close().await;
        tracing::info!("stopped");
        Ok(())
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

/// When a file was last written, and how large it was.
type Written = Option<(std::time::SystemTime, u64)>;

/// The configuration's file, as it was when it was read.
struct Watched {
    path: Option<PathBuf>,
    seen: Written,
    listen: SocketAddr,
}

/// Ends the gateway on a signal; reloads the configuration on SIGHUP or where its file changed.
async fn watch(app: App, watched: Watched, stop: CancellationToken) {
    let Watched { path, mut seen, listen } = watched;
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        tracing::error!("no signals can be received; end the process to stop it");
        return;
    };
    let mut rounds = 0_u32;
    loop {
        tokio::select! {
            () = arrival(&mut terminate) => break,
            () = arrival(&mut interrupt) => break,
            () = arrival(&mut hangup) => reload(&app, path.as_ref(), listen).await,
            () = sleep(LOOK) => {
                app.refresh().await;
                let now = written(path.as_ref());
                if now != seen {
                    seen = now;
                    reload(&app, path.as_ref(), listen).await;
                }
                rounds += 1;
                if rounds.is_multiple_of(3_600) {
                    app.tidy_up().await;
                }
            }
        }
    }
    tracing::info!("stopping");
    stop.cancel();
}

async fn arrival(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn reload(app: &App, path: Option<&PathBuf>, listen: SocketAddr) {
    let mut config = match configuration(path.map(PathBuf::as_path)) {
        Ok(config) => config,
        Err(Failure::Input(problems) | Failure::Negative(problems) | Failure::Unreachable(problems)) => {
            tracing::error!("the new configuration is not used; the old one stays:\n{problems}");
            return;
        }
    };
    config.server.listen = listen;
    let old = app.config();
    if (&old.server, &old.database, &old.ledger, &old.cache, &old.telemetry)
        != (&config.server, &config.database, &config.ledger, &config.cache, &config.telemetry)
    {
        tracing::warn!(
            "changes of [server], [database], [ledger], [cache] and [telemetry] take a restart, but for max_body, shutdown_grace and store_bodies"
        );
    }
    match app.reload(config).await {
        Ok(()) => tracing::info!("the configuration was reloaded"),
        Err(error) => tracing::error!(%error, "the new configuration is not used; the old one stays"),
    }
}

/// When and how large the file was last written.
fn written(path: Option<&PathBuf>) -> Written {
    let data = std::fs::metadata(path?).ok()?;
    Some((data.modified().ok()?, data.len()))
}
