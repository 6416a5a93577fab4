//! Which topics a deployment needs, and how they are made.

use std::collections::BTreeSet;

use jobico_broker::{Retention, TopicSpec};
use jobico_event::catalog::JobVersion;
use jobico_event::job::JobFile;
use jobico_event::{dead_letter, name};

use crate::config::{Config, retention};

/// Of the topics that a job writes and reads, those to make or to grow. One that exists grows only where the job file says
/// how many partitions its queue has: more partitions send a key's events to another partition, which is the tenant's to
/// decide and not a changed default's.
#[must_use]
pub fn wanted(file: &JobFile, config: &Config, existing: &BTreeSet<String>) -> Vec<TopicSpec> {
    let tenant = &file.tenant;
    let queues = file.queues.iter().map(|queue| {
        let spec = TopicSpec {
            name: name::queue(tenant, &queue.queue),
            partitions: queue.partitions.unwrap_or(config.partitions),
            retention: retention(config.queue_retention_hours),
            record_bytes_max: None,
        };
        (spec, queue.partitions.is_some())
    });
    // As many as the largest queue has: results need no more, and whoever reads all tenants' pays for each.
    let of_queues = file.queues.iter().map(|queue| queue.partitions.unwrap_or(config.partitions)).max();
    let results = TopicSpec {
        name: name::results(tenant),
        partitions: of_queues.unwrap_or(config.partitions),
        retention: retention(config.results_retention_hours),
        record_bytes_max: None,
    };
    let dead = TopicSpec {
        name: name::dead(tenant),
        partitions: config.dead_partitions,
        retention: retention(config.dead_retention_hours),
        record_bytes_max: Some(dead_letter::RECORD_BYTES_MAX),
    };
    // One of an earlier version has room for smaller records: that alone is mended.
    let dead = if existing.contains(&dead.name) { TopicSpec { partitions: 1, ..dead } } else { dead };
    let all = queues.chain([(results, false), (dead, true)]);
    all.filter(|(spec, grows)| *grows || !existing.contains(&spec.name)).map(|(spec, _)| spec).collect()
}

/// The names of the topics that a version of a job writes and reads.
#[must_use]
pub fn names(version: &JobVersion) -> Vec<String> {
    let queues = version.queues.iter().map(|queue| name::queue(&version.tenant, &queue.queue));
    queues.chain([name::results(&version.tenant), name::dead(&version.tenant)]).collect()
}

/// The topic of what functions log.
#[must_use]
pub fn log(config: &Config) -> TopicSpec {
    let retention: Retention = retention(config.log_retention_hours);
    TopicSpec { name: name::LOG.to_owned(), partitions: config.partitions, retention, record_bytes_max: None }
}
