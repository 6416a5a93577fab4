//! A record of a tenant's results topic, and the JSON form in which people and programs read it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::header;
use crate::id::JobId;

/// How a function answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Code 0.
    Ok,
    /// Its own error: any other code.
    Error,
}

impl Status {
    /// As the header `jobico-status` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

impl std::str::FromStr for Status {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ok" => Ok(Self::Ok),
            "error" => Ok(Self::Error),
            _ => Err(format!("'{text}' is no status; 'ok' and 'error' are")),
        }
    }
}

/// What the headers of a result record say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The `ce_id` of the source event.
    pub event: String,
    /// The job.
    pub job: JobId,
    /// `name@digest`.
    pub function: String,
    /// How it went.
    pub status: Status,
    /// The function's code.
    pub code: u64,
    /// Topic of the source event.
    pub topic: String,
    /// Partition of the source event.
    pub partition: i32,
    /// Offset of the source event.
    pub offset: i64,
    /// Which of the source event's results it is, from 0.
    pub index: u32,
    /// How often the function ran.
    pub attempts: u32,
}

/// A result record whose headers are not a result's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no result: header '{0}' is missing or unreadable")]
pub struct NoResult(pub &'static str);

impl Head {
    /// Reads the headers of a result record.
    ///
    /// # Errors
    /// [`NoResult`] names the first header that is missing or unreadable.
    pub fn read<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> Result<Self, NoResult> {
        let text = |name: &'static str| header::find_str(headers.clone(), name).ok_or(NoResult(name));
        fn number<T: std::str::FromStr>(name: &'static str, text: &str) -> Result<T, NoResult> {
            text.parse().map_err(|_| NoResult(name))
        }
        let index = text(header::INDEX).unwrap_or("0/1");
        Ok(Self {
            event: text(header::EVENT)?.to_owned(),
            job: JobId::new(text(header::JOB)?).map_err(|_| NoResult(header::JOB))?,
            function: text(header::FUNCTION)?.to_owned(),
            status: text(header::STATUS)?.parse().map_err(|_| NoResult(header::STATUS))?,
            code: number(header::CODE, text(header::CODE)?)?,
            topic: text(header::ORIGIN_TOPIC)?.to_owned(),
            partition: number(header::ORIGIN_PARTITION, text(header::ORIGIN_PARTITION)?)?,
            offset: number(header::ORIGIN_OFFSET, text(header::ORIGIN_OFFSET)?)?,
            index: number(header::INDEX, index.split('/').next().unwrap_or("0"))?,
            attempts: number(header::ATTEMPTS, text(header::ATTEMPTS)?)?,
        })
    }
}

/// A result as the results API, its stream and the CLI give it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct View {
    /// The `ce_id` of the source event.
    pub event: String,
    /// The job.
    pub job: JobId,
    /// `name@digest`.
    pub function: String,
    /// How it went.
    pub status: Status,
    /// The function's code.
    pub code: u64,
    /// The function's output: JSON where it is JSON, else a string.
    pub data: Box<RawValue>,
    /// Topic of the source event.
    pub topic: String,
    /// Partition of the source event.
    pub partition: i32,
    /// Offset of the source event.
    pub offset: i64,
    /// When the result was written: RFC 3339, UTC.
    pub at: String,
    /// How often the function ran.
    pub attempts: u32,
}

/// A function's output as JSON: itself where it is JSON, else a JSON string of its text (bytes that are no UTF-8 become
/// U+FFFD); nothing becomes `null`.
#[must_use]
pub fn output_json(output: Option<&[u8]>) -> Box<RawValue> {
    let Some(bytes) = output else { return RawValue::NULL.to_owned() };
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(json) => json.to_owned(),
        Err(_) => serde_json::value::to_raw_value(&String::from_utf8_lossy(bytes))
            .unwrap_or_else(|_| RawValue::NULL.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_json_where_it_is_json_and_else_a_string() {
        assert_eq!(output_json(Some(b"{\"a\": 1}")).get(), "{\"a\": 1}");
        assert_eq!(output_json(Some(b"hello \"you\"")).get(), r#""hello \"you\"""#);
        assert_eq!(output_json(Some(b"\xff")).get(), "\"\u{fffd}\"");
        assert_eq!(output_json(Some(b"")).get(), "\"\"");
        assert_eq!(output_json(None).get(), "null");
    }

    #[test]
    fn a_missing_header_is_named() {
        assert_eq!(Head::read([("jobico-event", &b"e"[..])].into_iter()), Err(NoResult(header::JOB)));
    }
}
