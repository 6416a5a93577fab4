//! The peer as a process: load-tests/streams, warm before it is measured.

use std::fmt::{Display, Formatter};

use crate::drain::{self, Drain};
use crate::kafka::Place;
use crate::system::Lab;
use crate::system::process::Process;
use crate::{Failure, say};

/// How often Kafka Streams commits with `exactly_once_v2` where nothing is set, ms.
pub const COMMIT_MS_DEFAULT: u32 = 100;
/// Events that it handles before it is measured, in the same JVM: see docs/performance.md.
const WARM_UP_EVENTS: u64 = 500_000;

/// How it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Stream threads.
    pub threads: u32,
    /// `commit.interval.ms`.
    pub commit_ms: u32,
}

impl Display for Tuning {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} thread(s), commits every {} ms", self.threads, self.commit_ms)
    }
}

/// Empties the queue once.
pub fn drain(lab: &Lab, tuning: Tuning) -> Result<Drain, Failure> {
    let application = lab.unused_name("bench.streams");
    let results = lab.cluster.positions(&lab.results, Place::End)?;
    let peer = start(lab, &application, tuning)?;
    let drain = drain::watch(lab, &application, &lab.queue, peer, &results)?;
    say(&format!("  Kafka Streams, {tuning}: {drain}"));
    Ok(drain)
}

/// Starts it, and returns when it is warm and about to go on where the group `application` stands. The queue must be
/// filled: that is what it warms up with.
pub fn start(lab: &Lab, application: &str, tuning: Tuning) -> Result<Process, Failure> {
    let Tuning { threads, commit_ms } = tuning;
    lab.start_peer(&[
        ("--bootstrap", lab.cluster.bootstrap()),
        ("--application", application),
        ("--input", lab.queue.name()),
        ("--output", lab.results.name()),
        ("--dead", lab.dead.name()),
        ("--schema", &lab.schema_file().to_string_lossy()),
        ("--threads", &threads.to_string()),
        ("--commit-ms", &commit_ms.to_string()),
        ("--guarantee", "exactly_once_v2"),
        ("--warm-up-events", &WARM_UP_EVENTS.min(lab.events()).to_string()),
        ("--warm-up-output", lab.copies.name()),
    ])
}
