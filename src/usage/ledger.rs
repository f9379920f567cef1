//! The ledger as the gateway sees it: intend before an attempt, settle after a request.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::commit::{self, Job, Message};
use super::error::{Error, Unavailable};
use super::journal::{self, Journal};
use super::recover;
use super::rows::{Intent, Settlement};
use super::writer::Writer;
use crate::db::Db;

/// How a ledger is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether rows must survive a power loss, not only the end of the process.
    pub durable: bool,
    /// The most settlements that wait.
    pub queue: usize,
    /// How long another process may hold the database before the ledger is told to be unavailable.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { durable: false, queue: 65_536, patience: Duration::from_millis(250) }
    }
}

/// The ledger. Copies are the same ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Message>,
}

/// What the gateway's side and the writer's share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) journal: Journal,
    /// Whether the last batch could be written.
    pub(super) writable: AtomicBool,
    pub(super) closing: AtomicBool,
    /// Held as long as the ledger lives.
    _lock: Option<File>,
}

/// The answer to [`Ledger::settle`]: resolves when the rows are committed. The write happens without it, too.
#[derive(Debug)]
pub struct Ack(Option<oneshot::Receiver<Result<(), Unavailable>>>);

impl Future for Ack {
    type Output = Result<(), Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receiver) = &mut self.0 else { return Poll::Ready(Err(Unavailable)) };
        let answer = ready!(Pin::new(receiver).poll(context));
        Poll::Ready(answer.unwrap_or(Err(Unavailable)))
    }
}

impl Ledger {
    /// Opens the ledger in `db`, alone, and charges what a crash cut off.
    ///
    /// # Errors
    /// [`Error::InUse`] where another process has it; the others where files or the database cannot be used.
    pub async fn open(db: &Db, options: Options) -> Result<Self, Error> {
        let lock = lock(db.path())?;
        let unreadable = |source| Error::File { path: db.path().to_owned(), source };
        let segments = journal::segments(db.path()).map_err(unreadable)?;
        let mut writer = Writer::open(db, options.patience).await?;
        recover::all(db, &mut writer, &segments).await?;
        let next = segments.last().map_or(1, |last| last + 1);
        let shared = Arc::new(Shared {
            journal: Journal::new(db.path(), next, options.durable),
            writable: AtomicBool::new(true),
            closing: AtomicBool::new(false),
            _lock: Some(lock),
        });
        let (sender, receiver) = mpsc::channel(options.queue);
        tokio::spawn(commit::run(db.clone(), writer, shared.clone(), receiver));
        Ok(Self { shared, sender })
    }

    /// A ledger that can only be read, for work beside the process that writes it: it takes no rows, so no call goes out.
    #[must_use]
    pub fn detached(db: &Db) -> Self {
        let shared = Arc::new(Shared {
            journal: Journal::new(db.path(), 0, false),
            writable: AtomicBool::new(false),
            closing: AtomicBool::new(true),
            _lock: None,
        });
        let (sender, _closed) = mpsc::channel(1);
        Self { shared, sender }
    }

    /// Writes down that an attempt is about to be sent. Returns at once when the line is with the system, or with the disk
    /// where the ledger is durable.
    ///
    /// # Errors
    /// [`Unavailable`] where the line cannot be written: the attempt must not be sent.
    pub fn intend(&self, intent: &Intent<'_>) -> Result<(), Unavailable> {
        self.shared.journal.write(intent)
    }

    /// Hands over what a request left behind. Only sends, so a `Drop` may call it.
    pub fn settle(&self, mut settlement: Settlement) -> Ack {
        settlement.request.bound();
        let (done, answer) = oneshot::channel();
        let sent = self.sender.try_send(Message::Settle(Box::new(Job { settlement, done })));
        if sent.is_err() {
            tracing::error!(
                "the ledger takes no more settlements; the attempts are charged from their intents at the next start"
            );
            return Ack(None);
        }
        Ack(Some(answer))
    }

    /// Whether a call may go out: the last batch was written, and there is room for more.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.shared.writable.load(Ordering::Relaxed) && self.sender.capacity() > self.sender.max_capacity() / 4
    }

    /// Writes what waits, and ends. Settlements after it are refused.
    ///
    /// # Errors
    /// [`Error::Unwritten`] where the database could not be written within some seconds.
    pub async fn close(self) -> Result<(), Error> {
        self.shared.closing.store(true, Ordering::Relaxed);
        let (done, answer) = oneshot::channel();
        if self.sender.send(Message::Close(done)).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(())).map_err(|Unavailable| Error::Unwritten)
    }
}

/// Takes the lock that makes this process the ledger's only writer; the system lets go of it when the process ends.
fn lock(database: &Path) -> Result<File, Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut name = database.as_os_str().to_owned();
    name.push("-lock");
    let path = PathBuf::from(name);
    let opened = File::options().create(true).append(true).mode(0o600).open(&path);
    let file = opened.map_err(|source| Error::File { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse(path)),
        Err(std::fs::TryLockError::Error(source)) => Err(Error::File { path, source }),
    }
}
