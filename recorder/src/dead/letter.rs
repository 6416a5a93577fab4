//! One dead letter, read from its record: what lists show of it, and its event as it came. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jobico_broker::{Outgoing, Record};
use jobico_event::dead_letter::view::Header;
use jobico_event::dead_letter::{self, Bytes, Mark, Place, State, View};
use jobico_event::{TenantId, header, name};

use crate::row::rfc3339;

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Letter {
    /// As lists have it.
    pub view: View,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    /// The event's own.
    headers: Vec<(String, Vec<u8>)>,
}

/// What lists show of a record, while nothing has become of it. What its headers do not say stays empty: whoever may write to
/// the topic may have written anything.
#[must_use]
pub fn view(record: &Record<'_>) -> View {
    let text = |name: &str| header::find_str(record.headers(), name).unwrap_or_default().to_owned();
    let optional = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
    let left: Option<u64> = text(header::LEFT_BYTES).parse().ok();
    View {
        id: place(record),
        state: State::Open,
        settled_at: None,
        at: rfc3339(record.timestamp_ms()),
        event: text(header::EVENT),
        job: optional(header::JOB),
        function: optional(header::FUNCTION),
        stage: text(header::ERROR_STAGE),
        code: text(header::ERROR_CODE),
        message: text(header::ERROR_MESSAGE),
        topic: text(header::ORIGIN_TOPIC),
        partition: text(header::ORIGIN_PARTITION).parse().unwrap_or(-1),
        offset: text(header::ORIGIN_OFFSET).parse().unwrap_or(-1),
        attempts: text(header::ATTEMPTS).parse().unwrap_or(0),
        bytes: left.unwrap_or_else(|| record.value().map_or(0, |value| value.len() as u64)),
        left: left.is_some(),
    }
}

/// Where a record stands.
#[must_use]
pub fn place(record: &Record<'_>) -> Place {
    Place { partition: record.partition(), offset: record.offset() }
}

/// A letter's state, with what became of it.
#[must_use]
pub fn marked(mut view: View, mark: Option<&Mark>) -> View {
    if let Some(mark) = mark {
        view.state = mark.state;
        view.settled_at = Some(mark.at.clone());
    }
    view
}

impl Letter {
    /// Reads a record.
    #[must_use]
    pub fn read(record: &Record<'_>) -> Self {
        let own = record.headers().filter(|(name, _)| !name.starts_with(header::JOBICO));
        Self {
            view: view(record),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: own.map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
        }
    }

    /// With what became of it.
    #[must_use]
    pub fn marked(self, mark: Option<&Mark>) -> Self {
        Self { view: marked(self.view, mark), ..self }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let parts = [&self.key, &self.value].into_iter().flatten().map(Vec::len);
        parts.chain(self.headers.iter().map(|(name, value)| name.len() + value.len())).sum()
    }

    /// Whether it came from a queue of `tenant`: nobody but a processor may name another's.
    #[must_use]
    pub fn is_from(&self, tenant: &TenantId) -> bool {
        let own = [name::dead(tenant), name::results(tenant)];
        name::tenant_of(&self.view.topic).as_ref() == Some(tenant) && !own.contains(&self.view.topic)
    }

    /// The headers of its event's record: its own, and the event's id where its producer gave it none, so that its results
    /// name the same event as its dead letter does.
    #[must_use]
    pub fn event_headers(&self) -> Vec<(&str, &[u8])> {
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let mut headers: Vec<(&str, &[u8])> = own.collect();
        if header::find(headers.iter().copied(), header::CE_ID).is_none() && !self.view.event.is_empty() {
            headers.push((header::CE_ID, self.view.event.as_bytes()));
        }
        headers
    }

    /// Its event's record, for its queue: as it came, with [`Letter::event_headers`].
    #[must_use]
    pub fn event<'a>(&'a self, headers: &'a [(&'a str, &'a [u8])]) -> Outgoing<'a> {
        Outgoing { topic: &self.view.topic, key: self.key.as_deref(), value: self.value.as_deref(), headers }
    }

    /// As the API gives it.
    #[must_use]
    pub fn into_form(self) -> dead_letter::Letter {
        let header = |(name, value)| Header { name, value: bytes(value) };
        dead_letter::Letter {
            view: self.view,
            key: self.key.map(bytes),
            headers: self.headers.into_iter().map(header).collect(),
            value: self.value.map(bytes),
        }
    }
}

fn bytes(bytes: Vec<u8>) -> Bytes {
    String::from_utf8(bytes).map_or_else(|error| Bytes::Base64(STANDARD.encode(error.as_bytes())), Bytes::Text)
}
