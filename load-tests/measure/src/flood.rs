//! A quiet tenant beside one that floods, on one worker: what the flood costs it.
//!
//! The quiet one is the example's: 100 events a second, as in [`crate::latency`]. The other has a backlog that lasts longer
//! than the measurement, of a function that takes about a millisecond. Measured in turn: the quiet one alone, and beside.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use jobico_event::{QueueId, TenantId, name};
use jobico_processor::Config;
use jobico_processor::function::{Engine, Instance, Module};

use crate::call::defaults;
use crate::kafka::{Place, Topics};
use crate::latency::{Times, light_load};
use crate::report::{Better, Ratio, Report};
use crate::system::Lab;
use crate::{Failure, events, say};

/// What floods.
const TENANT: &str = "bench-flood";
const QUEUE: &str = "backlog";
/// Events that wait at the start, at least.
const BACKLOG_MIN: u64 = 100_000;
/// What a worker does of them in a second, at most, and some more.
const BACKLOG_PER_S: u64 = 1_500;
/// Seconds of a measurement beside the light load itself: start, first event, warming.
const AROUND_S: u64 = 30;
/// How long a call of the function takes, about.
const CALL: Duration = Duration::from_millis(1);
/// How often its loop goes round where the machine's speed is measured.
const ROUNDS_MEASURED: u64 = 1_000_000;
/// What the quiet tenant may have beside the flood: this many times what it has alone, and one batch's time.
const TIMES_MAX: f64 = 1.1;

/// Measures the quiet tenant, alone and beside.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let flood = Flood::set_up(lab)?;
    let batch_ms = f64::from(defaults().batch_ms_max);
    let (mut alone, mut beside, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for pair in lab.pairs("a quiet tenant beside a flood") {
        pair.say();
        alone.push(flood.run(lab, Place::End)?.0);
        let (times, done_per_s) = flood.run(lab, Place::Beginning)?;
        beside.push(times);
        rates.push(done_per_s);
    }
    lab.check_nothing_died()?;
    let pairs = |part: fn(&Times) -> f64, against: fn(f64, f64) -> f64| -> Vec<(f64, f64)> {
        beside.iter().zip(&alone).map(|(beside, alone)| (part(beside), against(part(alone), batch_ms))).collect()
    };
    let allowed = |alone: f64, batch_ms: f64| TIMES_MAX * alone + batch_ms;
    let ratio = |id, what, against, pairs| Ratio::new(id, what, against, "ms", Better::Lower, pairs);
    let what = "100 events/s beside a tenant that floods: event to readable result, p99";
    let most = format!("{TIMES_MAX} × alone, and one batch of {batch_ms} ms");
    report.ratio(ratio("flood-p99", what, &most, pairs(|times| times.p99, allowed)).reaching(1.0));
    report.ratio(ratio("flood-p99-alone", "the same", "alone", pairs(|times| times.p99, |alone, _| alone)));
    report.ratio(ratio("flood-p50-alone", "the same, median", "alone", pairs(|times| times.p50, |alone, _| alone)));
    report.figure("flood-max", "the same, longest", "ms", beside.iter().map(|times| times.max).collect());
    report.figure("flood-rate", "what floods, meanwhile", "events/s", rates);
    Ok(())
}

/// The tenant that floods.
struct Flood {
    queue: Topics,
    backlog: u64,
}

impl Flood {
    /// Deploys its job, and fills its queue.
    fn set_up(lab: &Lab) -> Result<Self, Failure> {
        let (tenant, queue) = (TenantId::new(TENANT)?, QueueId::new(QUEUE)?);
        let topic = name::queue(&tenant, &queue);
        lab.make_topics()?;
        lab.cluster.create_topics(&[&*topic, &*name::results(&tenant), &*name::dead(&tenant)].into())?;
        let (wasm, job) = (lab.scratch_file("slow.wasm", &slow()?)?, lab.scratch_file("flood.yaml", JOB.as_bytes())?);
        lab.tool(&[OsStr::new("upload"), "wasm".as_ref(), TENANT.as_ref(), "slow.wasm".as_ref(), wasm.as_ref()])?;
        lab.tool(&[OsStr::new("deploy"), job.as_ref()])?;
        let backlog = BACKLOG_MIN.max(BACKLOG_PER_S * (lab.extent.light().as_secs() + AROUND_S));
        say(&format!("filling {topic} with {backlog} events"));
        let queue = Topics::from(topic.as_str());
        lab.cluster.preload(&queue, backlog)?;
        Ok(Self { queue, backlog })
    }

    /// The quiet tenant's times with one worker that goes on here in the backlog, and how much of that is done in a second.
    fn run(&self, lab: &Lab, from: Place) -> Result<(Times, f64), Failure> {
        lab.registry()?;
        lab.reset_processors(Place::End)?;
        lab.cluster.reset(&lab.group, &self.queue, from)?;
        let start = lab.cluster.positions(&lab.results, Place::End)?;
        let _processor = lab.start("processor", &["--workers", "1"])?;
        let (begun, watch) = (Instant::now(), lab.cluster.watch(&lab.group, &self.queue)?);
        let before = watch.done()?;
        let times = light_load(lab, lab.queue.name(), &start)?;
        let done = watch.done()? - before;
        if matches!(from, Place::Beginning) && (done == 0 || before + done >= self.backlog) {
            return Err(format!("{done} of {} events of the flood were done: it was none", self.backlog).into());
        }
        Ok((times, done as f64 / begun.elapsed().as_secs_f64()))
    }
}

const JOB: &str = "\
id: flood
tenant: bench-flood
queues: [{id: backlog, partitions: 6}]
jobs:
  - event: {id: slow, supplierqueue: backlog, runtime: slow}
runtimes:
  - {id: slow, moduleref: slow.wasm}
";

/// A function that goes round so often that a call takes [`CALL`] on this machine.
fn slow() -> Result<Vec<u8>, Failure> {
    let config: Config = defaults();
    let limits = config.limits();
    let module = Module::compile(&Engine::new(&limits)?, &going_round(ROUNDS_MEASURED)?)?;
    let mut instance = Instance::new(&module, "event", &limits, limits.call)?;
    let (event, mut output) = (events::customer(0), Vec::new());
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let begun = Instant::now();
        instance.call(&event, limits.call, &mut output)?;
        quickest = quickest.min(begun.elapsed());
    }
    let rounds = ROUNDS_MEASURED as f64 * CALL.as_secs_f64() / quickest.as_secs_f64();
    going_round(rounds as u64)
}

/// A function that goes round so often, and answers with the event.
fn going_round(rounds: u64) -> Result<Vec<u8>, Failure> {
    Ok(wat::parse_str(format!(
        r#"
(module
  (memory (export "memory") 1)
  (func (export "malloc") (param $bytes i32) (result i32)
    (select (i32.const 1024) (i32.const 4096) (i32.eq (local.get $bytes) (i32.const 16))))
  (func (export "free") (param i32 i32))
  (func (export "event") (param $answer i32) (param $event i32) (param $bytes i32) (local $left i64)
    (local.set $left (i64.const {rounds}))
    (loop $again
      (local.set $left (i64.sub (local.get $left) (i64.const 1)))
      (br_if $again (i64.gt_s (local.get $left) (i64.const 0))))
    (i64.store (local.get $answer) (i64.const 0))
    (i64.store offset=8 (local.get $answer)
      (i64.or
        (i64.shl (i64.extend_i32_u (local.get $event)) (i64.const 32))
        (i64.extend_i32_u (local.get $bytes))))))
"#
    ))?)
}
