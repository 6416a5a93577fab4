//! The command line.

use clap::{Parser, Subcommand};

use crate::serve;
use crate::tools::Tool;

/// Jobico: events in over HTTP or Kafka, your WebAssembly function on each of them exactly once, results out.
#[derive(Debug, Parser)]
#[command(name = "jobico", version, propagate_version = true, max_term_width = 110)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(serve::Args),
    Dev(serve::dev::Args),
    #[command(flatten)]
    Tool(Tool),
}
