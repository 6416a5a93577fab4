//! `jobico dev`: the whole system in one process, with nothing else installed.

use clap::ValueEnum;
use jobico_service::telemetry;

use super::{Role, Settings, banner, finish, frame, start};
use crate::exit::Error;

/// Run the whole system in this process; with no flags it needs nothing else installed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  jobico dev                                            the embedded log and SQLite, in ./jobico-data
  jobico dev --kafka localhost:9092 --cql localhost:9042")]
pub struct Args {
    #[command(flatten)]
    pub settings: Settings,
}

/// Runs all roles until a signal says to stop.
pub async fn run(args: Args) -> Result<(), Error> {
    let _telemetry = telemetry::start(args.settings.common.log_format)?;
    let frame = frame(&args.settings);
    let running = start(&frame, Role::value_variants(), args.settings).await;
    finish(&frame, running.map(|running| banner::welcome(&running))).await
}
