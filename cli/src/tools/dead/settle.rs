//! `jobico dead redrive|drop TENANT [ID…]`.

use clap::Args;
use jobico_event::TenantId;
use jobico_event::dead_letter::Place;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::Filter;
use crate::exit::Error;
use crate::tools::Target;
use crate::tools::client::Client;
use crate::tools::output::{self, Format};

/// The most that the recorder settles in a request.
const SETTLED_AT_ONCE: usize = 100;

/// What to redrive or to drop.
#[derive(Debug, Args)]
pub struct Settle {
    /// The tenant.
    tenant: TenantId,
    /// The dead letters, as the list has them; none = those that the filters choose.
    #[arg(value_name = "ID", conflicts_with_all = ["job", "stage", "code", "since", "until", "all", "limit"])]
    ids: Vec<Place>,
    #[command(flatten)]
    filter: Filter,
    /// Without a filter: all of the tenant's.
    #[arg(long)]
    all: bool,
    /// At most so many, the oldest first.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Also those that were redriven or dropped before.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    target: Target,
}

/// What is to become of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Their events go to their queues again.
    Redrive,
    /// Nothing.
    Drop,
}

/// What became of them.
#[derive(Debug, Serialize)]
struct Settled {
    #[serde(skip)]
    action: Action,
    #[serde(skip)]
    count: usize,
    refused: Vec<Refused>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Refused {
    id: Place,
    message: String,
}

/// One answer of the recorder's.
#[derive(Debug, Deserialize)]
struct Answer {
    redriven: Option<usize>,
    dropped: Option<usize>,
    refused: Vec<Refused>,
    next: Option<String>,
}

/// Redrives or drops.
pub async fn run(settle: Settle, action: Action) -> Result<(), Error> {
    let filter = settle.filter.query();
    if settle.ids.is_empty() && filter.is_empty() && !settle.all {
        return Err(Error::usage("say which: ids, filters (--job, --stage, --code, --since, --until), or --all"));
    }
    let client = Client::new("recorder", &settle.target.recorder)?;
    let mut settled = Settled { action, count: 0, refused: Vec::new() };
    let done = match settle.ids.is_empty() {
        true => by_filter(&client, &settle, &filter, &mut settled).await,
        false => by_id(&client, &settle, &mut settled).await,
    };
    if done.is_err() && settled.count > 0 {
        eprintln!("jobico: before that: {}", settled.in_words());
    }
    done?;
    match settle.target.output {
        Format::Json => {
            let mut answer = serde_json::to_value(&settled).unwrap_or_default();
            answer[action.done()] = settled.count.into();
            output::json(&answer)?;
        }
        Format::Table => output::line(&settled.in_words())?,
    }
    if settled.refused.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = settled.refused.iter().map(|one| format!("\n  {}: {}", one.id, one.message)).collect();
    Err(Error::refused(format!("{} stay as they are{}", settled.refused.len(), lines.concat())))
}

impl Action {
    fn done(self) -> &'static str {
        match self {
            Self::Redrive => "redriven",
            Self::Drop => "dropped",
        }
    }

    /// How the recorder is asked for it, of one or of many.
    fn request(self, path: &str) -> (Method, String) {
        match self {
            Self::Redrive => (Method::POST, format!("{path}/redrive")),
            Self::Drop => (Method::DELETE, path.to_owned()),
        }
    }
}

impl Settled {
    fn in_words(&self) -> String {
        format!("{} {}", self.count, self.action.done())
    }
}

async fn by_id(client: &Client, settle: &Settle, settled: &mut Settled) -> Result<(), Error> {
    for id in &settle.ids {
        let (method, path) = settled.action.request(&format!("/v1/tenants/{}/dead/{id}", settle.tenant));
        let request = client.request(method, &path).query(&[("force", settle.force)]);
        match client.json::<serde_json::Value>(request).await {
            Ok(_) => settled.count += 1,
            Err(error) if error.is_refused() => {
                settled.refused.push(Refused { id: *id, message: error.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn by_filter(
    client: &Client,
    settle: &Settle,
    filter: &[(&'static str, String)],
    settled: &mut Settled,
) -> Result<(), Error> {
    let limit = settle.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut next = None;
    loop {
        let left = (limit - settled.count).min(SETTLED_AT_ONCE);
        let mut query = filter.to_vec();
        query.extend([("force", settle.force.to_string()), ("limit", left.to_string())]);
        query.extend(next.take().map(|next| ("cursor", next)));
        let (method, path) = settled.action.request(&format!("/v1/tenants/{}/dead", settle.tenant));
        let answer: Answer = client.json(client.request(method, &path).query(&query)).await?;
        settled.count += answer.redriven.or(answer.dropped).unwrap_or(0);
        settled.refused.extend(answer.refused);
        if answer.next.is_none() || settled.count >= limit {
            return Ok(());
        }
        next = answer.next;
    }
}
