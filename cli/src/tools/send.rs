//! `jobico send TENANT EVENT [FILE|-]`.

use std::path::PathBuf;

use clap::Args;
use jobico_event::{EventId, TenantId};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Target;
use super::client::{self, Client};
use super::output::{self, Format, cell};
use crate::exit::Error;

/// Send events. They are checked against the event's schema; where one is refused, none of its request is stored.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jobico send my-tenant-1 customer-registration events.json
  echo '{\"firstName\":\"Ada\"}' | jobico send my-tenant-1 customer-registration -

The input is {\"data\":[…]}, or JSON values one after another (such as one a line), each an event.")]
pub struct Send {
    /// The tenant.
    tenant: TenantId,
    /// The event.
    event: EventId,
    /// The file; - reads standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Events in one request.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Body<'a> {
    data: &'a [&'a RawValue],
}

/// Sends.
pub async fn run(send: Send) -> Result<(), Error> {
    let bytes = client::read(&send.file)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| Error::refused(format!("{}: not UTF-8: {error}", send.file.display())))?;
    let events = events(text).map_err(|error| Error::refused(format!("{}: not JSON: {error}", send.file.display())))?;
    if events.is_empty() {
        return Err(Error::refused(format!("{}: it holds no event", send.file.display())));
    }
    let client = Client::new("ingest", &send.target.ingest)?;
    let path = format!("/events/{}/{}", send.tenant, send.event);
    let mut stored: Vec<Value> = Vec::with_capacity(events.len());
    for batch in events.chunks(usize::from(send.batch)) {
        let request = client.request(Method::POST, &path).json(&Body { data: batch });
        let answer: Result<Value, Error> = client.json(request).await;
        let answer = answer.inspect_err(|_| {
            if !stored.is_empty() {
                eprintln!("jobico: {} events before the refused request were stored", stored.len());
            }
        })?;
        stored.extend(answer["events"].as_array().cloned().unwrap_or_default());
    }
    match send.target.output {
        Format::Json => output::json(&serde_json::json!({ "events": stored })),
        Format::Table => {
            let rows = stored
                .iter()
                .map(|event| ["id", "topic", "partition", "offset"].map(|name| cell(event, name)).to_vec());
            output::table(&["ID", "TOPIC", "PARTITION", "OFFSET"], rows.collect())
        }
    }
}

/// The events of an input: those of `data` where it is the envelope that ingest takes, else each JSON value.
fn events(text: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
    if let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) {
        return Ok(envelope.data);
    }
    serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_and_a_value_a_line_are_both_read() {
        let texts = |text: &'static str| events(text).unwrap().iter().map(|event| event.get()).collect::<Vec<_>>();
        assert_eq!(texts(r#"{"data":[{"a":1},2]}"#), [r#"{"a":1}"#, "2"]);
        assert_eq!(texts("{\"a\":1}\n{\"data\":[1],\"b\":2}\n"), [r#"{"a":1}"#, r#"{"data":[1],"b":2}"#]);
        assert!(events("{").is_err());
    }
}
