//! The engine on the simulated log, through as many courses of events as there is time for.
//!
//! ```text
//! seed ─► jobs, events, faults, limits ─► turns of workers, crashes, twins, more events, in an order of the seed
//!      ─► no more faults: turns until all queues and tiers are done ─► each event has its one outcome, in order
//! ```
//!
//! A schedule takes the workers' turns itself, in one thread and without waiting; its clock is simulated, too, and so is how
//! long functions run. So a schedule costs milliseconds, and a seed brings the very same course each time.
//!
//! `JOBICO_SEED=N` runs that one schedule and tells its course; `JOBICO_SCHEDULES=N` runs that many.

mod outcomes;
mod stage;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jobico_broker::simulated::{Faults, Simulated};
use jobico_broker::{Append, Broker, GatherLimits, Retention, TopicSpec};
use jobico_catalog::{Handle, Holder};
use jobico_event::name;
use jobico_event::retry::{self, Retry, Tier};
use jobico_event::snapshot::Snapshot;
use jobico_processor::meter::Stopwatch;
use jobico_processor::moves::{Mover, Moving, Wants};
use jobico_processor::worker::{Course, Pace, Worker};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use outcomes::Outcomes;
use stage::Stage;

/// How many schedules are run where nobody says how many.
const SCHEDULES: u64 = 1_500;
/// When the simulated log has its first record, milliseconds since 1970.
const FIRST_MS: i64 = 1_700_000_000_000;
/// How long a look at the stopwatch mostly takes, and how long it may take, microseconds.
const LOOK_US: u64 = 50;
const LONG_LOOK_US: u64 = 4_000;
/// Turns with faults, at most.
const TURNS_MAX: u32 = 120;
/// Turns after the last fault in which everything must be done.
const TURNS_TO_END: u32 = 3_000;
/// The pool that all queues are in at first.
const POOL: &str = "p";
/// The pool that they are moved to and back from, where they are.
const OTHER: &str = "o";
const PARTITIONS: u32 = 3;
/// Workers of a pool, each with a transactional id of its own.
const WORKERS: usize = 2;

/// One schedule on its way.
struct Schedule<'s> {
    stage: &'s Stage,
    random: StdRng,
    log: Arc<Simulated>,
    retry: &'s Retry,
    catalogs: &'s [Arc<Snapshot>; 3],
    /// Which of them is the newest.
    newest: usize,
    /// Whether queues are moved between pools: there are processors of both then.
    moves: bool,
    pools: Vec<Processor>,
    clock: Arc<AtomicI64>,
    stopwatch: Stopwatch,
    gather: GatherLimits,
    batch_time: Duration,
    /// Workers that go on although another has their transactional id: as after a long stop of their machine.
    twins: Vec<Course>,
    sent: usize,
    told: bool,
}

/// The processor of a pool. It sees a new catalog when the schedule says so.
struct Processor {
    pool: &'static str,
    workers: [Option<Course>; WORKERS],
    mover: Option<Moving>,
    catalog: Handle,
    seen: Holder,
    wants: Wants,
}

impl Processor {
    fn new(pool: &'static str, catalog: &Arc<Snapshot>) -> Self {
        let (catalog, seen) = Handle::held(catalog.clone());
        Self { pool, workers: [None, None], mover: None, catalog, seen, wants: Wants::default() }
    }
}

impl<'s> Schedule<'s> {
    fn new(stage: &'s Stage, seed: u64, moves: bool, told: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (retry, catalogs) = stage.jobs.choose(&mut random).unwrap();
        let pools = if moves { &[POOL, OTHER][..] } else { &[POOL] };
        let records_max = *[1, 3, 10, 1_000].choose(&mut random).unwrap();
        // Batches that are over after the first event, after some, and never.
        let batch_times = [Duration::from_nanos(1), Duration::from_micros(300), Duration::from_secs(60)];
        let batch_time = *batch_times.choose(&mut random).unwrap();
        let schedule = Self {
            stage,
            log: Simulated::new(seed, Faults::default()),
            retry,
            catalogs,
            newest: 0,
            moves,
            pools: pools.iter().map(|pool| Processor::new(pool, &catalogs[0])).collect(),
            clock: Arc::new(AtomicI64::new(FIRST_MS)),
            stopwatch: stopwatch(seed),
            gather: GatherLimits { records_max, bytes_max: 1 << 20 },
            batch_time,
            twins: Vec::new(),
            sent: 0,
            told,
            random,
        };
        schedule.tell(|| format!("{retry:?}, batches of {records_max} records and {batch_time:?}"));
        schedule
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            eprintln!("{}", what());
        }
    }

    fn run(mut self) {
        self.take_its_course();
        Outcomes::new(&self).check();
    }

    fn take_its_course(&mut self) {
        block_on(self.log.ensure_topics(&self.topics())).unwrap();
        self.send();
        let faults = self.faults();
        self.tell(|| format!("{faults:?}"));
        self.log.misbehave(faults);
        for turn in 0..self.random.random_range(10..TURNS_MAX) {
            self.one_turn(turn, faults);
        }
        self.twins.clear();
        self.log.misbehave(Faults::default());
        self.finish();
    }

    fn topics(&self) -> Vec<TopicSpec> {
        let topic = |name: String, partitions| TopicSpec {
            name,
            partitions,
            retention: Retention::Default,
            record_bytes_max: None,
        };
        let tiers = [POOL, OTHER].into_iter().flat_map(|pool| Tier::ALL.map(|tier| topic(name::retry(pool, tier), 2)));
        let queues = ["q1", "q2", "q3"].map(|queue| topic(self.stage.topic(queue), PARTITIONS));
        let results = topic(name::results(&self.stage.tenant), PARTITIONS);
        let others = [topic(name::dead(&self.stage.tenant), 1), topic(name::LOG.to_owned(), 2), results];
        tiers.chain(queues).chain(others).collect()
    }

    /// Some kinds of faults, each as likely as the seed says.
    fn faults(&mut self) -> Faults {
        let mut draw =
            |most: f64| if self.random.random_bool(0.5) { self.random.random::<f64>().powi(3) * most } else { 0.0 };
        Faults {
            unavailable: draw(0.2),
            lost_acknowledgement: draw(0.2),
            abortable: draw(0.1),
            fenced: draw(0.05),
            in_doubt: draw(0.5),
            rebalance: draw(0.5),
            unknown_topic: draw(0.05),
        }
    }

    fn send(&mut self) {
        let mut records = Vec::new();
        for _ in 0..self.random.random_range(1..30) {
            let n = self.sent;
            self.sent += 1;
            let (queue, value) = match self.random.random_range(0..10) {
                0 => ("q1", format!(r#"{{"n":{n},"note":"bang!"}}"#)),
                1 => ("q1", format!("{{ no JSON {n}")),
                2 | 3 => ("q3", format!(r#"{{"n":{n}}}"#)),
                _ => ("q1", format!(r#"{{"n":{n}}}"#)),
            };
            records.push(Append {
                topic: self.stage.topic(queue),
                key: self.random.random_bool(0.8).then(|| vec![b'a' + self.random.random_range(0..5)]),
                value: Some(value.into_bytes()),
                headers: Vec::new(),
            });
        }
        self.tell(|| format!("{} events are sent", records.len()));
        for answer in block_on(self.log.append(records)) {
            answer.unwrap();
        }
    }

    fn send_without_faults(&mut self, faults: Faults) {
        self.log.misbehave(Faults::default());
        self.send();
        self.log.misbehave(faults);
    }

    fn one_turn(&mut self, turn: u32, faults: Faults) {
        self.clock.fetch_add(self.random.random_range(0..500), Ordering::Relaxed);
        let pool = if self.moves { self.random.random_range(0..self.pools.len()) } else { 0 };
        if self.moves && self.move_on(turn, pool) {
            return;
        }
        let index = self.random.random_range(0..WORKERS);
        match self.random.random_range(0..100) {
            0..4 => {
                self.tell(|| format!("{turn}: worker {pool}-{index} crashes"));
                self.pools[pool].workers[index] = None;
            }
            4..6 if self.twins.len() < 2 => {
                self.tell(|| format!("{turn}: worker {pool}-{index} stands still, and is started again elsewhere"));
                self.twins.extend(self.pools[pool].workers[index].take());
            }
            6..8 => self.send_without_faults(faults),
            8..14 if !self.twins.is_empty() => {
                let twin = self.random.random_range(0..self.twins.len());
                let wait = self.twins[twin].turn();
                self.tell(|| format!("{turn}: a twin has a turn, and would wait {wait:?}"));
            }
            _ => {
                let wait = self.turn_of(pool, index);
                self.tell(|| format!("{turn}: worker {pool}-{index} has a turn, and would wait {wait:?}"));
            }
        }
    }

    /// What happens in schedules in which queues move, and in no others. False: nothing.
    fn move_on(&mut self, turn: u32, pool: usize) -> bool {
        match self.random.random_range(0..100) {
            0..4 => {
                // First away, then back and away and back.
                self.newest = if self.newest == 1 { 2 } else { 1 };
                self.tell(|| format!("{turn}: the queues are moved: catalog {}", self.newest));
            }
            4..16 => {
                self.tell(|| format!("{turn}: pool {pool} sees catalog {}", self.newest));
                self.pools[pool].seen.put(self.catalogs[self.newest].clone());
            }
            16..18 => {
                self.tell(|| format!("{turn}: the mover of pool {pool} crashes"));
                self.pools[pool].mover = None;
            }
            18..40 => {
                let wait = self.turn_of_mover(pool);
                self.tell(|| format!("{turn}: the mover of pool {pool} has a turn, and would rest {wait:?}"));
            }
            _ => return false,
        }
        true
    }

    /// One that a test leads itself, of the first job whose policy `is` it: nothing fails, and nothing is sent but what it sends.
    fn led(stage: &'s Stage, is: impl Fn(&Retry) -> bool) -> Self {
        let (retry, catalogs) = stage.jobs.iter().find(|(retry, _)| is(retry)).unwrap();
        let pools = vec![Processor::new(POOL, &catalogs[0])];
        let schedule = Self { retry, catalogs, pools, ..Self::new(stage, 0, false, false) };
        block_on(schedule.log.ensure_topics(&schedule.topics())).unwrap();
        schedule
    }

    /// Sends values of one key to the first queue.
    fn send_values(&self, values: &[&str]) {
        let event = |value: &&str| Append {
            topic: self.stage.topic("q1"),
            key: Some(b"k".to_vec()),
            value: Some(value.as_bytes().to_vec()),
            headers: Vec::new(),
        };
        for answer in block_on(self.log.append(values.iter().map(event).collect())) {
            answer.unwrap();
        }
    }

    /// Gives the first worker turns until something is so; before each, time passes.
    fn turn_until(&mut self, what: &str, step_ms: i64, is_so: impl Fn(&Self) -> bool) {
        for turn in 0.. {
            if is_so(self) {
                return;
            }
            assert!(turn < 100, "it never comes to that: {what}");
            self.clock.fetch_add(step_ms, Ordering::Relaxed);
            self.turn_of(0, 0);
        }
    }

    fn turn_of(&mut self, pool: usize, index: usize) -> Duration {
        let worker = self.worker(pool, index);
        self.pools[pool].workers[index].get_or_insert_with(|| Course::new(worker)).turn()
    }

    fn turn_of_mover(&mut self, pool: usize) -> Duration {
        let mover = self.mover(pool);
        self.pools[pool].mover.get_or_insert_with(|| Moving::new(mover)).turn(Duration::ZERO)
    }

    fn mover(&self, pool: usize) -> Mover {
        let Processor { pool, catalog, wants, .. } = &self.pools[pool];
        Mover {
            pool: (*pool).to_owned(),
            transactional_id: name::moves_transactional_id(pool, "0"),
            wants: wants.clone(),
            broker: self.log.clone(),
            catalog: catalog.clone(),
            metrics: self.stage.metrics.clone(),
        }
    }

    fn worker(&self, pool: usize, index: usize) -> Worker {
        let clock = self.clock.clone();
        let Processor { pool, catalog, wants, .. } = &self.pools[pool];
        Worker {
            // A twin goes on under its own.
            name: format!("{index}-{}", self.twins.len()),
            group: name::processor_group(pool),
            transactional_id: name::transactional_id(pool, "0", index),
            pool: (*pool).to_owned(),
            wants: wants.clone(),
            gather: self.gather,
            batch_time: self.batch_time,
            limits: self.stage.limits.clone(),
            traces: false,
            broker: self.log.clone(),
            catalog: catalog.clone(),
            library: self.stage.library.clone(),
            metrics: self.stage.metrics.clone(),
            health: self.stage.frame.health.component("processor"),
            stop: CancellationToken::new(),
            pace: Pace {
                gather_wait: Duration::ZERO,
                now_ms: Arc::new(move || clock.load(Ordering::Relaxed)),
                stopwatch: self.stopwatch.clone(),
                ..Pace::default()
            },
        }
    }

    /// Without faults, until nothing is left in queues and tiers.
    fn finish(&mut self) {
        for processor in &self.pools {
            processor.seen.put(self.catalogs[self.newest].clone());
        }
        for turn in 0..TURNS_TO_END {
            self.clock.fetch_add(100, Ordering::Relaxed);
            for pool in 0..self.pools.len() {
                self.turn_of(pool, turn as usize % WORKERS);
                if self.moves {
                    self.turn_of_mover(pool);
                }
            }
            if turn % 16 == 15 && self.left().is_empty() {
                self.tell(|| format!("all is done after {turn} more turns"));
                return;
            }
        }
        panic!("after {TURNS_TO_END} turns without a fault there is left: {:?}", self.left());
    }

    /// What the group has not done: partitions with the offset it has committed, and their end.
    fn left(&self) -> Vec<(String, i32, i64, i64)> {
        let committed = [POOL, OTHER].map(|pool| self.log.committed_offsets(&name::processor_group(pool)));
        let queues = ["q1", "q2", "q3"].map(|queue| self.stage.topic(queue));
        let tiers = [POOL, OTHER].into_iter().flat_map(|pool| Tier::ALL.map(|tier| name::retry(pool, tier)));
        let topics = queues.into_iter().chain(tiers);
        let mut left = Vec::new();
        for topic in topics {
            for (partition, end) in self.log.committed(&topic).unwrap().next_offsets() {
                let done =
                    committed.iter().filter_map(|committed| committed.get(&partition)).max().copied().unwrap_or(0);
                if done < end {
                    left.push((partition.topic.to_string(), partition.partition, done, end));
                }
            }
        }
        left
    }
}

/// Time that passes when it is looked at, as a seed says: little as a rule, and now and then as much as a slow call takes.
fn stopwatch(seed: u64) -> Stopwatch {
    let state = Mutex::new((StdRng::seed_from_u64(seed), Duration::ZERO));
    Arc::new(move || {
        let (random, passed) = &mut *state.lock().unwrap();
        let most = if random.random_bool(0.02) { LONG_LOOK_US } else { LOOK_US };
        *passed += Duration::from_micros(random.random_range(1..=most));
        *passed
    })
}

/// Schedules that are run twice.
const SCHEDULES_TWICE: u64 = 100;

#[test]
fn a_seed_brings_the_same_course_each_time() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::new());
    for seed in 0..SCHEDULES_TWICE {
        for moves in [false, true] {
            let mut twice = [(); 2].map(|()| Schedule::new(&stage, seed, moves, false));
            twice.iter_mut().for_each(Schedule::take_its_course);
            let [first, second] = twice.each_ref().map(|schedule| Outcomes::new(schedule).outcomes);
            assert_eq!(first, second, "schedule {seed}, with moves: {moves}");
        }
    }
}

#[test]
fn an_event_waits_its_time_in_its_place_also_where_an_earlier_batch_had_no_time_for_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::new());
    let mut schedule = Schedule::led(&stage, |retry| retry.ordering == retry::Ordering::Key);
    schedule.batch_time = Duration::from_nanos(1);
    schedule.gather.records_max = 1_000;
    schedule.send_values(&[r#"{"n":0}"#, r#"{"note":"bang!"}"#]);
    let waits = || stage.metrics.retries.with_label_values(&["1s"]).get();
    schedule.turn_until("the second event is run", 0, |_| waits() == 1);
    // Its next attempt is its last, and makes it a dead letter.
    let dead = || stage.metrics.dead_letters.with_label_values(&["function", "trap"]).get();
    for _ in 0..20 {
        schedule.turn_of(0, 0);
        assert_eq!((waits(), dead()), (1, 0), "it was run again before its time");
    }
    schedule.clock.fetch_add(1_000, Ordering::Relaxed);
    for _ in 0..5 {
        schedule.turn_of(0, 0);
    }
    assert_eq!((waits(), dead()), (1, 1));
}

#[test]
fn an_event_in_a_tier_is_run_when_it_is_due_and_not_before() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::new());
    let has_tiers = |retry: &Retry| retry.ordering == retry::Ordering::None && retry.tiers == [Tier::S1, Tier::S10];
    let mut schedule = Schedule::led(&stage, has_tiers);
    schedule.send_values(&["\"bang!\""]);
    for (tier, delay_ms) in [(Tier::S1, 1_000), (Tier::S10, 10_000)] {
        let topic = name::retry(POOL, tier);
        schedule.turn_until(&topic, 0, |schedule| !schedule.log.committed(&topic).unwrap().is_empty());
        let record = schedule.log.committed(&topic).unwrap();
        let record = record.get(0).unwrap();
        let cause = record.headers().find(|(name, _)| *name == "jobico-error-code");
        assert_eq!(cause.map(|(_, code)| code), Some(&b"trap"[..]));
        let done = |schedule: &Schedule<'_>| {
            schedule.log.committed_offsets(&name::processor_group(POOL)).keys().any(|at| *at.topic == *topic)
        };
        schedule.clock.store(record.timestamp_ms() + delay_ms - 1, Ordering::Relaxed);
        (0..20).for_each(|_| _ = schedule.turn_of(0, 0));
        assert!(!done(&schedule), "it was run a millisecond too early");
        schedule.clock.fetch_add(1, Ordering::Relaxed);
        (0..20).for_each(|_| _ = schedule.turn_of(0, 0));
        assert!(done(&schedule), "it is due, and is not run");
    }
}

#[test]
fn an_event_in_a_tier_whose_job_asks_for_order_meanwhile_holds_nobody_up() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::new());
    let mut schedule = Schedule::led(&stage, |retry| retry.attempts == 3);
    assert_eq!(schedule.retry.ordering, retry::Ordering::None);
    let folder = tempfile::tempdir().unwrap();
    let strict = Retry { ordering: retry::Ordering::Key, ..schedule.retry.clone() };
    let strict = runtime.block_on(stage::catalogs(&stage.tenant, strict, None, folder.path()));
    schedule.send_values(&["\"bang!\""]);
    for (topic, step_ms) in [(name::retry(POOL, Tier::S1), 0), (name::dead(&stage.tenant), 500)] {
        schedule.turn_until(&topic, step_ms, |schedule| schedule.log.committed(&topic).unwrap().len() == 1);
        schedule.pools[0].seen.put(strict[0].clone());
    }
    let dead = schedule.log.committed(&name::dead(&stage.tenant)).unwrap();
    let attempts = dead.get(0).unwrap().headers().find(|(name, _)| *name == "jobico-attempts");
    assert_eq!(attempts.map(|(_, attempts)| attempts), Some(&b"3"[..]));
}

/// Schedules in which the workers run by themselves.
const SCHEDULES_IN_THREADS: u64 = 40;
/// The longest that one may take: each backs off for milliseconds only.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[test]
fn workers_in_threads_of_their_own_do_no_different() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::new());
    for seed in 0..SCHEDULES_IN_THREADS {
        eprintln!("schedule {seed}");
        let mut schedule = Schedule::new(&stage, seed, false, false);
        block_on(schedule.log.ensure_topics(&schedule.topics())).unwrap();
        schedule.send();
        let faults = schedule.faults();
        schedule.log.misbehave(faults);
        let stop = CancellationToken::new();
        std::thread::scope(|scope| {
            let _stopped_however_this_ends = stop.clone().drop_guard();
            for index in 0..WORKERS {
                let (millisecond, clock) = (Duration::from_millis(1), schedule.clock.clone());
                // Each look at the clock is 50 ms later, so that events of tiers are due soon.
                let now_ms = Arc::new(move || clock.fetch_add(50, Ordering::Relaxed));
                let pace = Pace {
                    gather_wait: millisecond,
                    backoff_min: millisecond,
                    backoff_max: millisecond,
                    now_ms,
                    ..Pace::default()
                };
                let worker = Worker { stop: stop.clone(), pace, ..schedule.worker(0, index) };
                scope.spawn(move || worker.run().unwrap());
            }
            schedule.send_without_faults(faults);
            let started = Instant::now();
            until(started, || schedule.stage.metrics.events.with_label_values(&["t", "ok"]).get() > 0);
            schedule.log.misbehave(Faults::default());
            until(started, || schedule.left().is_empty());
        });
        Outcomes::new(&schedule).check();
    }
}

fn until(started: Instant, condition: impl Fn() -> bool) {
    while !condition() {
        assert!(started.elapsed() < WAIT_MAX, "it never comes to that");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    // The simulated log answers at once; nothing has to be driven.
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not '{text}'")))
}

#[test]
fn each_event_has_one_outcome_whatever_happens() {
    run_schedules(false);
}

#[test]
fn each_event_has_one_outcome_while_queues_move_from_pool_to_pool_whatever_happens() {
    run_schedules(true);
}

fn run_schedules(moves: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::new());
    if let Some(seed) = number("JOBICO_SEED") {
        return Schedule::new(&stage, seed, moves, true).run();
    }
    let schedules = number("JOBICO_SCHEDULES").unwrap_or(SCHEDULES);
    let (next, failed, started) = (AtomicU64::new(0), Mutex::new(Vec::new()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= schedules {
                        return;
                    }
                    let run = std::panic::AssertUnwindSafe(|| Schedule::new(&stage, seed, moves, false).run());
                    if std::panic::catch_unwind(run).is_err() {
                        eprintln!("this was schedule {seed}: JOBICO_SEED={seed} runs it alone, and tells its course");
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let (mut failed, took) = (failed.into_inner().unwrap(), started.elapsed());
    failed.sort_unstable();
    eprintln!(
        "{schedules} schedules in {took:.1?}: {} batches given up, {} members made anew",
        ["retriable", "abortable", "fatal"]
            .map(|class| stage.metrics.aborts.with_label_values(&[class]).get())
            .iter()
            .sum::<u64>(),
        stage.metrics.rebuilds.get(),
    );
    assert!(failed.is_empty(), "{} of {schedules} schedules failed; their seeds: {failed:?}", failed.len());
}
