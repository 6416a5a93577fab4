//! The one place that turns errors into answers of the control plane.

use axum::http::StatusCode;
use jobico_event::schema::SchemaError;
use jobico_service::{Problem, chain};
use serde_json::{Value, json};

use crate::decide::{Answer, Refusal};
use crate::store::Error;

/// Seconds after which to try again where the log is away or busy.
pub const RETRY_AFTER_S: u32 = 2;

/// The answer to an error of the store.
#[must_use]
pub fn of(error: &Error) -> Problem {
    match error {
        Error::Refused(refusal) => refused(refusal),
        Error::Unavailable(_) | Error::Uncertain | Error::Contended(_) | Error::Busy | Error::Stopping => {
            Problem::unavailable(chain(error), RETRY_AFTER_S)
        }
    }
}

/// The answer to a refusal.
#[must_use]
pub fn refused(refusal: &Refusal) -> Problem {
    let problem = Problem::new(status(refusal), refusal.to_string());
    match refusal {
        Refusal::Schema(faults) => problem.with("errors", faults.iter().map(schema_fault).collect::<Vec<_>>()),
        Refusal::JobFile(faults) => problem.with("errors", faults),
        _ => problem,
    }
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Schema(_) | Refusal::SchemaKind(_) | Refusal::References | Refusal::JobFile(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Refusal::Subject { .. } => StatusCode::BAD_REQUEST,
        Refusal::NoTenant(_) | Refusal::NoJob { .. } => StatusCode::NOT_FOUND,
        Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Alias { .. }
        | Refusal::UsedUp(_)
        | Refusal::JobExists { .. }
        | Refusal::NothingBefore { .. }
        | Refusal::EventTaken { .. }
        | Refusal::QueueTaken { .. } => StatusCode::CONFLICT,
    }
}

/// A fault of a schema: a JSON pointer into it, where there is one.
fn schema_fault(fault: &SchemaError) -> Value {
    match fault {
        SchemaError::Json(message) => json!({"pointer": "", "message": message}),
        SchemaError::Schema { pointer, message } => json!({"pointer": pointer, "message": message}),
    }
}

/// The answer where a command came to something that it cannot come to.
#[must_use]
pub fn unexpected(answer: &Answer) -> Problem {
    tracing::error!(?answer, "a command was answered with what it does not do");
    Problem::internal("the registry answered another question than was asked")
}
