//! A full queue, and how fast it is emptied.
//!
//! Whoever empties it is looked at from outside: the group's committed offsets, 20 times a second, which costs neither it
//! nor Kafka anything worth counting, and what `/proc` says of the process. What is committed is readable as results,
//! because both are one transaction, or because results come first (at least once); the results are counted afterwards.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;

use crate::Failure;
use crate::kafka::Topics;
use crate::report::Report;
use crate::statistics::{Pace, Sample, halves, pace};
use crate::system::Lab;
use crate::system::process::{Process, Usage};

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Who commits nothing for so long has stopped.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How a queue was emptied once.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Pace and CPU time of the process.
    pub pace: Pace,
    /// Events per second while the first and the second half of what counts was done.
    pub halves: (f64, f64),
    /// The most resident memory that was seen, MiB.
    pub resident_mib: f64,
}

/// What the same did, turn by turn.
#[derive(Debug, Default)]
pub struct Drains(Vec<Drain>);

/// Watches `process` empty the queues as `group` and stops it; then there must be as many results after `results` as
/// there were events.
pub fn watch(
    lab: &Lab,
    group: &str,
    queues: &Topics,
    mut process: Process,
    results: &TopicPartitionList,
) -> Result<Drain, Failure> {
    let total = lab.events();
    let watch = lab.cluster.watch(group, queues)?;
    let (begun, mut last) = (Instant::now(), Instant::now());
    let (mut samples, mut resident_bytes) = (Vec::<Sample>::new(), 0);
    loop {
        process.check()?;
        let done = watch.done()?;
        let Usage { cpu, resident_bytes: now } = process.usage()?;
        if samples.last().is_none_or(|sample| sample.done < done) {
            last = Instant::now();
        }
        let kafka_cpu = lab.cluster.usage()?.cpu;
        samples.push(Sample { at: begun.elapsed(), done, cpu, kafka_cpu });
        resident_bytes = resident_bytes.max(now);
        if done >= total {
            break;
        }
        if last.elapsed() > SILENCE_MAX {
            return Err(process.failed(&format!("stopped at {done} of {total} events")));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    drop(process);
    let committed = lab.cluster.count_committed(results)?;
    if committed != total {
        return Err(format!("{total} events have {committed} results").into());
    }
    let paces = || Some((pace(&samples, total)?, halves(&samples, total)?));
    let (pace, (first, second)) = paces().ok_or("too few events to measure the pace with: set BENCH_EVENTS")?;
    let halves = (first.events_per_s, second.events_per_s);
    Ok(Drain { pace, halves, resident_mib: resident_bytes as f64 / f64::from(1 << 20) })
}

impl std::fmt::Display for Drain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Pace { events_per_s, cpu_us, kafka_cpu_us } = self.pace;
        let mib = self.resident_mib;
        write!(
            f,
            "{events_per_s:.0} events/s, {cpu_us:.2} µs of CPU each and {kafka_cpu_us:.2} of Kafka's, {mib:.0} MiB"
        )
    }
}

impl Drains {
    /// Adds a turn.
    pub fn push(&mut self, drain: Drain) {
        self.0.push(drain);
    }

    /// Events per second.
    pub fn rates(&self) -> Vec<f64> {
        self.0.iter().map(|drain| drain.pace.events_per_s).collect()
    }

    /// Events per second in the first and the second half.
    pub fn halves(&self) -> Vec<(f64, f64)> {
        self.0.iter().map(|drain| drain.halves).collect()
    }

    /// CPU time per event, µs.
    pub fn cpu_us(&self) -> Vec<f64> {
        self.0.iter().map(|drain| drain.pace.cpu_us).collect()
    }

    /// Kafka's CPU time per event, µs.
    pub fn kafka_cpu_us(&self) -> Vec<f64> {
        self.0.iter().map(|drain| drain.pace.kafka_cpu_us).collect()
    }

    /// Resident memory, MiB.
    pub fn resident_mib(&self) -> Vec<f64> {
        self.0.iter().map(|drain| drain.resident_mib).collect()
    }

    /// Reports the figures.
    pub fn report(&self, id: &str, what: &str, report: &mut Report) {
        report.figure(&format!("{id}-rate"), what, "events/s", self.rates());
        report.figure(&format!("{id}-cpu"), &format!("{what}: CPU time of the process"), "µs/event", self.cpu_us());
        let kafka = format!("{what}: CPU time of Kafka");
        report.figure(&format!("{id}-kafka-cpu"), &kafka, "µs/event", self.kafka_cpu_us());
        let resident = format!("{what}: resident memory, most");
        report.figure(&format!("{id}-resident"), &resident, "MiB", self.resident_mib());
    }
}
