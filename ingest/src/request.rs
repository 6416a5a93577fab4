//! What a request is, before anybody looks into its body: media type, trace context, and the body within its limits.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures::StreamExt;
use jobico_service::trace::{Carried, TRACEPARENT, TRACESTATE};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::Config;
use crate::error::Refused;

/// How much of a body that nobody wants is still read, in bytes: a connection closed in the middle of what a client sends
/// takes the answer with it.
const DISCARD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a request is counted as before its body comes, bytes: its head, its stream, its task.
const HEAD_BYTES: u32 = 16 << 10;
/// The longest `traceparent` and `tracestate` passed on, in bytes (W3C Trace Context §3.3.1.5 asks for at least 512).
const TRACE_BYTES_MAX: usize = 512;

/// Whether the headers promise JSON in UTF-8, uncompressed. A missing content type is taken for JSON.
pub fn check_media_type(headers: &HeaderMap) -> Result<(), Refused> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Refused::ContentEncoding(String::from_utf8_lossy(encoding.as_bytes()).into_owned()));
    }
    match headers.get(header::CONTENT_TYPE) {
        None => Ok(()),
        Some(value) if value.to_str().is_ok_and(is_json) => Ok(()),
        Some(value) => Err(Refused::ContentType(String::from_utf8_lossy(value.as_bytes()).into_owned())),
    }
}

/// `application/json` or `application/…+json`, and no other character set than UTF-8.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty()));
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii")
        }
        _ => true,
    })
}

/// The trace that the client belongs to. What is longer than the limit is dropped.
pub fn trace(headers: &HeaderMap) -> Carried {
    let brief = |value: &str| value.len() <= TRACE_BYTES_MAX;
    let traceparent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).filter(|value| brief(value));
    // RFC 9110 §5.3: repeated fields are one list.
    let states: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
    let tracestate = states.join(",");
    Carried::new(traceparent, Some(&*tracestate).filter(|value| !value.is_empty() && brief(value)))
}

/// What bodies may take while they come. One that takes its time holds no more of the server than its bytes.
pub struct Reading {
    bytes_max: usize,
    time_max: Duration,
    /// Bytes of all bodies that are not complete.
    room: Semaphore,
    room_bytes: usize,
}

impl Reading {
    /// With room for as many whole bodies as there may be requests at one time.
    pub fn new(config: &Config) -> Self {
        let bytes_max = config.body_bytes_max as usize;
        let room_bytes = ((bytes_max + HEAD_BYTES as usize) * config.requests_max as usize).min(Semaphore::MAX_PERMITS);
        let time_max = Duration::from_millis(config.read_ms_max.into());
        Self { bytes_max, time_max, room: Semaphore::new(room_bytes), room_bytes }
    }

    /// Room for what a request holds before its body comes, to be kept as long as it is read or discarded.
    ///
    /// # Errors
    /// There is none left.
    pub fn admit(&self) -> Result<SemaphorePermit<'_>, Refused> {
        self.room.try_acquire_many(HEAD_BYTES).map_err(|_| Refused::Crowded { limit: self.room_bytes })
    }

    /// The whole body.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Refused> {
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|declared| declared > self.bytes_max as u64) {
            self.discard(headers, body).await;
            return Err(Refused::BodyTooLarge { limit: self.bytes_max });
        }
        match tokio::time::timeout(self.time_max, self.collect(body.into_data_stream())).await {
            Ok(read) => read,
            Err(_) => Err(Refused::BodySlow { limit: self.time_max }),
        }
    }

    /// Reads a body that is refused unread, so that the client comes to read the answer. A client that waits to be told to
    /// send its body (`Expect: 100-continue`) is told the answer instead.
    pub async fn discard(&self, headers: &HeaderMap, body: Body) {
        if !headers.contains_key(header::EXPECT) {
            // Whether it came to its end does not matter: the answer is the same.
            let _ = tokio::time::timeout(self.time_max, drain(body.into_data_stream())).await;
        }
    }

    async fn collect(&self, mut stream: BodyDataStream) -> Result<Bytes, Refused> {
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut room: Option<SemaphorePermit<'_>> = None;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| Refused::BodyBroken(error.to_string()))?;
            if first.len() + rest.len() + chunk.len() > self.bytes_max {
                drop((first, rest, room));
                drain(stream).await;
                return Err(Refused::BodyTooLarge { limit: self.bytes_max });
            }
            let Some(taken) = u32::try_from(chunk.len()).ok().and_then(|bytes| self.room.try_acquire_many(bytes).ok())
            else {
                // First of all they make room for others.
                drop((first, rest, room));
                drain(stream).await;
                return Err(Refused::Crowded { limit: self.room_bytes });
            };
            match &mut room {
                Some(room) => room.merge(taken),
                None => room = Some(taken),
            }
            // Most bodies come in one piece, which is then used as it is.
            if first.is_empty() && rest.is_empty() {
                first = chunk;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&std::mem::take(&mut first));
                }
                rest.extend_from_slice(&chunk);
            }
        }
        Ok(if rest.is_empty() { first } else { rest.freeze() })
    }
}

async fn drain(mut stream: BodyDataStream) {
    let mut bytes = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        bytes += chunk.len();
        if bytes > DISCARD_BYTES_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_media_types_are_taken_and_no_others() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/vnd.example+json",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/+json",
            "application/jsonp",
            "application/json; charset=iso-8859-1",
            "text/json",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[test]
    fn a_trace_context_that_is_too_long_is_dropped() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, parent.parse().unwrap());
        headers.append(TRACESTATE, "a=1".parse().unwrap());
        headers.append(TRACESTATE, "b=2".parse().unwrap());
        assert_eq!(trace(&headers), Carried::new(Some(parent), Some("a=1,b=2")));
        headers.append(TRACESTATE, format!("c={}", "x".repeat(TRACE_BYTES_MAX)).parse().unwrap());
        assert_eq!(trace(&headers), Carried::new(Some(parent), None));
    }
}
