//! The store of results and logs: what the recorder needs of one. Two are there: [`cql`] (ScyllaDB, Cassandra) and [`sqlite`]
//! (a file, nothing to install). They order, page, filter and expire alike; one list of tests runs against both.
//!
//! Writes are idempotent: a row's key is its source event's coordinates, so that a record delivered again overwrites. Reads
//! are of one tenant, always.

use std::sync::Arc;

use async_trait::async_trait;
use jobico_event::function_log::{Level, Line};
use jobico_event::result::{Status, View};
use jobico_event::{JobId, TenantId};

use crate::row::{Key, LogRow, ResultRow};

pub mod collect;
pub mod cursor;

pub mod cql;
pub mod sqlite;

/// What the store could not do. It may be tried again.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot {operation}")]
pub struct StoreError {
    /// What was being done.
    pub operation: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// Wraps a cause.
    pub fn new(
        operation: &'static str,
    ) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> Self + Copy + Send + Sync {
        move |source| Self { operation, source }
    }
}

/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows, at most.
    pub limit: usize,
    /// The row that the page before ended with, or a place after it.
    pub after: Option<Key>,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// Its rows, in order.
    pub rows: Vec<T>,
    /// Where the next page begins; none = this was the last. A page may hold fewer rows than asked for, and none, and have
    /// a next one all the same: how many rows one request looks at is bounded.
    pub next: Option<Key>,
}

/// Which results of a tenant are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultFilter {
    /// Of this job.
    pub job: Option<JobId>,
    /// Of this status.
    pub status: Option<Status>,
    /// Not older than this, milliseconds since 1970.
    pub since_ms: Option<i64>,
}

impl ResultFilter {
    /// Whether a result is wanted, as far as job and status go.
    #[must_use]
    pub fn takes(&self, result: &View) -> bool {
        self.job.as_ref().is_none_or(|job| *job == result.job)
            && self.status.is_none_or(|status| status == result.status)
    }
}

/// Which lines of a tenant are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Of this job.
    pub job: Option<JobId>,
    /// Of this level.
    pub level: Option<Level>,
    /// Not older than this, milliseconds since 1970.
    pub since_ms: Option<i64>,
}

impl LogFilter {
    /// Whether a line is wanted, as far as job and level go.
    #[must_use]
    pub fn takes(&self, line: &Line) -> bool {
        self.job.as_ref().is_none_or(|job| *job == line.job) && self.level.is_none_or(|level| level == line.level)
    }
}

/// A store of results and logs.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What it is, for people.
    fn describe(&self) -> String;

    /// Whether it can be written and read.
    async fn check(&self) -> Result<(), StoreError>;

    /// Writes results; returns when all are acknowledged. After an error some may have been written.
    async fn write_results(&self, rows: Arc<[ResultRow]>) -> Result<(), StoreError>;

    /// Writes logged lines; returns when all are acknowledged. After an error some may have been written.
    async fn write_logs(&self, rows: Arc<[LogRow]>) -> Result<(), StoreError>;

    /// The results of one event, in the order of its source records.
    async fn results_of_event(
        &self,
        tenant: &TenantId,
        event: &str,
        page: &PageRequest,
    ) -> Result<Page<View>, StoreError>;

    /// A tenant's results, newest first.
    async fn results(
        &self,
        tenant: &TenantId,
        filter: &ResultFilter,
        page: &PageRequest,
    ) -> Result<Page<View>, StoreError>;

    /// A tenant's logged lines, newest first.
    async fn logs(&self, tenant: &TenantId, filter: &LogFilter, page: &PageRequest) -> Result<Page<Line>, StoreError>;
}
