//! `jobico tenant`: a tenant's settings.

use std::str::FromStr;

use clap::{Args, Subcommand};
use jobico_event::TenantId;
use reqwest::Method;
use serde_json::{Map, Value};

use super::Target;
use super::client::Client;
use super::output::{self, Format, cell};
use crate::exit::Error;

/// The settings, as the registry names them.
const SETTINGS: [&str; 3] = ["weight", "quota_ms_per_s", "results_ttl_s"];

/// Change a tenant's settings.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  jobico tenant set my-tenant-1 --weight 3                 three parts of a worker's time, where others have one
  jobico tenant set my-tenant-1 --quota-ms-per-s 200       its functions may run a fifth of the time of each worker
  jobico tenant set my-tenant-1 --quota-ms-per-s default   no limit again
  jobico show tenants                                      the settings of all")]
pub enum Tenant {
    /// Set some settings; the others stay.
    Set(Set),
}

/// Set some settings.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  jobico tenant set my-tenant-1 --weight 3 --quota-ms-per-s 200")]
#[group(id = "settings", required = true, multiple = true, args = ["weight", "quota_ms_per_s", "results_ttl_s"])]
pub struct Set {
    /// The tenant.
    tenant: TenantId,
    /// Parts of a worker's time that it has beside other tenants with events there: 1 to 100; by default 1.
    #[arg(long, value_name = "N|default")]
    weight: Option<Setting>,
    /// Milliseconds that its functions may run in a second on each worker: 1 to 1000; by default no limit.
    #[arg(long, value_name = "N|default")]
    quota_ms_per_s: Option<Setting>,
    /// Seconds that its results stay in the result store; by default as long as the recorder says.
    #[arg(long, value_name = "N|default")]
    results_ttl_s: Option<Setting>,
    #[command(flatten)]
    target: Target,
}

/// A number, or none for the default.
#[derive(Debug, Clone, Copy)]
struct Setting(Option<u32>);

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "default" => Ok(Self(None)),
            number => Ok(Self(Some(number.parse().map_err(|_| "it is a number, or 'default'")?))),
        }
    }
}

/// Runs it.
pub async fn run(Tenant::Set(set): Tenant) -> Result<(), Error> {
    let given = [set.weight, set.quota_ms_per_s, set.results_ttl_s];
    let change: Map<String, Value> = SETTINGS
        .into_iter()
        .zip(given)
        .filter_map(|(name, given)| Some((name.to_owned(), given?.0.map_or(Value::Null, Value::from))))
        .collect();
    let client = Client::new("registry", &set.target.registry)?;
    let request = client.request(Method::PATCH, &format!("/v1/tenants/{}", set.tenant)).json(&change);
    let tenant: Value = client.json(request).await?;
    if set.target.output == Format::Json {
        return output::json(&tenant);
    }
    let settings: Vec<String> = SETTINGS.iter().map(|name| format!("{name} {}", cell(&tenant, name))).collect();
    output::line(&format!("{}: {}", set.tenant, settings.join(", ")))
}
