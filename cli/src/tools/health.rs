//! `jobico health`: for containers without a shell, and for people.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::Client;
use super::output::{self, Format};
use crate::exit::Error;

/// Ask a process whether it can do its work; exit code 0 or 5.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jobico health
  jobico health --admin-url http://localhost:8090 --output json")]
pub struct Health {
    /// Its admin address.
    #[arg(long, env = "JOBICO_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:8090")]
    admin_url: String,
    /// Tables for people, or JSON for programs.
    #[arg(long, env = "JOBICO_OUTPUT", value_enum, default_value_t)]
    output: Format,
}

/// Asks.
pub async fn run(health: Health) -> Result<(), Error> {
    let client = Client::new("admin-url", &health.admin_url)?;
    let response = client.request(Method::GET, "/readyz").send().await;
    let response = response
        .map_err(|error| Error::unavailable(format!("{}: {}", health.admin_url, jobico_service::chain(&error))))?;
    let ready = response.status().is_success();
    let report: Value = response.json().await.map_err(|error| Error::failed(jobico_service::chain(&error)))?;
    match health.output {
        Format::Json => output::json(&report)?,
        Format::Table => {
            let components = report["components"].as_object();
            let rows = components
                .into_iter()
                .flatten()
                .map(|(name, state)| vec![name.clone(), state.as_str().unwrap_or_default().to_owned()]);
            output::table(&["COMPONENT", "STATE"], rows.collect())?;
        }
    }
    if ready { Ok(()) } else { Err(Error::unavailable("not ready")) }
}
