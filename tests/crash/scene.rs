//! A queue on Kafka, processors that may be told where to die, and readers who stand outside.
//!
//! Events are written straight to Kafka, by key, some against their schema: results and dead letters are both outcomes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::outcome;
use crate::system::kafka::{Isolation, Outgoing, Reader, produce, try_produce};
use crate::system::{Ending, Job, On, System, eventually, eventually_or};

/// The job that has the queue.
const JOB: &str = "numbers";
/// Events in one transaction: so few that each portion of events is many.
pub const BATCH: usize = 50;
/// Each so-many-th event is against its schema.
const INVALID_EACH: usize = 25;
/// Between two portions of a load.
const PAUSE: Duration = Duration::from_millis(200);
/// How long outcomes may take: longer than a transaction that nobody ends (30 s), and what follows it.
const OUTCOMES_MAX: Duration = Duration::from_secs(120);

/// What a crash point is told: to do `then` once what was given to librdkafka's threads is with the broker.
pub fn once_delivered(then: &str) -> String {
    format!("return(wait 300 ms and {then})")
}

/// See the module.
pub struct Scene {
    pub system: System,
    /// Events sent.
    pub sent: usize,
    committed: [Reader; 2],
    /// Outcomes seen by `committed`.
    seen: usize,
}

impl Scene {
    /// On the Kafka that tests share.
    pub fn new() -> Self {
        Self::with(System::new(On::Kafka))
    }

    /// On a Kafka of its own.
    pub fn on_own_kafka(address: &str) -> Self {
        Self::with(System::on_own_kafka(address))
    }

    /// With a system that has nothing running yet.
    pub fn with(system: System) -> Self {
        // The shortest session that Kafka allows by default: a dead processor's partitions move on after it.
        let mut system = system.with_env("JOBICO_KAFKA_SESSION_TIMEOUT_MS", "6000");
        system.serve("registry", &["registry"], &[]);
        system.deploy(&job());
        let reader =
            |topic: &str| Reader::new(&system.kafka(), &format!("{}.{topic}", system.tenant), Isolation::Committed);
        Self { committed: ["results", "dead"].map(reader), system, sent: 0, seen: 0 }
    }

    /// Sends so many events.
    pub fn send(&mut self, count: usize) {
        let (address, queue) = (self.system.kafka(), self.queue());
        produce(&address, &queue, &events(self.sent, count));
        self.sent += count;
    }

    /// Does something while portions of events are sent, one after the other, to a Kafka that may lose nodes meanwhile.
    /// What then counts as sent is what the queue has.
    pub fn under_load<T>(&mut self, portion: usize, act: impl FnOnce(&mut Self) -> T) -> T {
        let (address, queue, stop, first) = (self.system.kafka(), self.queue(), AtomicBool::new(false), self.sent);
        let (acted, acknowledged) = std::thread::scope(|threads| {
            let ending = Ending(&stop);
            let sending = threads.spawn(|| {
                let (mut number, mut acknowledged) = (first, 0);
                while !stop.load(Ordering::Relaxed) {
                    acknowledged += try_produce(&address, &queue, &events(number, portion)).len();
                    number += portion;
                    std::thread::sleep(PAUSE);
                }
                acknowledged
            });
            let acted = act(self);
            drop(ending);
            (acted, sending.join().expect("the sender has not failed"))
        });
        self.sent = self.all("q").len();
        assert!(
            self.sent >= first + acknowledged,
            "{} of {} acknowledged events are there",
            self.sent,
            first + acknowledged
        );
        acted
    }

    fn queue(&self) -> String {
        format!("{}.q", self.system.tenant)
    }

    /// Moves the queue to a pool, which processors started from now on are of.
    pub fn move_to(&mut self, pool: &str) {
        pool.clone_into(&mut self.system.pool);
        self.system.deploy(&job());
    }

    /// Puts the job's version before back into force, and with it the pool that the queue was in.
    pub fn roll_back(&self) {
        self.system.jobico(&["rollback", &self.system.tenant, JOB]).expect_ok();
    }

    /// Starts a processor of a pool, and waits until it is ready.
    pub fn start_in(&mut self, pool: &str, name: &str) {
        let usual = std::mem::replace(&mut self.system.pool, pool.to_owned());
        self.start(name);
        self.system.pool = usual;
    }

    /// What a processor says of whether it can work: the whole of `/readyz`, which is refused where it cannot.
    pub fn readiness(&self, name: &str) -> Result<String, String> {
        let admin = &self.system.process(name).addresses()["admin"];
        let answer = self.system.client.get_url(&format!("{admin}/readyz"));
        if answer.is_ok() { Ok(answer.body) } else { Err(answer.body) }
    }

    /// A processor's own count, by the beginning of its name.
    pub fn count_of(&self, name: &str, metric: &str) -> usize {
        let admin = &self.system.process(name).addresses()["admin"];
        self.system.client.metric(admin, metric) as usize
    }

    /// Starts a processor, which holds the transactional id of its name, and waits until it is ready.
    pub fn start(&mut self, name: &str) {
        self.start_as(name, name);
    }

    /// Starts a processor that says it were `instance`.
    pub fn start_as(&mut self, name: &str, instance: &str) {
        let flags = flags(instance);
        self.system.serve(name, &["processor"], &flags.each_ref().map(String::as_str));
    }

    /// Starts a processor that is to die, or whatever the fail points order, and waits for nothing.
    pub fn start_doomed(&mut self, name: &str, failpoints: &str) {
        let flags = flags(name);
        self.system.serve_doomed(name, &["processor"], &flags.each_ref().map(String::as_str), failpoints);
    }

    /// Events that a processor has done and committed, by its own count.
    pub fn done_by(&self, name: &str) -> usize {
        self.count_of(name, "jobico_processor_events_total")
    }

    /// Waits until a processor has been given partitions so many times.
    pub fn await_assignments(&self, name: &str, count: usize) {
        eventually(&format!("{name} is given partitions"), || {
            let stderr = self.system.process(name).stderr();
            let given = stderr.lines().filter(|line| line.contains("partitions assigned") && !line.contains("=0"));
            (given.count() >= count).then_some(())
        });
    }

    /// Outcomes that readers have seen so far.
    pub fn outcomes(&mut self) -> usize {
        self.seen += self.committed.iter_mut().map(|reader| reader.poll().len()).sum::<usize>();
        self.seen
    }

    /// All outcomes that were committed by now; behind a transaction that is open, none are seen.
    pub fn outcomes_now(&self) -> usize {
        ["results", "dead"].iter().map(|topic| self.system.records(topic).len()).sum()
    }

    /// Waits until readers see so many outcomes.
    #[track_caller]
    pub fn await_outcomes(&mut self, count: usize) {
        if eventually_or(|| (self.outcomes() >= count).then_some(()), OUTCOMES_MAX).is_none() {
            panic!("{} of {count} outcomes are committed after {OUTCOMES_MAX:?}", self.seen);
        }
    }

    /// Whether readers of committed records are held up by a transaction that is open.
    pub fn readers_are_held_up(&self) -> bool {
        ["results", "dead"].iter().any(|topic| {
            let topic = format!("{}.{topic}", self.system.tenant);
            let ends = |isolation| Reader::new(&self.system.kafka(), &topic, isolation).ends();
            // In this order: what ends in between is not taken for open.
            let all = ends(Isolation::Uncommitted);
            ends(Isolation::Committed).iter().zip(all).any(|(stable, end)| *stable < end)
        })
    }

    /// Waits until nobody holds readers up any more: how long that took.
    pub fn await_readers_free(&self) -> Duration {
        let begun = Instant::now();
        eventually("readers are free", || (!self.readers_are_held_up()).then_some(()));
        begun.elapsed()
    }

    /// Waits until every event has an outcome, stops what runs, and looks at all of it from outside.
    #[track_caller]
    pub fn assert_exactly_once(&mut self) {
        self.await_outcomes(self.sent);
        self.system.assert_well();
        // A processor that still wanted to do something wrong would have done it when it has ended in good order.
        self.system.stop_all();
        let (q, results, dead) = (self.all("q"), self.system.records("results"), self.system.records("dead"));
        assert_eq!(q.len(), self.sent, "the queue holds what was acknowledged");
        outcome::assert_exactly_once(&q, &results, &dead);
        assert_eq!(results.len() + dead.len(), self.sent);
    }

    /// Every record of a topic, committed or not.
    pub fn all(&self, topic: &str) -> Vec<crate::system::Record> {
        let topic = format!("{}.{topic}", self.system.tenant);
        Reader::new(&self.system.kafka(), &topic, Isolation::Uncommitted).read_to_end()
    }
}

/// The job: events of a number, checked and echoed.
fn job() -> Job {
    let schema = r#"{"type": "object", "required": ["n"]}"#;
    Job::new(JOB).event("number", "q", "echo").schema(schema)
}

/// Events, numbered from `first`.
fn events(first: usize, count: usize) -> Vec<Outgoing> {
    let event = |number: usize| {
        let field = if number.is_multiple_of(INVALID_EACH) { "no" } else { "n" };
        Outgoing::new(json!({ field: number }).to_string()).key(&format!("customer-{}", number % 37))
    };
    (first..first + count).map(event).collect()
}

fn flags(instance: &str) -> [String; 6] {
    let batch = BATCH.to_string();
    ["--instance", instance, "--workers", "1", "--batch-records-max", &batch].map(str::to_owned)
}
