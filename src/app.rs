//! The whole gateway put together: built from a configuration, reloaded, and shut down.

mod check;
mod error;
mod experiments;
mod imported;
mod live;
mod probe;
mod scrape;
mod servers;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::batches::Batches;
use crate::cache::{Cache, Purge, SemanticBounds};
use crate::chat;
use crate::config::{self, Config, Durability};
use crate::datasets::Datasets;
use crate::db::{self, Db};
use crate::experiments::Experiments;
use crate::feedback::Feedback;
use crate::gateway::{Bodies, Gateway, Meaning, Merges, Parts, Room, RoomBound, Shadows, TargetLog, Waiting};
use crate::idempotency::{self, Idempotency};
use crate::jobs::experiments::ExperimentRunner;
use crate::jobs::{Runner, Work};
use crate::keys::{Keys, Limits};
use crate::pool::Pool;
use crate::prompts::{self, Registry};
use crate::routing::{Health, Hedges, Ratios, Routes, Sessions, Signals};
use crate::telemetry::{AccessLog, Metrics};
use crate::types::{PromptName, Secret, Timestamp, now};
use crate::upstream::{BadAddress, InProcessModels};
use crate::usage::{self, Ledger};

pub use self::check::{Checked, check, doubts, key_warnings, unanswered, warnings};
pub use self::error::Error;
use self::imported::{report_doubts, report_labels};
use self::live::{in_process, live, max_bodies, price};
pub use self::probe::probe;

/// How long running lines of batches may take to end.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The most names that a line of the log lists.
const MOST_NAMED: usize = 20;

/// How long ago a prompt's last use may be that is not written down, at most, in microseconds; several times what a gateway takes.
const UNNOTED: i64 = 60_000_000;

/// The whole gateway. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    /// The models that answer in this process.
    models: InProcessModels,
    config: ArcSwap<Config>,
    db: Db,
    /// Where the ledger's rows are.
    ledger_db: Db,
    keys: Arc<Keys>,
    gateway: Gateway,
    batches: Batches,
    datasets: Datasets,
    feedback: Feedback,
    /// Runs batches; none where no call can be made.
    runner: OnceLock<Runner>,
    /// Looks at experiments; none where no call can be made.
    experiments: OnceLock<ExperimentRunner>,
    ready: AtomicBool,
    /// When shutdown began.
    stopping: OnceLock<Instant>,
}

/// Logs what a new configuration has no more: calls that name it are refused from now on.
fn report_dropped(old: &Routes, new: &Routes) {
    for (kind, names) in old.dropped_by(new) {
        let more = names.len().saturating_sub(MOST_NAMED);
        let listed = names[..names.len() - more].join(", ");
        let listed = if more > 0 { format!("{listed} and {more} more") } else { listed };
        tracing::warn!(kind, count = names.len(), "the new configuration drops {kind}: {listed}");
    }
}

/// An app that was just built, and the key that its owner sees only once.
pub struct Built {
    /// The app.
    pub app: App,
    /// The admin key that was made at the first start.
    pub new_admin_key: Option<Secret>,
}

impl App {
    /// Builds everything that `config` describes and opens its database; serves nothing yet.
    ///
    /// # Errors
    /// Where a part cannot be built.
    pub async fn build(config: Config) -> Result<Built, Error> {
        Self::build_with(config, in_process()).await
    }

    /// The same, with `models` in the place of every provider of their kinds.
    ///
    /// # Errors
    /// Where a part cannot be built.
    pub async fn build_with(config: Config, models: InProcessModels) -> Result<Built, Error> {
        let durable = config.ledger.durability == Durability::Disk;
        let db = Db::open(&config.database.url, durable).await?;
        let made = Self::build_on(db.clone(), config, (durable, models)).await;
        let Built { app, new_admin_key } = made.map_err(|error| error.at(&db))?;
        app.run_batches();
        app.look_at_experiments();
        app.look_at_servers();
        Ok(Built { app, new_admin_key })
    }

    async fn build_on(db: Db, config: Config, (durable, models): (bool, InProcessModels)) -> Result<Built, Error> {
        let ledger = Ledger::open(db.sqlite()?, usage::Options { durable, ..usage::Options::default() }).await?;
        let (chosen, limits) = (config.admin_key.clone(), limits(&config));
        let (keys, new_admin_key) = Keys::open(db.clone(), chosen, limits, now()).await?;
        let app = Self::over(config, db, (ledger, keys), models).await?;
        app.import_prompts(&app.config()).await?;
        Ok(Built { app, new_admin_key })
    }

    /// Opens what `config` describes without its ledger's writer, for commands that work beside a running gateway:
    /// no call can be made, and no admin key. Where none runs, the ledger takes up what a crash left first.
    ///
    /// # Errors
    /// [`Error::NoDatabase`] where there is none, which is not made; where a part cannot be built.
    pub async fn open(config: Config) -> Result<Self, Error> {
        if let Some(missing) = db::missing_file(&config.database.url) {
            return Err(Error::NoDatabase(missing));
        }
        let durable = config.ledger.durability == Durability::Disk;
        let db = Db::open(&config.database.url, durable).await?;
        let ledger = Ledger::beside(db.sqlite()?, usage::Options { durable, ..usage::Options::default() }).await;
        Self::open_on(db.clone(), config, ledger).await.map_err(|error| error.at(&db))
    }

    /// Opens what `config` describes on a database that may be new, with the prompts that it imports: to try what it says.
    ///
    /// # Errors
    /// Where a part cannot be built.
    pub async fn open_to_try(config: Config) -> Result<Self, Error> {
        let db = Db::open(&config.database.url, false).await?;
        let ledger = Ledger::beside(db.sqlite()?, usage::Options::default()).await;
        let app = Self::open_on(db.clone(), config, ledger).await.map_err(|error| error.at(&db))?;
        app.import_prompts(&app.config()).await?;
        Ok(app)
    }

    async fn open_on(db: Db, config: Config, ledger: Ledger) -> Result<Self, Error> {
        let keys = Keys::beside(db.clone(), limits(&config)).await?;
        Self::over(config, db, (ledger, keys), in_process()).await
    }

    /// Opens what `config` describes for a command that calls models where no gateway runs.
    ///
    /// # Errors
    /// As [`App::open`], and where a gateway runs on the database.
    pub async fn open_to_call(config: Config) -> Result<Self, Error> {
        if let Some(missing) = db::missing_file(&config.database.url) {
            return Err(Error::NoDatabase(missing));
        }
        let durable = config.ledger.durability == Durability::Disk;
        let db = Db::open(&config.database.url, durable).await?;
        let ledger = Ledger::open(db.sqlite()?, usage::Options { durable, ..usage::Options::default() }).await?;
        Self::open_on(db.clone(), config, ledger).await.map_err(|error| error.at(&db))
    }

    async fn over(
        config: Config,
        db: Db,
        (ledger, keys): (Ledger, Keys),
        models: InProcessModels,
    ) -> Result<Self, Error> {
        let live = live(&config, &models).map_err(not_callable)?;
        let ledger_db = Db::Sqlite(db.sqlite()?.clone());
        let prompts = Registry::open(db.clone()).await?;
        // A gateway writes down its prompts' last use now and then; its ledger knows what came since.
        let since = Timestamp(now().0.saturating_sub(UNNOTED));
        for (name, used) in usage::prompt_uses(&ledger_db, since).await? {
            name.parse().iter().for_each(|name| prompts.touch(name, used));
        }
        let parts = Parts {
            started: now(),
            prompts,
            experiments: Experiments::open(db.clone()).await?,
            cache: Cache::new(config.cache.max_size),
            meaning: Meaning::default(),
            ledger,
            idempotency: Idempotency::open(db.clone(), bounds(&config)),
            health: Health::default(),
            signals: Signals::default(),
            sessions: Sessions::default(),
            ratios: Ratios::default(),
            probe_line: Arc::default(),
            hedges: Hedges::default(),
            target_log: TargetLog::default(),
            access_log: AccessLog::default(),
            bodies: Arc::default(),
            answers: Arc::new(Bodies::of_answers()),
            slow_bodies: Arc::default(),
            pool: Arc::new(Pool::start().map_err(Error::Pool)?),
            metrics: Arc::new(Metrics::default()),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            side_calls: Arc::default(),
            merges: Merges::default(),
            shadows: Shadows::of(ledger_db.clone()),
        };
        parts.metrics.configure(live.routes.targets());
        parts.ratios.want(live.routes.read_ratios());
        parts.access_log.set(config.telemetry.access_log);
        parts.cache.set_semantic(semantic_bounds(&config));
        let gateway = Gateway::new(parts, live);
        let batches = Batches::new(db.clone(), config.batches);
        let datasets = Datasets::new(ledger_db.clone());
        let feedback = Feedback::open(ledger_db.clone());
        let inner = Inner {
            models,
            config: ArcSwap::from_pointee(config),
            db,
            ledger_db,
            keys: Arc::new(keys),
            gateway,
            batches,
            datasets,
            feedback,
            runner: OnceLock::new(),
            experiments: OnceLock::new(),
            ready: AtomicBool::new(true),
            stopping: OnceLock::new(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Goes on with the batches that have not ended.
    fn run_batches(&self) {
        let Inner { batches, gateway, keys, ledger_db, .. } = &*self.0;
        let (batches, gateway, keys, db) = (batches.clone(), gateway.clone(), keys.clone(), ledger_db.clone());
        let (pool, longest_line) = (gateway.parts().pool.clone(), self.max_body());
        self.0.runner.get_or_init(|| Runner::start(Work { batches, gateway, db, keys, pool, longest_line }));
    }

    /// The configuration now.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.0.config.load_full()
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// The database with the ledger's rows: SQLite's file.
    #[must_use]
    pub fn ledger_db(&self) -> &Db {
        &self.0.ledger_db
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// The gateway.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.0.gateway
    }

    /// The files and batches.
    #[must_use]
    pub fn batches(&self) -> &Batches {
        &self.0.batches
    }

    /// The datasets.
    #[must_use]
    pub fn datasets(&self) -> &Datasets {
        &self.0.datasets
    }

    /// The feedback.
    #[must_use]
    pub fn feedback(&self) -> &Feedback {
        &self.0.feedback
    }

    /// The prompts.
    #[must_use]
    pub fn prompts(&self) -> &Registry {
        &self.0.gateway.parts().prompts
    }

    /// The threads for work that takes the processor long.
    #[must_use]
    pub(crate) fn pool(&self) -> &Pool {
        &self.0.gateway.parts().pool
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.0.gateway.parts().ledger
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.gateway.parts().metrics
    }

    /// The largest body that is read, in bytes.
    #[must_use]
    pub fn max_body(&self) -> usize {
        usize::try_from(self.0.config.load().server.max_body).unwrap_or(usize::MAX)
    }

    /// Room for the body of a call of `key`.
    #[must_use]
    pub fn room_for_body(&self, key: &Arc<str>) -> Room {
        let all = max_bodies(&self.0.config.load());
        self.0.gateway.parts().bodies.room(RoomBound::new(all, self.max_body()), key)
    }

    /// Waits for the body of a request of `project`'s.
    ///
    /// # Errors
    /// Where that has its share of such requests.
    pub fn wait_for_body(&self, project: &Arc<str>) -> Result<Waiting, chat::Error> {
        self.0.gateway.parts().slow_bodies.wait(project, self.0.config.load().server.max_connections)
    }

    /// Whether new requests are welcome: the gateway is not about to stop.
    #[must_use]
    pub fn is_welcoming(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }

    /// Whether new requests are welcome and can be recorded.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_welcoming() && self.0.gateway.parts().ledger.healthy() && self.0.db.is_writable()
    }

    /// Puts a new configuration in the old one's place. Calls under way keep the one they began with.
    ///
    /// # Errors
    /// Where it cannot be used; then the old one stays.
    pub async fn reload(&self, config: Config) -> Result<(), Error> {
        let live = live(&config, &self.0.models).map_err(not_callable)?;
        self.import_prompts(&config).await?;
        report_dropped(&self.config().routes, &config.routes);
        self.0.keys.set_defaults(limits(&config));
        self.0.gateway.parts().idempotency.set_bounds(bounds(&config));
        self.0.batches.set(config.batches);
        self.metrics().configure(live.routes.targets());
        self.0.gateway.parts().ratios.want(live.routes.read_ratios());
        self.0.gateway.parts().access_log.set(config.telemetry.access_log);
        self.0.gateway.parts().cache.set_semantic(semantic_bounds(&config));
        self.0.gateway.replace(live);
        self.0.config.store(Arc::new(config));
        self.look_at_servers();
        Ok(())
    }

    /// Asks servers which models they have, and local ones what their calls must know of them, beside the calls.
    fn look_at_servers(&self) {
        servers::ask_for_health(&self.0.gateway);
        for client in self.0.gateway.live().clients.values().filter(|client| client.is_listing_due()) {
            let client = client.clone();
            self.0.gateway.parts().tasks.spawn(async move { client.ask_models().await });
        }
        for load in self.0.gateway.live().loads.values().filter(|load| load.is_due(Instant::now())) {
            let load = load.clone();
            self.0.gateway.parts().tasks.spawn(async move { load.ask().await });
        }
        for client in self.0.gateway.live().clients.values().filter(|client| client.has_adapters()) {
            let (client, gateway) = (client.clone(), self.0.gateway.clone());
            self.0.gateway.parts().tasks.spawn(async move {
                if client.ask_adapters().await {
                    let name = &client.provider().name;
                    tracing::info!(provider = %name, "{name} puts other adapters on its model than before");
                    // Answers of the model as it was are no answers of the model as it is.
                    gateway.parts().cache.purge(&Purge::Provider(name.clone()));
                }
            });
        }
    }

    /// Imports the prompts that the configuration names.
    async fn import_prompts(&self, config: &Config) -> Result<(), Error> {
        let Some(folder) = config.prompts.import.as_ref().filter(|folder| folder.is_dir()) else { return Ok(()) };
        let label = config.prompts.label_on_import.as_ref();
        let routes = config.routes.clone();
        let doubted = move |name: &PromptName, draft: &prompts::Draft| doubts(&routes, name, draft);
        let imported = self.prompts().import_dir_aside(self.pool(), (folder, label), now(), doubted).await?;
        if !imported.created.is_empty() {
            tracing::info!(added = imported.created.len(), "imported prompts from {}", folder.display());
        }
        report_doubts(&imported);
        report_labels(&imported);
        Ok(())
    }

    /// Imports the prompts again, whose folder changed. Where one file is wrong, all versions stay as they are.
    pub async fn import_again(&self) {
        if let Err(error) = self.import_prompts(&self.config()).await {
            tracing::error!("the changed prompts are not used; the old versions stay:\n{error}");
        }
    }

    /// Reads what another process changed in the database, and closes connections that were idle for long.
    pub async fn refresh(&self) {
        self.0.gateway.live().clients.values().for_each(|client| client.tidy_up());
        self.look_at_servers();
        self.ledger().look();
        self.try_to_write();
        if let Err(error) = self.0.keys.refresh().await {
            tracing::warn!(%error, "cannot read the keys again");
        }
        if let Err(error) = self.prompts().refresh().await {
            tracing::warn!(%error, "cannot read the prompts again");
        }
        self.refresh_experiments().await;
    }

    /// Tries whether the database can be written again, where it could not; beside what goes on, since a busy database may keep
    /// it waiting.
    fn try_to_write(&self) {
        if !self.0.db.is_writable() {
            let db = self.0.db.clone();
            self.0.gateway.parts().tasks.spawn(async move { db.look().await });
        }
    }

    /// Forgets rows older than the configured retention, and writes down when prompts and keys were used last.
    pub async fn tidy_up(&self) {
        let retention = self.config().ledger.retention;
        let before =
            Timestamp(now().0.saturating_sub_unsigned(u64::try_from(retention.as_micros()).unwrap_or(u64::MAX)));
        if let Err(error) = usage::prune(self.ledger_db(), before).await {
            tracing::warn!(%error, "cannot forget old rows");
        }
        self.0.gateway.parts().idempotency.tidy_up(now());
        if let Err(error) = self.batches().prune(before).await {
            tracing::warn!(%error, "cannot forget old batches");
        }
        if let Err(error) = self.datasets().tidy_up(now()).await {
            tracing::warn!(%error, "cannot delete what imports of datasets left");
        }
        self.save_use().await;
    }

    /// Writes down when prompts and keys were used last, so that commands beside the gateway read it too; beside what goes on, since a
    /// busy database may keep it waiting.
    pub fn note_use(&self) {
        let app = self.clone();
        self.0.gateway.parts().tasks.spawn(async move { app.save_use().await });
    }

    async fn save_use(&self) {
        if let Err(error) = self.prompts().save_use().await {
            tracing::warn!(%error, "cannot write down when prompts were used last");
        }
        if let Err(error) = self.keys().save_use().await {
            tracing::warn!(%error, "cannot write down when keys were used last");
        }
    }

    /// Welcomes no new requests from now on.
    pub fn stop_welcoming(&self) {
        self.0.ready.store(false, Ordering::Relaxed);
        self.0.stopping.get_or_init(Instant::now);
        self.0.runner.get().inspect(|runner| runner.stop());
    }

    /// Cancels every running call.
    pub fn end_calls(&self) {
        self.0.gateway.parts().closing.cancel();
    }

    /// Waits for what still runs, writes every row, and closes the database.
    pub async fn close(&self) {
        let parts = self.0.gateway.parts();
        self.end_batches().await;
        self.end_experiments().await;
        parts.tasks.close();
        parts.tasks.wait().await;
        if !parts.pool.close().await {
            tracing::warn!("some work of the pool did not end");
        }
        parts.idempotency.close().await;
        self.0.feedback.close().await;
        self.save_use().await;
        if let Err(error) = parts.ledger.clone().close().await {
            tracing::error!(%error, "the ledger did not close well");
        }
        self.0.db.close().await;
    }
}

impl App {
    /// Lets the lines of batches that are under way end within what is left of the grace, then ends them.
    async fn end_batches(&self) {
        let Some(runner) = self.0.runner.get() else { return };
        self.stop_welcoming();
        let since = *self.0.stopping.get_or_init(Instant::now);
        if !runner.ended(since + self.config().server.shutdown_grace).await {
            self.end_calls();
            if !runner.ended(Instant::now() + LAST_WORDS).await {
                tracing::warn!("some lines of batches did not end; the next start runs them again");
            }
        }
    }
}

fn not_callable((provider, bad): (Arc<str>, BadAddress)) -> Error {
    Error::Provider(provider, bad)
}

fn limits(config: &Config) -> Limits {
    Limits {
        requests_per_minute: config.limits.requests_per_minute.and_then(NonZeroU32::new),
        wrong_keys_per_minute: NonZeroU32::new(config.limits.wrong_keys_per_minute),
    }
}

fn semantic_bounds(config: &Config) -> SemanticBounds {
    let config::SemanticSettings { max_entries, max_size } = config.cache.semantic;
    SemanticBounds { entries: max_entries, bytes: usize::try_from(max_size).unwrap_or(usize::MAX) }
}

fn bounds(config: &Config) -> idempotency::Bounds {
    let config::Idempotency { ttl, max_size } = config.idempotency;
    idempotency::Bounds { ttl, max_size }
}
