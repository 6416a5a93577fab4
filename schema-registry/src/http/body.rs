//! Bodies within their limits.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use jobico_service::Problem;

/// How long a client may take to send a body.
const READ_WAIT: Duration = Duration::from_secs(60);
/// How much of a body that is too large is still read, bytes, so that the client reads the answer before its connection
/// is closed.
const DISCARD_BYTES_MAX: usize = 64 << 20;

/// A whole body of at most `BYTES_MAX` bytes.
pub struct Body<const BYTES_MAX: usize>(pub Bytes);

impl<S: Sync, const BYTES_MAX: usize> FromRequest<S> for Body<BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read(request, BYTES_MAX).await.map(Self)
    }
}

/// The whole body of a request, of at most `bytes_max` bytes.
///
/// # Errors
/// 413 where it is larger, 408 where it does not come in time, 400 where it ends before its end.
pub async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    match tokio::time::timeout(READ_WAIT, collect(request.into_body(), bytes_max)).await {
        Ok(read) => read,
        Err(_) => {
            let detail = format!("the body did not come within {} seconds", READ_WAIT.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

async fn collect(body: axum::body::Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let (mut stream, mut bytes, mut length) = (body.into_data_stream(), BytesMut::new(), 0);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body could not be read to its end: {error}"))
        })?;
        length += chunk.len();
        if length <= bytes_max {
            bytes.extend_from_slice(&chunk);
        } else if length > DISCARD_BYTES_MAX {
            break;
        }
    }
    if length <= bytes_max {
        return Ok(bytes.freeze());
    }
    let detail = format!("the body is larger than the {bytes_max} bytes that are allowed here");
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).with("limit", bytes_max))
}
