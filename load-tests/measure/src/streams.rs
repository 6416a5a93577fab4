//! The processor against its peer under full load: Kafka Streams doing the same work in Java, exactly once.
//!
//! Each is first tried in every way that it may be run, and then measured in the way that was quickest: the peer is not
//! held to Jobico's best, nor Jobico to the peer's.

use crate::drain::{Drain, Drains};
use crate::peer::{self, Tuning};
use crate::report::{Better, Ratio, Report};
use crate::system::Lab;
use crate::{Failure, processor, say};

/// Workers that the processor is tried with.
const WORKERS: [u32; 3] = [1, 2, 3];
/// How the peer is tried. A commit costs it a stop for all partitions, so that rarer commits may be quicker.
const TUNINGS: [Tuning; 5] = [
    Tuning { threads: 1, commit_ms: peer::COMMIT_MS_DEFAULT },
    Tuning { threads: 1, commit_ms: 1_000 },
    Tuning { threads: 2, commit_ms: peer::COMMIT_MS_DEFAULT },
    Tuning { threads: 2, commit_ms: 1_000 },
    Tuning { threads: 3, commit_ms: 1_000 },
];

/// Measures both.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    processor::warm(lab)?;
    say("streams: which way is quickest");
    let workers = quickest(&WORKERS, |workers| processor::drain(lab, workers))?;
    let tuning = quickest(&TUNINGS, |tuning| peer::drain(lab, tuning))?;
    let (mut ours, mut theirs) = (Drains::default(), Drains::default());
    for pair in lab.pairs("streams") {
        pair.say();
        ours.push(processor::drain(lab, workers)?);
        theirs.push(peer::drain(lab, tuning)?);
    }
    lab.check_nothing_died()?;
    let what = format!("processor, exactly once, {workers} worker(s)");
    let against = format!("Kafka Streams, exactly_once_v2, {tuning}");
    for (id, part, unit, better, reach, values) in [
        ("streams-rate", "", "events/s", Better::Higher, 1.5, Drains::rates as fn(&Drains) -> Vec<f64>),
        ("streams-cpu", ": CPU time of the process", "µs/event", Better::Lower, 0.7, Drains::cpu_us),
        ("streams-resident", ": resident memory, most", "MiB", Better::Lower, 0.3, Drains::resident_mib),
    ] {
        let pairs = values(&ours).into_iter().zip(values(&theirs)).collect();
        report.ratio(Ratio::new(id, &format!("{what}{part}"), &against, unit, better, pairs).reaching(reach));
    }
    report.ratio(Ratio::new(
        "streams-warm",
        &format!("{against}: the first half of the events"),
        "the second half",
        "events/s",
        Better::Higher,
        theirs.halves(),
    ));
    ours.report("streams-processor", &what, report);
    theirs.report("streams-peer", &against, report);
    Ok(())
}

/// Tries each way once; the one with the most events per second.
fn quickest<Way: Copy>(ways: &[Way], mut drain: impl FnMut(Way) -> Result<Drain, Failure>) -> Result<Way, Failure> {
    let mut tried = Vec::new();
    for way in ways {
        tried.push((drain(*way)?.pace.events_per_s, *way));
    }
    let best = tried.into_iter().max_by(|(one, _), (other, _)| one.total_cmp(other));
    Ok(best.ok_or("there is no way to be tried")?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Pace;

    #[test]
    fn the_way_with_the_most_events_a_second_is_measured() {
        let drain = |events_per_s| {
            let pace = Pace { events_per_s, cpu_us: 1.0, kafka_cpu_us: 1.0 };
            Drain { pace, halves: (1.0, 1.0), resident_mib: 1.0 }
        };
        assert_eq!(quickest(&[3.0, 9.0, 5.0], |rate| Ok(drain(rate))).unwrap(), 9.0);
        assert!(quickest(&[1.0], |_| Err("no Kafka".into())).is_err());
    }
}
