//! `jobico serve`: the roles of the system, in one process or in many.

pub mod banner;
pub mod dev;
mod log;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use jobico_catalog::Artifacts;
use jobico_service::config::Common;
use jobico_service::{BoxError, Frame, admin, http, telemetry};

use crate::exit::Error;

/// Run roles of the system; all of them where none is named.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  jobico serve                                          everything in one process
  jobico serve ingest --kafka localhost:9092            one role; state and work are in Kafka
  jobico serve processor --kafka localhost:9092 --registry http://localhost:8081 --instance \"$HOSTNAME\"")]
pub struct Args {
    /// Roles to run.
    #[arg(value_enum)]
    pub roles: Vec<Role>,
    #[command(flatten)]
    pub settings: Settings,
}

/// A role of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The control plane: schemas, functions, jobs.
    Registry,
    /// HTTP in, events to the log.
    Ingest,
    /// Runs functions.
    Processor,
    /// Results and logs: to the store, to read.
    Recorder,
}

/// Settings of all roles.
#[derive(Debug, clap::Args)]
pub struct Settings {
    #[command(flatten)]
    pub common: Common,

    /// The registry, where it is another process: modules come from there.
    #[arg(long, env = "JOBICO_REGISTRY", value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub registry: String,

    #[command(flatten, next_help_heading = "Registry")]
    pub schema_registry: jobico_schema_registry::Config,
    #[command(flatten, next_help_heading = "Ingest")]
    pub ingest: jobico_ingest::Config,
    #[command(flatten, next_help_heading = "Processor")]
    pub processor: jobico_processor::Config,
    #[command(flatten, next_help_heading = "Recorder")]
    pub recorder: jobico_recorder::Config,
}

/// What is running, and where it listens.
#[derive(Debug, Default)]
pub struct Running {
    pub log: String,
    pub store: Option<String>,
    pub data_dir: PathBuf,
    pub registry: Option<SocketAddr>,
    pub ingest: Option<SocketAddr>,
    pub recorder: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// Runs roles until a signal says to stop.
pub async fn run(args: Args) -> Result<(), Error> {
    let roles = if args.roles.is_empty() { Role::value_variants().to_vec() } else { args.roles };
    if args.settings.common.kafka.is_none() && Role::value_variants().iter().any(|role| !roles.contains(role)) {
        return Err(Error::usage(
            "roles in processes of their own need a log that they share: name it with --kafka HOST:PORT (the embedded \
             log belongs to one process; `jobico dev` and `jobico serve` without a role run all roles on it)",
        ));
    }
    let _telemetry = telemetry::start(args.settings.common.log_format)?;
    let frame = frame(&args.settings);
    let running = start(&frame, &roles, args.settings).await;
    finish(&frame, running.map(|running| banner::addresses(&running))).await
}

/// A process' frame.
fn frame(settings: &Settings) -> Frame {
    let mut frame = Frame::new(Duration::from_secs(settings.common.drain_seconds));
    frame.traces = telemetry::is_exporting();
    frame
}

/// Waits for the end, whether the start succeeded or not: what was started is stopped.
async fn finish(frame: &Frame, started: Result<(), BoxError>) -> Result<(), Error> {
    if started.is_err() {
        frame.tasks.stop();
    }
    let ended = frame.tasks.run().await;
    started?;
    ended.map_err(|error| Error::failed(error.to_string()))
}

/// Starts roles in the order in which they need each other.
async fn start(frame: &Frame, roles: &[Role], settings: Settings) -> Result<Running, BoxError> {
    frame.tasks.stop_on_signals()?;
    let common = settings.common;
    tokio::fs::create_dir_all(&common.data_dir)
        .await
        .map_err(|error| format!("the data folder {} cannot be made: {error}", common.data_dir.display()))?;
    let admin_server = http::Bound::new("admin", common.admin_addr).await?;
    let mut running =
        Running { admin: Some(admin_server.address()), data_dir: common.data_dir.clone(), ..Running::default() };
    // Ready is who has all its components: there are none yet, and none of them fails.
    let starting = frame.health.component("start");
    let admin_router = admin::router(frame);
    let stop = frame.tasks.stop_token();
    frame.tasks.spawn("admin", admin_server.serve(admin_router, stop));

    let broker = log::open(&common)?;
    running.log = broker.describe();
    log::watch(frame, broker.clone());
    let mut artifacts = Artifacts::from_registry(&settings.registry, common.data_dir.join("cache"));
    if roles.contains(&Role::Registry) {
        let started =
            jobico_schema_registry::start(frame, settings.schema_registry, &common.data_dir, broker.clone()).await?;
        running.registry = Some(started.address);
        artifacts = Artifacts::in_folder(started.artifacts);
    }
    if roles == [Role::Registry] {
        starting.ready();
        return Ok(running);
    }
    let catalog = jobico_catalog::start(frame, broker.clone()).await?;
    if roles.contains(&Role::Ingest) {
        running.ingest = Some(jobico_ingest::start(frame, settings.ingest, broker.clone(), catalog.clone()).await?);
    }
    if roles.contains(&Role::Recorder) {
        let store = jobico_recorder::StoreConfig { cql: common.cql.clone(), data_dir: common.data_dir.clone() };
        running.store = Some(store.describe());
        running.recorder =
            Some(jobico_recorder::start(frame, settings.recorder, store, broker.clone(), catalog.clone()).await?);
    }
    if roles.contains(&Role::Processor) {
        let (instance, data_dir) = (&common.instance, &common.data_dir);
        jobico_processor::start(frame, settings.processor, instance, data_dir, broker, catalog, artifacts).await?;
    }
    starting.ready();
    Ok(running)
}
