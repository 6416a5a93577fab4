//! HTTP, for the tools: requests to the services, and their errors as exit codes.

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::Error;

/// How long an answer may take, streams aside.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one service.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    service: &'static str,
    base: String,
}

/// What of a `application/problem+json` answer is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    errors: Vec<Value>,
}

impl Client {
    /// A client of `service` at `base`.
    pub fn new(service: &'static str, base: &str) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| Error::failed(format!("no HTTP client: {error}")))?;
        Ok(Self { http, service, base: base.trim_end_matches('/').to_owned() })
    }

    /// A request; `path` begins with a slash, its parts are ids and need no escaping, or went through [`segment`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request and reads a JSON answer.
    pub async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let response = self.send(request.timeout(ANSWER_TIMEOUT)).await?;
        let answer = response.json().await;
        answer.map_err(|error| {
            Error::failed(format!("the {} gave an answer that cannot be read: {}", self.service, chain(&error)))
        })
    }

    /// Sends a request; an answer that is no success is an error.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|error| {
            Error::unavailable(format!(
                "the {} at {} does not answer: {} (is it running? `jobico dev` starts everything here; another address: --{} URL)",
                self.service,
                self.base,
                root_cause(&error),
                self.service,
            ))
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, body) = (response.status(), response.text().await.unwrap_or_default());
        Err(refusal(self.service, status, &body))
    }
}

fn refusal(service: &str, status: StatusCode, body: &str) -> Error {
    let problem: Problem = serde_json::from_str(body).unwrap_or_default();
    let mut message = match (problem.detail.is_empty(), problem.title.is_empty()) {
        (false, _) => problem.detail,
        (true, false) => problem.title,
        (true, true) => format!("the {service} answered {status}"),
    };
    // A single fault is often all that the summary says.
    let summary = message.clone();
    let told =
        |error: &&Value| error.get("message").and_then(Value::as_str).is_some_and(|told| summary.ends_with(told));
    for error in problem.errors.iter().filter(|error| !told(error)) {
        message.push_str("\n  ");
        message.push_str(&fault(error));
    }
    match status {
        StatusCode::NOT_FOUND => Error::not_found(message),
        StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::BAD_GATEWAY
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => Error::unavailable(message),
        status if status.is_client_error() => Error::refused(message),
        _ => Error::failed(message),
    }
}

/// One member of a problem's `errors`, in a line: of a job file (line, column, path), of an event (index, pointer), or
/// of whatever else.
fn fault(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| error.get(name).and_then(Value::as_u64);
    if let (Some(line), Some(column)) = (number("line"), number("column")) {
        return format!("line {line}, column {column}: {}: {}", text("path"), text("message"));
    }
    if let Some(index) = number("index") {
        return format!("data[{index}]{}: {} ({})", text("pointer"), text("message"), text("keyword"));
    }
    match error {
        Value::String(text) => text.clone(),
        other if !text("message").is_empty() => {
            format!("{} {}", text("pointer"), other["message"].as_str().unwrap_or_default()).trim().to_owned()
        }
        other => other.to_string(),
    }
}

/// An id as a part of a path.
pub fn segment(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// A file's bytes; `-` is standard input.
pub fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let read = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| Error::failed(format!("{}: {error}", file.display())))
}

/// What lies below all layers of the HTTP client, such as `Connection refused`.
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut root: &dyn std::error::Error = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

fn chain(error: &reqwest::Error) -> String {
    jobico_service::chain(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_a_line_with_its_place() {
        let body = r#"{"title":"x","status":422,"detail":"2 faults","errors":[{"line":3,"column":5,"path":"jobs[0]","message":"unknown key"},{"index":1,"pointer":"/age","keyword":"minimum","message":"too young"}]}"#;
        let error = refusal("registry", StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(
            error.to_string(),
            "2 faults\n  line 3, column 5: jobs[0]: unknown key\n  data[1]/age: too young (minimum)"
        );
    }

    #[test]
    fn a_segment_is_escaped() {
        assert_eq!(segment("a-b_c.d"), "a-b_c.d");
        assert_eq!(segment("a/b ä"), "a%2Fb%20%C3%A4");
    }
}
