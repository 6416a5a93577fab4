//! Which rows are written together: those of one CQL partition, which is one mutation for the node that takes it. Pure.

use std::collections::HashMap;

use jobico_event::TenantId;

use super::place::{Place, place};
use crate::row::Row;

/// Rows in one batch.
pub(super) const BATCH_ROWS_MAX: usize = 32;
/// Bytes in one batch, about; one row may have more. A node's limit (half a segment of its commit log, 16 MiB by default)
/// is far away.
const BATCH_BYTES_MAX: usize = 64 << 10;

/// Rows of one partition by time, written as one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Together {
    /// Their partition.
    pub(super) place: Place,
    /// Their indices in the batch that was planned.
    pub(super) rows: Vec<usize>,
}

/// A partition by time, and how long it has to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Used {
    /// Whose.
    pub(super) tenant: TenantId,
    /// The partition.
    pub(super) place: Place,
    /// When the last of its rows goes, seconds since 1970.
    pub(super) expires_at_s: i64,
}

/// Puts rows together by partition, in their order, and says which partitions they use.
pub(super) fn plan<R: Row>(rows: &[R]) -> (Vec<Together>, Vec<Used>) {
    /// A partition of which a batch is being filled.
    struct Open {
        batch: Together,
        bytes: usize,
        expires_at_s: i64,
    }
    let mut open: HashMap<(&TenantId, Place), Open> = HashMap::new();
    let mut done = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let place = place(row.key());
        let fresh = || Open { batch: Together { place, rows: Vec::new() }, bytes: 0, expires_at_s: 0 };
        let open = open.entry((row.tenant(), place)).or_insert_with(fresh);
        let full = open.batch.rows.len() >= BATCH_ROWS_MAX || open.bytes + row.bytes() > BATCH_BYTES_MAX;
        if full && !open.batch.rows.is_empty() {
            done.push(std::mem::replace(&mut open.batch, Together { place, rows: Vec::new() }));
            open.bytes = 0;
        }
        open.batch.rows.push(index);
        open.bytes += row.bytes();
        open.expires_at_s = open.expires_at_s.max(row.expires_at_s());
    }
    let used = |(&(tenant, place), open): (&(&TenantId, Place), &Open)| Used {
        tenant: tenant.clone(),
        place,
        expires_at_s: open.expires_at_s,
    };
    let used = open.iter().map(used).collect();
    done.extend(open.into_values().map(|open| open.batch));
    (done, used)
}

#[cfg(test)]
mod tests {
    use jobico_event::JobId;
    use jobico_event::function_log::Level;

    use super::*;
    use crate::row::{Key, LogRow};

    fn row(tenant: &str, offset: i64, message: &str) -> LogRow {
        LogRow {
            tenant: TenantId::new(tenant).unwrap(),
            key: Key { at_ms: 5, topic: "t.q".into(), partition: 0, offset, index: 0 },
            expires_at_s: 100 + offset,
            event: "e".into(),
            job: JobId::new("j").unwrap(),
            function: "f".into(),
            level: Level::Info,
            message: message.into(),
        }
    }

    #[test]
    fn rows_of_one_partition_are_written_together_and_never_those_of_two() {
        let rows = [row("a", 0, ""), row("b", 0, ""), row("a", 1, ""), row("a", 64 * 7, "")];
        let (mut together, mut used) = plan(&rows);
        together.sort_by_key(|together| together.rows[0]);
        assert_eq!(
            together.iter().map(|together| together.rows.clone()).collect::<Vec<_>>(),
            [vec![0, 2], vec![1], vec![3]]
        );
        used.sort_by_key(|used| (used.tenant.clone(), used.expires_at_s));
        assert_eq!(used.iter().map(|used| used.expires_at_s).collect::<Vec<_>>(), [101, 548, 100]);
    }

    #[test]
    fn a_batch_is_bounded_in_rows_and_bytes() {
        let many: Vec<LogRow> = (0..50).map(|offset| row("a", offset, "")).collect();
        let (together, _) = plan(&many);
        assert_eq!(together.iter().map(|together| together.rows.len()).collect::<Vec<_>>(), [32, 18]);
        let large = "m".repeat(BATCH_BYTES_MAX);
        let (together, _) = plan(&[row("a", 0, &large), row("a", 1, &large)]);
        assert_eq!(together.len(), 2);
    }
}
