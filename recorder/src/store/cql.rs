//! Results and logs in ScyllaDB or Cassandra: the only modules that speak CQL.
//!
//! ```text
//! write_* ─► plan: by event, one insert each; by time, one UNLOGGED batch a partition ─┐
//!                └► buckets that are not known to be listed                            ├─► up to 256 at a time ─► all acknowledged
//! results, logs ─► buckets, newest first ─► their shards, merged by key ─► collect     ┘
//! ```
//!
//! Four tables (docs/decisions/0004-result-tables.md). Every write carries the record's own time as its write timestamp, so
//! that a second write of a row changes nothing; all statements are idempotent and the driver may repeat them. The
//! connection is made with the first use and kept up by the driver; a store that is away is an error of each use.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobico_event::TenantId;
use jobico_event::function_log::Line;
use jobico_event::result::View;
use tokio::sync::Mutex;

use super::{LogFilter, Page, PageRequest, ResultFilter, Store, StoreError};
use crate::config::CqlConfig;
use crate::row::{LogRow, ResultRow};

mod place;
mod schema;

mod connect;
mod tls;

mod plan;
mod write;

mod read;
mod scan;

use connect::Connection;
pub use tls::{Fault, Faults};
use tls::{Tls, explain};
use write::Listed;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long one request may take, the driver's repetitions included. 256 at a time, a batch of
/// [`crate::recording::BATCH_RECORDS_MAX`] then takes 3 min at worst, less than a member of a group may be away (5 min).
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// A keyspace of a cluster.
pub struct CqlStore {
    contact_points: Vec<String>,
    config: CqlConfig,
    tls: Option<Tls>,
    /// None until the cluster answers for the first time.
    connection: Mutex<Option<Arc<Connection>>>,
    listed: Listed,
}

impl CqlStore {
    /// A store at `contact_points`, `HOST:PORT[,HOST:PORT…]`. Nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with the files of [`CqlConfig::tls`], which are read here and not again.
    pub fn new(contact_points: &str, config: CqlConfig) -> Result<Self, Faults> {
        let contact_points = contact_points.split(',').map(|point| point.trim().to_owned()).collect();
        let tls = Tls::new(&config.tls)?;
        Ok(Self { contact_points, config, tls, connection: Mutex::default(), listed: Listed::default() })
    }

    /// The connection, made where there is none.
    async fn connection(&self) -> Result<Arc<Connection>, StoreError> {
        // Whoever comes while it is being made waits for it: one attempt at a time.
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let made = Connection::make(&self.contact_points, &self.config, self.tls.as_ref()).await;
        let made = Arc::new(made.map_err(self.failed("be connected to"))?);
        *connection = Some(made.clone());
        Ok(made)
    }

    /// Wraps a cause, with what speaks against the certificate of a node where something does: the driver does not say.
    fn failed(&self, operation: &'static str) -> impl FnOnce(BoxError) -> StoreError {
        let refusal = self.tls.as_ref().and_then(Tls::refusal);
        move |source| match refusal {
            Some(refusal) => StoreError::new(operation)(explain(refusal, source)),
            None => StoreError::new(operation)(source),
        }
    }
}

#[async_trait]
impl Store for CqlStore {
    fn describe(&self) -> String {
        format!("CQL at {}, keyspace {}", self.contact_points.join(","), self.config.keyspace)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let connection = self.connection().await?;
        read::check(&connection).await.map_err(self.failed("be read"))
    }

    async fn write_results(&self, rows: Arc<[ResultRow]>) -> Result<(), StoreError> {
        let connection = self.connection().await?;
        write::results(connection, &self.listed, rows).await.map_err(self.failed("write results"))
    }

    async fn write_logs(&self, rows: Arc<[LogRow]>) -> Result<(), StoreError> {
        let connection = self.connection().await?;
        write::logs(connection, &self.listed, rows).await.map_err(self.failed("write logs"))
    }

    async fn results_of_event(
        &self,
        tenant: &TenantId,
        event: &str,
        page: &PageRequest,
    ) -> Result<Page<View>, StoreError> {
        let connection = self.connection().await?;
        let results = read::of_event(&connection, tenant, event, page).await;
        results.map_err(self.failed("read the results of an event"))
    }

    async fn results(
        &self,
        tenant: &TenantId,
        filter: &ResultFilter,
        page: &PageRequest,
    ) -> Result<Page<View>, StoreError> {
        let connection = self.connection().await?;
        read::results(&connection, tenant, filter, page).await.map_err(self.failed("read results"))
    }

    async fn logs(&self, tenant: &TenantId, filter: &LogFilter, page: &PageRequest) -> Result<Page<Line>, StoreError> {
        let connection = self.connection().await?;
        read::logs(&connection, tenant, filter, page).await.map_err(self.failed("read logs"))
    }
}
