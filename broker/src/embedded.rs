//! The embedded log: one SQLite file, one process, nothing to install.
//!
//! ```text
//!  Embedded ── Lock            one process at a time; the kernel lifts it when the process ends, however it does
//!     │
//!  local::Log ─► WriterThread ─► local::Core::apply ─► Store      one connection writes, a few read
//!                     ▲
//!                 SweepThread      retention and compaction, in small bites
//! ```
//!
//! **What an acknowledgement promises**: the record is there after the end of the process, also by SIGKILL. It is in the
//! operating system's hands (SQLite's WAL, `synchronous=NORMAL`), as a record is that Kafka acknowledged: neither calls
//! fsync for each. A machine that loses power may lose the newest records, a Kafka with one replica likewise; what is left
//! is whole, offsets and outputs with it. [`Settings::fsync`] asks for more.
//!
//! Groups live in this process, so there are no sessions: a member that is dropped, by a panic too, gives its partitions
//! to the others; one that hangs keeps them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::local::{Core, Log};
use crate::{
    Append, Broker, Class, Consumer, Error, Follower, GroupMember, Lag, Membership, Position, Positions, Start,
    TopicSpec, Transactor, Writer,
};

mod error;
mod lock;
mod schema;

mod load;
mod readers;
mod store;

mod writer_thread;

mod retention;
mod sweep_thread;

use lock::Lock;
use store::Store;
use sweep_thread::SweepThread;
use writer_thread::WriterThread;

/// What can be chosen of an embedded log.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long records of topics with [`crate::Retention::Default`] are kept. 7 days, as Kafka's `log.retention.hours`.
    pub retention: Duration,
    /// How long a tombstone of a compacted topic is kept, so that followers see it. 24 h, as Kafka's `delete.retention.ms`.
    pub tombstone_retention: Duration,
    /// How often what is kept too long is looked for. 5 min, as Kafka's `log.retention.check.interval.ms`.
    pub sweep_interval: Duration,
    /// When written records reach the disk.
    pub fsync: Fsync,
}

/// When written records reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// When the WAL is moved into the file, and whenever the operating system finds it convenient: the end of the process
    /// loses nothing, that of the machine may.
    AtCheckpoints,
    /// Before they are acknowledged: the end of the machine loses nothing. It costs an fsync for each group of commits.
    EachCommit,
}

/// A log in a SQLite file.
pub struct Embedded {
    // Fields are dropped in this order: the sweeper submits to the log, whose last user lets the lock go.
    _sweep: SweepThread,
    log: Arc<Log>,
    path: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            tombstone_retention: Duration::from_secs(24 * 60 * 60),
            sweep_interval: Duration::from_secs(5 * 60),
            fsync: Fsync::AtCheckpoints,
        }
    }
}

impl Embedded {
    /// Opens the log in the file `path`, and makes the file and its folder where they are not there. Beside it stand
    /// SQLite's own `-wal` and `-shm`, and a `.lock`.
    ///
    /// # Errors
    /// [`Class::Fatal`] where another process (or this one) has it open, the file is not such a log or a newer Jobico's, or
    /// the folder cannot be written.
    pub fn open(path: &Path, settings: Settings) -> Result<Arc<Self>, Error> {
        let lock = Lock::take(path)?;
        let (store, loaded) = Store::open(path, settings.fsync, lock)?;
        let readers = store.readers();
        let core = Core::new(Box::new(store), loaded, Box::new(now_ms));
        let writer = WriterThread::start(core.clone())?;
        let sweep = SweepThread::start(core.clone(), readers, writer.queue(), &settings)?;
        Ok(Arc::new(Self { _sweep: sweep, log: Log::new(core, Box::new(writer)), path: path.to_owned() }))
    }
}

/// Milliseconds since 1970; 0 on a machine whose clock is before that.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A thread of the log, by name.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| Error::new(Class::Fatal, crate::Cause::Other, "start the log", error))
}

#[async_trait]
impl Broker for Embedded {
    fn describe(&self) -> String {
        format!("embedded in {}", self.path.display())
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.log.ensure_topics(topics).await
    }

    async fn topics(&self) -> Result<BTreeSet<String>, Error> {
        Ok(self.log.topics())
    }

    async fn append(&self, records: Vec<Append>) -> Vec<Result<Position, Error>> {
        self.log.append(records).await
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error> {
        self.log.lag(group, topics)
    }

    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error> {
        Ok(self.log.members(group))
    }

    async fn check(&self) -> Result<(), Error> {
        self.log.check()
    }

    fn follow(&self, topics: &[String], start: Start) -> Result<Box<dyn Follower>, Error> {
        self.log.follow(topics, start)
    }

    fn follow_from(&self, positions: &Positions) -> Result<Box<dyn Follower>, Error> {
        self.log.follow_from(positions)
    }

    fn join(&self, membership: &Membership) -> Result<Box<dyn Consumer>, Error> {
        Ok(Box::new(self.log.join(membership)))
    }

    fn join_transactional(
        &self,
        membership: &Membership,
        transactional_id: &str,
    ) -> Result<Box<dyn Transactor>, Error> {
        Ok(Box::new(self.log.join_transactional(membership, transactional_id)?))
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, Error> {
        Ok(self.log.writer(transactional_id))
    }
}
