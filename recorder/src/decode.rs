//! A record of a results topic or of the log topic, read into a row. Pure.

use std::time::Duration;

use jobico_broker::Record;
use jobico_event::result::{Head, NoResult, output_json};
use jobico_event::snapshot::Snapshot;
use jobico_event::{TenantId, function_log, name};

use crate::row::{Key, LogRow, ResultRow};

/// The longest event id that the store takes, bytes: it is part of a CQL partition key, which ends at 64 KiB, and of URLs.
pub const EVENT_ID_BYTES_MAX: usize = 8 << 10;
/// The longest topic name: Kafka's limit.
const TOPIC_BYTES_MAX: usize = 249;
/// The longest output or message that the store takes, bytes: a CQL node refuses writes over half its commit log's segment
/// (16 MiB by default), and one refused for ever would hold up all that come after it.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// The longest time to live: rows that are written until 2033 still expire before 2038, where older formats of
/// Cassandra's files end; it refuses a write beyond.
pub const TTL_MAX: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);

/// Why a record is passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its topic belongs to no tenant.
    #[error("the topic belongs to no tenant")]
    NoTenant,
    /// Its headers are not those of a result.
    #[error("its headers are not those of a result")]
    NoResult(#[source] NoResult),
    /// Its value is no line that a function logged.
    #[error("its value is no logged line: {0}")]
    NoLine(String),
    /// It has no time, and without one it has no place in the order.
    #[error("it has no timestamp")]
    NoTime,
    /// A part is larger than the store takes.
    #[error("its {part} has {length} bytes, the store takes {limit}")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Bytes in it.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A part is no name of a topic.
    #[error("'{0}' is no name of a topic")]
    NoTopic(String),
    /// A number is larger than any that Jobico writes.
    #[error("its index {0} is too large")]
    Index(u32),
}

/// When a row goes: its time to live counts from the record's own time, so that a row written again lives no longer; a
/// record from the future counts from now.
#[must_use]
pub fn expires_at_s(at_ms: i64, ttl: Duration, now_ms: i64) -> i64 {
    let ttl_s = i64::try_from(ttl.min(TTL_MAX).as_secs()).expect("TTL_MAX is far below 2^63 seconds");
    at_ms.min(now_ms) / 1000 + ttl_s
}

/// Reads a record of a tenant's results topic.
///
/// # Errors
/// [`Unreadable`].
pub fn result(
    record: &Record<'_>,
    snapshot: &Snapshot,
    default_ttl: Duration,
    now_ms: i64,
) -> Result<ResultRow, Unreadable> {
    let tenant = name::tenant_of(record.topic()).ok_or(Unreadable::NoTenant)?;
    let head = Head::read(record.headers()).map_err(Unreadable::NoResult)?;
    within("event id", head.event.len(), EVENT_ID_BYTES_MAX)?;
    within("value", record.value().map_or(0, <[u8]>::len), VALUE_BYTES_MAX)?;
    within("function", head.function.len(), EVENT_ID_BYTES_MAX)?;
    let key = key(record.timestamp_ms(), head.topic, head.partition, head.offset, head.index)?;
    let ttl = ttl_of(&tenant, snapshot, default_ttl);
    Ok(ResultRow {
        expires_at_s: expires_at_s(key.at_ms, ttl, now_ms),
        tenant,
        key,
        event: head.event,
        job: head.job,
        function: head.function,
        status: head.status,
        code: head.code,
        data: output_json(record.value()),
        attempts: head.attempts,
    })
}

/// Reads a record of the log topic.
///
/// # Errors
/// [`Unreadable`].
pub fn log_line(record: &Record<'_>, ttl: Duration, now_ms: i64) -> Result<LogRow, Unreadable> {
    let value = record.value().unwrap_or_default();
    within("value", value.len(), VALUE_BYTES_MAX)?;
    let line: function_log::Line =
        serde_json::from_slice(value).map_err(|error| Unreadable::NoLine(error.to_string()))?;
    let key = key(record.timestamp_ms(), line.topic, line.partition, line.offset, line.line)?;
    Ok(LogRow {
        expires_at_s: expires_at_s(key.at_ms, ttl, now_ms),
        tenant: line.tenant,
        key,
        event: line.event,
        job: line.job,
        function: line.function,
        level: line.level,
        message: line.message,
    })
}

fn ttl_of(tenant: &TenantId, snapshot: &Snapshot, default_ttl: Duration) -> Duration {
    let own = snapshot.tenant(tenant.as_str()).and_then(|tenant| tenant.results_ttl_s);
    own.map_or(default_ttl, |seconds| Duration::from_secs(seconds.into()))
}

fn key(at_ms: i64, topic: String, partition: i32, offset: i64, index: u32) -> Result<Key, Unreadable> {
    if at_ms < 0 {
        return Err(Unreadable::NoTime);
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || !topic.bytes().all(plain) {
        let shown = topic.chars().take(TOPIC_BYTES_MAX).collect();
        return Err(Unreadable::NoTopic(shown));
    }
    let index = i32::try_from(index).map_err(|_| Unreadable::Index(index))?;
    Ok(Key { at_ms, topic, partition, offset, index })
}

fn within(part: &'static str, length: usize, limit: usize) -> Result<(), Unreadable> {
    if length > limit { Err(Unreadable::TooLarge { part, length, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use jobico_broker::Batch;
    use jobico_event::catalog::{Document, Tenant};
    use jobico_event::header;
    use jobico_event::snapshot::Catalog;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn headers(event: &str) -> Vec<(&'static str, Vec<u8>)> {
        let text = |text: &str| text.as_bytes().to_vec();
        vec![
            (header::STATUS, text("ok")),
            (header::CODE, text("0")),
            (header::JOB, text("j")),
            (header::FUNCTION, text("f@1")),
            (header::EVENT, text(event)),
            (header::ORIGIN_TOPIC, text("t.q")),
            (header::ORIGIN_PARTITION, text("1")),
            (header::ORIGIN_OFFSET, text("7")),
            (header::ATTEMPTS, text("1")),
            (header::INDEX, text("0/1")),
        ]
    }

    fn decode(topic: &str, at_ms: i64, headers: &[(&'static str, Vec<u8>)]) -> Result<ResultRow, Unreadable> {
        let mut batch = Batch::new();
        let headers = headers.iter().map(|(name, value)| (*name, value.as_slice()));
        batch.push(topic, 0, 0, at_ms, None, Some(b"{}"), headers);
        let mut catalog = Catalog::default();
        let tenant = TenantId::new("short").unwrap();
        catalog.insert(Document::Tenant(Tenant { results_ttl_s: Some(60), ..Tenant::new(tenant, String::new()) }));
        result(&batch.get(0).unwrap(), &catalog.snapshot(), DAY, 10_000)
    }

    #[test]
    fn a_result_is_kept_under_the_coordinates_of_its_event() {
        let row = decode("t.results", 5_000, &headers("e")).unwrap();
        assert_eq!(row.key, Key { at_ms: 5_000, topic: "t.q".into(), partition: 1, offset: 7, index: 0 });
        assert_eq!((row.tenant.as_str(), row.event.as_str(), row.data.get()), ("t", "e", "{}"));
    }

    #[test]
    fn a_tenant_may_have_a_time_to_live_of_its_own() {
        assert_eq!(decode("t.results", 5_000, &headers("e")).unwrap().expires_at_s, 5 + 86_400);
        assert_eq!(decode("short.results", 5_000, &headers("e")).unwrap().expires_at_s, 5 + 60);
    }

    #[test]
    fn the_time_to_live_is_bounded_and_counts_from_the_record_but_not_from_the_future() {
        assert_eq!(expires_at_s(5_000, DAY, 10_000), 5 + 86_400);
        assert_eq!(expires_at_s(i64::MAX, DAY, 10_000), 10 + 86_400);
        let century = Duration::from_secs(u64::from(u32::MAX));
        assert_eq!(expires_at_s(0, century, 10_000).unsigned_abs(), TTL_MAX.as_secs());
    }

    #[test]
    fn what_the_store_would_refuse_for_ever_is_unreadable() {
        let long = "e".repeat(EVENT_ID_BYTES_MAX + 1);
        assert!(matches!(decode("t.results", 1, &headers(&long)), Err(Unreadable::TooLarge { part: "event id", .. })));
        assert!(matches!(decode("t.results", -1, &headers("e")), Err(Unreadable::NoTime)));
        assert!(matches!(decode("jobico.results", 1, &headers("e")), Err(Unreadable::NoTenant)));
        assert!(matches!(decode("t.results", 1, &headers("e")[1..]), Err(Unreadable::NoResult(_))));
        let mut forged = headers("e");
        forged.push((header::ORIGIN_TOPIC, b"a\nb".to_vec()));
        assert!(matches!(decode("t.results", 1, &forged), Err(Unreadable::NoTopic(_))));
    }
}
