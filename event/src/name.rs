//! The names of topics, consumer groups, transactional ids and subjects. Nothing else in Jobico builds one.

use crate::id::{FileName, QueueId, TenantId};
use crate::retry::Tier;

/// Schemas, in the format of Confluent's Schema Registry; compacted.
pub const SCHEMAS: &str = "_schemas";
/// Tenants, functions and jobs, one JSON document a key; compacted.
pub const CATALOG: &str = "jobico.catalog";
/// What functions log, keyed by tenant.
pub const LOG: &str = "jobico.log";
/// Which dead letters were redriven or dropped, one JSON document a letter; compacted.
pub const DEAD_MARKS: &str = "jobico.dead.marks";
/// The group in which recorders read results.
pub const RECORDER_GROUP: &str = "jobico.recorder";
/// The group in which recorders read what functions log.
pub const RECORDER_LOG_GROUP: &str = "jobico.recorder.log";
/// The transactional id of whichever registry writes.
pub const REGISTRY_TRANSACTIONAL_ID: &str = "jobico.registry";
/// The pool of every queue that names none.
pub const POOL_DEFAULT: &str = "default";

/// What begins the subjects of a Schema Registry's named contexts: their schema ids are numbered apart from those of the
/// default context, which alone Jobico uses.
pub const SUBJECT_CONTEXT: &str = ":.";

/// The topic of a queue.
#[must_use]
pub fn queue(tenant: &TenantId, queue: &QueueId) -> String {
    format!("{tenant}.{queue}")
}

/// The topic of a tenant's results.
#[must_use]
pub fn results(tenant: &TenantId) -> String {
    format!("{tenant}.results")
}

/// The topic of a tenant's dead letters.
#[must_use]
pub fn dead(tenant: &TenantId) -> String {
    format!("{tenant}.dead")
}

/// The transactional id of whichever recorder redrives or drops a tenant's dead letters.
#[must_use]
pub fn dead_transactional_id(tenant: &TenantId) -> String {
    format!("jobico.dead.{tenant}")
}

/// The topic of a pool in which events wait to be run again.
#[must_use]
pub fn retry(pool: &str, tier: Tier) -> String {
    format!("jobico.{pool}.retry.{tier}")
}

/// The tier of a pool that a topic is, if it is one.
#[must_use]
pub fn tier_of(pool: &str, topic: &str) -> Option<Tier> {
    topic.strip_prefix("jobico.")?.strip_prefix(pool)?.strip_prefix(".retry.")?.parse().ok()
}

/// The group of a pool's processors.
#[must_use]
pub fn processor_group(pool: &str) -> String {
    format!("jobico.processor.{pool}")
}

/// The transactional id of a worker: stable over restarts, so that a restart ends what its predecessor left open.
#[must_use]
pub fn transactional_id(pool: &str, instance: &str, worker: usize) -> String {
    format!("jobico.{pool}.{instance}.{worker}")
}

/// The transactional id with which a processor takes partitions over from other pools.
#[must_use]
pub fn moves_transactional_id(pool: &str, instance: &str) -> String {
    format!("jobico.{pool}.{instance}.moves")
}

/// The Schema Registry subject of a tenant's schema.
#[must_use]
pub fn subject(tenant: &TenantId, schema: &FileName) -> String {
    format!("{tenant}.{schema}")
}

/// The tenant a topic belongs to: what stands before its first dot, unless it is the system's own.
#[must_use]
pub fn tenant_of(topic: &str) -> Option<TenantId> {
    topic.split_once('.').and_then(|(tenant, _)| TenantId::new(tenant).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_its_tenant() {
        let tenant = TenantId::new("t1").unwrap();
        assert_eq!(tenant_of(&results(&tenant)), Some(tenant.clone()));
        assert_eq!(tenant_of(&queue(&tenant, &QueueId::new("q").unwrap())), Some(tenant));
        assert_eq!(tenant_of(CATALOG), None);
        assert_eq!(tenant_of(SCHEMAS), None);
    }

    #[test]
    fn a_tier_is_known_by_its_topic() {
        for tier in Tier::ALL {
            assert_eq!(tier_of("p", &retry("p", tier)), Some(tier));
            assert_eq!(tier_of("q", &retry("p", tier)), None);
        }
        assert_eq!(tier_of("p", "p.retry.1s"), None);
        assert_eq!(tier_of("p", "jobico.p.retry.2s"), None);
    }
}
