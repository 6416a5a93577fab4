//! `jobico deploy` and `jobico rollback`.

use std::path::PathBuf;

use clap::Args;
use jobico_event::{JobId, TenantId};
use reqwest::Method;
use serde_json::Value;

use super::Target;
use super::client::{self, Client};
use super::output::{self, Format, cell};
use crate::exit::Error;

/// Put a job file into force.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jobico deploy job.yaml
  jobico deploy --update job.yaml        the job is deployed already: a new version of it

Schemas and modules that the file names must have been uploaded; the versions of now are pinned.")]
pub struct Deploy {
    /// Make a new version of a job that is deployed already.
    #[arg(long)]
    update: bool,
    /// Check the file and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// The job file; - reads standard input.
    file: PathBuf,
    #[command(flatten)]
    target: Target,
}

/// Put the version before the one in force back into force.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  jobico rollback my-tenant-1 customer-proc-jobs")]
pub struct Rollback {
    /// The tenant.
    tenant: TenantId,
    /// The job: the `id` of its file.
    job: JobId,
    #[command(flatten)]
    target: Target,
}

/// Deploys.
pub async fn run(deploy: Deploy) -> Result<(), Error> {
    let body = client::read(&deploy.file)?;
    let client = Client::new("registry", &deploy.target.registry)?;
    let request = client
        .request(Method::POST, "/v1/jobs")
        .query(&[("update", deploy.update), ("dry_run", deploy.dry_run)])
        .header("content-type", "application/yaml")
        .body(body);
    let answer: Value = client.json(request).await?;
    if deploy.target.output == Format::Json {
        return output::json(&answer);
    }
    let list = |name: &str| {
        let items = answer.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let unchanged = answer.get("unchanged").and_then(Value::as_bool).unwrap_or_default();
    let state = match (deploy.dry_run, unchanged) {
        (true, _) => "can be deployed",
        (false, true) => "is in force already, nothing has changed",
        (false, false) => "is in force",
    };
    let (tenant, job) = (cell(&answer, "tenant"), cell(&answer, "job"));
    output::line(&format!("{tenant}/{job} version {} {state}", cell(&answer, "version")))?;
    output::line(&format!("  events  {}", list("events")))?;
    output::line(&format!("  topics  {}", list("topics")))
}

/// Rolls back.
pub async fn roll_back(rollback: Rollback) -> Result<(), Error> {
    let client = Client::new("registry", &rollback.target.registry)?;
    let path = format!("/v1/tenants/{}/jobs/{}/rollback", rollback.tenant, rollback.job);
    let answer: Value = client.json(client.request(Method::POST, &path)).await?;
    match rollback.target.output {
        Format::Json => output::json(&answer),
        Format::Table => output::line(&format!(
            "{}/{} version {} is in force",
            rollback.tenant,
            rollback.job,
            cell(&answer, "version")
        )),
    }
}
