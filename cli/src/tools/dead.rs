//! `jobico dead list|show|redrive|drop`.

use clap::{Args, Subcommand};
use jobico_event::dead_letter::View;
use jobico_event::{JobId, TenantId};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::Target;
use super::client::Client;
use super::output::{self, Format};
use crate::exit::Error;

mod settle;
mod show;

/// The most that the recorder lists in a request.
const LISTED_AT_ONCE: usize = 1_000;
/// Characters of a message in a table.
const MESSAGE_CHARS_MAX: usize = 80;

/// Look at events that could not be processed, and send them on their way again.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  jobico dead list my-tenant-1 --since 1h
  jobico dead show my-tenant-1 0-117
  jobico dead redrive my-tenant-1 0-117
  jobico dead redrive my-tenant-1 --job customer-proc-jobs --code trap
  jobico dead drop my-tenant-1 --stage validate")]
pub enum Dead {
    /// List a tenant's dead letters, oldest first.
    #[command(after_help = "\
Examples:
  jobico dead list my-tenant-1                            those of which nothing has become yet
  jobico dead list my-tenant-1 --stage function --since 1h
  jobico dead list my-tenant-1 --state all --output json")]
    List(List),
    /// Show one dead letter: its event as it came, and why it failed.
    #[command(after_help = "\
Examples:
  jobico dead show my-tenant-1 0-117
  jobico dead show my-tenant-1 0-117 --value > event.json")]
    Show(show::Show),
    /// Write the events of dead letters to their queues again, each once.
    #[command(after_help = "\
Examples:
  jobico dead redrive my-tenant-1 0-117 0-118
  jobico dead redrive my-tenant-1 --job customer-proc-jobs --code trap --since 1d
  jobico dead redrive my-tenant-1 --all --limit 10       the ten oldest
  jobico dead redrive my-tenant-1 0-117 --force          it was redriven or dropped before")]
    Redrive(settle::Settle),
    /// Mark dead letters as done with; they stay in their topic as long as it keeps them.
    #[command(after_help = "\
Examples:
  jobico dead drop my-tenant-1 0-117
  jobico dead drop my-tenant-1 --stage validate --until 7d")]
    Drop(settle::Settle),
}

/// Which dead letters.
#[derive(Debug, Args)]
pub struct Filter {
    /// Of this job only.
    #[arg(long)]
    job: Option<JobId>,
    /// That failed there only: validate, function or output.
    #[arg(long)]
    stage: Option<String>,
    /// That failed with this code only, such as schema, trap, timeout.
    #[arg(long)]
    code: Option<String>,
    /// Not older than this: 15m, 2h, 7d or a time (RFC 3339).
    #[arg(long)]
    since: Option<String>,
    /// Not younger than this.
    #[arg(long)]
    until: Option<String>,
}

/// What to list.
#[derive(Debug, Args)]
pub struct List {
    /// The tenant.
    tenant: TenantId,
    #[command(flatten)]
    filter: Filter,
    /// Of which this became: open (nothing yet), redriven, dropped, or all.
    #[arg(long, default_value = "open")]
    state: String,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Page {
    letters: Vec<View>,
    next: Option<String>,
}

/// Runs.
pub async fn run(dead: Dead) -> Result<(), Error> {
    match dead {
        Dead::List(what) => list(what).await,
        Dead::Show(what) => show::run(what).await,
        Dead::Redrive(what) => settle::run(what, settle::Action::Redrive).await,
        Dead::Drop(what) => settle::run(what, settle::Action::Drop).await,
    }
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("job", self.job.as_ref().map(ToString::to_string)),
            ("stage", self.stage.clone()),
            ("code", self.code.clone()),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

async fn list(list: List) -> Result<(), Error> {
    let client = Client::new("recorder", &list.target.recorder)?;
    let (limit, mut all) = (list.limit as usize, Page::default());
    loop {
        let left = limit - all.letters.len();
        let mut query = list.filter.query();
        query.extend([("state", list.state.clone()), ("limit", left.min(LISTED_AT_ONCE).to_string())]);
        query.extend(all.next.take().map(|next| ("cursor", next)));
        let path = format!("/v1/tenants/{}/dead", list.tenant);
        let page: Page = client.json(client.request(Method::GET, &path).query(&query)).await?;
        all.letters.extend(page.letters);
        all.next = page.next;
        if all.next.is_none() || all.letters.len() >= limit {
            break;
        }
    }
    if list.target.output == Format::Json {
        return output::json(&all);
    }
    let head = ["ID", "AT", "STATE", "CAUSE", "JOB", "EVENT", "MESSAGE"];
    output::table(&head, all.letters.iter().map(row).collect())?;
    if all.next.is_some() {
        eprintln!("jobico: there may be more: --limit N, or --since and --until");
    }
    Ok(())
}

fn row(view: &View) -> Vec<String> {
    vec![
        view.id.to_string(),
        view.at.clone(),
        view.state.as_str().to_owned(),
        format!("{}/{}", view.stage, view.code),
        view.job.clone().unwrap_or_else(|| "-".to_owned()),
        beginning(&view.event),
        beginning(&view.message),
    ]
}

/// The beginning of a text.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut() {
        let whole = "ä".repeat(MESSAGE_CHARS_MAX);
        assert_eq!(beginning(&whole), whole);
        let long = beginning(&"ä".repeat(MESSAGE_CHARS_MAX + 1));
        assert_eq!((long.chars().count(), long.ends_with('…')), (MESSAGE_CHARS_MAX + 1, true));
    }
}
