//! Results and logs in a SQLite file: one thread writes, a transaction a batch; readers do not wait for it (WAL).
//!
//! ```text
//! write_* ─► Writer (thread) ─► one transaction ─► acknowledged, on the disk
//!               └── every SWEEP_INTERVAL: rows that have outlived their time, in small bites
//! results, logs ─► Readers (connections, one a query) ─► collect
//! ```

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jobico_event::TenantId;
use jobico_event::function_log::Line;
use jobico_event::result::View;

use super::{LogFilter, Page, PageRequest, ResultFilter, Store, StoreError};
use crate::row::{LogRow, ResultRow};

mod read;
mod schema;
mod write;

use read::Readers;
use write::{Job, Writer};

/// A SQLite file.
pub struct SqliteStore {
    path: String,
    writer: Writer,
    readers: Readers,
}

impl SqliteStore {
    /// Opens the file `path`, and makes it and its folder where they are not there.
    ///
    /// # Errors
    /// The file cannot be opened, is no SQLite file, or a newer Jobico's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open(path)?;
        schema::migrate(&connection)?;
        let readers = Readers::new(path.to_owned());
        let writer = Writer::start(connection)?;
        Ok(Self { path: path.display().to_string(), writer, readers })
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn describe(&self) -> String {
        format!("SQLite in {}", self.path)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.readers.run("be read", |connection| connection.query_row("SELECT 1", [], |_| Ok(()))).await
    }

    async fn write_results(&self, rows: Arc<[ResultRow]>) -> Result<(), StoreError> {
        self.writer.submit(Job::Results(rows)).await
    }

    async fn write_logs(&self, rows: Arc<[LogRow]>) -> Result<(), StoreError> {
        self.writer.submit(Job::Logs(rows)).await
    }

    async fn results_of_event(
        &self,
        tenant: &TenantId,
        event: &str,
        page: &PageRequest,
    ) -> Result<Page<View>, StoreError> {
        let (tenant, event, page) = (tenant.clone(), event.to_owned(), page.clone());
        self.readers
            .run("read the results of an event", move |connection| read::of_event(connection, &tenant, &event, &page))
            .await
    }

    async fn results(
        &self,
        tenant: &TenantId,
        filter: &ResultFilter,
        page: &PageRequest,
    ) -> Result<Page<View>, StoreError> {
        let (tenant, filter, page) = (tenant.clone(), filter.clone(), page.clone());
        self.readers.run("read results", move |connection| read::results(connection, &tenant, &filter, &page)).await
    }

    async fn logs(&self, tenant: &TenantId, filter: &LogFilter, page: &PageRequest) -> Result<Page<Line>, StoreError> {
        let (tenant, filter, page) = (tenant.clone(), filter.clone(), page.clone());
        self.readers.run("read logs", move |connection| read::logs(connection, &tenant, &filter, &page)).await
    }
}
