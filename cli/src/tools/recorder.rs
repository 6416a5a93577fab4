//! `jobico recorder`: results and logs together, the seed's view of what goes on.

use clap::Args;
use jobico_event::TenantId;
use jobico_event::function_log::Line;
use jobico_event::result::View;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::output::{self, Format};
use super::results::Page;
use super::{Target, sse};
use crate::exit::Error;

/// Show results and what functions logged, of all tenants or one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jobico recorder --lines 50
  jobico recorder --tenant my-tenant-1 -f")]
pub struct Recorder {
    /// The newest so many lines.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    lines: u16,
    /// Go on with what comes, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// Of this tenant only.
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Logs {
    logs: Vec<Line>,
}

/// A line: a result or something logged.
struct Entry {
    at: String,
    text: String,
    json: Value,
}

impl Entry {
    fn of_result(tenant: &TenantId, view: &View) -> Self {
        let text = format!(
            "{} {tenant} result {} {} {} {}",
            view.at,
            view.status.as_str(),
            view.job,
            view.event,
            view.data.get()
        );
        Self { at: view.at.clone(), text, json: serde_json::json!({ "tenant": tenant, "result": view }) }
    }

    fn of_log(line: &Line) -> Self {
        let level = format!("{:?}", line.level).to_lowercase();
        let text = format!("{} {} log {level} {} {} {}", line.at, line.tenant, line.job, line.event, line.message);
        Self { at: line.at.clone(), text, json: serde_json::json!({ "tenant": line.tenant, "log": line }) }
    }

    fn print(&self, format: Format) -> Result<(), Error> {
        match format {
            Format::Table => output::line(&self.text),
            Format::Json => output::line(&self.json.to_string()),
        }
    }
}

/// Shows what is recorded.
pub async fn run(recorder: Recorder) -> Result<(), Error> {
    let client = Client::new("recorder", &recorder.target.recorder)?;
    let format = recorder.target.output;
    let tenants = match &recorder.tenant {
        Some(tenant) => vec![tenant.clone()],
        None => tenants(&recorder.target).await?,
    };
    let mut entries = Vec::new();
    if recorder.lines > 0 {
        let limit = [("limit", recorder.lines.to_string())];
        for tenant in &tenants {
            let results = client.request(Method::GET, &format!("/v1/tenants/{tenant}/results")).query(&limit);
            let results: Page = client.json(results).await?;
            entries.extend(results.results.iter().map(|view| Entry::of_result(tenant, view)));
            let logs: Logs =
                client.json(client.request(Method::GET, &format!("/v1/tenants/{tenant}/logs")).query(&limit)).await?;
            entries.extend(logs.logs.iter().map(Entry::of_log));
        }
    }
    // RFC 3339 in UTC with a fixed number of digits sorts as text.
    entries.sort_by(|a, b| a.at.cmp(&b.at));
    for entry in entries.iter().skip(entries.len().saturating_sub(usize::from(recorder.lines))) {
        entry.print(format)?;
    }
    if !recorder.follow {
        return Ok(());
    }
    let streams = tenants.iter().flat_map(|tenant| {
        [follow(&client, tenant, Kind::Results, format), follow(&client, tenant, Kind::Logs, format)]
    });
    futures::future::try_join_all(streams).await.map(|_| ())
}

#[derive(Clone, Copy)]
enum Kind {
    Results,
    Logs,
}

async fn follow(client: &Client, tenant: &TenantId, kind: Kind, format: Format) -> Result<(), Error> {
    let path = match kind {
        Kind::Results => "results",
        Kind::Logs => "logs",
    };
    let stream = client.send(client.request(Method::GET, &format!("/v1/tenants/{tenant}/{path}/stream"))).await?;
    let unreadable = |error: serde_json::Error| Error::failed(format!("the stream holds what is no {path}: {error}"));
    sse::read(stream, |data| match kind {
        Kind::Results => Entry::of_result(tenant, &serde_json::from_str(data).map_err(unreadable)?).print(format),
        Kind::Logs => Entry::of_log(&serde_json::from_str(data).map_err(unreadable)?).print(format),
    })
    .await
}

async fn tenants(target: &Target) -> Result<Vec<TenantId>, Error> {
    let registry = Client::new("registry", &target.registry)?;
    let answer: Value = registry.json(registry.request(Method::GET, "/v1/tenants")).await?;
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items
        .iter()
        .filter_map(|item| item["tenant"].as_str())
        .filter_map(|tenant| TenantId::new(tenant).ok())
        .collect())
}
