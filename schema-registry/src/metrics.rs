//! What a registry counts. All names and label values are here.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Registry, register_histogram_vec_with_registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry,
};

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
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "jobico_registry_requests_total",
                "Requests answered",
                &["route", "status"],
                registry
            )?,
            request_seconds: register_histogram_vec_with_registry!(
                "jobico_registry_request_seconds",
                "Time from a request to its answer",
                &["route"],
                SECONDS_BUCKETS.to_vec(),
                registry
            )?,
            documents: register_int_gauge_vec_with_registry!(
                "jobico_registry_documents",
                "Documents of the control plane",
                &["kind"],
                registry
            )?,
            write_seconds: register_histogram_with_registry!(
                "jobico_registry_write_seconds",
                "Time of a transaction",
                SECONDS_BUCKETS.to_vec(),
                registry
            )?,
            fenced: register_int_counter_with_registry!(
                "jobico_registry_fenced_total",
                "Transactions fenced by another registry",
                registry
            )?,
        })
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
