//! Every way in which a request is refused, and the one place that makes an HTTP answer of it.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobico_service::Problem;

use crate::answer::{Stored, Uncertain};
use crate::metrics::Outcome;
use crate::verdict::{Fault, Refusal};

/// Seconds after which a client that was turned away for load may try again.
const RETRY_OVERLOADED_S: u32 = 1;
/// Seconds after which a client may try again when the log did not acknowledge: about an election of leaders.
const RETRY_LOG_S: u32 = 5;

/// Why a request is refused.
#[derive(Debug)]
pub enum Refused {
    /// As many requests as are allowed are under way.
    Overloaded {
        /// How many are allowed.
        limit: u32,
    },
    /// Requests whose body is not complete hold as many bytes as they may.
    Crowded {
        /// How many they may.
        limit: usize,
    },
    /// The path holds what is no text.
    Path(String),
    /// The body is not promised to be JSON.
    ContentType(String),
    /// The body is compressed.
    ContentEncoding(String),
    /// No such tenant.
    UnknownTenant(String),
    /// No such event.
    UnknownEvent {
        /// The tenant, which there is.
        tenant: String,
        /// The event, which there is not.
        event: String,
    },
    /// The body is too large.
    BodyTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// The body did not come in time.
    BodySlow {
        /// The time allowed.
        limit: Duration,
    },
    /// The body ended early.
    BodyBroken(String),
    /// What the body holds is refused.
    Body(Refusal),
    /// Events that the topic does not take for their size.
    RecordTooLarge {
        /// The topic.
        topic: String,
        /// Their places in `data`.
        too_large: Vec<usize>,
        /// What was stored all the same.
        stored: Vec<Stored>,
    },
    /// The log did not acknowledge all.
    Unacknowledged {
        /// Events in the request.
        of: usize,
        /// The log's own words on the first that it did not.
        reason: String,
        /// What it did.
        stored: Vec<Stored>,
        /// What it may have stored.
        uncertain: Vec<Uncertain>,
    },
}

impl Refused {
    /// How it is counted.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Overloaded { .. } | Self::Crowded { .. } => Outcome::Overloaded,
            Self::Path(_) | Self::UnknownTenant(_) | Self::UnknownEvent { .. } => Outcome::Unknown,
            Self::ContentType(_) | Self::ContentEncoding(_) => Outcome::Unsupported,
            Self::BodyTooLarge { .. }
            | Self::RecordTooLarge { .. }
            | Self::Body(Refusal::TooMany { .. } | Refusal::TooLarge { .. }) => Outcome::TooLarge,
            Self::BodySlow { .. } | Self::BodyBroken(_) => Outcome::Unread,
            Self::Body(_) => Outcome::Invalid,
            Self::Unacknowledged { .. } => Outcome::Unacknowledged,
        }
    }

    fn problem(self) -> Problem {
        let bad_request = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
        match self {
            Self::Overloaded { limit } => Problem::unavailable(
                format!("{limit} requests are under way, which is the limit; nothing of this one was stored"),
                RETRY_OVERLOADED_S,
            ),
            Self::Crowded { limit } => Problem::unavailable(
                format!(
                    "requests whose body is not complete hold {limit} bytes, which is the limit; nothing of this one was stored"
                ),
                RETRY_OVERLOADED_S,
            ),
            Self::Path(reason) => bad_request(format!("the path cannot be read: {reason}")),
            Self::ContentType(found) => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("the body must be JSON in UTF-8, and is said to be '{found}'; send 'content-type: application/json'"),
            ),
            Self::ContentEncoding(found) => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("the body must not be compressed, and is said to be '{found}'"),
            ),
            Self::UnknownTenant(tenant) => Problem::new(
                StatusCode::NOT_FOUND,
                format!("there is no tenant '{tenant}'; a tenant is made by its first upload or deployment"),
            ),
            Self::UnknownEvent { tenant, event } => Problem::new(
                StatusCode::NOT_FOUND,
                format!("tenant '{tenant}' has no event '{event}'; deploy a job that has it"),
            ),
            Self::BodyTooLarge { limit } => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than {limit} bytes; send its events in several requests"),
            ),
            Self::BodySlow { limit } => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not come within {} seconds; nothing of it was stored", limit.as_secs_f64()),
            ),
            Self::BodyBroken(reason) => {
                bad_request(format!("the body ended before it was complete: {reason}; nothing of it was stored"))
            }
            Self::Body(refusal) => refused_body(refusal),
            Self::RecordTooLarge { topic, too_large, stored } => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "{} of the events are larger than topic '{topic}' takes (its max.message.bytes) and were not stored; 'stored' names those that were",
                    too_large.len()
                ),
            )
            .with("errors", too_large.into_iter().map(Fault::larger_than_the_topic_takes).collect::<Vec<_>>())
            .with("stored", stored),
            Self::Unacknowledged { of, reason, stored, uncertain } => Problem::unavailable(
                format!(
                    "the log acknowledged {} of {of} events ({reason}); 'stored' names those, 'uncertain' those that may be stored all the same. Send again what is not in 'stored': what was uncertain may then be there twice",
                    stored.len()
                ),
                RETRY_LOG_S,
            )
            .with("stored", stored)
            .with("uncertain", uncertain),
        }
    }
}

fn refused_body(refusal: Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::NotJson { line, column, .. } => {
            Problem::new(StatusCode::BAD_REQUEST, detail).with("line", line).with("column", column)
        }
        Refusal::NotObject
        | Refusal::Unknown(_)
        | Refusal::NoData
        | Refusal::Repeated
        | Refusal::NotArray(_)
        | Refusal::Empty => Problem::new(StatusCode::BAD_REQUEST, detail),
        Refusal::TooMany { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
        Refusal::TooLarge { errors, .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).with("errors", errors),
        Refusal::Invalid { errors, .. } => Problem::new(StatusCode::BAD_REQUEST, detail).with("errors", errors),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        // What is left of a body that is too slow must not be taken for the next request.
        let close = matches!(self, Self::BodySlow { .. });
        let mut response = self.problem().into_response();
        if close {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
