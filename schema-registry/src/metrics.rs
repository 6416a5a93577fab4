//! What a registry counts. All names and label values are here.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::state::State;

/// The metrics of a registry.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Requests, by route (its pattern, such as `/v1/tenants/{tenant}`) and status.
    requests: IntCounterVec,
    /// Seconds that requests took, by route.
    request_seconds: HistogramVec,
    /// What the state holds, by kind: `tenant`, `function`, `job`, `active`, `schema`.
    documents: IntGaugeVec,
    /// Seconds that a transaction took, its commit included.
    pub write_seconds: Histogram,
    /// Transactions that another registry fenced.
    pub fenced: IntCounter,
}

/// Buckets of times, seconds.
const SECONDS_BUCKETS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// The route of requests that no route matches.
const UNMATCHED: &str = "none";

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// They are registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = |name: &str, help: &str| HistogramOpts::new(name, help).buckets(SECONDS_BUCKETS.to_vec());
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("jobico_registry_requests_total", "Requests answered"),
                &["route", "status"],
            )?,
            request_seconds: HistogramVec::new(
                seconds("jobico_registry_request_seconds", "Time from a request to its answer"),
                &["route"],
            )?,
            documents: IntGaugeVec::new(
                Opts::new("jobico_registry_documents", "Documents of the control plane"),
                &["kind"],
            )?,
            write_seconds: Histogram::with_opts(seconds("jobico_registry_write_seconds", "Time of a transaction"))?,
            fenced: IntCounter::new("jobico_registry_fenced_total", "Transactions fenced by another registry")?,
        };
        let all: [Box<dyn Collector>; 5] = [
            Box::new(metrics.requests.clone()),
            Box::new(metrics.request_seconds.clone()),
            Box::new(metrics.documents.clone()),
            Box::new(metrics.write_seconds.clone()),
            Box::new(metrics.fenced.clone()),
        ];
        all.into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }

    /// Counts a request.
    pub fn request(&self, route: Option<&str>, status: u16, took: Duration) {
        let route = route.unwrap_or(UNMATCHED);
        self.requests.with_label_values(&[route, &status.to_string()]).inc();
        self.request_seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// Takes over how much the state holds.
    pub fn observe(&self, state: &State) {
        let catalog = &state.catalog;
        let counts = [
            ("tenant", catalog.tenants.len()),
            ("function", catalog.functions.values().map(|versions| versions.len()).sum()),
            ("job", catalog.jobs.values().map(|versions| versions.len()).sum()),
            ("active", catalog.active.len()),
            ("schema", state.schemas.ids_count()),
        ];
        for (kind, count) in counts {
            self.documents.with_label_values(&[kind]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
