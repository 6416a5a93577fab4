//! What people do with a running system. Each command is one module; all speak HTTP through [`client`].

mod client;
mod output;
mod sse;

mod dead;
mod deploy;
mod health;
mod pools;
mod recorder;
mod results;
mod send;
mod show;
mod tenant;
mod upload;

use clap::{Args, CommandFactory, Subcommand};

use crate::exit::Error;

/// Where the services are, and how to print.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The registry.
    #[arg(long, env = "JOBICO_REGISTRY", value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub registry: String,
    /// The ingest service.
    #[arg(long, env = "JOBICO_INGEST", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub ingest: String,
    /// The recorder.
    #[arg(long, env = "JOBICO_RECORDER", value_name = "URL", default_value = "http://127.0.0.1:8082")]
    pub recorder: String,
    /// Tables for people, or JSON for programs.
    #[arg(long, env = "JOBICO_OUTPUT", value_enum, default_value_t)]
    pub output: output::Format,
}

/// A command for people.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Upload a module or a schema under a name.
    #[command(subcommand)]
    Upload(upload::Upload),
    /// Put a job file into force.
    Deploy(deploy::Deploy),
    /// Put the version before the one in force back into force.
    Rollback(deploy::Rollback),
    /// Show tenants, jobs, functions, schemas.
    #[command(subcommand)]
    Show(show::Show),
    /// Change a tenant's settings: its share of workers, its quota, how long its results stay.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Send events.
    Send(send::Send),
    /// Show a tenant's results, and follow them as they come.
    Results(results::Results),
    /// Show results and what functions logged, of all tenants or one.
    Recorder(recorder::Recorder),
    /// Look at events that could not be processed, and send them on their way again.
    #[command(subcommand)]
    Dead(dead::Dead),
    /// Show pools of processors: how far each is behind, and who is in it.
    Pools(pools::Pools),
    /// Ask a process whether it can do its work; exit code 0 or 5.
    Health(health::Health),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  source <(jobico completions bash)")]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Runs a command.
pub async fn run(tool: Tool) -> Result<(), Error> {
    match tool {
        Tool::Upload(upload) => upload::run(upload).await,
        Tool::Deploy(deploy) => deploy::run(deploy).await,
        Tool::Rollback(rollback) => deploy::roll_back(rollback).await,
        Tool::Show(show) => show::run(show).await,
        Tool::Tenant(tenant) => tenant::run(tenant).await,
        Tool::Send(send) => send::run(send).await,
        Tool::Results(results) => results::run(results).await,
        Tool::Recorder(recorder) => recorder::run(recorder).await,
        Tool::Dead(dead) => dead::run(dead).await,
        Tool::Pools(pools) => pools::run(pools).await,
        Tool::Health(health) => health::run(health).await,
        Tool::Completions { shell } => {
            clap_complete::generate(shell, &mut crate::args::Args::command(), "jobico", &mut std::io::stdout());
            Ok(())
        }
    }
}
