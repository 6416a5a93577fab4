//! Measures Jobico on real Kafka. `load-tests/bench` builds all, starts Kafka, and calls this.
//!
//! ```text
//! settings ─► machine ─► kafka: topics, events ─► measurements, in pairs A B A B … ─► report ─► table, results/*.json
//!                                                      │
//!   processor  events through `jobico serve processor`  │ against bare: copy_loop + validation + wasm
//!   guarantee  the same, by role                        │ against at least once
//!   streams    the same                                 │ against the peer: Kafka Streams
//!   queues     the same out of 1,000 queues             │ against out of one
//!   latency    one event in, its result readable        │ against bare: copy_loop, and the peer
//!   flood      the same beside a tenant with a backlog    │ against alone
//!   ingest     HTTP in, acknowledged                    │ batches against single events
//!   tenants    10,000 tenants, a function each       │ against nothing
//!   verdict    what services ask of a schema            │ against bare: validation
//!   call       what a function's call costs the host    │ against bare: wasm
//! ```
//!
//! A machine's speed is not the program's: what counts is the ratio of two things measured in turn in one run. What a
//! later version is compared with stands in docs/performance.md.

mod settings;

mod machine;

mod events;
mod http;
mod kafka;
mod role;
mod system;

mod bare;
mod peer;

mod drain;

mod call;
mod flood;
mod guarantee;
mod ingest;
mod latency;
mod processor;
mod queues;
mod streams;
mod tenants;
mod verdict;

mod statistics;

mod report;
mod results;
mod table;

use std::process::ExitCode;

use clap::Parser;

use settings::{Measurement, Settings};

/// The bare parts get the allocator that the processor has, or they would look slower than they can be.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Any failure ends the run: a figure from half a run is worse than none.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    if let Some(done) = jobico_processor::compile::if_asked() {
        return done;
    }
    // A measurement starts this program anew, in a role.
    let done = if std::env::args_os().nth(1).is_some_and(|word| word == role::WORD) {
        role::run(role::Args::parse_from(std::env::args_os().skip(1))).map(|()| ExitCode::SUCCESS)
    } else {
        run(&Settings::parse())
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    let machine = machine::Machine::read(&settings.with)?;
    if machine.busy_cores > BUSY_CORES_MAX {
        say(&format!(
            "others keep {:.1} cores of this machine busy: take no figure of this run for good",
            machine.busy_cores
        ));
    }
    let lab = system::Lab::set_up(settings)?;
    let mut report = report::Report::new(machine, settings);
    for measurement in settings.measurements() {
        match measurement {
            Measurement::Processor => processor::measure(&lab, &mut report)?,
            Measurement::Guarantee => guarantee::measure(&lab, &mut report)?,
            Measurement::Streams => streams::measure(&lab, &mut report)?,
            Measurement::Queues => queues::measure(&lab, &mut report)?,
            Measurement::Latency => latency::measure(&lab, &mut report)?,
            Measurement::Flood => flood::measure(&lab, &mut report)?,
            Measurement::Verdict => verdict::measure(&lab, &mut report)?,
            Measurement::Call => call::measure(&lab, &mut report)?,
            Measurement::Parts => bare::measure(&lab, &mut report)?,
            Measurement::Tenants => tenants::measure(&lab, tenants::On::Embedded, &mut report)?,
            Measurement::TenantsKafka => tenants::measure(&lab, tenants::On::Kafka, &mut report)?,
            Measurement::Ingest => ingest::measure(&lab, &mut report)?,
        }
    }
    let earlier = results::newest_like(&settings.results, &report)?;
    let file = results::write(&settings.results, &report)?;
    let regressions = earlier.map(|earlier| report.regressions(&earlier)).unwrap_or_default();
    table::print(&report, &regressions)?;
    say(&format!("written to {}", file.display()));
    Ok(if regressions.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// More busy cores than this before anything is measured are said. The Kafka that has just started takes some.
const BUSY_CORES_MAX: f64 = 0.5;

/// Says what goes on, beside the table.
fn say(text: &str) {
    eprintln!("bench: {text}");
}
