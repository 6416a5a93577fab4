//! `jobico results TENANT`.

use clap::Args;
use jobico_event::result::{Status, View};
use jobico_event::text::printable;
use jobico_event::{JobId, TenantId};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::client::{self, Client};
use super::output::{self, Format};
use super::{Target, sse};
use crate::exit::Error;

/// Show a tenant's results, and follow them as they come.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jobico results my-tenant-1                             the newest ones, the newest last
  jobico results my-tenant-1 -f                          and those that come, until Ctrl-C
  jobico results my-tenant-1 --status error --since 1h
  jobico results my-tenant-1 --event 0199…               all of one event")]
pub struct Results {
    /// The tenant.
    tenant: TenantId,
    /// Go on with results as they come.
    #[arg(short, long)]
    follow: bool,
    /// Of this event's id only.
    #[arg(long, value_name = "ID", conflicts_with_all = ["job", "status", "since", "limit", "follow"])]
    event: Option<String>,
    /// Of this job only.
    #[arg(long)]
    job: Option<JobId>,
    /// Of this status only: ok or error.
    #[arg(long)]
    status: Option<Status>,
    /// Not older than this: 15m, 2h, 7d or a time (RFC 3339).
    #[arg(long)]
    since: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    target: Target,
}

/// A page of results.
#[derive(Debug, Deserialize, Serialize)]
pub struct Page {
    /// Newest first.
    pub results: Vec<View>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Shows results.
pub async fn run(results: Results) -> Result<(), Error> {
    let client = Client::new("recorder", &results.target.recorder)?;
    let base = format!("/v1/tenants/{}", results.tenant);
    // The stream is opened before the list is read, so that none falls between the two.
    let stream = match results.follow {
        true => Some(client.send(client.request(Method::GET, &format!("{base}/results/stream"))).await?),
        false => None,
    };
    let request = match &results.event {
        Some(event) => client.request(Method::GET, &format!("{base}/events/{}/results", client::segment(event))),
        None => client.request(Method::GET, &format!("{base}/results")).query(&filter(&results)),
    };
    let mut page: Page = client.json(request).await?;
    let format = results.target.output;
    if format == Format::Json && !results.follow {
        return output::json(&page);
    }
    page.results.reverse();
    if format == Format::Table {
        head()?;
    }
    for view in &page.results {
        print(view, format)?;
    }
    let Some(stream) = stream else { return Ok(()) };
    let shown: std::collections::HashSet<(String, i32, i64)> =
        page.results.into_iter().map(|view| (view.topic, view.partition, view.offset)).collect();
    sse::read(stream, |data| {
        let view: View = serde_json::from_str(data).map_err(|error| Error::failed(format!("not a result: {error}")))?;
        let wanted = results.job.as_ref().is_none_or(|job| *job == view.job)
            && results.status.is_none_or(|status| status == view.status)
            && !shown.contains(&(view.topic.clone(), view.partition, view.offset));
        if wanted { print(&view, format) } else { Ok(()) }
    })
    .await
}

fn filter(results: &Results) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", results.limit.to_string())];
    query.extend(results.job.as_ref().map(|job| ("job", job.to_string())));
    query.extend(results.status.map(|status| ("status", status.as_str().to_owned())));
    query.extend(results.since.as_ref().map(|since| ("since", since.clone())));
    query
}

fn head() -> Result<(), Error> {
    output::line(&format!("{:<24}  {:<6}  {:>4}  {:<20}  {:<36}  DATA", "AT", "STATUS", "CODE", "JOB", "EVENT"))
}

/// Prints one result: a line of the table, or of JSON.
pub fn print(view: &View, format: Format) -> Result<(), Error> {
    match format {
        Format::Json => output::line(&output::one_line(view)),
        Format::Table => output::line(&format!(
            "{:<24}  {:<6}  {:>4}  {:<20}  {:<36}  {}",
            view.at,
            view.status.as_str(),
            view.code,
            view.job.as_str(),
            printable(&view.event),
            printable(view.data.get())
        )),
    }
}
