//! The sections of a few keys: server, database, ledger, prompts, limits, cache, client, telemetry.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::cors::{Cors, cors};
use super::read::{Field, Section};
use super::semantic::{SemanticSettings, cache_policy, semantic};
use crate::batches::Settings;
use crate::prompts::DEFAULT_LABEL;
use crate::routing::{AllCooling, Defaults, Spanned, StoreBodies};
use crate::telemetry::LogFormat;
use crate::types::{BadName, Label};

pub(super) use super::read::set;

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The address that the gateway listens on.
    pub listen: SocketAddr,
    /// Whether the gateway may listen beyond this machine.
    pub allow_public_bind: bool,
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// The most bytes of request bodies under way at once.
    pub max_bodies: u64,
    /// How long running calls may take to end at shutdown.
    pub shutdown_grace: Duration,
    /// The most connections at once.
    pub max_connections: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a client may take no byte of its answer.
    pub write_timeout: Duration,
    /// The pages that may call from a browser.
    pub cors: Cors,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8_080),
            allow_public_bind: false,
            max_body: 32 << 20,
            max_bodies: 256 << 20,
            shutdown_grace: Duration::from_secs(30),
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            cors: Cors::Off,
        }
    }
}

/// `[database]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// `sqlite://PATH`.
    pub url: String,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: "sqlite://data/fulcrum.db".to_owned() }
    }
}

/// What the ledger survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, by `kill -9` too.
    #[default]
    Process,
    /// The loss of power too.
    Disk,
}

/// `[ledger]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// What a settled row survives.
    pub durability: Durability,
    /// Which bodies the ledger stores.
    pub store_bodies: StoreBodies,
    /// How long the ledger stores rows.
    pub retention: Duration,
}

impl Default for Ledger {
    fn default() -> Self {
        let retention = Duration::from_secs(400 * 86_400);
        Self { durability: Durability::default(), store_bodies: StoreBodies::default(), retention }
    }
}

/// `[prompts]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// The directory whose files are read at start.
    pub import: Option<PathBuf>,
    /// The label that follows imported versions.
    pub label_on_import: Option<Label>,
}

/// `[limits]`: for virtual keys that set none, and for wrong keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Wrong keys a minute from one address; 0 for no limit.
    pub wrong_keys_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_minute: None, wrong_keys_per_minute: 30 }
    }
}

/// `[cache]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// The most memory that cached answers take, in bytes.
    pub max_size: u64,
    /// `[cache.semantic]`.
    pub semantic: SemanticSettings,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { max_size: 64 << 20, semantic: SemanticSettings::default() }
    }
}

/// `[idempotency]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// How long a key is remembered.
    pub ttl: Duration,
    /// The most bytes that the answers take in the database.
    pub max_size: u64,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(86_400), max_size: 256 << 20 }
    }
}

/// What happens upstream when a client hangs up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The upstream call is cancelled.
    #[default]
    Cancel,
    /// The answer is read to its end, so that its real usage is known.
    Drain,
}

/// `[client]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// What happens upstream when a client hangs up.
    pub on_disconnect: OnDisconnect,
}

/// `[telemetry]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The least level that is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`.
    pub log: &'static str,
    /// How logs look.
    pub log_format: LogFormat,
    /// Whether every call has a line at `info`.
    pub access_log: bool,
    /// Where the metrics can be read on this machine without a key.
    pub metrics_listen: Option<SocketAddr>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info", log_format: LogFormat::Auto, access_log: false, metrics_listen: None }
    }
}

/// Reads an address to listen on.
///
/// # Errors
/// The problem and its fix, where it is none, or leads beyond this machine without `allow_public`.
pub fn parse_listen(text: &str, allow_public: bool) -> Result<SocketAddr, (String, String)> {
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let Ok(address) = numeric.parse::<SocketAddr>() else {
        let shown: String = text.chars().take(60).collect();
        return Err((format!("`{shown}` is no address and port"), "write \"127.0.0.1:8080\"".to_owned()));
    };
    if !address.ip().is_loopback() && !allow_public {
        let problem = format!("{address} can be reached from other machines");
        return Err((problem, "use 127.0.0.1, or say allow_public_bind = true under [server]".to_owned()));
    }
    Ok(address)
}

pub(super) fn server(root: &Section<'_>) -> Server {
    let mut server = Server::default();
    let Some(section) = root.section("server") else { return server };
    set(&mut server.allow_public_bind, section.get("allow_public_bind").and_then(|field| field.bool()));
    if let Some(field) = section.get("listen")
        && let Some(text) = field.text("\"127.0.0.1:8080\"")
    {
        match parse_listen(text, server.allow_public_bind) {
            Ok(address) => server.listen = address,
            Err((problem, fix)) => field.problem(problem, fix),
        }
    }
    set(&mut server.max_body, section.get("max_body").and_then(|field| field.size("1KiB"..="1GiB")));
    set(&mut server.shutdown_grace, section.get("shutdown_grace").and_then(|field| field.duration("0s"..="1h")));
    set(&mut server.max_bodies, section.get("max_bodies").and_then(|field| field.size("1MiB"..="1024GiB")));
    set(&mut server.max_connections, section.get("max_connections").and_then(|field| field.whole(1..=1_000_000)));
    set(&mut server.header_timeout, section.get("header_timeout").and_then(|field| field.duration("100ms"..="5m")));
    set(&mut server.write_timeout, section.get("write_timeout").and_then(|field| field.duration("100ms"..="1h")));
    set(&mut server.cors, section.get("cors").map(|field| cors(&field)));
    section.done();
    server
}

pub(super) fn database(root: &Section<'_>) -> Database {
    let mut database = Database::default();
    let Some(section) = root.section("database") else { return database };
    if let Some(field) = section.get("url")
        && let Some(url) = field.text("\"sqlite://data/fulcrum.db\"")
    {
        // The address may hold a password, so it is never shown.
        match url.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => url.clone_into(&mut database.url),
            Some(("postgres" | "postgresql", _)) => {
                field.problem(
                    "PostgreSQL is not supported yet",
                    "keys, prompts and batches can be stored there, the ledger cannot until a later release; use sqlite://PATH",
                );
            }
            _ => field.problem("this is no database address", "write \"sqlite://data/fulcrum.db\""),
        }
    }
    section.done();
    database
}

pub(super) fn ledger(root: &Section<'_>) -> Ledger {
    let mut ledger = Ledger::default();
    let Some(section) = root.section("ledger") else { return ledger };
    let durability = [("process", Durability::Process), ("disk", Durability::Disk)];
    set(&mut ledger.durability, section.get("durability").and_then(|field| field.choice(&durability)));
    set(&mut ledger.store_bodies, store_bodies(&section));
    set(&mut ledger.retention, section.get("retention").and_then(|field| field.duration("1d"..="36500d")));
    section.done();
    ledger
}

pub(super) fn store_bodies(section: &Section<'_>) -> Option<StoreBodies> {
    let words = [("none", StoreBodies::None), ("prompts", StoreBodies::Prompts), ("full", StoreBodies::Full)];
    section.get("store_bodies")?.choice(&words)
}

pub(super) fn prompts(root: &Section<'_>) -> Prompts {
    let mut prompts = Prompts::default();
    let Some(section) = root.section("prompts") else { return prompts };
    prompts.import = section.get("import").and_then(|field| field.text("\"prompts/\"")).map(PathBuf::from);
    // Calls that name no version take `production`; without it an imported prompt could not be called.
    prompts.label_on_import = prompts.import.as_ref().and(DEFAULT_LABEL.parse().ok());
    if let Some(field) = section.get("label_on_import") {
        prompts.label_on_import = label_on_import(&field);
    }
    section.done();
    prompts
}

/// A label; `false` for none.
fn label_on_import(field: &Field<'_>) -> Option<Label> {
    if field.is(false) {
        return None;
    }
    let text = field.text("\"production\", or false for none")?;
    text.parse().inspect_err(|error: &BadName| field.problem(error.to_string(), "write \"production\"")).ok()
}

pub(super) fn limits(root: &Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(section) = root.section("limits") else { return limits };
    limits.requests_per_minute = section.get("requests_per_minute").and_then(|field| field.whole(1..=10_000_000));
    let wrong = section.get("wrong_keys_per_minute").and_then(|field| field.whole(0..=10_000_000));
    set(&mut limits.wrong_keys_per_minute, wrong);
    section.done();
    limits
}

/// `[files]` and `[batches]`.
pub(super) fn batches(root: &Section<'_>) -> Settings {
    let mut settings = Settings::default();
    if let Some(section) = root.section("files") {
        set(&mut settings.max_size, section.get("max_size").and_then(|field| field.size("1KiB"..="4GiB")));
        set(&mut settings.max_total, section.get("max_total").and_then(|field| field.size("1KiB"..="1024GiB")));
        set(&mut settings.retention, section.get("retention").and_then(|field| field.duration("1h"..="36500d")));
        section.done();
    }
    if let Some(section) = root.section("batches") {
        set(&mut settings.max_lines, section.get("max_lines").and_then(|field| field.whole(1..=1_000_000)));
        set(&mut settings.concurrency, section.get("concurrency").and_then(|field| field.whole(1..=10_000)));
        set(&mut settings.yield_above, section.get("yield_above").and_then(|field| field.whole(0..=1_000_000)));
        set(&mut settings.poll, section.get("poll").and_then(|field| field.duration("10ms"..="1h")));
        set(&mut settings.patience, section.get("patience").and_then(|field| field.duration("0s"..="1d")));
        section.done();
    }
    settings
}

/// `[cache]`, and the embedding model that it names.
pub(super) fn cache(root: &Section<'_>) -> (CacheSettings, Option<Spanned>) {
    let mut cache = CacheSettings::default();
    let Some(section) = root.section("cache") else { return (cache, None) };
    set(&mut cache.max_size, section.get("max_size").and_then(|field| field.size("0B"..="1024GiB")));
    let (semantic, embedding) = semantic(&section);
    cache.semantic = semantic;
    section.done();
    (cache, embedding)
}

pub(super) fn idempotency(root: &Section<'_>) -> Idempotency {
    let mut idempotency = Idempotency::default();
    let Some(section) = root.section("idempotency") else { return idempotency };
    set(&mut idempotency.ttl, section.get("ttl").and_then(|field| field.duration("1m"..="30d")));
    set(&mut idempotency.max_size, section.get("max_size").and_then(|field| field.size("1MiB"..="1024GiB")));
    section.done();
    idempotency
}

pub(super) fn client(root: &Section<'_>) -> Client {
    let mut client = Client::default();
    let Some(section) = root.section("client") else { return client };
    let words = [("cancel", OnDisconnect::Cancel), ("drain", OnDisconnect::Drain)];
    set(&mut client.on_disconnect, section.get("on_disconnect").and_then(|field| field.choice(&words)));
    section.done();
    client
}

pub(super) fn telemetry(root: &Section<'_>) -> Telemetry {
    let mut telemetry = Telemetry::default();
    let Some(section) = root.section("telemetry") else { return telemetry };
    let levels = ["off", "error", "warn", "info", "debug", "trace"].map(|level| (level, level));
    set(&mut telemetry.log, section.get("log").and_then(|field| field.choice(&levels)));
    let formats = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)];
    set(&mut telemetry.log_format, section.get("log_format").and_then(|field| field.choice(&formats)));
    set(&mut telemetry.access_log, section.get("access_log").and_then(|field| field.bool()));
    telemetry.metrics_listen = section.get("metrics_listen").and_then(|field| metrics_listen(&field));
    if let Some(field) = section.get("otlp") {
        field.problem("OpenTelemetry export is not supported yet", "it arrives with a later release");
    }
    section.done();
    telemetry
}

/// An address of this machine alone, since no key is asked for there.
fn metrics_listen(field: &Field<'_>) -> Option<SocketAddr> {
    let example = "\"127.0.0.1:9464\"";
    let (problem, fix) = match parse_listen(field.text(example)?, true) {
        Ok(address) if address.ip().is_loopback() => return Some(address),
        Ok(address) => (
            format!("{address} can be reached from other machines, and asks for no key"),
            format!("write {example}; elsewhere GET /metrics of [server] answers a key with the role viewer"),
        ),
        Err((problem, _)) => (problem, format!("write {example}")),
    };
    field.problem(problem, fix);
    None
}

pub(super) fn defaults(root: &Section<'_>) -> Defaults {
    let mut defaults = Defaults::default();
    let Some(section) = root.section("defaults") else { return defaults };
    set(&mut defaults.retries, retries(&section));
    set(&mut defaults.cache, cache_policy(&section));
    set(&mut defaults.repair, section.get("repair").and_then(|field| field.bool()));
    let choices = [("try", AllCooling::Try), ("refuse", AllCooling::Refuse)];
    set(&mut defaults.all_cooling, section.get("all_cooling").and_then(|field| field.choice(&choices)));
    section.done();
    defaults
}

pub(super) fn retries(section: &Section<'_>) -> Option<u32> {
    section.get("retries")?.whole(0..=10)
}
