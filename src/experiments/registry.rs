//! All experiments: in memory for calls, in the database for good.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::assign::{Assigned, Caller, Live};
use super::error::Error;
use super::experiment::{Author, Experiment, State};
use super::notice::{self, Notice};
use super::spec::Spec;
use super::store;
use crate::db::{Db, Tx};
use crate::types::{ExperimentName, PromptName, Share, Timestamp, did_you_mean};

/// The revision counter that a change of experiments raises.
pub const TOPIC: &str = "experiments";

/// The most experiments that are stored.
const MOST: usize = 1_000;

/// All experiments. Cheap to clone; calls read memory only.
#[derive(Clone, Debug)]
pub struct Experiments(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    snapshot: ArcSwap<Snapshot>,
    /// One reader at a time, so that an older snapshot never replaces a newer one.
    refreshing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Snapshot {
    revision: i64,
    /// The newest first.
    all: Vec<Arc<Experiment>>,
    /// Those by which calls get arms.
    live: HashMap<PromptName, Vec<Live>>,
}

impl Experiments {
    /// Reads all experiments.
    ///
    /// # Errors
    /// Where the database fails, or one cannot be read.
    pub async fn open(db: Db) -> Result<Self, Error> {
        let inner = Inner { db, snapshot: ArcSwap::default(), refreshing: Mutex::new(()) };
        let experiments = Self(Arc::new(inner));
        experiments.read_again(true).await?;
        Ok(experiments)
    }

    /// Reads what this or another process changed since the last time, if anything.
    ///
    /// # Errors
    /// Where the database fails; what was known stays.
    pub async fn refresh(&self) -> Result<(), Error> {
        self.read_again(false).await
    }

    async fn read_again(&self, always: bool) -> Result<(), Error> {
        let _one = self.0.refreshing.lock().await;
        // Read before the rows: a change in between is then seen as one more revision.
        let revision = self.0.db.revision(TOPIC).await?;
        if !always && self.0.snapshot.load().revision == revision {
            return Ok(());
        }
        let all: Vec<Arc<Experiment>> = store::all(&self.0.db).await?.into_iter().map(Arc::new).collect();
        let mut live: HashMap<PromptName, Vec<Live>> = HashMap::new();
        for experiment in all.iter().filter(|experiment| experiment.assigns()) {
            live.entry(experiment.spec.prompt.clone()).or_default().push(Live::of(experiment.clone()));
        }
        self.0.snapshot.store(Arc::new(Snapshot { revision, all, live }));
        Ok(())
    }

    /// Whether no experiment assigns anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.snapshot.load().live.is_empty()
    }

    /// The arm of a call of `prompt` by `label`; `None` where no experiment has a part in it. Memory only.
    #[must_use]
    pub fn assign(&self, prompt: &PromptName, label: &str, caller: &Caller<'_>) -> Option<Assigned> {
        let snapshot = self.0.snapshot.load();
        let of_label = |live: &&Live| live.experiment.spec.label.as_str() == label;
        snapshot.live.get(prompt)?.iter().find(of_label)?.assign(caller)
    }

    /// All of them, the newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Experiment>> {
        self.0.snapshot.load().all.clone()
    }

    /// The experiment of a name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn get(&self, name: &str) -> Result<Arc<Experiment>, Error> {
        let snapshot = self.0.snapshot.load();
        let found = snapshot.all.iter().find(|experiment| experiment.spec.name.as_str() == name);
        found.cloned().ok_or_else(|| {
            let known = snapshot.all.iter().map(|experiment| experiment.spec.name.as_str());
            Error::NotThere(name.chars().take(64).collect(), did_you_mean(name, known))
        })
    }

    /// Makes an experiment, which is a draft; `salt` is what its units will be hashed with.
    ///
    /// # Errors
    /// Where the name is taken, or there are too many.
    pub async fn create(
        &self,
        spec: Spec,
        salt: String,
        (author, now): (Author, Timestamp),
    ) -> Result<Arc<Experiment>, Error> {
        let name = spec.name.clone();
        let new = Experiment {
            share: spec.share,
            spec,
            state: State::Draft,
            salt,
            off: Vec::new(),
            is_promoted: false,
            decision: None,
            created_at: now,
            started_at: None,
            counted_from: None,
            ended_at: None,
            author,
        };
        let mut changes = self.0.db.begin(TOPIC).await?;
        let count = store::all(&mut changes).await?.len();
        if store::one(&mut changes, name.as_str()).await?.is_some() {
            return Err(Error::Exists(name));
        }
        if count >= MOST {
            return Err(Error::TooMany(MOST));
        }
        store::add(&mut changes, &new).await?;
        self.commit(changes, &name).await
    }

    /// Starts a draft, goes on with one that is frozen, whose count begins anew, or gives a running one another share.
    ///
    /// # Errors
    /// Where it has ended, or another experiment has the label.
    pub async fn start(
        &self,
        name: &ExperimentName,
        share: Option<Share>,
        (author, now): (Author, Timestamp),
    ) -> Result<Arc<Experiment>, Error> {
        let mut changes = self.0.db.begin(TOPIC).await?;
        let was = self.stored(&mut changes, name).await?;
        let mut next = Experiment { author, share: share.unwrap_or(was.share), ..was.clone() };
        match was.state {
            State::Draft => (next.started_at, next.counted_from) = (Some(now), Some(now)),
            State::Frozen => (next.counted_from, next.decision) = (Some(now), None),
            State::Running if share.is_some() => {}
            State::Running => return Err(standing(name, "is running already; name another `share` to change that")),
            state => {
                let problem = format!("has ended ({}); make another", state.text());
                return Err(standing(name, &problem));
            }
        }
        if next.share < was.share && was.state != State::Draft {
            let problem = format!(
                "has a share of {}, which only grows: a smaller one would take units from their arms",
                was.share
            );
            return Err(standing(name, &problem));
        }
        next.state = State::Running;
        if let Some(rival) = store::rival(&store::all(&mut changes).await?, &next) {
            let (prompt, label) = (&next.spec.prompt, &next.spec.label);
            return Err(standing(
                name,
                &format!("cannot start: `{rival}` has the label {label} of {prompt}; stop that first"),
            ));
        }
        store::set(&mut changes, &next, was.state).await?;
        self.commit(changes, name).await
    }

    /// Ends an experiment for good; calls get what their label says.
    ///
    /// # Errors
    /// Where it has not begun or assigns no arms any more.
    pub async fn stop(
        &self,
        name: &ExperimentName,
        (author, now): (Author, Timestamp),
    ) -> Result<Arc<Experiment>, Error> {
        let mut changes = self.0.db.begin(TOPIC).await?;
        let was = self.stored(&mut changes, name).await?;
        if !was.assigns() {
            return Err(standing(name, &format!("is not under way ({})", was.state.text())));
        }
        let ended_at = was.ended_at.or(Some(now));
        let next = Experiment { state: State::Stopped, author, ended_at, ..was.clone() };
        store::set(&mut changes, &next, was.state).await?;
        self.commit(changes, name).await
    }

    /// Writes what a look decided into a transaction of its caller's, and a message about it under the id `notice` where that is to be
    /// sent; `false` where another change came before.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn decide(
        &self,
        tx: &mut Tx,
        (was, next): (&Experiment, &Experiment),
        notice: Option<(&str, Timestamp)>,
    ) -> Result<bool, Error> {
        let is_same = store::one(tx, was.spec.name.as_str()).await?.is_some_and(|stored| stored == *was);
        let is_set = is_same && store::set(tx, next, was.state).await?;
        if is_set {
            tx.bump(TOPIC).await?;
            if let Some((id, now)) = notice {
                notice::add(tx, id, &notice::body(next, id), now).await?;
            }
        }
        Ok(is_set)
    }

    /// Messages about decisions whose time has come, the oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn notices(&self, now: Timestamp) -> Result<Vec<Notice>, Error> {
        notice::due(&self.0.db, now).await
    }

    /// Forgets a message that arrived.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn arrived(&self, notice: &Notice) -> Result<(), Error> {
        notice::remove(&self.0.db, &notice.id).await
    }

    /// Notes that a message did not arrive, so that it is tried later; `false` where it is given up.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn failed(&self, notice: &Notice, now: Timestamp) -> Result<bool, Error> {
        notice::failed(&self.0.db, notice, now).await
    }

    async fn stored(&self, changes: &mut Tx, name: &ExperimentName) -> Result<Experiment, Error> {
        match store::one(changes, name.as_str()).await? {
            Some(experiment) => Ok(experiment),
            None => Err(Error::NotThere(name.to_string(), String::new())),
        }
    }

    async fn commit(&self, mut changes: Tx, name: &ExperimentName) -> Result<Arc<Experiment>, Error> {
        changes.bump(TOPIC).await?;
        changes.commit().await?;
        self.refresh().await?;
        self.get(name.as_str())
    }
}

fn standing(name: &ExperimentName, problem: &str) -> Error {
    Error::Standing { name: name.clone(), problem: problem.to_owned() }
}
