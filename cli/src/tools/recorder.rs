//! `jobico recorder`: results and logs together, the seed's view of what goes on.

use clap::Args;
use jobico_event::TenantId;
use jobico_event::function_log::Line;
use jobico_event::result::View;
use jobico_event::text::printable;
use reqwest::Method;
use serde::{Deserialize, Serialize};

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
    /// On one line.
    json: String,
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
        // As it came: there is JSON that no value holds, such as numbers that are too large.
        #[derive(Serialize)]
        struct Json<'a> {
            tenant: &'a TenantId,
            result: &'a View,
        }
        Self {
            at: view.at.clone(),
            text: printable(&text).into_owned(),
            json: output::one_line(&Json { tenant, result: view }),
        }
    }

    fn of_log(line: &Line) -> Self {
        let json = serde_json::json!({ "tenant": line.tenant, "log": line });
        let level = json["log"]["level"].as_str().unwrap_or_default();
        let text = format!("{} {} log {level} {} {} {}", line.at, line.tenant, line.job, line.event, line.message);
        Self { at: line.at.clone(), text: printable(&text).into_owned(), json: json.to_string() }
    }

    fn print(&self, format: Format) -> Result<(), Error> {
        match format {
            Format::Table => output::line(&self.text),
            Format::Json => output::line(&self.json),
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
    // Opened before the lists are read, so that nothing falls between the two.
    let mut streams = Vec::new();
    for tenant in tenants.iter().filter(|_| recorder.follow) {
        for kind in [Kind::Results, Kind::Logs] {
            let stream = open(&client, tenant, kind).await.map_err(|error| match (&recorder.tenant, tenants.len()) {
                (None, 2..) if error.is_unavailable() => Error::unavailable(format!(
                    "{error}. To follow {} tenants takes two streams each: name one with --tenant, or start the recorder with \
                     a larger --streams-max",
                    tenants.len()
                )),
                _ => error,
            })?;
            streams.extend(stream.map(|stream| (tenant, kind, stream)));
        }
    }
    if recorder.follow && streams.is_empty() {
        return Err(Error::not_found("there is nothing to follow yet: no such tenant, or none has a job"));
    }
    let mut entries = Vec::new();
    if recorder.lines > 0 {
        for tenant in &tenants {
            entries.extend(newest(&client, tenant, recorder.lines).await?);
        }
    }
    // RFC 3339 in UTC with a fixed number of digits sorts as text.
    entries.sort_by(|a, b| a.at.cmp(&b.at));
    let shown = &entries[entries.len().saturating_sub(usize::from(recorder.lines))..];
    for entry in shown {
        entry.print(format)?;
    }
    let follow = streams.into_iter().map(|(tenant, kind, stream)| {
        sse::read(stream, move |data| {
            let entry = kind.entry(tenant, data)?;
            if shown.iter().any(|shown| shown.json == entry.json) { Ok(()) } else { entry.print(format) }
        })
    });
    futures::future::try_join_all(follow).await.map(|_| ())
}

/// A tenant's newest results and logged lines, so many of each, the newest last.
async fn newest(client: &Client, tenant: &TenantId, lines: u16) -> Result<Vec<Entry>, Error> {
    let list = |name: &str| {
        client.request(Method::GET, &format!("/v1/tenants/{tenant}/{name}")).query(&[("limit", lines.to_string())])
    };
    let results: Page = client.json(list("results")).await?;
    let logs: Logs = client.json(list("logs")).await?;
    // What was written in the same millisecond is sorted no further: it keeps the order in which it was written.
    let results = results.results.iter().rev().map(|view| Entry::of_result(tenant, view));
    Ok(results.chain(logs.logs.iter().rev().map(Entry::of_log)).collect())
}

#[derive(Clone, Copy)]
enum Kind {
    Results,
    Logs,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Results => "results",
            Self::Logs => "logs",
        }
    }

    fn entry(self, tenant: &TenantId, data: &str) -> Result<Entry, Error> {
        let entry = match self {
            Self::Results => serde_json::from_str(data).map(|view| Entry::of_result(tenant, &view)),
            Self::Logs => serde_json::from_str(data).map(|line| Entry::of_log(&line)),
        };
        entry.map_err(|error| Error::failed(format!("the stream holds what is not of {}: {error}", self.name())))
    }
}

/// Opens a stream; none where a tenant has nothing to follow yet, because it has no job.
async fn open(client: &Client, tenant: &TenantId, kind: Kind) -> Result<Option<reqwest::Response>, Error> {
    let path = format!("/v1/tenants/{tenant}/{}/stream", kind.name());
    match client.send(client.request(Method::GET, &path)).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn tenants(target: &Target) -> Result<Vec<TenantId>, Error> {
    let registry = Client::new("registry", &target.registry)?;
    let answer: serde_json::Value = registry.json(registry.request(Method::GET, "/v1/tenants")).await?;
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items
        .iter()
        .filter_map(|item| item["tenant"].as_str())
        .filter_map(|tenant| TenantId::new(tenant).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_data(data: &str) -> Entry {
        let view = format!(
            r#"{{"event":"e","job":"j","function":"f@0","status":"ok","code":0,"data":{data},"topic":"t.q","partition":0,"offset":7,"at":"2026-11-27T00:00:00.000Z","attempts":1}}"#
        );
        Entry::of_result(&TenantId::new("t").unwrap(), &serde_json::from_str(&view).unwrap())
    }

    #[test]
    fn outputs_that_no_value_holds_are_shown_as_they_came() {
        for data in ["1e400", r#""\ud800""#, "12345678901234567890123", r#"{"a":1,"a":2}"#] {
            let entry = of_data(data);
            assert!(entry.json.contains(&format!(r#""data":{data},"#)), "{}", entry.json);
            assert!(entry.text.ends_with(data), "{}", entry.text);
        }
    }

    #[test]
    fn an_entry_is_one_line_whatever_is_in_it() {
        let entry = of_data("{\n\"a\":\r\n1}");
        assert!(entry.json.contains(r#""data":{ "a":  1},"#), "{}", entry.json);
        assert!(entry.text.ends_with(r#"{\n"a":\r\n1}"#), "{}", entry.text);
    }
}
