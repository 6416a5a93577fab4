//! `jobico dead show TENANT ID`.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jobico_event::TenantId;
use jobico_event::dead_letter::{Bytes, Letter, Place};
use jobico_event::text::printable;
use reqwest::Method;

use crate::exit::Error;
use crate::tools::Target;
use crate::tools::client::Client;
use crate::tools::output::{self, Format};

/// What to show.
#[derive(Debug, Args)]
pub struct Show {
    /// The tenant.
    tenant: TenantId,
    /// The dead letter: its partition and offset, as the list has it.
    id: Place,
    /// Write the event's value to standard output, byte for byte, and nothing else.
    #[arg(long)]
    value: bool,
    #[command(flatten)]
    target: Target,
}

/// Shows one.
pub async fn run(show: Show) -> Result<(), Error> {
    let client = Client::new("recorder", &show.target.recorder)?;
    let path = format!("/v1/tenants/{}/dead/{}", show.tenant, show.id);
    let letter: Letter = client.json(client.request(Method::GET, &path)).await?;
    if show.value {
        let value = letter.value.as_ref();
        let value = value.ok_or_else(|| Error::failed(format!("the dead letter {} has no value", show.id)))?;
        let written = std::io::stdout().lock().write_all(&bytes(value)?);
        return written.map_err(|error| Error::failed(format!("standard output: {error}")));
    }
    match show.target.output {
        Format::Json => output::json(&serde_json::to_value(&letter).unwrap_or_default()),
        Format::Table => table(&letter),
    }
}

fn table(letter: &Letter) -> Result<(), Error> {
    let view = &letter.view;
    let settled = view.settled_at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let absent = || "-".to_owned();
    for (name, value) in [
        ("id", view.id.to_string()),
        ("state", format!("{}{settled}", view.state.as_str())),
        ("at", view.at.clone()),
        ("cause", format!("{}/{}", view.stage, view.code)),
        ("message", view.message.clone()),
        ("event", view.event.clone()),
        ("job", view.job.clone().unwrap_or_else(absent)),
        ("function", view.function.clone().unwrap_or_else(absent)),
        ("attempts", view.attempts.to_string()),
        ("origin", format!("{} [{}] offset {}", view.topic, view.partition, view.offset)),
        ("key", letter.key.as_ref().map_or_else(absent, text)),
    ] {
        output::line(&format!("{name:<10}{}", printable(&value)))?;
    }
    for header in &letter.headers {
        let (name, value) = (printable(&header.name), text(&header.value));
        output::line(&format!("{:<10}{name}: {}", "header", printable(&value)))?;
    }
    match (&letter.value, view.left) {
        (_, true) => output::line(&format!("value     {} bytes, at its origin alone", view.bytes)),
        (None, false) => output::line("value     -"),
        (Some(value), false) => output::line(&format!("value     {}", printable(&text(value)))),
    }
}

fn text(bytes: &Bytes) -> String {
    match bytes {
        Bytes::Text(text) => text.clone(),
        Bytes::Base64(text) => format!("(base64) {text}"),
    }
}

fn bytes(bytes: &Bytes) -> Result<Vec<u8>, Error> {
    let unreadable = |error| Error::failed(format!("the recorder's base64 cannot be read: {error}"));
    match bytes {
        Bytes::Text(text) => Ok(text.clone().into_bytes()),
        Bytes::Base64(text) => STANDARD.decode(text).map_err(unreadable),
    }
}
