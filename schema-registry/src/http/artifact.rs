//! Modules by their digest: whole or in part, and not at all where the client has them (RFC 9110).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobico_event::Digest;
use jobico_service::{Problem, chain};

use super::App;
use super::extract::Path;
use super::range::{self, Part};

/// What a digest names never changes.
const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// `GET /v1/artifacts/{digest}`
pub async fn get(State(app): State<App>, Path(digest): Path<Digest>, headers: HeaderMap) -> Result<Response, Problem> {
    let _place = app.downloads.acquire().await.map_err(|_| Problem::unavailable("the registry stops", 1))?;
    let found = app.artifacts.get(&digest).await.map_err(|error| {
        tracing::error!(error = chain(&error), "a module cannot be given");
        Problem::internal(chain(&error))
    })?;
    let Some(bytes) = found else {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no artifact {digest} here")));
    };
    let tag = format!("\"{digest}\"");
    let common = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, CACHE_CONTROL.to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ];
    if header(&headers, header::IF_NONE_MATCH).is_some_and(|list| range::matches(list, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    // Of another state of the resource, a part is of no use: then all of it is sent (§13.1.5).
    let asked = header(&headers, header::RANGE)
        .filter(|_| header(&headers, header::IF_RANGE).is_none_or(|condition| condition.trim() == tag));
    let length = bytes.len();
    let wasm = [(header::CONTENT_TYPE, HeaderValue::from_static("application/wasm"))];
    Ok(match range::part(asked, length) {
        Part::Whole => (StatusCode::OK, common, wasm, bytes).into_response(),
        Part::Range(part) => {
            let range = [(header::CONTENT_RANGE, format!("bytes {}-{}/{length}", part.start, part.end - 1))];
            (StatusCode::PARTIAL_CONTENT, common, wasm, range, bytes.slice(part)).into_response()
        }
        Part::Unsatisfiable => {
            let detail = format!("the artifact has {length} bytes; the range lies outside of them");
            let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            (range, Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, detail)).into_response()
        }
    })
}

fn header(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
