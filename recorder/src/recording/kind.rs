//! What is recorded: results or logs. Everything else of a recording is the same.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jobico_broker::Record;
use jobico_event::name;
use jobico_event::snapshot::Snapshot;

use crate::decode::{self, Unreadable};
use crate::row::{LogRow, ResultRow, Row};
use crate::store::{Store, StoreError};

/// A kind of records.
pub trait Kind: Send + 'static {
    /// Its name: the label of metrics, the component of readiness.
    const NAME: &'static str;
    /// The group that reads it.
    const GROUP: &'static str;
    /// What a record becomes.
    type Row: Row;

    /// The topics to read.
    fn topics(snapshot: &Snapshot) -> BTreeSet<String>;

    /// Reads a record.
    ///
    /// # Errors
    /// [`Unreadable`].
    fn decode(&self, record: &Record<'_>, snapshot: &Snapshot, now_ms: i64) -> Result<Self::Row, Unreadable>;

    /// Writes rows to the store.
    fn write(store: &dyn Store, rows: Arc<[Self::Row]>) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Results of all tenants.
#[derive(Debug)]
pub struct Results {
    /// How long they are kept, where their tenant sets nothing else.
    pub ttl: Duration,
}

/// What the functions of all tenants log.
#[derive(Debug)]
pub struct Logs {
    /// How long it is kept.
    pub ttl: Duration,
}

impl Kind for Results {
    const NAME: &'static str = "results";
    const GROUP: &'static str = name::RECORDER_GROUP;
    type Row = ResultRow;

    fn topics(snapshot: &Snapshot) -> BTreeSet<String> {
        snapshot.results_topics()
    }

    fn decode(&self, record: &Record<'_>, snapshot: &Snapshot, now_ms: i64) -> Result<ResultRow, Unreadable> {
        decode::result(record, snapshot, self.ttl, now_ms)
    }

    fn write(store: &dyn Store, rows: Arc<[ResultRow]>) -> impl Future<Output = Result<(), StoreError>> + Send {
        store.write_results(rows)
    }
}

impl Kind for Logs {
    const NAME: &'static str = "logs";
    const GROUP: &'static str = name::RECORDER_LOG_GROUP;
    type Row = LogRow;

    fn topics(_: &Snapshot) -> BTreeSet<String> {
        BTreeSet::from([name::LOG.to_owned()])
    }

    fn decode(&self, record: &Record<'_>, _: &Snapshot, now_ms: i64) -> Result<LogRow, Unreadable> {
        decode::log_line(record, self.ttl, now_ms)
    }

    fn write(store: &dyn Store, rows: Arc<[LogRow]>) -> impl Future<Output = Result<(), StoreError>> + Send {
        store.write_logs(rows)
    }
}
