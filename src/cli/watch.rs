//! What `fulcrum serve` does beside serving: it ends on a signal, and reads its configuration again where that changed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::configuration_again;
use super::outcome::Failure;
use crate::app::App;
use crate::config::Config;

/// How often other processes' changes and the configuration's file are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// When a file was last written, and how large it was.
type Written = Option<(std::time::SystemTime, u64)>;

/// The configuration's file, as it was when it was read.
pub struct Watched {
    /// The file.
    pub path: PathBuf,
    /// What was seen of it.
    pub seen: Seen,
    /// The address that it named.
    pub configured: SocketAddr,
    /// The address that is listened at.
    pub listen: SocketAddr,
}

/// The signals that the gateway obeys.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Receives signals from now on.
    ///
    /// # Errors
    /// Where the system does not let it.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// What was seen of a file.
pub struct Seen {
    /// As it was when it was last read.
    read: Written,
    /// As it was at the last look.
    last: Written,
}

impl Seen {
    /// The file as it is now, when it is about to be read.
    pub fn of(path: &Path) -> Self {
        Self::new(written(path))
    }

    fn new(now: Written) -> Self {
        Self { read: now, last: now }
    }

    /// Whether the file is to be read again: it was written since, and not between this look and the one before, so that nobody
    /// is in the middle of writing it.
    fn has_changed(&mut self, now: Written) -> bool {
        let stands_still = std::mem::replace(&mut self.last, now) == now;
        stands_still && std::mem::replace(&mut self.read, now) != now
    }
}

/// Ends the gateway on a signal; reloads the configuration on SIGHUP or where its file changed.
pub async fn watch(app: App, mut watched: Watched, signals: Signals, stop: CancellationToken) {
    let Signals { mut terminate, mut interrupt, mut hangup } = signals;
    let mut rounds = 0_u32;
    loop {
        tokio::select! {
            () = arrival(&mut terminate) => break,
            () = arrival(&mut interrupt) => break,
            () = arrival(&mut hangup) => reload(&app, &watched).await,
            () = sleep(LOOK) => {
                app.refresh().await;
                if watched.seen.has_changed(written(&watched.path)) {
                    reload(&app, &watched).await;
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

async fn reload(app: &App, watched: &Watched) {
    let mut config = match configuration_again(&watched.path, &app.config()) {
        Ok(config) => config,
        Err(Failure::Input(problems) | Failure::Negative(problems) | Failure::Unreachable(problems)) => {
            tracing::error!("the new configuration is not used; the old one stays:\n{problems}");
            return;
        }
    };
    let moved = config.server.listen != watched.configured;
    config.server.listen = watched.listen;
    let mut waiting = wait_for_restart(&app.config(), &config);
    waiting.extend(moved.then_some("server.listen"));
    match app.reload(config).await {
        Ok(()) => tracing::info!("the configuration was reloaded"),
        Err(error) => {
            tracing::error!(%error, "the new configuration is not used; the old one stays");
            return;
        }
    }
    if !waiting.is_empty() {
        tracing::warn!("a restart is needed before these changes hold: {}", waiting.join(", "));
    }
}

/// The keys whose change a running gateway does not take up.
fn wait_for_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [
        ("server.max_connections", old.server.max_connections != new.server.max_connections),
        ("server.header_timeout", old.server.header_timeout != new.server.header_timeout),
        ("server.write_timeout", old.server.write_timeout != new.server.write_timeout),
        ("database.url", old.database != new.database),
        ("ledger.durability", old.ledger.durability != new.ledger.durability),
        ("cache.max_size", old.cache != new.cache),
        ("telemetry.log", old.telemetry.log != new.telemetry.log),
        ("telemetry.log_format", old.telemetry.log_format != new.telemetry.log_format),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

/// When and how large the file was last written.
fn written(path: &Path) -> Written {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn a_file_is_read_again_once_it_stands_still() {
        let at = |size: u64| Some((std::time::SystemTime::UNIX_EPOCH, size));
        let mut seen = Seen::new(at(1));
        for (now, read) in [
            (at(1), false),
            (at(0), false),
            (at(2), false),
            (at(3), false),
            (at(3), true),
            (at(3), false),
            (None, false),
            (at(3), false),
            (at(3), false),
            (at(4), false),
            (at(3), false),
            (at(3), false),
            (None, false),
            (None, true),
        ] {
            assert_eq!(seen.has_changed(now), read, "{now:?}");
        }
    }

    #[test]
    fn only_what_waits_for_a_restart_is_named() {
        let read = |text: &str| parse(text, "f", &|_| None).unwrap();
        let old = read("");
        for (text, waiting) in [
            ("[ledger]\nstore_bodies = \"full\"", &[][..]),
            ("[ledger]\nretention = \"7d\"", &[]),
            ("[server]\nmax_body = \"1MiB\"\nshutdown_grace = \"1s\"", &[]),
            ("[ledger]\ndurability = \"disk\"", &["ledger.durability"]),
            ("[database]\nurl = \"sqlite://other.db\"", &["database.url"]),
            ("[telemetry]\nlog = \"debug\"\n[cache]\nmax_size = \"1MiB\"", &["cache.max_size", "telemetry.log"]),
            (
                "[server]\nmax_connections = 7\nwrite_timeout = \"9s\"",
                &["server.max_connections", "server.write_timeout"],
            ),
        ] {
            assert_eq!(wait_for_restart(&old, &read(text)), waiting, "{text}");
        }
    }
}
