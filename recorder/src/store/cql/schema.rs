//! The tables, and the statements on them.

use crate::config::Replication;

/// The tables, by name and definition; `{keyspace}` stands for the keyspace.
///
/// Rows are written once, in about the order of time, and expire: time windows let Cassandra and ScyllaDB drop whole files.
pub(super) const TABLES: [(&str, &str); 4] = [
    (
        "results_by_event",
        "CREATE TABLE IF NOT EXISTS {keyspace}.results_by_event (
            tenant text, event text, topic text, part int, pos bigint, idx int,
            at timestamp, job text, function text, status text, code bigint, data text, attempts int,
            PRIMARY KEY ((tenant, event), topic, part, pos, idx)
        ) WITH compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', 'compaction_window_size': 1}",
    ),
    (
        "results_by_time",
        "CREATE TABLE IF NOT EXISTS {keyspace}.results_by_time (
            tenant text, bucket int, shard smallint, at timestamp, topic text, part int, pos bigint, idx int,
            event text, job text, function text, status text, code bigint, data text, attempts int,
            PRIMARY KEY ((tenant, bucket, shard), at, topic, part, pos, idx)
        ) WITH CLUSTERING ORDER BY (at DESC, topic DESC, part DESC, pos DESC, idx DESC)
          AND compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', 'compaction_window_size': 1}",
    ),
    (
        "logs_by_time",
        "CREATE TABLE IF NOT EXISTS {keyspace}.logs_by_time (
            tenant text, bucket int, shard smallint, at timestamp, topic text, part int, pos bigint, idx int,
            event text, job text, function text, level text, message text,
            PRIMARY KEY ((tenant, bucket, shard), at, topic, part, pos, idx)
        ) WITH CLUSTERING ORDER BY (at DESC, topic DESC, part DESC, pos DESC, idx DESC)
          AND compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', 'compaction_window_size': 1}",
    ),
    (
        "buckets",
        "CREATE TABLE IF NOT EXISTS {keyspace}.buckets (
            tenant text, kind text, bucket int, shard smallint,
            PRIMARY KEY ((tenant, kind), bucket, shard)
        ) WITH CLUSTERING ORDER BY (bucket DESC, shard ASC)",
    ),
];

/// Which tables of the keyspace are there.
pub(super) const TABLES_THERE: &str = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
/// Whether the store answers.
pub(super) const CHECK: &str = "SELECT bucket FROM {keyspace}.buckets WHERE tenant = '' AND kind = ''";

/// Writes a result where it is found by its event.
pub(super) const RESULT_BY_EVENT: &str = "INSERT INTO {keyspace}.results_by_event
    (tenant, event, topic, part, pos, idx, at, job, function, status, code, data, attempts)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?";
/// Writes a result where it is found by its time.
pub(super) const RESULT_BY_TIME: &str = "INSERT INTO {keyspace}.results_by_time
    (tenant, bucket, shard, at, topic, part, pos, idx, event, job, function, status, code, data, attempts)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?";
/// Writes a line where it is found by its time.
pub(super) const LOG_BY_TIME: &str = "INSERT INTO {keyspace}.logs_by_time
    (tenant, bucket, shard, at, topic, part, pos, idx, event, job, function, level, message)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?";
/// Lists a partition by time, so that readers need not look for it.
pub(super) const BUCKET: &str = "INSERT INTO {keyspace}.buckets (tenant, kind, bucket, shard)
    VALUES (?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?";

/// The results of an event.
pub(super) const OF_EVENT: &str = "SELECT at, topic, part, pos, idx, event, job, function, status, code, data, attempts
    FROM {keyspace}.results_by_event
    WHERE tenant = ? AND event = ? AND (topic, part, pos, idx) > (?, ?, ?, ?)";
/// The results of a partition by time.
pub(super) const RESULTS: &str = "SELECT at, topic, part, pos, idx, event, job, function, status, code, data, attempts
    FROM {keyspace}.results_by_time
    WHERE tenant = ? AND bucket = ? AND shard = ? AND (at, topic, part, pos, idx) < (?, ?, ?, ?, ?)";
/// The lines of a partition by time.
pub(super) const LOGS: &str = "SELECT at, topic, part, pos, idx, event, job, function, level, message
    FROM {keyspace}.logs_by_time
    WHERE tenant = ? AND bucket = ? AND shard = ? AND (at, topic, part, pos, idx) < (?, ?, ?, ?, ?)";
/// A tenant's partitions by time, newest first.
pub(super) const BUCKETS: &str = "SELECT bucket, shard FROM {keyspace}.buckets
    WHERE tenant = ? AND kind = ? AND bucket <= ? AND bucket >= ?";

/// The statement, in its keyspace.
pub(super) fn within(keyspace: &str, statement: &str) -> String {
    statement.replace("{keyspace}", keyspace)
}

/// Makes the keyspace.
pub(super) fn create_keyspace(keyspace: &str, replication: &Replication) -> String {
    let options = match replication {
        Replication::Simple(factor) => format!("'class': 'SimpleStrategy', 'replication_factor': {factor}"),
        Replication::PerDatacenter(factors) => {
            let factors: String = factors.iter().map(|(name, factor)| format!(", '{name}': {factor}")).collect();
            format!("'class': 'NetworkTopologyStrategy'{factors}")
        }
    };
    format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{{options}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_is_replicated_as_asked() {
        let simple = create_keyspace("k", &Replication::Simple(2));
        assert!(simple.ends_with("k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}"));
        let two = create_keyspace("k", &Replication::PerDatacenter(vec![("a".into(), 3), ("b".into(), 1)]));
        assert!(two.ends_with("{'class': 'NetworkTopologyStrategy', 'a': 3, 'b': 1}"), "{two}");
    }
}
