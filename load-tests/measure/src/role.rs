//! The role `processor` in a process of its own, as `jobico serve processor` runs it, with a log that `jobico` does not have.
//! Nobody calls it but the benchmark.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use jobico_broker::Broker;
use jobico_broker::kafka::{self, AtLeastOnce, Kafka};
use jobico_catalog::Artifacts;
use jobico_service::config::Common;
use jobico_service::{Frame, telemetry};

use crate::Failure;

/// The first word of a command line that starts a role in place of the benchmark.
pub const WORD: &str = "role";
/// What begins the line that is said once it works.
pub const READY: &str = "ready";
/// How long what still blocks after everything has ended is waited for.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);

/// Run the processor as a part of the benchmark.
#[derive(Debug, Parser)]
#[command(name = WORD)]
pub struct Args {
    /// How outcomes and offsets are committed.
    #[arg(value_enum)]
    guarantee: Guarantee,

    /// The registry.
    #[arg(long, value_name = "URL")]
    registry: String,

    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    processor: jobico_processor::Config,
}

/// How outcomes and offsets are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Guarantee {
    /// Together.
    #[value(name = EXACTLY_ONCE)]
    ExactlyOnce,
    /// Outcomes first, offsets after them.
    #[value(name = AT_LEAST_ONCE)]
    AtLeastOnce,
}

const EXACTLY_ONCE: &str = "exactly-once";
const AT_LEAST_ONCE: &str = "at-least-once";

impl Guarantee {
    /// How it is named on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExactlyOnce => EXACTLY_ONCE,
            Self::AtLeastOnce => AT_LEAST_ONCE,
        }
    }

    fn log(self, bootstrap: &str) -> Result<Arc<dyn Broker>, Failure> {
        let kafka = Kafka::connect(kafka::Settings::new(bootstrap))?;
        Ok(match self {
            Self::ExactlyOnce => kafka,
            Self::AtLeastOnce => Arc::new(AtLeastOnce(kafka)),
        })
    }
}

/// Works until a signal says to stop.
pub fn run(args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let _telemetry = telemetry::start(args.common.log_format)?;
        let frame = Frame::new(Duration::from_secs(args.common.drain_seconds));
        let started = start(&frame, args).await;
        if started.is_err() {
            frame.tasks.stop();
        }
        let ended = frame.tasks.run().await;
        started.and(ended.map_err(Failure::from))
    });
    runtime.shutdown_timeout(SHUTDOWN_WAIT);
    done
}

async fn start(frame: &Frame, args: Args) -> Result<(), Failure> {
    frame.tasks.stop_on_signals()?;
    let Common { kafka, data_dir, instance, .. } = args.common;
    std::fs::create_dir_all(&data_dir)?;
    let broker = args.guarantee.log(&kafka.ok_or("name Kafka with --kafka HOST:PORT")?)?;
    let artifacts = Artifacts::from_registry(&args.registry, data_dir.join("cache"));
    let catalog = jobico_catalog::start(frame, broker.clone()).await?;
    let log = broker.describe();
    jobico_processor::start(frame, args.processor, &instance, &data_dir, broker, catalog, artifacts).await?;
    writeln!(std::io::stdout(), "{READY} {log}")?;
    Ok(())
}
