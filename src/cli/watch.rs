//! What `fulcrum serve` does beside serving: it ends on a signal, and reads its configuration and its prompts again
//! where they changed.

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
use crate::prompts::stamp;

/// How often other processes' changes and the configuration's file are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// After how many looks it is written down when prompts were used last.
const USES: u32 = 10;

/// When a file was last written, and how large it was.
type Written = Option<(std::time::SystemTime, u64)>;

/// The prompts' folder, as it was when it was read.
pub struct WatchedFolder {
    path: Option<PathBuf>,
    seen: Seen<Option<u64>>,
}

impl WatchedFolder {
    /// The folder that `config` names, as it is now, when it is about to be read.
    pub fn of(config: &Config) -> Self {
        let path = config.prompts.import.clone();
        let now = path.as_deref().and_then(stamp);
        Self { path, seen: Seen::new(now) }
    }

    /// Whether the prompts are to be read again: a file was written, added or taken away, and nothing since the last look.
    fn has_changed(&mut self, config: &Config) -> bool {
        if self.path != config.prompts.import {
            *self = Self::of(config);
        }
        let now = self.path.as_deref().and_then(stamp);
        self.seen.has_changed(now) && now.is_some()
    }
}

/// The configuration's file, as it was when it was read.
pub struct Watched {
    /// The file.
    pub path: PathBuf,
    /// What was seen of it.
    pub seen: Seen<Written>,
    /// The prompts' folder.
    pub folder: WatchedFolder,
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

/// What was seen of a file or a folder.
pub struct Seen<T> {
    /// As it was when it was last read.
    read: T,
    /// As it was at the last look.
    last: T,
}

impl Seen<Written> {
    /// The file as it is now, when it is about to be read.
    pub fn of(path: &Path) -> Self {
        Self::new(written(path))
    }
}

impl<T: Copy + PartialEq> Seen<T> {
    fn new(now: T) -> Self {
        Self { read: now, last: now }
    }

    /// Whether the file is to be read again: it was written since, and not between this look and the one before, so that nobody
    /// is in the middle of writing it.
    fn has_changed(&mut self, now: T) -> bool {
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
                if watched.folder.has_changed(&app.config()) {
                    app.import_again().await;
                }
                rounds += 1;
                if rounds.is_multiple_of(USES) {
                    app.note_use();
                }
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
        ("experiments.look_every", old.experiments != new.experiments),
        ("telemetry.log", old.telemetry.log != new.telemetry.log),
        ("telemetry.log_format", old.telemetry.log_format != new.telemetry.log_format),
        ("telemetry.metrics_listen", old.telemetry.metrics_listen != new.telemetry.metrics_listen),
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
    fn a_folder_is_read_again_where_a_file_came_went_or_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[prompts]\nimport = {:?}", folder.path().display().to_string());
        let config = parse(&text, "f", &|_| None).unwrap();
        let mut watched = WatchedFolder::of(&config);
        let mut looks = || [watched.has_changed(&config), watched.has_changed(&config), watched.has_changed(&config)];
        assert_eq!(looks(), [false; 3]);
        let file = folder.path().join("a.toml");
        for text in ["one", "longer"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(looks(), [false, true, false], "{text}");
        }
        std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
        std::fs::write(folder.path().join("a.toml.new"), "x").unwrap();
        assert_eq!(looks(), [false; 3], "these are no prompts");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(looks(), [false, true, false]);
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(looks(), [false; 3], "there is nothing to read");
    }

    /// The keys of a table of the configuration, as the reader of an unknown one lists them.
    fn keys_of(table: &str) -> Vec<String> {
        let unknown = "no_such_key_by_far_and_wide";
        let text = if table.is_empty() { format!("{unknown} = 1") } else { format!("[{table}]\n{unknown} = 1") };
        let problems = parse(&text, "f", &|_| None).unwrap_err();
        let found = problems.iter().find(|problem| problem.key.ends_with(unknown)).unwrap();
        let list = found.fix.strip_prefix("use one of ").unwrap();
        list.split(", ").map(str::to_owned).collect()
    }

    /// What a change of a key does to a running gateway.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Change {
        AtOnce,
        AtRestart,
    }
    use Change::{AtOnce, AtRestart};

    /// Every key of the tables that hold settings, with a value that is not its default.
    const SETTINGS: &[(&str, &str, &str, Change)] = &[
        ("server", "allow_public_bind", "true", AtOnce),
        ("server", "max_body", "\"1MiB\"", AtOnce),
        ("server", "max_bodies", "\"64MiB\"", AtOnce),
        ("server", "shutdown_grace", "\"1s\"", AtOnce),
        ("server", "max_connections", "7", AtRestart),
        ("server", "header_timeout", "\"1s\"", AtRestart),
        ("server", "write_timeout", "\"1s\"", AtRestart),
        ("server", "cors", "\"*\"", AtOnce),
        ("database", "url", "\"sqlite://other.db\"", AtRestart),
        ("ledger", "durability", "\"disk\"", AtRestart),
        ("ledger", "store_bodies", "\"full\"", AtOnce),
        ("ledger", "retention", "\"7d\"", AtOnce),
        ("prompts", "import", "\"elsewhere\"", AtOnce),
        ("prompts", "label_on_import", "\"staging\"", AtOnce),
        ("defaults", "retries", "0", AtOnce),
        ("defaults", "cache", "{ mode = \"exact\" }", AtOnce),
        ("defaults", "repair", "true", AtOnce),
        ("defaults", "all_cooling", "\"refuse\"", AtOnce),
        ("limits", "requests_per_minute", "7", AtOnce),
        ("limits", "wrong_keys_per_minute", "7", AtOnce),
        ("files", "max_size", "\"1KiB\"", AtOnce),
        ("files", "max_total", "\"1KiB\"", AtOnce),
        ("files", "retention", "\"1h\"", AtOnce),
        ("batches", "max_lines", "7", AtOnce),
        ("batches", "concurrency", "7", AtOnce),
        ("batches", "yield_above", "7", AtOnce),
        ("batches", "poll", "\"1s\"", AtOnce),
        ("batches", "patience", "\"1s\"", AtOnce),
        ("cache", "max_size", "\"1MiB\"", AtRestart),
        ("experiments", "look_every", "\"1s\"", AtRestart),
        ("idempotency", "ttl", "\"1h\"", AtOnce),
        ("idempotency", "max_size", "\"1MiB\"", AtOnce),
        ("client", "on_disconnect", "\"drain\"", AtOnce),
        ("telemetry", "log", "\"debug\"", AtRestart),
        ("telemetry", "log_format", "\"json\"", AtRestart),
        ("telemetry", "access_log", "true", AtOnce),
        ("telemetry", "metrics_listen", "\"127.0.0.1:9464\"", AtRestart),
    ];

    /// Keys with a rule of their own: `listen` is compared with what the command line says, `semantic` and `webhook` are tables, `otlp` is refused.
    const APART: &[(&str, &str)] =
        &[("server", "listen"), ("cache", "semantic"), ("experiments", "webhook"), ("telemetry", "otlp")];

    /// Tables whose keys are names, or that are refused.
    const NAMED: &[&str] = &["examples", "models", "providers", "redis", "routes"];

    #[test]
    fn of_every_key_it_is_known_whether_a_change_waits_for_a_restart() {
        let old = parse("", "f", &|_| None).unwrap();
        for (table, key, value, change) in SETTINGS {
            let new = parse(&format!("[{table}]\n{key} = {value}"), "f", &|_| None);
            let waiting = wait_for_restart(&old, &new.unwrap_or_else(|found| panic!("{table}.{key}: {found:?}")));
            let name = format!("{table}.{key}");
            let expected = if *change == AtRestart { vec![name.as_str()] } else { Vec::new() };
            assert_eq!(waiting, expected, "{name}");
        }
        let tables: std::collections::BTreeSet<String> = keys_of("").into_iter().collect();
        let tables = tables.iter().filter(|table| !NAMED.contains(&table.as_str()));
        let keys = tables.flat_map(|table| keys_of(table).into_iter().map(move |key| (table.clone(), key)));
        let known = SETTINGS.iter().map(|(table, key, ..)| (*table, *key)).chain(APART.iter().copied());
        let known: std::collections::BTreeSet<_> = known.collect();
        for (table, key) in keys {
            assert!(known.contains(&(table.as_str(), key.as_str())), "nothing is known of {table}.{key}");
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
