//! Light load: from an event's production to its result being readable.
//!
//! The load is open: event n is due at n/100 s whatever became of those before it, and its time counts from when it was
//! due. Producer and reader share one clock. An event is known again by its key, which its result has too.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::bare::copy_loop::{CopyLoop, Headers};
use crate::kafka::Place;
use crate::peer::{self, Tuning};
use crate::processor as full_load;
use crate::report::{Better, Ratio, Report};
use crate::statistics::quantile;
use crate::system::Lab;
use crate::{Failure, events, say};

/// Time between two events: 100 a second.
const EVENT_EVERY: Duration = Duration::from_millis(10);
/// Events that warm all that takes part and do not count.
const WARMING_EVENTS: u64 = 300;
/// Runs before the first one that counts. Full load does not warm what Kafka does for small transactions: until then p99 falls
/// by half.
const WARMING_RUNS: u32 = 3;
/// How long the first result may take: members join, functions are compiled.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the others may take once all events are produced.
const LAST_WAIT_MAX: Duration = Duration::from_secs(15);

/// Times of a run, ms.
pub struct Times {
    /// The median.
    pub p50: f64,
    /// 99 of 100 are no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// How the peer is run: as it is where nothing is set, but for one thread, which is plenty.
const TUNING: Tuning = Tuning { threads: 1, commit_ms: peer::COMMIT_MS_DEFAULT };

/// Measures the processor, against a bare copy loop and against the peer.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    // The peer warms up with what is in the queue.
    full_load::warm(lab)?;
    say("light load that does not count, for Kafka to be warm");
    (0..WARMING_RUNS).try_for_each(|_| processor(lab).map(drop))?;
    let (mut ours, mut bare, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for pair in lab.pairs("light load") {
        pair.say();
        ours.push(processor(lab)?);
        bare.push(copy_loop(lab)?);
        theirs.push(streams(lab)?);
    }
    lab.check_nothing_died()?;
    let each = |times: &[Times], part: fn(&Times) -> f64| times.iter().map(part).collect::<Vec<_>>();
    let against = |that: &[Times], part: fn(&Times) -> f64| -> Vec<_> {
        each(&ours, part).into_iter().zip(each(that, part)).collect()
    };
    let what = |name| format!("100 events/s: event to readable result, {name}");
    let ratio = |id, name, against, pairs| Ratio::new(id, &what(name), against, "ms", Better::Lower, pairs);
    let copy = "bare transactional copy";
    report.ratio(ratio("latency-p50", "median", copy, against(&bare, |times| times.p50)));
    report.ratio(ratio("latency-p99", "p99", copy, against(&bare, |times| times.p99)));
    let peer = format!("Kafka Streams, exactly_once_v2, {TUNING}");
    report.ratio(ratio("streams-latency-p99", "p99", &peer, against(&theirs, |times| times.p99)).reaching(0.15));
    report.figure(
        "latency-p50",
        "100 events/s: event to readable result, median",
        "ms",
        each(&ours, |times| times.p50),
    );
    report.figure("latency-p99", "the same, p99", "ms", each(&ours, |times| times.p99));
    report.figure("latency-max", "the same, longest", "ms", each(&ours, |times| times.max));
    report.figure("streams-latency-p50", &format!("the same, {peer}, median"), "ms", each(&theirs, |times| times.p50));
    Ok(())
}

fn processor(lab: &Lab) -> Result<Times, Failure> {
    lab.registry()?;
    lab.reset_processors(Place::End)?;
    let start = lab.cluster.positions(&lab.results, Place::End)?;
    let _processor = lab.start("processor", &["--workers", "1"])?;
    light_load(lab, lab.queue.name(), &start)
}

fn streams(lab: &Lab) -> Result<Times, Failure> {
    let application = lab.unused_name("bench.streams");
    lab.cluster.reset(&application, &lab.queue, Place::End)?;
    let start = lab.cluster.positions(&lab.results, Place::End)?;
    let _peer = peer::start(lab, &application, TUNING)?;
    light_load(lab, lab.queue.name(), &start)
}

fn copy_loop(lab: &Lab) -> Result<Times, Failure> {
    let group = lab.unused_name("bench.copy");
    lab.cluster.reset(&group, &lab.queue, Place::End)?;
    let start = lab.cluster.positions(&lab.copies, Place::End)?;
    let mut copy = CopyLoop::start(&lab.cluster, &group, lab.queue.name(), lab.copies.name(), Headers::OfResult)?;
    let (stop, stopped) = channel::<()>();
    std::thread::scope(|scope| {
        let copying = scope.spawn(move || {
            // Ends when the other side of the channel is dropped.
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                copy.turn()?;
            }
            Ok::<(), Failure>(())
        });
        let times = light_load(lab, lab.queue.name(), &start);
        drop(stop);
        copying.join().map_err(|_| "the copy loop panicked")??;
        times
    })
}

/// Produces events to `queue` at their rate, and reads `start`'s topic until all of them have come out.
pub fn light_load(lab: &Lab, queue: &str, start: &TopicPartitionList) -> Result<Times, Failure> {
    let producer: BaseProducer = lab.cluster.client().set("linger.ms", "0").set("acks", "all").create()?;
    let reader: BaseConsumer = lab
        .cluster
        .reader("bench")
        .set("isolation.level", "read_committed")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100")
        .create()?;
    reader.assign(start)?;
    let (due, dues) = channel();
    let count = u64::try_from(lab.extent.light().as_nanos() / EVENT_EVERY.as_nanos())?;
    std::thread::scope(|scope| {
        let (arrived, first) = channel();
        let reading = scope.spawn(move || read(&reader, count + WARMING_EVENTS, &dues, &arrived));
        let produced = produce(&producer, queue, count + WARMING_EVENTS, &due, &first);
        // Without this the reader would wait for what never comes.
        drop(due);
        let read = reading.join().map_err(|_| "the reader panicked")?;
        produced?;
        let times = read?;
        let times = Times { p50: quantile(&times, 0.5), p99: quantile(&times, 0.99), max: quantile(&times, 1.0) };
        say(&format!("  p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", times.p50, times.p99, times.max));
        Ok(times)
    })
}

/// Produces event 0 and awaits its result, then the others, each when it is due. What is due is told before it is sent.
fn produce(
    producer: &BaseProducer,
    topic: &str,
    last: u64,
    due: &Sender<Instant>,
    first: &Receiver<()>,
) -> Result<(), Failure> {
    let mut begun = Instant::now();
    for number in 0..=last {
        let at = begun + EVENT_EVERY * u32::try_from(number)?;
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        if due.send(at).is_err() {
            // The reader has failed, and says why.
            return Ok(());
        }
        let (key, value) = (number.to_string(), events::customer(number));
        producer.send(BaseRecord::to(topic).key(&key).payload(&value)).map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
        if number == 0 {
            producer.flush(FIRST_WAIT_MAX)?;
            if first.recv().is_err() {
                return Ok(());
            }
            begun = Instant::now();
        }
    }
    Ok(producer.flush(LAST_WAIT_MAX)?)
}

/// Reads until all results have come; how long each took, ms, but for those that warm.
fn read(reader: &BaseConsumer, last: u64, dues: &Receiver<Instant>, arrived: &Sender<()>) -> Result<Vec<f64>, Failure> {
    let (mut due, mut times) = (Vec::new(), Vec::new());
    let mut missing: std::collections::BTreeSet<u64> = (0..=last).collect();
    let mut deadline = Instant::now() + FIRST_WAIT_MAX;
    while !missing.is_empty() {
        let message = reader.poll(Duration::from_millis(100)).transpose()?;
        let now = Instant::now();
        let known = due.len();
        due.extend(dues.try_iter());
        if due.len() > known {
            deadline = deadline.max(now + LAST_WAIT_MAX);
        }
        let Some(message) = message else {
            if now > deadline {
                return Err(format!("{} of {} events have no result", missing.len(), last + 1).into());
            }
            continue;
        };
        let number: u64 = std::str::from_utf8(message.key().unwrap_or_default())?.parse()?;
        if !missing.remove(&number) {
            return Err(format!("event {number} has two results").into());
        }
        if number == 0 {
            arrived.send(())?;
        }
        let due = due.get(usize::try_from(number)?).ok_or("a result came before its event was due")?;
        if number > WARMING_EVENTS {
            times.push(now.saturating_duration_since(*due).as_secs_f64() * 1e3);
        }
    }
    Ok(times)
}
