//! Queries.

use futures::TryStreamExt as _;
use jobico_event::function_log::Line;
use jobico_event::result::View;
use jobico_event::{JobId, TenantId};
use scylla::DeserializeRow;
use scylla::value::CqlTimestamp;
use serde_json::value::RawValue;

use super::connect::Connection;
use super::scan::{Scan, TimedRow};
use super::write::{LOGS, RESULTS};
use crate::row::{Key, level_named, line_bytes, rfc3339, view_bytes};
use crate::store::collect::Collect;
use crate::store::{LogFilter, Page, PageRequest, ResultFilter};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Asks for nothing, at the consistency of all reads.
///
/// # Errors
/// Not enough replicas answer.
pub(super) async fn check(connection: &Connection) -> Result<(), BoxError> {
    connection.session.execute_unpaged(&connection.check, ()).await?;
    Ok(())
}

/// See [`crate::store::Store::results_of_event`].
///
/// # Errors
/// The query failed.
pub(super) async fn of_event(
    connection: &Connection,
    tenant: &TenantId,
    event: &str,
    page: &PageRequest,
) -> Result<Page<View>, BoxError> {
    // No topic's name is empty: this is before all.
    let first = Key { at_ms: 0, topic: String::new(), partition: 0, offset: 0, index: 0 };
    let after = page.after.as_ref().unwrap_or(&first);
    let values = (tenant.as_str(), event, after.topic.as_str(), after.partition, after.offset, after.index);
    let pager = connection.session.execute_iter(connection.of_event.clone(), values).await?;
    let mut rows = pager.rows_stream::<ResultTuple>()?;
    let mut collect = Collect::new(page.limit);
    while let Some(row) = rows.try_next().await? {
        let key = row.key();
        let view = row.view()?;
        let bytes = view_bytes(&view);
        if collect.push(key, view, bytes, true).is_break() {
            return Ok(collect.page());
        }
    }
    Ok(collect.last_page())
}

/// See [`crate::store::Store::results`].
///
/// # Errors
/// A query failed.
pub(super) async fn results(
    connection: &Connection,
    tenant: &TenantId,
    filter: &ResultFilter,
    page: &PageRequest,
) -> Result<Page<View>, BoxError> {
    let since_ms = filter.since_ms.unwrap_or(0);
    let scan = Scan { connection, statement: &connection.results, kind: RESULTS, tenant, since_ms, page };
    scan.run(|row: ResultTuple, _: &Key| {
        let view = row.view()?;
        let (bytes, wanted) = (view_bytes(&view), filter.takes(&view));
        Ok((view, bytes, wanted))
    })
    .await
}

/// See [`crate::store::Store::logs`].
///
/// # Errors
/// A query failed.
pub(super) async fn logs(
    connection: &Connection,
    tenant: &TenantId,
    filter: &LogFilter,
    page: &PageRequest,
) -> Result<Page<Line>, BoxError> {
    let since_ms = filter.since_ms.unwrap_or(0);
    let scan = Scan { connection, statement: &connection.logs, kind: LOGS, tenant, since_ms, page };
    scan.run(|row: LogTuple, _: &Key| {
        let line = row.line(tenant)?;
        let (bytes, wanted) = (line_bytes(&line), filter.takes(&line));
        Ok((line, bytes, wanted))
    })
    .await
}

/// A row of the tables of results; `SELECT` has this order.
#[derive(DeserializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
struct ResultTuple {
    at: CqlTimestamp,
    topic: String,
    part: i32,
    pos: i64,
    idx: i32,
    event: String,
    job: String,
    function: String,
    status: String,
    code: i64,
    data: String,
    attempts: i32,
}

impl TimedRow for ResultTuple {
    fn key(&self) -> Key {
        Key { at_ms: self.at.0, topic: self.topic.clone(), partition: self.part, offset: self.pos, index: self.idx }
    }
}

impl ResultTuple {
    fn view(self) -> Result<View, BoxError> {
        Ok(View {
            event: self.event,
            job: JobId::new(&self.job)?,
            function: self.function,
            status: self.status.parse()?,
            code: self.code.cast_unsigned(),
            data: RawValue::from_string(self.data)?,
            topic: self.topic,
            partition: self.part,
            offset: self.pos,
            at: rfc3339(self.at.0),
            attempts: self.attempts.cast_unsigned(),
        })
    }
}

/// A row of the table of logs; `SELECT` has this order.
#[derive(DeserializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
struct LogTuple {
    at: CqlTimestamp,
    topic: String,
    part: i32,
    pos: i64,
    idx: i32,
    event: String,
    job: String,
    function: String,
    level: String,
    message: String,
}

impl TimedRow for LogTuple {
    fn key(&self) -> Key {
        Key { at_ms: self.at.0, topic: self.topic.clone(), partition: self.part, offset: self.pos, index: self.idx }
    }
}

impl LogTuple {
    fn line(self, tenant: &TenantId) -> Result<Line, BoxError> {
        Ok(Line {
            tenant: tenant.clone(),
            job: JobId::new(&self.job)?,
            function: self.function,
            event: self.event,
            level: level_named(&self.level).ok_or_else(|| format!("'{}' is no level", self.level))?,
            message: self.message,
            line: self.idx.unsigned_abs(),
            topic: self.topic,
            partition: self.part,
            offset: self.pos,
            at: rfc3339(self.at.0),
        })
    }
}
