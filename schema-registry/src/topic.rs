//! Which topics a deployment needs, and how they are made.

use std::collections::{BTreeMap, BTreeSet};

use jobico_broker::{Retention, TopicSpec};
use jobico_event::catalog::JobVersion;
use jobico_event::job::JobFile;
use jobico_event::{QueueId, TenantId, dead_letter, name};

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
    of(&version.tenant, version.queues.iter().map(|queue| &queue.queue)).collect()
}

fn of<'a>(tenant: &'a TenantId, queues: impl Iterator<Item = &'a QueueId>) -> impl Iterator<Item = String> {
    queues.map(|queue| name::queue(tenant, queue)).chain([name::results(tenant), name::dead(tenant)])
}

/// Topics that Kafka does not tell apart: it makes none whose name differs from another's in `.` and `_` alone, since both have the
/// same name in its metrics.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the topic '{wanted}' cannot be made beside '{there}', which is there: Kafka takes names that differ in '.' and '_' alone for one; \
     give the queue another id"
)]
pub struct Clash {
    wanted: String,
    there: String,
}

/// Whether a topic that the job needs clashes with one that is there.
///
/// # Errors
/// The first that does.
pub fn check_names(file: &JobFile, existing: &BTreeSet<String>) -> Result<(), Clash> {
    let alike = |name: &str| name.replace('.', "_");
    let missing =
        of(&file.tenant, file.queues.iter().map(|queue| &queue.queue)).filter(|name| !existing.contains(name));
    let missing: BTreeMap<String, String> = missing.map(|name| (alike(&name), name)).collect();
    let clash = existing.iter().find_map(|there| Some((missing.get(&alike(there))?, there)));
    clash.map_or(Ok(()), |(wanted, there)| Err(Clash { wanted: wanted.clone(), there: there.clone() }))
}

/// The topic of what functions log.
#[must_use]
pub fn log(config: &Config) -> TopicSpec {
    let retention: Retention = retention(config.log_retention_hours);
    TopicSpec { name: name::LOG.to_owned(), partitions: config.partitions, retention, record_bytes_max: None }
}

#[cfg(test)]
mod tests {
    use jobico_event::job;

    use super::*;

    #[test]
    fn names_that_kafka_takes_for_one_clash() {
        let file = |tenant: &str, queue: &str| {
            let text = format!(
                "id: j\ntenant: {tenant}\nqueues: [{{id: {queue}}}]\nruntimes: [{{id: r, moduleref: m}}]\n\
                 jobs: [{{event: {{id: e, supplierqueue: {queue}, runtime: r}}}}]\n"
            );
            job::parse(&text).unwrap()
        };
        let existing = ["acme.eu_orders", "acme.results", "acme.dead", "x.eu.results"].map(str::to_owned).into();
        let clash = |wanted: &str, there: &str| Err(Clash { wanted: wanted.to_owned(), there: there.to_owned() });
        assert_eq!(check_names(&file("acme", "eu_orders"), &existing), Ok(()));
        assert_eq!(check_names(&file("acme_eu", "other"), &existing), Ok(()));
        assert_eq!(check_names(&file("acme_eu", "orders"), &existing), clash("acme_eu.orders", "acme.eu_orders"));
        assert_eq!(check_names(&file("x_eu", "q"), &existing), clash("x_eu.results", "x.eu.results"));
    }
}
