//! The processor under full load: a queue full of events, and how fast it is emptied, exactly once.
//!
//! It is looked at from outside: the group's committed offsets, 20 times a second, which costs neither it nor Kafka
//! anything worth counting. What is committed is readable as results, because both are one transaction.

use std::time::{Duration, Instant};

use crate::bare::Parts;
use crate::kafka::From;
use crate::report::{Better, Ratio, Report};
use crate::statistics::{Pace, Sample, pace};
use crate::system::Lab;
use crate::system::process::Usage;
use crate::{Failure, say};

/// How often the processor is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A processor that commits nothing for so long has stopped.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What a number of workers did, in each turn.
#[derive(Default)]
struct Runs {
    paces: Vec<Pace>,
    resident_mib: Vec<f64>,
}

/// Measures one worker and two, against the bare parts.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    lab.fill()?;
    let (mut one, mut two, mut parts) = (Runs::default(), Runs::default(), Parts::default());
    for pair in lab.pairs("processor") {
        pair.say();
        one.run(lab, "1")?;
        parts.measure(lab)?;
        two.run(lab, "2")?;
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
    one.report("processor-1", "processor, 1 worker", report);
    two.report("processor-2", "processor, 2 workers", report);
    parts.report(report);
    Ok(())
}

impl Runs {
    /// Empties the queue once with a new processor.
    fn run(&mut self, lab: &Lab, workers: &str) -> Result<(), Failure> {
        let total = lab.events();
        lab.registry()?;
        lab.reset_processors(From::Beginning)?;
        let results = lab.cluster.positions(&lab.results, From::End)?;
        let watch = lab.cluster.watch(&lab.group, &lab.queue)?;
        let mut processor = lab.start("processor", &["--workers", workers])?;
        let (begun, mut last) = (Instant::now(), Instant::now());
        let (mut samples, mut resident_bytes) = (Vec::<Sample>::new(), 0);
        loop {
            processor.check()?;
            let done = watch.done()?;
            let Usage { cpu, resident_bytes: now } = processor.usage()?;
            if samples.last().is_none_or(|sample| sample.done < done) {
                last = Instant::now();
            }
            samples.push(Sample { at: begun.elapsed(), done, cpu });
            resident_bytes = resident_bytes.max(now);
            if done >= total {
                break;
            }
            if last.elapsed() > SILENCE_MAX {
                return Err(processor.failed(&format!("stopped at {done} of {total} events")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        drop(processor);
        let committed = lab.cluster.count_committed(&results)?;
        if committed != total {
            return Err(format!("{total} events have {committed} results").into());
        }
        let pace = pace(&samples, total).ok_or("too few events to measure the processor with: set BENCH_EVENTS")?;
        say(&format!("  {workers} worker(s): {:.0} events/s, {:.2} µs of CPU each", pace.events_per_s, pace.cpu_us));
        self.paces.push(pace);
        self.resident_mib.push(resident_bytes as f64 / f64::from(1 << 20));
        Ok(())
    }

    fn rates(&self) -> Vec<f64> {
        self.paces.iter().map(|pace| pace.events_per_s).collect()
    }

    fn cpu_us(&self) -> Vec<f64> {
        self.paces.iter().map(|pace| pace.cpu_us).collect()
    }

    fn report(self, id: &str, what: &str, report: &mut Report) {
        report.figure(&format!("{id}-rate"), what, "events/s", self.rates());
        report.figure(&format!("{id}-cpu"), &format!("{what}: CPU time of the process"), "µs/event", self.cpu_us());
        report.figure(&format!("{id}-resident"), &format!("{what}: resident memory, most"), "MiB", self.resident_mib);
    }
}
