//! Errors of Confluent's REST API: `{"error_code", "message"}`, codes and words as its clients know them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobico_service::{Problem, chain};
use serde_json::json;

use super::MEDIA_TYPE;
use crate::decide::{Answer, Refusal};
use crate::http::problem::RETRY_AFTER_S;
use crate::state::NUMBER_MAX;
use crate::store;

/// An error answer. Its HTTP status is the first three digits of its code.
#[derive(Debug)]
pub(super) struct Error {
    code: u32,
    message: String,
    passes: bool,
}

/// There is no such subject.
const SUBJECT_NOT_FOUND: u32 = 40401;
/// The subject has no such version.
const VERSION_NOT_FOUND: u32 = 40402;
/// There is no such schema.
const SCHEMA_NOT_FOUND: u32 = 40403;
/// The subject has no compatibility level of its own.
const NO_SUBJECT_LEVEL: u32 = 40408;
/// The subject has no mode of its own.
const NO_SUBJECT_MODE: u32 = 40409;
/// The text is no schema that is taken.
const INVALID_SCHEMA: u32 = 42201;
/// The text is no version.
const INVALID_VERSION: u32 = 42202;
/// The subject is not one that schemas are registered to.
const INVALID_SUBJECT: u32 = 42208;
/// The schema is larger than is taken.
const SCHEMA_TOO_LARGE: u32 = 42209;
/// The log does not answer, or not in time.
const BACKEND: u32 = 50001;

impl Error {
    fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), passes: false }
    }

    pub(super) fn subject_not_found(subject: &str) -> Self {
        Self::new(SUBJECT_NOT_FOUND, format!("Subject '{subject}' not found."))
    }

    pub(super) fn version_not_found(version: u32) -> Self {
        Self::new(VERSION_NOT_FOUND, format!("Version {version} not found."))
    }

    pub(super) fn schema_not_found() -> Self {
        Self::new(SCHEMA_NOT_FOUND, "Schema not found")
    }

    pub(super) fn id_not_found(id: &str) -> Self {
        Self::new(SCHEMA_NOT_FOUND, format!("Schema {id} not found"))
    }

    pub(super) fn invalid_version(version: &str) -> Self {
        let allowed = format!("between [1, {NUMBER_MAX}] and the string \"latest\"");
        let message =
            format!("The specified version '{version}' is not a valid version id. Allowed values are {allowed}");
        Self::new(INVALID_VERSION, message)
    }

    pub(super) fn empty_schema() -> Self {
        Self::new(INVALID_SCHEMA, "Empty schema: the member 'schema' must hold the schema's text")
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(SCHEMA_TOO_LARGE, format!("The schema is larger than {limit} bytes"))
    }

    pub(super) fn no_subject_level(subject: &str) -> Self {
        let message = format!("Subject '{subject}' does not have subject-level compatibility configured");
        Self::new(NO_SUBJECT_LEVEL, message)
    }

    pub(super) fn no_subject_mode(subject: &str) -> Self {
        Self::new(NO_SUBJECT_MODE, format!("Subject '{subject}' does not have subject-level mode configured"))
    }

    pub(super) fn bad_request(message: String) -> Self {
        Self::new(400, message)
    }

    pub(super) fn unprocessable(message: String) -> Self {
        Self::new(422, message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "HTTP 404 Not Found")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(405, "HTTP 405 Method Not Allowed")
    }

    pub(super) fn internal(message: String) -> Self {
        Self::new(500, message)
    }

    pub(super) fn unexpected(answer: &Answer) -> Self {
        tracing::error!(?answer, "a command was answered with what it does not do");
        Self::internal("the registry answered another question than was asked".to_owned())
    }

    fn status(&self) -> StatusCode {
        let digits = if self.code < 1_000 { self.code } else { self.code / 100 };
        u16::try_from(digits).ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or_default()
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Refused(refusal) => refusal.into(),
            error => {
                let message = format!("Error in the backend data store: {}", chain(&error));
                Self { passes: true, ..Self::new(BACKEND, message) }
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::Schema(_) | Refusal::SchemaKind(_) | Refusal::References => INVALID_SCHEMA,
            Refusal::Subject { .. } | Refusal::Alias { .. } => INVALID_SUBJECT,
            Refusal::TooLarge { .. } => SCHEMA_TOO_LARGE,
            Refusal::UsedUp(_)
            | Refusal::JobFile(_)
            | Refusal::JobExists { .. }
            | Refusal::NoTenant(_)
            | Refusal::NoJob { .. }
            | Refusal::NothingBefore { .. }
            | Refusal::EventTaken { .. }
            | Refusal::QueueTaken { .. } => 409,
        };
        Self::new(code, refusal.to_string())
    }
}

/// What reading a body or inspecting a schema met before Confluent's part began.
impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::new(u32::from(problem.status), problem.detail)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = json!({"error_code": self.code, "message": self.message}).to_string();
        let mut response = (self.status(), [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if self.passes {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}
