//! SIGKILL, at whatever moment: every event has exactly one outcome all the same.
//!
//! `JOBICO_CRASH_EVENTS` and `JOBICO_CRASH_KILLS` make the test on Kafka as large as wished (`scripts/crash-check`), and
//! `JOBICO_CRASH_SEED` repeats the choices of an earlier one; what the kernel and Kafka do with them is their own.

pub mod scene;

mod brokers;
mod consumer_protocol;
mod moves;
mod rebalances;
mod windows;
mod zombies;

mod at_random;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::outcome::{self, Place};
use crate::system::kafka::{self, Isolation, Outgoing, Reader, produce};
use crate::system::{Client, Ending, Job, On, System, eventually, eventually_or};

/// Events of the test on Kafka.
const EVENTS: usize = 20_000;
/// How often processors are killed in it.
const KILLS: usize = 5;
/// How often `jobico dev` is killed.
const DEV_KILLS: usize = 4;
/// Events in one transaction: small, so that kills meet many.
const BATCH: &str = "500";
/// Events in a request.
const REQUEST: usize = 50;
/// How long all outcomes may take after everything was sent and killed.
const OUTCOMES_MAX: Duration = Duration::from_secs(300);
/// Each so-many-th event written straight to Kafka is against its schema.
const INVALID_EACH: usize = 100;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number is needed")))
}

fn seeded() -> StdRng {
    let seed = std::env::var("JOBICO_CRASH_SEED").ok().map(|text| text.parse().expect("JOBICO_CRASH_SEED is a number"));
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("JOBICO_CRASH_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// The place of a stored event, as ingest answers it.
fn place(stored: &Value) -> Place {
    (i32::try_from(stored["partition"].as_i64().unwrap()).unwrap(), stored["offset"].as_i64().unwrap())
}

#[test]
fn jobico_dev_killed_under_load_has_one_outcome_for_each_acknowledged_event() {
    let mut random = seeded();
    let mut system = System::dev(On::Embedded);
    // An event with a '!' traps: its outcome is a dead letter.
    system.deploy(&Job::new("numbers").event("number", "q", "trap_when"));
    let (client, stop) = (system.client.clone(), AtomicBool::new(false));
    let acknowledged: Mutex<BTreeMap<Place, Value>> = Mutex::default();
    let count = || acknowledged.lock().unwrap().len();
    std::thread::scope(|threads| {
        let _ended = Ending(&stop);
        for sender in 0..2 {
            let (client, acknowledged, stop) = (&client, &acknowledged, &stop);
            threads.spawn(move || {
                for number in (0..).step_by(5).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let mark = if number % 50 == 0 { "!" } else { "" };
                    let events: Vec<Value> =
                        (number..number + 5).map(|number| json!(format!("{sender}-{number}{mark}"))).collect();
                    // A killed process does not answer: what it had stored by then is not known here.
                    if let Some(stored) = client.try_send("number", &events) {
                        acknowledged.lock().unwrap().extend(stored.iter().map(place).zip(events));
                    }
                }
            });
        }
        for kill in 1..=DEV_KILLS {
            let before = count();
            eventually_or(|| (count() > before + 100).then_some(()), OUTCOMES_MAX).expect("events are acknowledged");
            std::thread::sleep(Duration::from_millis(random.random_range(0..400)));
            system.kill("dev");
            println!("kill {kill} after {} acknowledged events", count());
            system.start_dev(&[]);
        }
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    // Requests that were cut off may have stored events as well. Now that no more come, the queue says how many there are.
    let traps = |event: &Value| event.as_str().unwrap().ends_with('!');
    assert_eq!(system.stop("dev"), Some(0));
    let queue = system.records("q");
    let undone = queue.len() - system.records("results").len() - system.records("dead").len();
    system.start_dev(&[]);
    let admin = system.client.url("admin", "");
    let done = || system.client.metric(&admin, "jobico_processor_events_total");
    eventually("what was undone at the stop is done", || (done() >= undone as f64).then_some(()));
    let stored = system.client.await_results(queue.iter().filter(|record| !traps(&record.json())).count());
    assert_eq!(system.stop("dev"), Some(0));

    let (results, dead) = (system.records("results"), system.records("dead"));
    println!(
        "{} acknowledged, {} in the queue, {} results, {} dead letters",
        acknowledged.len(),
        queue.len(),
        results.len(),
        dead.len()
    );
    outcome::assert_exactly_once(&queue, &results, &dead);
    let in_queue: BTreeMap<Place, Value> =
        queue.iter().map(|record| ((record.partition, record.offset), record.json())).collect();
    for (place, event) in &acknowledged {
        assert_eq!(in_queue.get(place), Some(event), "an acknowledged event stands where the answer said");
    }
    let results: BTreeMap<Place, Value> =
        results.iter().map(|result| (outcome::origin(result), result.json())).collect();
    assert_same_rows(&stored, &results);
    for (place, event) in &in_queue {
        let wanted = (!traps(event)).then_some(event);
        assert_eq!(results.get(place), wanted, "the outcome is that of its own event");
    }
}

/// The store has the results of the topic, each once, and nothing else.
fn assert_same_rows(stored: &[Value], results: &BTreeMap<Place, Value>) {
    let rows: BTreeMap<Place, Value> = stored.iter().map(|row| (place(row), row["data"].clone())).collect();
    assert_eq!(rows.len(), stored.len(), "no row is there twice");
    let only = |some: &BTreeMap<Place, Value>, others: &BTreeMap<Place, Value>| {
        some.iter()
            .filter(|(place, data)| others.get(place) != Some(data))
            .map(|(place, _)| *place)
            .take(10)
            .collect::<Vec<_>>()
    };
    assert_eq!((only(&rows, results), only(results, &rows)), (Vec::new(), Vec::new()), "the store and the topic agree");
}

#[test]
fn processors_killed_at_random_have_one_outcome_for_each_event_on_kafka() {
    let (events, kills) = (setting("JOBICO_CRASH_EVENTS", EVENTS), setting("JOBICO_CRASH_KILLS", KILLS));
    let mut random = seeded();
    // The shortest session that Kafka allows by default: a killed member's partitions move on after it.
    let mut system = System::new(On::Kafka).with_env("JOBICO_KAFKA_SESSION_TIMEOUT_MS", "6000");
    system.serve("rest", &["registry", "ingest", "recorder"], &[]);
    system.deploy(
        &Job::new("numbers")
            .event("number", "q", "echo")
            .schema(r#"{"type": "object", "required": ["n"]}"#)
            .key("/key"),
    );
    let processors = ["first", "second"];
    for name in processors {
        start_processor(&mut system, name);
    }

    let queue = format!("{}.q", system.tenant);
    let sent = Sent::default();
    let begun = Instant::now();
    let client = system.client.clone();
    std::thread::scope(|threads| {
        // Half over HTTP and half straight to Kafka, in as many portions as there are kills and one more: each kill meets
        // events that were sent before it and has others after it.
        let portion = events.div_ceil(2 * (kills + 1));
        let mut reader = Reader::new(&system.kafka(), &format!("{}.results", system.tenant), Isolation::Committed);
        for kill in 0..=kills {
            let numbers = (kill * portion).min(events / 2)..((kill + 1) * portion).min(events / 2);
            let (direct, client, sent, queue) = (numbers.clone(), client.clone(), &sent, &queue);
            threads.spawn(move || send_over_http(&client, numbers, sent));
            threads.spawn(move || send_to_kafka(queue, direct, sent));
            if kill == kills {
                break;
            }
            let seen = eventually_or(|| Some(reader.poll().len()).filter(|seen| *seen > 0), OUTCOMES_MAX);
            let seen = seen.expect("outcomes of this portion are committed");
            std::thread::sleep(Duration::from_millis(random.random_range(0..300)));
            let name = processors[random.random_range(0..processors.len())];
            system.kill(name);
            println!("kill {}: {name}, {} events sent, {seen} outcomes just seen", kill + 1, sent.count());
            start_processor(&mut system, name);
        }
    });
    let sending = begun.elapsed();
    let valid = sent.count() - sent.invalid.load(Ordering::Relaxed);
    for (topic, count) in [("results", valid), ("dead", sent.count() - valid)] {
        let (mut reader, mut seen) =
            (Reader::new(&system.kafka(), &format!("{}.{topic}", system.tenant), Isolation::Committed), 0);
        let all = eventually_or(
            || {
                seen += reader.poll().len();
                (seen >= count).then_some(())
            },
            OUTCOMES_MAX,
        );
        assert!(all.is_some(), "{seen} of {count} records are in {topic} after {OUTCOMES_MAX:?}");
    }
    let done = begun.elapsed();
    for name in processors {
        assert_eq!(system.stop(name), Some(0));
    }

    let (queue, results, dead) = (system.records("q"), system.records("results"), system.records("dead"));
    outcome::assert_exactly_once(&queue, &results, &dead);
    let sent_places = sent.places.lock().unwrap();
    let in_queue: BTreeSet<Place> = queue.iter().map(|record| (record.partition, record.offset)).collect();
    assert_eq!(sent_places.len(), events, "every event was acknowledged");
    assert_eq!(in_queue, *sent_places, "the queue holds what was acknowledged and nothing else");
    assert_eq!(dead.len(), sent.invalid.load(Ordering::Relaxed));
    assert_eq!(results.len(), valid);
    let values: BTreeMap<Place, Value> =
        queue.iter().map(|record| ((record.partition, record.offset), record.json())).collect();
    let results: BTreeMap<Place, Value> =
        results.iter().map(|result| (outcome::origin(result), result.json())).collect();
    assert!(results.iter().all(|(place, data)| values[place] == *data), "each result is that of its own event");
    assert_same_rows(&system.client.await_results(valid), &results);
    println!(
        "{events} events, {kills} kills: sent within {:.1} s, all outcomes after {:.1} s; {} results, {} dead letters, each once; the store agrees",
        sending.as_secs_f64(),
        done.as_secs_f64(),
        results.len(),
        dead.len()
    );
}

fn start_processor(system: &mut System, name: &str) {
    system.serve(name, &["processor"], &["--instance", name, "--workers", "1", "--batch-records-max", BATCH]);
}

/// What has been sent and acknowledged.
#[derive(Default)]
struct Sent {
    places: Mutex<BTreeSet<Place>>,
    invalid: AtomicUsize,
}

impl Sent {
    fn count(&self) -> usize {
        self.places.lock().unwrap().len()
    }
}

/// A key for each of some hundred customers, so that there is an order to keep.
fn key(number: usize) -> String {
    format!("customer-{}", number % 127)
}

fn send_over_http(client: &Client, numbers: std::ops::Range<usize>, sent: &Sent) {
    let numbers: Vec<usize> = numbers.collect();
    for request in numbers.chunks(REQUEST) {
        let events: Vec<Value> =
            request.iter().map(|number| json!({"n": number, "by": "http", "key": key(*number)})).collect();
        let stored = client.send("number", &events);
        sent.places.lock().unwrap().extend(stored.iter().map(place));
    }
}

fn send_to_kafka(topic: &str, numbers: std::ops::Range<usize>, sent: &Sent) {
    let records: Vec<Outgoing> = numbers
        .map(|number| {
            let invalid = number % INVALID_EACH == 0;
            let value = if invalid {
                sent.invalid.fetch_add(1, Ordering::Relaxed);
                json!({"no": number})
            } else {
                json!({"n": number, "by": "kafka"})
            };
            Outgoing::new(value.to_string()).key(&key(number))
        })
        .collect();
    let places = produce(&kafka::address(), topic, &records);
    sent.places.lock().unwrap().extend(places);
}
