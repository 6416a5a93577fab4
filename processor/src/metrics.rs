//! What a processor counts. Counts of a batch are taken over once it is committed, so that an aborted batch counts once.

use std::collections::HashMap;
use std::time::Duration;

use jobico_event::TenantId;
use jobico_event::dead_letter::Cause;
use jobico_event::result::Status;
use jobico_event::retry::Tier;
use prometheus::{
    CounterVec, Histogram, IntCounter, IntCounterVec, IntGauge, Registry, register_counter_vec_with_registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_with_registry,
};

use crate::backlog::Sums;

/// The metrics of a processor.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Events done, by tenant and outcome (`ok`, `error`, `dead`).
    pub events: IntCounterVec,
    /// Dead letters, by stage and code.
    pub dead_letters: IntCounterVec,
    /// Failed events that wait to be run again, by how long.
    pub retries: IntCounterVec,
    /// Seconds spent in functions, by tenant.
    pub function_seconds: CounterVec,
    /// Seconds that tenants' events were held back because of quotas, by tenant: such as have one, no others.
    pub throttled_seconds: CounterVec,
    /// Events in a transaction.
    pub batch_events: Histogram,
    /// Seconds from the begin of a transaction to its commit.
    pub batch_seconds: Histogram,
    /// Seconds that a commit took.
    pub commit_seconds: Histogram,
    /// Turns of workers given up, with their batch where there was one, by the class of the error.
    pub aborts: IntCounterVec,
    /// Modules asked of the cache of compiled modules, by what it had (`hit`, `miss`, `unusable`).
    pub module_cache: IntCounterVec,
    /// Seconds that compiling a module took.
    pub compile_seconds: Histogram,
    /// Instances made.
    pub instances_made: IntCounter,
    /// Instances kept.
    pub instances: IntGauge,
    /// Partitions that the workers have.
    pub assigned_partitions: IntGauge,
    /// Records in retry tiers that no processor wrote, passed over.
    pub foreign: IntCounter,
    /// Members made anew after an error.
    pub rebuilds: IntCounter,
    /// Partitions taken over from other pools.
    pub moved_partitions: IntCounter,
    /// Partitions that other pools have still.
    pub awaited_partitions: IntGauge,
    /// How far the process is behind.
    pub backlog: Sums,
}

/// Buckets of [`Metrics::batch_events`].
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 20.0, 100.0, 500.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0];
/// Buckets of [`Metrics::compile_seconds`]: a small function, a large one, a hostile one.
const COMPILE_BUCKETS: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];
/// Buckets of times, seconds.
const SECONDS_BUCKETS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

impl Metrics {
    /// Registers the metrics of a pool's processor.
    ///
    /// # Errors
    /// They are registered already.
    pub fn register(registry: &Registry, pool: &str) -> prometheus::Result<Self> {
        let count = |name: &str, help: &str| register_int_counter_with_registry!(name, help, registry);
        let count_by =
            |by: &[&str], name: &str, help: &str| register_int_counter_vec_with_registry!(name, help, by, registry);
        let seconds_by =
            |by: &[&str], name: &str, help: &str| register_counter_vec_with_registry!(name, help, by, registry);
        let gauge = |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);
        let histogram = |buckets: &[f64], name: &str, help: &str| {
            register_histogram_with_registry!(name, help, buckets.to_vec(), registry)
        };
        Ok(Self {
            events: count_by(&["tenant", "outcome"], "jobico_processor_events_total", "Events done")?,
            dead_letters: count_by(&["stage", "code"], "jobico_processor_dead_letters_total", "Dead letters written")?,
            retries: count_by(&["tier"], "jobico_processor_retries_total", "Failed events that wait to be run again")?,
            function_seconds: seconds_by(
                &["tenant"],
                "jobico_processor_function_seconds_total",
                "Time spent in functions: a tenant's part of its sum is its share of the workers",
            )?,
            throttled_seconds: seconds_by(
                &["tenant"],
                "jobico_processor_throttled_seconds_total",
                "Time that a tenant's events were held back on a worker because its quota of function time was used up",
            )?,
            batch_events: histogram(&BATCH_BUCKETS, "jobico_processor_batch_events", "Events in a transaction")?,
            batch_seconds: histogram(&SECONDS_BUCKETS, "jobico_processor_batch_seconds", "Time from begin to commit")?,
            commit_seconds: histogram(&SECONDS_BUCKETS, "jobico_processor_commit_seconds", "Time of a commit")?,
            aborts: count_by(
                &["class"],
                "jobico_processor_aborts_total",
                "Turns of workers given up, with their batch where there was one",
            )?,
            module_cache: count_by(
                &["outcome"],
                "jobico_processor_module_cache_total",
                "Modules asked of the cache of compiled modules",
            )?,
            compile_seconds: histogram(
                &COMPILE_BUCKETS,
                "jobico_processor_module_compile_seconds",
                "Time of compiling a module",
            )?,
            instances_made: count("jobico_processor_instances_made_total", "Instances of functions made")?,
            instances: gauge("jobico_processor_instances", "Instances of functions kept")?,
            assigned_partitions: gauge(
                "jobico_processor_assigned_partitions",
                "Partitions that the workers of this process have, of queues and of retry tiers",
            )?,
            foreign: count(
                "jobico_processor_foreign_records_total",
                "Records of retry tiers passed over because no processor wrote them",
            )?,
            rebuilds: count("jobico_processor_rebuilds_total", "Members made anew after an error")?,
            moved_partitions: count(
                "jobico_processor_moved_partitions_total",
                "Partitions of queues that were moved to this pool, taken over from the pool that had them",
            )?,
            awaited_partitions: gauge(
                "jobico_processor_awaited_partitions",
                "Partitions of queues that were moved to this pool and that another pool has still",
            )?,
            backlog: Sums::register(registry, pool)?,
        })
    }

    /// Counts how long a tenant has waited for its quota.
    pub fn count_throttled(&self, tenant: &TenantId, waited: Duration) {
        self.throttled_seconds.with_label_values(&[tenant.as_str()]).inc_by(waited.as_secs_f64());
    }

    /// Takes over what a committed batch counted.
    pub fn take_over(&self, tally: &mut Tally) {
        for (tenant, counts) in tally.tenants.drain() {
            let outcomes = [("ok", counts.ok), ("error", counts.error), ("dead", counts.dead)];
            for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
                self.events.with_label_values(&[tenant.as_str(), outcome]).inc_by(count);
            }
            self.function_seconds.with_label_values(&[tenant.as_str()]).inc_by(counts.function_time.as_secs_f64());
        }
        for ((stage, code), count) in tally.dead.drain() {
            self.dead_letters.with_label_values(&[stage, code]).inc_by(count);
        }
        for (tier, count) in tally.retries.drain() {
            self.retries.with_label_values(&[tier.as_str()]).inc_by(count);
        }
        self.foreign.inc_by(std::mem::take(&mut tally.foreign));
    }
}

/// A worker's part of a gauge that shows the sum of all workers.
#[derive(Debug)]
pub struct Part {
    sum: IntGauge,
    own: i64,
}

impl Part {
    /// Of a worker that has nothing yet.
    #[must_use]
    pub fn of(sum: &IntGauge) -> Self {
        Self { sum: sum.clone(), own: 0 }
    }

    /// The worker has so many.
    pub fn set(&mut self, own: usize) {
        let own = i64::try_from(own).unwrap_or(i64::MAX);
        if own != self.own {
            self.sum.add(own - self.own);
            self.own = own;
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What one batch counts.
#[derive(Debug, Default)]
pub struct Tally {
    tenants: HashMap<TenantId, Counts>,
    dead: HashMap<(&'static str, &'static str), u64>,
    retries: HashMap<Tier, u64>,
    /// Records of tiers that no processor wrote.
    pub foreign: u64,
}

#[derive(Debug, Default)]
struct Counts {
    ok: u64,
    error: u64,
    dead: u64,
    function_time: Duration,
}

impl Tally {
    /// Counts the time of a call, and its event where a result is what became of it; else [`Tally::count_dead`] or
    /// [`Tally::count_retry`] does.
    pub fn count(&mut self, tenant: &TenantId, answered: Option<Status>, function_time: Duration) {
        let counts = self.counts(tenant);
        counts.function_time += function_time;
        match answered {
            Some(Status::Ok) => counts.ok += 1,
            Some(Status::Error) => counts.error += 1,
            None => {}
        }
    }

    /// Counts a dead letter.
    pub fn count_dead(&mut self, tenant: &TenantId, cause: &Cause) {
        self.counts(tenant).dead += 1;
        *self.dead.entry((cause.stage.as_str(), cause.code)).or_default() += 1;
    }

    /// Counts an event that waits to be run again.
    pub fn count_retry(&mut self, tier: Tier) {
        *self.retries.entry(tier).or_default() += 1;
    }

    /// Forgets what was counted: the batch does not count.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn counts(&mut self, tenant: &TenantId) -> &mut Counts {
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.clone(), Counts::default());
        }
        self.tenants.get_mut(tenant).expect("it was there or has just been put there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_shows_the_sum_of_its_parts() {
        let sum = IntGauge::new("n", "n").unwrap();
        let (mut one, mut other) = (Part::of(&sum), Part::of(&sum));
        one.set(3);
        other.set(4);
        one.set(2);
        assert_eq!(sum.get(), 6);
        drop(other);
        assert_eq!(sum.get(), 2);
    }
}
