//! `jobico show`.

use clap::{Args, Subcommand};
use jobico_event::{JobId, TenantId};
use reqwest::Method;
use serde_json::Value;

use super::Target;
use super::client::Client;
use super::output::{self, Format, cell};
use crate::exit::Error;

/// Show what the registry knows.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  jobico show tenants
  jobico show jobs my-tenant-1
  jobico show job my-tenant-1 customer-proc-jobs
  jobico show functions my-tenant-1 --output json")]
pub enum Show {
    /// All tenants.
    Tenants {
        #[command(flatten)]
        target: Target,
    },
    /// A tenant's jobs and the versions in force.
    Jobs(OfTenant),
    /// One job: what it does with each event, and its versions.
    Job {
        /// The tenant.
        tenant: TenantId,
        /// The job.
        job: JobId,
        #[command(flatten)]
        target: Target,
    },
    /// A tenant's modules.
    Functions(OfTenant),
    /// A tenant's schemas.
    Schemas(OfTenant),
}

/// Whose.
#[derive(Debug, Args)]
pub struct OfTenant {
    /// The tenant.
    tenant: TenantId,
    #[command(flatten)]
    target: Target,
}

/// Shows.
pub async fn run(show: Show) -> Result<(), Error> {
    match show {
        Show::Tenants { target } => {
            let columns = ["tenant", "created_at", "weight", "quota_ms_per_s", "results_ttl_s"];
            list(&target, "/v1/tenants", &columns).await
        }
        Show::Jobs(of) => {
            let columns = ["job", "version", "name", "since", "events"];
            list(&of.target, &format!("/v1/tenants/{}/jobs", of.tenant), &columns).await
        }
        Show::Functions(of) => {
            let columns = ["name", "version", "digest", "size", "contract", "uploaded_at"];
            list(&of.target, &format!("/v1/tenants/{}/functions", of.tenant), &columns).await
        }
        Show::Schemas(of) => {
            let columns = ["name", "version", "id", "subject"];
            list(&of.target, &format!("/v1/tenants/{}/schemas", of.tenant), &columns).await
        }
        Show::Job { tenant, job, target } => one_job(&tenant, &job, &target).await,
    }
}

async fn list(target: &Target, path: &str, columns: &[&str]) -> Result<(), Error> {
    let client = Client::new("registry", &target.registry)?;
    let answer: Value = client.json(client.request(Method::GET, path)).await?;
    if target.output == Format::Json {
        return output::json(&answer);
    }
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let head: Vec<String> = columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect();
    let rows = items.iter().map(|item| columns.iter().map(|column| joined(item, column)).collect()).collect();
    output::table(&head.iter().map(String::as_str).collect::<Vec<_>>(), rows)
}

/// The text of a member; lists joined by commas.
fn joined(item: &Value, column: &str) -> String {
    match item.get(column) {
        Some(Value::Array(list)) => list
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        _ => cell(item, column),
    }
}

async fn one_job(tenant: &TenantId, job: &JobId, target: &Target) -> Result<(), Error> {
    let client = Client::new("registry", &target.registry)?;
    let answer: Value = client.json(client.request(Method::GET, &format!("/v1/tenants/{tenant}/jobs/{job}"))).await?;
    if target.output == Format::Json {
        return output::json(&answer);
    }
    let active = answer.get("active").unwrap_or(&answer);
    output::line(&format!(
        "{tenant}/{job} version {}, deployed {}",
        cell(active, "version"),
        cell(active, "deployed_at")
    ))?;
    let routes = active["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = routes
        .iter()
        .map(|route| {
            let schema = route.get("schema").filter(|schema| !schema.is_null());
            let function = &route["function"];
            vec![
                cell(route, "event"),
                cell(route, "queue"),
                schema.map_or("-".to_owned(), |schema| {
                    format!("{} v{}", cell(schema, "subject"), cell(schema, "version"))
                }),
                format!("{}@{:.12}", cell(function, "name"), cell(function, "digest")),
                cell(route, "ok"),
                cell(route, "error"),
            ]
        })
        .collect();
    output::table(&["EVENT", "QUEUE", "SCHEMA", "FUNCTION", "OK", "ERROR"], rows)?;
    output::line("")?;
    let versions = answer["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let columns = ["version", "deployed_at", "replaces"];
    let rows = versions.iter().map(|version| columns.map(|column| cell(version, column)).into()).collect();
    output::table(&["VERSION", "DEPLOYED", "REPLACES"], rows)
}
