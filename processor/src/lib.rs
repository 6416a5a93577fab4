//! Kafka to wasm to Kafka, exactly once.
//!
//! ```text
//! worker ── gather ─► tenure ─► readiness ─► begin ─► step: decode ─► schema ─► function ─► decide ─► encode ─► commit
//!   ▲                    │         │ no function yet, retry not due, quota used up: its partition waits        │
//!   │                    │ another pool's: its partition waits for the mover                                   │
//!   └────────────────────┴─────────┴────── abort, rewind to where the batch began ◄────── an error ────────────┘
//! ```
//!
//! After an error that leaves it open what Kafka has, and after one behind the commit, the member is made anew instead, and
//! begins with what Kafka says: [`worker`] has the states.
//!
//! What a crash leaves, by where it happens ([`jobico_broker::crash_point`] names the places; docs/exactly-once.md names
//! each one's test):
//!
//! - before *begin*: nothing; who takes the partitions over begins at the committed offsets;
//! - from *begin* on: an open transaction, which nobody sees; whoever takes the transactional id over ends it at once, the
//!   same worker started again as a rule, else Kafka once its time is over;
//! - while *commit* is under way: either all of it, outcomes and offsets, or nothing;
//! - after *commit*: nothing to be done.
//!
//! A worker is one thread that owns everything it touches: one member of the consumer group with its transactional
//! producer, and its own instances of the tenants' functions. What workers share is immutable (the catalog's snapshot,
//! compiled modules) or behind a lock that is off the path of an event: the [`library`]'s, and that of what [`moves`] are wanted.
//!
//! What follows from a function's outcome is decided in [`decide`], which knows no clock, network or broker; what it is decided
//! from is an [`outcome::Outcome`]. What reaches no function (an event that no job has, one too large to be carried on) is
//! told apart in [`step`].

pub mod config;
pub mod metrics;

pub mod desk;
pub mod worker;

pub mod moves;
pub mod tenure;

pub mod arrival;
pub mod readiness;

pub mod batch;
pub mod meter;
pub mod quota;
pub mod turns;

pub mod backlog;

pub mod step;

pub mod compile;
pub mod foresight;
pub mod function;
pub mod instances;
pub mod library;

pub mod decide;
pub mod outcome;
pub mod room;

pub mod encode;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobico_broker::{Broker, Retention, TopicSpec};
use jobico_catalog::{Artifacts, Handle};
use jobico_event::retry::Tier;
use jobico_event::{dead_letter, name};
use jobico_service::{BoxError, Frame};

pub use config::Config;

/// Starts the workers of this process. What they keep on this machine, compiled modules, is below `data_dir`.
///
/// # Errors
/// A transaction may take longer than the log allows; the wasm engine cannot be set up on this machine, metrics are registered twice, or the log does not answer.
pub async fn start(
    frame: &Frame,
    config: Config,
    instance: &str,
    data_dir: &Path,
    broker: Arc<dyn Broker>,
    catalog: Handle,
    artifacts: Artifacts,
) -> Result<(), BoxError> {
    config.check(broker.transaction_timeout())?;
    let (transaction_max, drain) = (config.transaction_max(), frame.tasks.drain());
    if transaction_max > drain {
        tracing::warn!(
            ?transaction_max,
            ?drain,
            "a stop may cut a transaction off, and its events are run again: raise --drain-seconds, or lower --call-ms-max"
        );
    }
    let log = TopicSpec {
        name: name::LOG.to_owned(),
        partitions: config.log_partitions,
        retention: Retention::Default,
        record_bytes_max: None,
    };
    let tier = |tier| TopicSpec {
        name: name::retry(&config.pool, tier),
        partitions: config.retry_partitions,
        retention: Retention::Default,
        record_bytes_max: Some(dead_letter::RECORD_BYTES_MAX),
    };
    let topics: Vec<TopicSpec> = Tier::ALL.map(tier).into_iter().chain([log]).collect();
    broker.ensure_topics(&topics).await?;
    let metrics = metrics::Metrics::register(&frame.metrics, &config.pool)?;
    let limits = config.limits();
    let compiler = config.compiler.clone();
    let library = library::Library::new(&limits, config.workers(), artifacts, data_dir, compiler, metrics.clone())?;
    let wants = moves::Wants::default();
    let mover = moves::Mover {
        pool: config.pool.clone(),
        transactional_id: name::moves_transactional_id(&config.pool, instance),
        wants: wants.clone(),
        broker: broker.clone(),
        catalog: catalog.clone(),
        metrics: metrics.clone(),
    };
    let stop = frame.tasks.stop_token();
    frame.tasks.spawn_thread("moves", move || mover.run(&stop))?;
    for index in 0..config.workers() {
        let worker = worker::Worker {
            name: format!("{}-{index}", config.pool),
            group: name::processor_group(&config.pool),
            transactional_id: name::transactional_id(&config.pool, instance, index),
            pool: config.pool.clone(),
            gather: config.gather_limits(),
            batch_time: Duration::from_millis(config.batch_ms_max.into()),
            limits: limits.clone(),
            traces: frame.traces,
            broker: broker.clone(),
            catalog: catalog.clone(),
            library: library.clone(),
            wants: wants.clone(),
            metrics: metrics.clone(),
            health: frame.health.component(format!("worker-{index}")),
            stop: frame.tasks.stop_token(),
            pace: worker::Pace::default(),
        };
        frame.tasks.spawn_thread(&format!("worker-{index}"), move || worker.run())?;
    }
    Ok(())
}
