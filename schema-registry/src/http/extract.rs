//! Ids out of paths: parsed once, here, so that no handler sees a text that is none.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;
use jobico_event::{Digest, FileName, JobId, TenantId};
use jobico_service::Problem;

/// A parameter of a path.
pub trait Parameter: FromStr<Err: Display> {
    /// Its name in routes.
    const NAME: &'static str;
}

impl Parameter for TenantId {
    const NAME: &'static str = "tenant";
}
impl Parameter for FileName {
    const NAME: &'static str = "name";
}
impl Parameter for JobId {
    const NAME: &'static str = "job";
}
impl Parameter for Digest {
    const NAME: &'static str = "digest";
}

/// A parsed parameter of the path.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: Parameter> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = parameter(parts, state, T::NAME).await.map_err(|rejection| {
            Problem::new(StatusCode::BAD_REQUEST, format!("the path cannot be read: {rejection}"))
        })?;
        text.parse().map(Self).map_err(|error| {
            let detail = format!("the {} '{text}' of the path cannot be: {error}", T::NAME);
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })
    }
}

/// A parameter's text, percent-decoded.
pub async fn parameter<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<String, RawPathParamsRejection> {
    let parameters = RawPathParams::from_request_parts(parts, state).await?;
    let found = parameters.iter().find(|(found, _)| *found == name);
    Ok(found.map(|(_, text)| text.to_owned()).unwrap_or_default())
}
