//! The driver's session and the prepared statements.

use std::time::Duration;

use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency as CqlConsistency;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;

use super::plan::BATCH_ROWS_MAX;
use super::tls::{Tls, explain_connecting};
use super::{BoxError, REQUEST_MAX, schema};
use crate::config::{Consistency, CqlConfig};

/// How long one attempt to connect may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long making a keyspace or a table may take: all nodes have to agree on it.
const SCHEMA_CHANGE_MAX: Duration = Duration::from_secs(30);
/// Rows in a page of a query's answer. Pages are fetched ahead, so that a small one costs no waiting.
const PAGE_ROWS: i32 = 500;

/// A session, and what is said in it.
pub(super) struct Connection {
    pub(super) session: Session,
    pub(super) result_by_event: PreparedStatement,
    pub(super) result_by_time: Batched,
    pub(super) log_by_time: Batched,
    pub(super) bucket: PreparedStatement,
    pub(super) check: PreparedStatement,
    pub(super) of_event: PreparedStatement,
    pub(super) results: PreparedStatement,
    pub(super) logs: PreparedStatement,
    pub(super) buckets: PreparedStatement,
}

/// An insert, alone and in UNLOGGED batches of each size.
pub(super) struct Batched {
    /// The batch of `n` at `n - 1`.
    by_size: Vec<Batch>,
}

impl Batched {
    fn new(insert: &PreparedStatement) -> Self {
        let batch = |size: usize| {
            let statements = vec![BatchStatement::PreparedStatement(insert.clone()); size];
            let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
            batch.set_is_idempotent(true);
            batch
        };
        Self { by_size: (1..=BATCH_ROWS_MAX).map(batch).collect() }
    }

    /// The batch of `size` inserts, from 1 to [`BATCH_ROWS_MAX`].
    pub(super) fn of(&self, size: usize) -> &Batch {
        &self.by_size[size - 1]
    }
}

impl Connection {
    /// Connects, makes what is missing of the keyspace, and prepares the statements.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    pub(super) async fn make(
        contact_points: &[String],
        config: &CqlConfig,
        tls: Option<&Tls>,
    ) -> Result<Self, BoxError> {
        let profile = ExecutionProfile::builder()
            .consistency(level(config.consistency))
            .request_timeout(Some(REQUEST_MAX))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(contact_points)
            .connection_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .tls_context(tls.map(Tls::context))
            // Of this keyspace alone: its replication is what lets the driver ask the nodes that have a row (token-aware).
            .keyspaces_to_fetch([config.keyspace.as_str()])
            .default_execution_profile_handle(profile.into_handle());
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            builder = builder.user(user, password.reveal());
        }
        let session = builder.build().await.map_err(|error| explain_connecting(error, tls))?;
        make_tables(&session, config).await?;
        let statements = Statements { session: &session, keyspace: &config.keyspace };
        let result_by_time = statements.prepare(schema::RESULT_BY_TIME).await?;
        let log_by_time = statements.prepare(schema::LOG_BY_TIME).await?;
        Ok(Self {
            result_by_event: statements.prepare(schema::RESULT_BY_EVENT).await?,
            result_by_time: Batched::new(&result_by_time),
            log_by_time: Batched::new(&log_by_time),
            bucket: statements.prepare(schema::BUCKET).await?,
            check: statements.prepare(schema::CHECK).await?,
            of_event: statements.prepare(schema::OF_EVENT).await?,
            results: statements.prepare(schema::RESULTS).await?,
            logs: statements.prepare(schema::LOGS).await?,
            buckets: statements.prepare(schema::BUCKETS).await?,
            session,
        })
    }
}

struct Statements<'a> {
    session: &'a Session,
    keyspace: &'a str,
}

impl Statements<'_> {
    async fn prepare(&self, statement: &str) -> Result<PreparedStatement, BoxError> {
        let mut prepared = self.session.prepare(schema::within(self.keyspace, statement)).await?;
        // Inserts carry their own timestamps, so that one sent twice is one.
        prepared.set_is_idempotent(true);
        prepared.set_page_size(PAGE_ROWS);
        Ok(prepared)
    }
}

/// Makes what is missing, so that a user without the right to make tables can use those that an operator made.
async fn make_tables(session: &Session, config: &CqlConfig) -> Result<(), BoxError> {
    let there = session.query_unpaged(schema::TABLES_THERE, (&config.keyspace,)).await?.into_rows_result()?;
    let there: Vec<String> = there.rows::<(String,)>()?.map(|row| row.map(|(name,)| name)).collect::<Result<_, _>>()?;
    let missing: Vec<_> = schema::TABLES.iter().filter(|(name, _)| !there.iter().any(|there| there == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    change_schema(session, schema::create_keyspace(&config.keyspace, &config.replication)).await?;
    for (table, definition) in missing {
        change_schema(session, schema::within(&config.keyspace, definition)).await?;
        tracing::info!(keyspace = config.keyspace, table, "made a table of the store");
    }
    Ok(())
}

async fn change_schema(session: &Session, statement: String) -> Result<(), BoxError> {
    let mut statement = Statement::new(statement);
    statement.set_request_timeout(Some(SCHEMA_CHANGE_MAX));
    session.query_unpaged(statement, ()).await?;
    Ok(())
}

fn level(consistency: Consistency) -> CqlConsistency {
    match consistency {
        Consistency::One => CqlConsistency::One,
        Consistency::LocalOne => CqlConsistency::LocalOne,
        Consistency::LocalQuorum => CqlConsistency::LocalQuorum,
        Consistency::Quorum => CqlConsistency::Quorum,
        Consistency::All => CqlConsistency::All,
    }
}
