//! The processor under full load: a queue full of events, emptied exactly once, against what its parts cost bare.

use crate::bare::Parts;
use crate::drain::{self, Drain, Drains};
use crate::kafka::{Place, Topics};
use crate::report::{Better, Ratio, Report};
use crate::system::Lab;
use crate::system::process::Process;
use crate::{Failure, say};

/// Runs before the first one that counts: until then the CPU time that Kafka takes for an event falls by half, as its code is compiled.
const WARMING_RUNS: u32 = 3;

/// Measures one worker and two, against the bare parts.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    warm(lab)?;
    let (mut one, mut two, mut parts) = (Drains::default(), Drains::default(), Parts::default());
    for pair in lab.pairs("processor") {
        pair.say();
        one.push(drain(lab, 1)?);
        parts.measure(lab)?;
        two.push(drain(lab, 2)?);
    }
    lab.check_nothing_died()?;
    let against = |limits: Vec<f64>| one.rates().into_iter().zip(limits).collect::<Vec<_>>();
    report.ratio(
        Ratio::new(
            "processor-limit",
            "processor, exactly once, 1 worker",
            "bare copy with a result's headers + validation + wasm",
            "events/s",
            Better::Higher,
            against(parts.limits()),
        )
        .reaching(0.8),
    );
    report.ratio(Ratio::new(
        "processor-limit-plain",
        "the same",
        "the same, without headers",
        "events/s",
        Better::Higher,
        against(parts.plain_limits()),
    ));
    report.ratio(Ratio::new(
        "processor-limit-cpu",
        "processor, 1 worker: CPU time of the process",
        "bare copy with a result's headers + validation + wasm",
        "µs/event",
        Better::Lower,
        one.cpu_us().into_iter().zip(parts.cpu_us()).collect(),
    ));
    report.ratio(Ratio::new(
        "processor-workers",
        "processor, 2 workers",
        "processor, 1 worker",
        "events/s",
        Better::Higher,
        two.rates().into_iter().zip(one.rates()).collect(),
    ));
    report.ratio(
        Ratio::new(
            "processor-backlog",
            "processor, 1 worker, while 9 to 5 tenths of the events wait",
            "while 5 tenths to 1 wait",
            "events/s",
            Better::Higher,
            one.halves(),
        )
        .reaching(0.9),
    );
    one.report("processor-1", "processor, 1 worker", report);
    two.report("processor-2", "processor, 2 workers", report);
    parts.report(report);
    Ok(())
}

/// Fills the queue, and sees to it that Kafka is warm.
pub fn warm(lab: &Lab) -> Result<(), Failure> {
    lab.fill()?;
    lab.warm(|| {
        say("runs that do not count, for Kafka to be warm");
        (0..WARMING_RUNS).try_for_each(|_| drain(lab, 1).map(drop))
    })
}

/// Empties the queue once with a new processor.
pub fn drain(lab: &Lab, workers: u32) -> Result<Drain, Failure> {
    let processor = || lab.start("processor", &["--workers", &workers.to_string()]);
    drain_with(lab, &format!("{workers} worker(s)"), &lab.group, &lab.queue, processor)
}

/// Empties queues once, as `group`, with the processor that `start` starts.
pub fn drain_with(
    lab: &Lab,
    how: &str,
    group: &str,
    queues: &Topics,
    start: impl FnOnce() -> Result<Process, Failure>,
) -> Result<Drain, Failure> {
    lab.registry()?;
    lab.cluster.reset(group, queues, Place::Beginning)?;
    let results = lab.cluster.positions(&lab.results, Place::End)?;
    let drain = drain::watch(lab, group, queues, start()?, &results)?;
    say(&format!("  processor, {how}: {drain}"));
    Ok(drain)
}
