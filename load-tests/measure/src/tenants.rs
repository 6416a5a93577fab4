//! Ten thousand tenants with a function each on one processor, or a tenth of them on Kafka: its memory, what it does where
//! nothing is to be done, and the first event of a function.
//!
//! The whole system is one process, as `jobico dev` starts it, with SQLite: what it takes is what the processor takes, and
//! registry, ingest and recorder besides, and the embedded log where it is not on Kafka.
//!
//! Each tenant has a module of its own, as its digest and its file say, and all of them are the example's: it is compiled
//! once, and its code put into the cache for each. Ten thousand compilations of one thing would measure the compiler.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::stream::{StreamExt as _, TryStreamExt as _, iter};
use jobico_event::Digest;
use jobico_processor::function::cache::{Cache, FOLDER};
use jobico_processor::function::{Engine, Module};
use serde_json::Value;

use crate::call::defaults;
use crate::http::{self, Connection};
use crate::report::Report;
use crate::statistics::quantile;
use crate::system::process::{Process, Usage};
use crate::system::{DATA, Lab};
use crate::{Failure, events, say};

/// One of so many tenants is there on Kafka, where each costs the broker several partitions.
const KAFKA_PART: u32 = 10;
/// Their pool: not that of what the benchmark has otherwise.
const POOL: &str = "many-tenants";
/// Requests under way at the same time, where many are to be made.
const CONNECTIONS: usize = 16;
/// First events whose time is measured; each is a tenant's that had none before.
const FIRST_EVENTS: u32 = 200;
/// How long the idle process is looked at.
const IDLE: Duration = Duration::from_secs(20);
/// How long it is left alone before anything is measured.
const SETTLING: Duration = Duration::from_secs(5);
/// How often it is asked whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How often the metrics are read, which are megabytes of text.
const METRICS_EVERY: Duration = Duration::from_secs(1);
/// The longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// MiB of compiled code on the disk for each tenant, generously: each has to find its own there.
const COMPILED_MIB_EACH: u32 = 1;

/// What it may take: MiB, percent of a core, ms.
const RESIDENT_MAX: f64 = 2048.0;
const IDLE_MAX: f64 = 5.0;
const FIRST_MAX: f64 = 50.0;

/// The log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Embedded,
    Kafka,
}

/// Measures it once: there is nothing to be measured in turn with.
pub fn measure(lab: &Lab, on: On, report: &mut Report) -> Result<(), Failure> {
    let folder = lab.unused_folder("tenants")?;
    let (count, id, log) = match on {
        On::Embedded => (lab.extent.tenants, "tenants", String::new()),
        On::Kafka => (lab.extent.tenants.div_ceil(KAFKA_PART), "tenants-kafka", ", on Kafka".to_owned()),
    };
    compile(lab, &folder, count)?;
    let compiled_mib_max = (count * COMPILED_MIB_EACH).to_string();
    let mut flags = vec!["--pool", POOL, "--compiled-mib-max", &compiled_mib_max];
    if on == On::Kafka {
        flags.extend(["--kafka", lab.cluster.bootstrap()]);
    }
    let start = || lab.start_whole(&folder, &flags);
    let sample = FIRST_EVENTS.min(count);

    let process = start()?;
    let whole = Whole::of(lab, &process)?;
    let begun = Instant::now();
    whole.deploy(count)?;
    say(&format!("{count} tenants deployed in {:.0} s", begun.elapsed().as_secs_f64()));
    std::thread::sleep(SETTLING);
    let deployed = process.usage()?;
    let first = whole.first_events(0..sample)?;
    let begun = Instant::now();
    whole.event_of_each(sample..count)?;
    say(&format!("an event of each in {:.0} s", begun.elapsed().as_secs_f64()));
    let used = process.usage()?;
    let idle = idle(&process)?;
    drop((whole, process));

    let begun = Instant::now();
    let process = start()?;
    let restart = begun.elapsed();
    let whole = Whole::of(lab, &process)?;
    // One that is not measured waits for the workers to have their partitions.
    whole.first_events(count - 1..count)?;
    std::thread::sleep(SETTLING);
    let first_restarted = whole.first_events(0..sample)?;
    let restarted = process.usage()?;

    let found = Found { deployed, used, restarted, restart, idle, first, first_restarted };
    add(report, id, &format!("{count} tenants with a function each{log}"), &found);
    Ok(())
}

/// What was measured.
struct Found {
    deployed: Usage,
    /// After an event of each.
    used: Usage,
    restarted: Usage,
    /// From start to listening.
    restart: Duration,
    /// Percent of a core.
    idle: f64,
    /// ms, each.
    first: Vec<f64>,
    first_restarted: Vec<f64>,
}

/// Adds it to the report.
fn add(report: &mut Report, id: &str, tenants: &str, found: &Found) {
    let mib = |usage: &Usage| vec![usage.resident_bytes as f64 / f64::from(1 << 20)];
    report.figure(
        &format!("{id}-resident-deployed"),
        &format!("{tenants}: resident memory, deployed"),
        "MiB",
        mib(&found.deployed),
    );
    report.figure_at_most(
        &format!("{id}-resident"),
        "the same, after an event of each",
        "MiB",
        mib(&found.used),
        RESIDENT_MAX,
    );
    report.figure(&format!("{id}-resident-restarted"), "the same, after a restart", "MiB", mib(&found.restarted));
    report.figure(&format!("{id}-start"), "the same: from start to listening", "s", vec![found.restart.as_secs_f64()]);
    report.figure_at_most(
        &format!("{id}-idle"),
        "the same, nothing to do: CPU time",
        "% of a core",
        vec![found.idle],
        IDLE_MAX,
    );
    for (name, what, times) in [
        ("first", "the same: first event of a function, HTTP request to stored result", &found.first),
        ("first-restarted", "the same after a restart", &found.first_restarted),
    ] {
        report.figure(&format!("{id}-{name}-p50"), &format!("{what}, median"), "ms", vec![quantile(times, 0.5)]);
        report.figure_at_most(
            &format!("{id}-{name}-p99"),
            &format!("{what}, p99"),
            "ms",
            vec![quantile(times, 0.99)],
            FIRST_MAX,
        );
    }
}

/// The module of a tenant: the example's, and a custom section with the tenant's number.
fn module_of(lab: &Lab, number: u32) -> Vec<u8> {
    let number = number.to_le_bytes();
    // Id 0; its length; a name of one letter, and what is in it (WebAssembly core specification, 5.5.3).
    [&lab.wasm[..], &[0, 6, 1, b't'], &number].concat()
}

/// Puts each tenant's module into the cache that the processor will find.
fn compile(lab: &Lab, folder: &Path, count: u32) -> Result<(), Failure> {
    let engine = Engine::new(&defaults().limits())?;
    let cache = Cache::open(&folder.join(DATA).join(FOLDER), u64::MAX, &engine)?;
    let module = Module::compile(&engine, &lab.wasm)?;
    say(&format!("writing {count} compiled modules of {} KiB", module.bytes() >> 10));
    (0..count).try_for_each(|number| {
        let digest = Digest::of(&module_of(lab, number));
        Ok(cache.keep(&digest, &module.seal(&digest)?)?)
    })
}

fn tenant(number: u32) -> String {
    format!("tenant-{number}")
}

/// Where the process listens.
struct Whole<'a> {
    lab: &'a Lab,
    registry: SocketAddr,
    ingest: SocketAddr,
    recorder: SocketAddr,
    admin: SocketAddr,
}

impl<'a> Whole<'a> {
    fn of(lab: &'a Lab, process: &Process) -> Result<Self, Failure> {
        let address = |server: &str| http::address(&process.url(server)?);
        Ok(Self {
            lab,
            registry: address("registry")?,
            ingest: address("ingest")?,
            recorder: address("recorder")?,
            admin: address("admin")?,
        })
    }

    /// Does something for each tenant, several at a time, each on a connection that is its own meanwhile.
    fn for_each<F>(&self, tenants: std::ops::Range<u32>, address: SocketAddr, action: F) -> Result<(), Failure>
    where
        F: AsyncFn(&mut Connection, u32) -> Result<(), Failure>,
    {
        let action = &action;
        let lanes = (0..u32::try_from(CONNECTIONS)?).map(|lane| {
            let tenants = tenants.clone().skip(lane as usize).step_by(CONNECTIONS);
            async move {
                let mut connection = Connection::open(address).await?;
                for number in tenants {
                    action(&mut connection, number).await?;
                }
                Ok::<_, Failure>(())
            }
        });
        let all = iter(lanes).buffer_unordered(CONNECTIONS).try_collect::<Vec<()>>();
        self.lab.cluster.runtime().block_on(all).map(drop)
    }

    fn deploy(&self, count: u32) -> Result<(), Failure> {
        self.for_each(0..count, self.registry, async |registry, number| {
            let tenant = tenant(number);
            let put = |what: &str, body: &[u8]| http::request("PUT", &format!("/v1/tenants/{tenant}/{what}"), body);
            registry.exchange(&put("schemas/customer.json", self.lab.schema.as_bytes())).await?;
            registry.exchange(&put("functions/customer.wasm", &module_of(self.lab, number))).await?;
            let job = JOB.replace("TENANT", &tenant).replace("POOL", POOL);
            registry.exchange(&http::request("POST", "/v1/jobs", job.as_bytes())).await?;
            Ok(())
        })
    }

    /// From the request to the stored result of a tenant's event, ms, one tenant after the other.
    fn first_events(&self, tenants: std::ops::Range<u32>) -> Result<Vec<f64>, Failure> {
        self.lab.cluster.runtime().block_on(async {
            let mut ingest = Connection::open(self.ingest).await?;
            let mut recorder = Connection::open(self.recorder).await?;
            let mut times = Vec::new();
            for number in tenants {
                let begun = Instant::now();
                let id = post_event(&mut ingest, number).await?;
                let path = format!("/v1/tenants/{}/events/{id}/results", tenant(number));
                let question = http::request("GET", &path, b"");
                loop {
                    let answer: Value = serde_json::from_slice(recorder.exchange(&question).await?)?;
                    if answer["results"].as_array().is_some_and(|results| !results.is_empty()) {
                        break;
                    }
                    if begun.elapsed() > WAIT_MAX {
                        return Err(format!("the event of {} has no result", tenant(number)).into());
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            Ok(times)
        })
    }

    /// An event of each tenant, and waits until all are done.
    fn event_of_each(&self, tenants: std::ops::Range<u32>) -> Result<(), Failure> {
        let runtime = self.lab.cluster.runtime();
        let before = runtime.block_on(self.done())?;
        let count = u64::from(tenants.end - tenants.start);
        self.for_each(tenants, self.ingest, async |ingest, number| post_event(ingest, number).await.map(drop))?;
        let begun = Instant::now();
        while runtime.block_on(self.done())? < before + count {
            if begun.elapsed() > WAIT_MAX {
                return Err("events of some tenants are not done".into());
            }
            std::thread::sleep(METRICS_EVERY);
        }
        Ok(())
    }

    /// How many events the processor has done, as it counts them itself.
    async fn done(&self) -> Result<u64, Failure> {
        let mut admin = Connection::open(self.admin).await?;
        let metrics = admin.exchange(&http::request("GET", "/metrics", b"")).await?;
        let lines = std::str::from_utf8(metrics)?.lines();
        let done =
            lines.filter(|line| line.starts_with("jobico_processor_events_total{") && line.contains("outcome=\"ok\""));
        done.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?)).sum()
    }
}

/// Posts an event of a tenant; its id.
async fn post_event(ingest: &mut Connection, number: u32) -> Result<String, Failure> {
    let body = [b"{\"data\":[", &events::customer(number.into())[..], b"]}"].concat();
    let request = http::request("POST", &format!("/events/{}/customer", tenant(number)), &body);
    let answer: Value = serde_json::from_slice(ingest.exchange(&request).await?)?;
    Ok(answer["events"][0]["id"].as_str().ok_or("an answer without an id")?.to_owned())
}

/// What the process uses where nothing is to be done, percent of a core.
fn idle(process: &Process) -> Result<f64, Failure> {
    std::thread::sleep(SETTLING);
    let (begun, before) = (Instant::now(), process.usage()?.cpu);
    std::thread::sleep(IDLE);
    Ok((process.usage()?.cpu - before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0)
}

const JOB: &str = "\
id: customers
tenant: TENANT
queues: [{id: customers, partitions: 1, pool: POOL}]
jobs:
  - event: {id: customer, supplierqueue: customers, runtime: customer, schema: {id: customer, schemaref: customer.json}}
runtimes:
  - {id: customer, moduleref: customer.wasm, mainfuncname: event, type: 0}
";
