//! What is measured, how often, and where the parts are. `load-tests/bench` gives the paths.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

/// Measure Jobico on real Kafka.
#[derive(Debug, Parser)]
#[command(name = "jobico-bench", version)]
pub struct Settings {
    /// What to measure; everything but `parts`, which `processor` holds already, where nothing is named.
    #[arg(value_enum)]
    measurements: Vec<Measurement>,

    /// Kafka: an empty cluster, for this run alone.
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: String,

    /// The process of Kafka, whose CPU time is told beside that of what is measured.
    #[arg(long, value_name = "PID")]
    pub kafka_pid: u32,

    /// The binary `jobico`.
    #[arg(long, value_name = "FILE")]
    pub jobico: PathBuf,

    /// The folder of the example whose events, schema and job are used (examples/customer-registration).
    #[arg(long, value_name = "DIR")]
    pub example: PathBuf,

    /// The example's function.
    #[arg(long, value_name = "FILE")]
    pub wasm: PathBuf,

    /// The peer, Kafka Streams, compiled: its options for Java, and `classes` and `lib` in a folder.
    #[arg(long, value_name = "FILE")]
    pub streams_options: PathBuf,

    /// See `streams_options`.
    #[arg(long, value_name = "DIR")]
    pub streams: PathBuf,

    /// Folder for the data, logs and pids of what is started.
    #[arg(long, value_name = "DIR")]
    pub scratch: PathBuf,

    /// Folder that the figures are written to, and compared with.
    #[arg(long, value_name = "DIR")]
    pub results: PathBuf,

    #[command(flatten)]
    pub extent: Extent,

    /// Versions to be written down beside the figures.
    #[arg(long, value_name = "NAME=VERSION", value_parser = pair)]
    pub with: Vec<(String, String)>,
}

/// How much is measured. Runs of another extent are not compared.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub struct Extent {
    /// Pairs of measurements; the median counts. 1 is a quick look, 5 are figures.
    #[arg(long, env = "BENCH_PAIRS", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub pairs: u32,

    /// Events in the queue.
    #[arg(long, env = "BENCH_EVENTS", value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(100_000..=100_000_000))]
    pub events: u64,

    /// Seconds that light load lasts; ingest is loaded for a third of it.
    #[arg(long, env = "BENCH_SECONDS", value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(3..=3600))]
    pub seconds: u32,

    /// Tenants, where there are many.
    #[arg(long, env = "BENCH_TENANTS", value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(500..=100_000))]
    #[serde(default)]
    pub tenants: u32,
}

/// What can be measured, in the order in which it is: `ingest` comes last, because it adds to the queue that the others
/// have filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Measurement {
    /// A schema's verdict.
    Verdict,
    /// A call of a function, but for what the function does itself.
    Call,
    /// The bare parts that the processor is measured against, alone.
    Parts,
    /// The processor under full load.
    Processor,
    /// The processor under full load, exactly once against at least once.
    Guarantee,
    /// The processor under full load, against Kafka Streams.
    Streams,
    /// The processor under full load, out of many queues.
    Queues,
    /// The processor under light load.
    Latency,
    /// The processor under light load of one tenant, beside another that floods.
    Flood,
    /// Ten thousand tenants, on the embedded log.
    Tenants,
    /// A tenth of them on Kafka, alone: its recorder would record what other measurements leave.
    TenantsKafka,
    /// Ingest over HTTP.
    Ingest,
}

impl Settings {
    /// What to measure, in order.
    pub fn measurements(&self) -> Vec<Measurement> {
        let mut measurements = self.measurements.clone();
        if measurements.is_empty() {
            let asked_for = [Measurement::Parts, Measurement::TenantsKafka];
            measurements.extend(Measurement::value_variants().iter().filter(|which| !asked_for.contains(which)));
        }
        measurements.sort_unstable();
        measurements.dedup();
        measurements
    }
}

impl Extent {
    /// How long light load lasts.
    pub fn light(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// How long ingest is loaded.
    pub fn ingest(&self) -> Duration {
        self.light() / 3
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, version) = text.split_once('=').ok_or("it has to be NAME=VERSION")?;
    Ok((name.to_owned(), version.to_owned()))
}
