//! Reads the configuration, TOML and environment, and reports all mistakes at once.

mod accept;
mod aws;
mod base_url;
mod causes;
mod cors;
mod environment;
mod experiments;
mod file;
mod hedge;
mod min_speed;
mod models;
mod option;
mod order;
mod places;
mod providers;
mod read;
mod secret;
mod sections;
mod semantic;
mod shadow;
mod spanned;

#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

pub use base_url::lacks_version;
pub use cors::Cors;
pub use environment::{Env, Secrets};
pub use experiments::Experiments;
pub use models::PriceOverride;
pub use places::Places;
pub use sections::{
    CacheSettings, Client, Database, Durability, Idempotency, Ledger, Limits, OnDisconnect, Prompts, Server, Telemetry,
    parse_listen,
};
pub use semantic::SemanticSettings;

use crate::batches;
use crate::routing::{Defaults, ModelSpec, Routes, Spec};
use crate::types::{Diagnostic, Secret};
use crate::upstream::Provider;
use read::Reader;

/// The file that is read where a command names none.
pub const DEFAULT_FILE: &str = "config/fulcrum.toml";
const LARGEST: u64 = 1 << 20;

/// What to do where there is no configuration.
const WAYS_OUT: &str = "`fulcrum init` writes one, and `fulcrum demo` shows one at work";

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[database]`.
    pub database: Database,
    /// `[ledger]`.
    pub ledger: Ledger,
    /// `[prompts]`.
    pub prompts: Prompts,
    /// `[providers]`.
    pub providers: Vec<Provider>,
    /// `[models]`.
    pub models: Vec<ModelSpec>,
    /// Prices that `[models]` set.
    pub prices: Vec<PriceOverride>,
    /// `[[routes]]` and `[models]`, compiled.
    pub routes: Arc<Routes>,
    /// `[defaults]`.
    pub defaults: Defaults,
    /// `[files]` and `[batches]`.
    pub batches: batches::Settings,
    /// `[limits]`.
    pub limits: Limits,
    /// `[cache]`.
    pub cache: CacheSettings,
    /// `[experiments]`.
    pub experiments: Experiments,
    /// `[idempotency]`.
    pub idempotency: Idempotency,
    /// `[client]`.
    pub client: Client,
    /// `[telemetry]`.
    pub telemetry: Telemetry,
    /// `FULCRUM_ADMIN_KEY`.
    pub admin_key: Option<Secret>,
    /// Whether neither a provider nor a model is named, so that the simulated provider stands in.
    pub is_bare: bool,
    /// What is no mistake, and likely to surprise.
    pub warnings: Vec<Diagnostic>,
    /// Where each key stands.
    pub places: Places,
}

/// The file that a configuration is read from: `named`, else `$FULCRUM_CONFIG`, else [`DEFAULT_FILE`].
///
/// # Errors
/// Where nothing is named, and the usual file is not there.
pub fn find(named: Option<PathBuf>, env: Env<'_>) -> Result<PathBuf, Diagnostic> {
    let named = named.filter(|named| !named.as_os_str().is_empty());
    let from_env = || env("FULCRUM_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
    if let Some(file) = named.or_else(from_env) {
        return Ok(file);
    }
    match std::fs::metadata(DEFAULT_FILE) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let place = std::env::current_dir().map(|folder| format!(" in {}", folder.display())).unwrap_or_default();
            let problem =
                format!("there is no configuration: $FULCRUM_CONFIG is not set, and there is no {DEFAULT_FILE}{place}");
            Err(Diagnostic::new("file", problem).fix(WAYS_OUT).of_file(DEFAULT_FILE))
        }
        _ => Ok(PathBuf::from(DEFAULT_FILE)),
    }
}

/// Reads the configuration in `file`.
///
/// # Errors
/// Every mistake, by place.
pub fn load(file: &Path, secrets: Secrets, env: Env<'_>) -> Result<Config, Vec<Diagnostic>> {
    let shown = file.display().to_string();
    match file::text_of(file, LARGEST) {
        Ok(text) => read_text(&text, &shown, secrets, env),
        Err(error) => {
            let by_env = env("FULCRUM_CONFIG").is_some_and(|named| Path::new(&named) == file);
            let named = if by_env { " ($FULCRUM_CONFIG names it)" } else { "" };
            let fix = match error.kind() {
                ErrorKind::NotFound => format!("check its path; {WAYS_OUT}"),
                _ => "check its path and rights".to_owned(),
            };
            let unread = Diagnostic::new("file", format!("cannot be read: {error}{named}"));
            Err(vec![unread.fix(fix).of_file(shown)])
        }
    }
}

/// Reads `path` in the place of a configuration that is in use. A file that is empty, or names neither a provider nor a model any
/// more, is one that is being written, or that a full disk cut off: it is refused, where a start takes the defaults.
///
/// # Errors
/// Every mistake, by place.
pub fn load_again(path: &Path, old: &Config, env: Env<'_>) -> Result<Config, Vec<Diagnostic>> {
    let config = load(path, Secrets::Read, env)?;
    if config.is_bare && !old.is_bare {
        let problem = "the file names no provider and no model, as if it were not written whole";
        let fix = "write it whole; to run without any, restart with it";
        return Err(vec![Diagnostic::new("file", problem).fix(fix).of_file(path.display().to_string())]);
    }
    Ok(config)
}

/// Reads a configuration's text; `file` is only shown.
///
/// # Errors
/// Every mistake, by place.
pub fn parse(text: &str, file: &str, env: Env<'_>) -> Result<Config, Vec<Diagnostic>> {
    read_text(text, file, Secrets::Read, env)
}

/// What a command works with where there is no configuration: the usual database, and no providers.
///
/// # Errors
/// None today.
pub fn without_file() -> Result<Config, Vec<Diagnostic>> {
    read_text("", "(defaults)", Secrets::Leave, &|_| None)
}

fn read_text(text: &str, file: &str, secrets: Secrets, env: Env<'_>) -> Result<Config, Vec<Diagnostic>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let reader = Reader::new(file.into(), text, secrets, env);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.problem(at, "toml", syntax(error.message()), "correct the line");
    }
    let config = config(&reader, document.get_ref());
    let (problems, warnings, places) = reader.into_found();
    if let Some(config) = config
        && problems.is_empty()
    {
        return Ok(Config { warnings, places, ..config });
    }
    Err(beside_syntax(problems, !errors.is_empty()))
}

fn syntax(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

/// Where the TOML is broken, drops mistakes that may only follow from that: others of a broken line, and unknown keys.
fn beside_syntax(problems: Vec<Diagnostic>, broken: bool) -> Vec<Diagnostic> {
    if !broken {
        return problems;
    }
    let line = |found: &Diagnostic| found.position().map(|position| position.line);
    let broken: Vec<Option<usize>> = problems.iter().filter(|found| found.key == "toml").map(line).collect();
    let stands =
        |found: &Diagnostic| found.key == "toml" || !(broken.contains(&line(found)) || found.problem == read::UNKNOWN);
    problems.into_iter().filter(stands).collect()
}

fn config<'a>(reader: &'a Reader<'a>, table: &'a DeTable<'a>) -> Option<Config> {
    let root = reader.root(table);
    let (models, prices) = models::models(&root);
    let specs = models::routes(&root);
    let providers = providers::providers(&root);
    let defaults = sections::defaults(&root);
    let is_bare = models.is_empty() && root.get("providers").is_none();
    let (cache, embedding) = sections::cache(&root);
    let examples = semantic::examples(&root);
    let spec = Spec {
        providers: &providers,
        models: &models,
        routes: &specs,
        defaults,
        embedding: embedding.as_ref(),
        examples: &examples,
    };
    let routes = match Routes::compile(&spec) {
        Ok(routes) => Some(Arc::new(routes)),
        Err(problems) => {
            problems.into_iter().for_each(|problem| reader.add(problem));
            None
        }
    };
    let (server, database, ledger) = (sections::server(&root), sections::database(&root), sections::ledger(&root));
    let (prompts, limits) = (sections::prompts(&root), sections::limits(&root));
    let (client, telemetry) = (sections::client(&root), sections::telemetry(&root));
    let idempotency = sections::idempotency(&root);
    let batches = sections::batches(&root);
    let experiments = experiments::experiments(&root);
    let admin_key = admin_key(reader);
    if let Some(field) = root.get("redis") {
        field.problem("Redis is not supported yet", "it arrives with a later release; take the section out");
    }
    root.done();
    let routes = routes?;
    #[rustfmt::skip]
    let config = Config {
        server, database, ledger, prompts, providers, models, prices, routes, defaults, limits, cache, client,
        telemetry, admin_key, idempotency, batches, experiments, is_bare, warnings: Vec::new(), places: Places::default(),
    };
    Some(config)
}

/// `FULCRUM_ADMIN_KEY`, where it is strong enough.
fn admin_key(reader: &Reader<'_>) -> Option<Secret> {
    if reader.secrets == Secrets::Leave {
        return None;
    }
    let key = (reader.env)("FULCRUM_ADMIN_KEY").filter(|key| !key.is_empty())?;
    let distinct = key.chars().collect::<std::collections::BTreeSet<_>>().len();
    let problem = if key.chars().count() < 24 {
        "it has fewer than 24 characters"
    } else if distinct < 8 {
        "it repeats a few characters, so it can be guessed"
    } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it holds spaces or characters that no header can carry"
    } else {
        return Some(Secret::new(&key));
    };
    let weak = Diagnostic::new("FULCRUM_ADMIN_KEY", problem).of_file("environment");
    reader.add(weak.fix("use 24 or more characters by chance, such as from `openssl rand -hex 24`"));
    None
}
