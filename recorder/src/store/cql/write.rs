//! Writes, many at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashlink::LruCache;
use jobico_event::TenantId;
use scylla::SerializeRow;
use scylla::errors::ExecutionError;
use scylla::serialize::row::SerializeRow as SerializeValues;
use scylla::value::CqlTimestamp;
use tokio::task::JoinSet;

use super::connect::{Batched, Connection};
use super::place::{Place, bucket_start_ms};
use super::plan::{Together, Used, plan};
use crate::row::{LogRow, ResultRow, level_name, now_ms};

/// Requests at a time, for one batch of records.
const REQUESTS_MAX: usize = 256;
/// Tasks that make them, so that more than one core writes and reads frames.
const TASKS: usize = 2;
/// Partitions by time that are remembered as listed; one that is forgotten is listed again.
const LISTED_MAX: usize = 100_000;
/// The kind under which partitions of results are listed.
pub(super) const RESULTS: &str = "results";
/// The kind under which partitions of logs are listed.
pub(super) const LOGS: &str = "logs";
/// The shortest time to live that is written, seconds: 0 would mean for ever.
const TTL_MIN_S: i64 = 1;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The partitions by time that are listed already, and until when (seconds since 1970).
pub(super) struct Listed(Mutex<LruCache<(TenantId, &'static str, Place), i64>>);

impl Default for Listed {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(LISTED_MAX)))
    }
}

impl Listed {
    /// Those that are not listed for long enough.
    fn missing(&self, kind: &'static str, used: Vec<Used>) -> Vec<Used> {
        let mut listed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_missing = |used: &Used| {
            let until = listed.get(&(used.tenant.clone(), kind, used.place));
            until.is_none_or(|until| *until < used.expires_at_s)
        };
        used.into_iter().filter(|used| is_missing(used)).collect()
    }

    fn add(&self, kind: &'static str, added: &[Used]) {
        let mut listed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for used in added {
            listed.insert((used.tenant.clone(), kind, used.place), used.expires_at_s);
        }
    }
}

/// Requests that write one batch of records, in any order.
trait Requests: Send + Sync + 'static {
    /// How many there are.
    fn count(&self) -> usize;

    /// Does one of them.
    fn request(&self, index: usize) -> impl Future<Output = Result<(), ExecutionError>> + Send;
}

struct ResultRequests {
    connection: Arc<Connection>,
    now_s: i64,
    missing: Vec<Used>,
    together: Vec<Together>,
    rows: Arc<[ResultRow]>,
}

impl Requests for ResultRequests {
    fn count(&self) -> usize {
        self.missing.len() + self.together.len() + self.rows.len()
    }

    async fn request(&self, index: usize) -> Result<(), ExecutionError> {
        if let Some(used) = self.missing.get(index) {
            return list(&self.connection, RESULTS, used, self.now_s).await;
        }
        let index = index - self.missing.len();
        if let Some(Together { place, rows }) = self.together.get(index) {
            let values = |row: &usize| ResultByTime::new(&self.rows[*row], *place, self.now_s);
            let values: Vec<_> = rows.iter().map(values).collect();
            return batch(&self.connection, &self.connection.result_by_time, values).await;
        }
        let values = ResultByEvent::new(&self.rows[index - self.together.len()], self.now_s);
        self.connection.session.execute_unpaged(&self.connection.result_by_event, values).await.map(drop)
    }
}

struct LogRequests {
    connection: Arc<Connection>,
    now_s: i64,
    missing: Vec<Used>,
    together: Vec<Together>,
    rows: Arc<[LogRow]>,
}

impl Requests for LogRequests {
    fn count(&self) -> usize {
        self.missing.len() + self.together.len()
    }

    async fn request(&self, index: usize) -> Result<(), ExecutionError> {
        if let Some(used) = self.missing.get(index) {
            return list(&self.connection, LOGS, used, self.now_s).await;
        }
        let Together { place, rows } = &self.together[index - self.missing.len()];
        let values = |row: &usize| LogByTime::new(&self.rows[*row], *place, self.now_s);
        let values: Vec<_> = rows.iter().map(values).collect();
        batch(&self.connection, &self.connection.log_by_time, values).await
    }
}

/// Writes results.
///
/// # Errors
/// The first request that failed; the others may have been done or not.
pub(super) async fn results(
    connection: Arc<Connection>,
    listed: &Listed,
    rows: Arc<[ResultRow]>,
) -> Result<(), BoxError> {
    let (together, used) = plan(&rows);
    let missing = listed_until(listed.missing(RESULTS, used));
    let requests = Arc::new(ResultRequests { connection, now_s: now_ms() / 1000, missing, together, rows });
    all(&requests).await?;
    listed.add(RESULTS, &requests.missing);
    Ok(())
}

/// Writes logged lines.
///
/// # Errors
/// The first request that failed; the others may have been done or not.
pub(super) async fn logs(connection: Arc<Connection>, listed: &Listed, rows: Arc<[LogRow]>) -> Result<(), BoxError> {
    let (together, used) = plan(&rows);
    let missing = listed_until(listed.missing(LOGS, used));
    let requests = Arc::new(LogRequests { connection, now_s: now_ms() / 1000, missing, together, rows });
    all(&requests).await?;
    listed.add(LOGS, &requests.missing);
    Ok(())
}

/// Does all requests, [`REQUESTS_MAX`] at a time, until one fails. Those under way then are given up: dropping the set
/// aborts its tasks.
async fn all<R: Requests>(requests: &Arc<R>) -> Result<(), BoxError> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(drive(requests.clone(), next.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// One task's share of [`all`].
async fn drive<R: Requests>(requests: Arc<R>, next: Arc<AtomicUsize>) -> Result<(), ExecutionError> {
    let lanes = requests.count().min(REQUESTS_MAX / TASKS);
    futures::future::try_join_all((0..lanes).map(|_| lane(&*requests, &next))).await.map(drop)
}

/// Does one request after the other, until none is left.
async fn lane<R: Requests>(requests: &R, next: &AtomicUsize) -> Result<(), ExecutionError> {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= requests.count() {
            return Ok(());
        }
        requests.request(index).await?;
    }
}

async fn batch<V: SerializeValues + Send + Sync>(
    connection: &Connection,
    insert: &Batched,
    values: Vec<V>,
) -> Result<(), ExecutionError> {
    connection.session.batch(insert.of(values.len()), values).await.map(drop)
}

/// A partition is listed for as long as rows that are written to it until its bucket ends may live, so that it is listed
/// once and not with every batch.
fn listed_until(mut missing: Vec<Used>) -> Vec<Used> {
    for used in &mut missing {
        used.expires_at_s = used.expires_at_s.saturating_add(super::place::BUCKET_MS / 1000);
    }
    missing
}

async fn list(connection: &Connection, kind: &'static str, used: &Used, now_s: i64) -> Result<(), ExecutionError> {
    let Place { bucket, shard } = used.place;
    // The write timestamp is the bucket's, the same for all who list it: of several times to live the longest wins.
    let timestamp = write_timestamp(bucket_start_ms(bucket), now_s);
    let values = (used.tenant.as_str(), kind, bucket, shard, ttl_s(used.expires_at_s, now_s), timestamp);
    connection.session.execute_unpaged(&connection.bucket, values).await.map(drop)
}

/// Seconds that a row still has.
fn ttl_s(expires_at_s: i64, now_s: i64) -> i32 {
    i32::try_from((expires_at_s - now_s).max(TTL_MIN_S)).unwrap_or(i32::MAX)
}

/// A write timestamp: the record's own time in microseconds, so that the same record is the same write; one from the future
/// becomes now, as ScyllaDB refuses those of more than three days.
fn write_timestamp(at_ms: i64, now_s: i64) -> i64 {
    at_ms.min(now_s.saturating_mul(1000)).saturating_mul(1000)
}

#[derive(SerializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
struct ResultByEvent<'a> {
    tenant: &'a str,
    event: &'a str,
    topic: &'a str,
    part: i32,
    pos: i64,
    idx: i32,
    at: CqlTimestamp,
    job: &'a str,
    function: &'a str,
    status: &'static str,
    code: i64,
    data: &'a str,
    attempts: i32,
    ttl_s: i32,
    timestamp: i64,
}

impl<'a> ResultByEvent<'a> {
    fn new(row: &'a ResultRow, now_s: i64) -> Self {
        Self {
            tenant: row.tenant.as_str(),
            event: &row.event,
            topic: &row.key.topic,
            part: row.key.partition,
            pos: row.key.offset,
            idx: row.key.index,
            at: CqlTimestamp(row.key.at_ms),
            job: row.job.as_str(),
            function: &row.function,
            status: row.status.as_str(),
            code: row.code.cast_signed(),
            data: row.data.get(),
            attempts: row.attempts.cast_signed(),
            ttl_s: ttl_s(row.expires_at_s, now_s),
            timestamp: write_timestamp(row.key.at_ms, now_s),
        }
    }
}

#[derive(SerializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
struct ResultByTime<'a> {
    tenant: &'a str,
    bucket: i32,
    shard: i16,
    at: CqlTimestamp,
    topic: &'a str,
    part: i32,
    pos: i64,
    idx: i32,
    event: &'a str,
    job: &'a str,
    function: &'a str,
    status: &'static str,
    code: i64,
    data: &'a str,
    attempts: i32,
    ttl_s: i32,
    timestamp: i64,
}

impl<'a> ResultByTime<'a> {
    fn new(row: &'a ResultRow, place: Place, now_s: i64) -> Self {
        Self {
            tenant: row.tenant.as_str(),
            bucket: place.bucket,
            shard: place.shard,
            at: CqlTimestamp(row.key.at_ms),
            topic: &row.key.topic,
            part: row.key.partition,
            pos: row.key.offset,
            idx: row.key.index,
            event: &row.event,
            job: row.job.as_str(),
            function: &row.function,
            status: row.status.as_str(),
            code: row.code.cast_signed(),
            data: row.data.get(),
            attempts: row.attempts.cast_signed(),
            ttl_s: ttl_s(row.expires_at_s, now_s),
            timestamp: write_timestamp(row.key.at_ms, now_s),
        }
    }
}

#[derive(SerializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
struct LogByTime<'a> {
    tenant: &'a str,
    bucket: i32,
    shard: i16,
    at: CqlTimestamp,
    topic: &'a str,
    part: i32,
    pos: i64,
    idx: i32,
    event: &'a str,
    job: &'a str,
    function: &'a str,
    level: &'static str,
    message: &'a str,
    ttl_s: i32,
    timestamp: i64,
}

impl<'a> LogByTime<'a> {
    fn new(row: &'a LogRow, place: Place, now_s: i64) -> Self {
        Self {
            tenant: row.tenant.as_str(),
            bucket: place.bucket,
            shard: place.shard,
            at: CqlTimestamp(row.key.at_ms),
            topic: &row.key.topic,
            part: row.key.partition,
            pos: row.key.offset,
            idx: row.key.index,
            event: &row.event,
            job: row.job.as_str(),
            function: &row.function,
            level: level_name(row.level),
            message: &row.message,
            ttl_s: ttl_s(row.expires_at_s, now_s),
            timestamp: write_timestamp(row.key.at_ms, now_s),
        }
    }
}
