//! What ingest counts: all names and labels.

use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGauge, Registry, register_histogram_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry, register_int_gauge_with_registry,
};

/// How a request ended: the label `outcome` of `jobico_ingest_requests_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// 200.
    Accepted,
    /// 400: not JSON, not of the form, or refused by the schema.
    Invalid,
    /// 404, or a path that cannot be read: no such tenant or event.
    Unknown,
    /// 413.
    TooLarge,
    /// 415.
    Unsupported,
    /// 408, or a body that broke off.
    Unread,
    /// 503: too many requests at one time.
    Overloaded,
    /// 503: the log did not acknowledge all.
    Unacknowledged,
}

impl Outcome {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Unread => "unread",
            Self::Overloaded => "overloaded",
            Self::Unacknowledged => "unacknowledged",
        }
    }
}

/// The metrics of ingest.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `jobico_ingest_requests_total{outcome}`.
    requests: IntCounterVec,
    /// `jobico_ingest_events_total{tenant, verdict}`; the label `tenant` holds tenants of the catalog alone, and grows with
    /// them, not with what clients send.
    events: IntCounterVec,
    /// `jobico_ingest_event_bytes_total`: of accepted events.
    pub event_bytes: IntCounter,
    /// `jobico_ingest_ack_duration_seconds`.
    pub ack: Histogram,
    /// `jobico_ingest_requests_in_flight`.
    pub in_flight: IntGauge,
}

/// Upper bounds of the time to an acknowledgement, seconds: from an idle local log to the default limit.
const ACK_BUCKETS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 15.0, 30.0];

impl Metrics {
    /// Makes the metrics and shows them in `registry`.
    ///
    /// # Errors
    /// The registry has them already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "jobico_ingest_requests_total",
                "Requests for events, by how they ended.",
                &["outcome"],
                registry
            )?,
            events: register_int_counter_vec_with_registry!(
                "jobico_ingest_events_total",
                "Events in requests, by tenant and by what became of them.",
                &["tenant", "verdict"],
                registry
            )?,
            event_bytes: register_int_counter_with_registry!(
                "jobico_ingest_event_bytes_total",
                "Bytes of accepted events.",
                registry
            )?,
            ack: register_histogram_with_registry!(
                "jobico_ingest_ack_duration_seconds",
                "From handing a request's events to the log until it has answered for all.",
                ACK_BUCKETS.to_vec(),
                registry
            )?,
            in_flight: register_int_gauge_with_registry!(
                "jobico_ingest_requests_in_flight",
                "Requests for events that are under way.",
                registry
            )?,
        })
    }

    /// Counts a request.
    pub fn request(&self, outcome: Outcome) {
        self.requests.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Counts events of a tenant of the catalog.
    pub fn events(&self, tenant: &str, verdict: Verdict, count: usize) {
        self.events.with_label_values(&[tenant, verdict.as_str()]).inc_by(count as u64);
    }
}

/// What became of an event: the label `verdict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The log has it.
    Accepted,
    /// Its schema refused it.
    Refused,
    /// It was handed to the log, which did not acknowledge it.
    Unacknowledged,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unacknowledged => "unacknowledged",
        }
    }
}
