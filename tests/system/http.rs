//! The services' HTTP, as any client speaks it.

use std::time::Duration;

use reqwest::blocking::{Client as Http, RequestBuilder};
use serde_json::{Value, json};

use super::{Urls, eventually};

/// The largest page of a list.
const PAGE: usize = 1_000;

/// A client of a tenant. Clones share the addresses.
#[derive(Clone)]
pub struct Client {
    pub tenant: String,
    pub urls: Urls,
    http: Http,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Answer {
    pub fn is_ok(&self) -> bool {
        self.status == 200
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The `detail` of a problem with this status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let detail = self.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(!detail.is_empty(), "{self:?}");
        detail
    }
}

impl Client {
    pub fn new(tenant: &str, urls: Urls) -> Self {
        let http = Http::builder().timeout(Duration::from_secs(60)).build().expect("an HTTP client");
        Self { tenant: tenant.to_owned(), urls, http }
    }

    /// A path of a service.
    pub fn url(&self, service: &str, path: &str) -> String {
        let urls = self.urls.lock().expect("no test panics holding it");
        format!("{}{path}", urls.get(service).unwrap_or_else(|| panic!("there is no {service}")))
    }

    fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send()?;
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        Ok(Answer { status: response.status().as_u16(), content_type, body: response.text()? })
    }

    /// Sends a request that has to be answered, whatever the answer.
    #[track_caller]
    fn expect(request: RequestBuilder) -> Answer {
        Self::answer(request).unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// A GET of which an answer is not expected: an error has status 0.
    pub fn get_url(&self, url: &str) -> Answer {
        let none = |error: reqwest::Error| Answer { status: 0, content_type: String::new(), body: error.to_string() };
        Self::answer(self.http.get(url)).unwrap_or_else(none)
    }

    #[track_caller]
    pub fn get(&self, service: &str, path: &str) -> Answer {
        Self::expect(self.http.get(self.url(service, path)))
    }

    #[track_caller]
    pub fn put(&self, service: &str, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        Self::expect(self.http.put(self.url(service, path)).body(body.into()))
    }

    #[track_caller]
    pub fn post(&self, service: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
        Self::expect(self.posting(&self.url(service, path), headers, body.into()))
    }

    fn posting(&self, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> RequestBuilder {
        let request = self.http.post(url).body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    /// Posts a body as an event's.
    #[track_caller]
    pub fn post_event(&self, event: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.post("ingest", &self.event_path(event), &[("content-type", "application/json")], body)
    }

    fn event_path(&self, event: &str) -> String {
        format!("/events/{}/{event}", self.tenant)
    }

    /// Sends events: where each came to stand.
    #[track_caller]
    pub fn send(&self, event: &str, data: &[Value]) -> Vec<Value> {
        let answer = self.post_event(event, json!({ "data": data }).to_string());
        assert!(answer.is_ok(), "{answer:?}");
        answer.json()["events"].as_array().expect("events").clone()
    }

    /// Sends events to an ingest that may be down, or go down meanwhile: where each came to stand, if it says so.
    pub fn try_send(&self, event: &str, data: &[Value]) -> Option<Vec<Value>> {
        let url = self.url("ingest", &self.event_path(event));
        let body = json!({ "data": data }).to_string().into_bytes();
        let answer = Self::answer(self.posting(&url, &[("content-type", "application/json")], body)).ok()?;
        answer.is_ok().then(|| answer.json()["events"].as_array().expect("events").clone())
    }

    /// Waits until ingest knows an event: deploying is a write to a topic, which every service follows.
    pub fn await_event(&self, event: &str) {
        if self.urls.lock().expect("no test panics holding it").contains_key("ingest") {
            eventually(&format!("ingest knows {event}"), || {
                // Not JSON: refused once the event is known, and not found before.
                (self.post_event(event, "-").status == 400).then_some(())
            });
        }
    }

    /// All results of the store, newest first, by whatever number of pages.
    #[track_caller]
    pub fn results(&self) -> Vec<Value> {
        self.pages("results")
    }

    /// All lines of the store that functions logged, newest first.
    #[track_caller]
    pub fn logs(&self) -> Vec<Value> {
        self.pages("logs")
    }

    #[track_caller]
    fn pages(&self, list: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/tenants/{}/{list}?limit={PAGE}{cursor}", self.tenant);
            let answer = self.get("recorder", &path);
            assert!(answer.is_ok(), "{answer:?}");
            let mut page = answer.json();
            all.append(page[list].as_array_mut().expect("a list"));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// Waits until the store has `count` results, and returns them, newest first.
    #[track_caller]
    pub fn await_results(&self, count: usize) -> Vec<Value> {
        let mut last = 0;
        let found = super::eventually_or(
            || {
                let results = self.results();
                last = results.len();
                (last >= count).then_some(results)
            },
            super::WAIT_MAX,
        );
        found.unwrap_or_else(|| panic!("{last} of {count} results are in the store"))
    }

    /// The sum of a metric over its labels, as a process' `/metrics` has it.
    pub fn metric(&self, admin: &str, name: &str) -> f64 {
        let text = self.get_url(&format!("{admin}/metrics")).body;
        let values = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        });
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}
