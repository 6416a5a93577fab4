//! What a recorder counts. The label `kind` is `results` or `logs`, `group` one of the recorder's two groups,
//! `action` `redriven` or `dropped`.

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    register_histogram_vec_with_registry, register_histogram_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};

/// The metrics of a recorder.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Results and lines written to the store, by kind.
    pub written: IntCounterVec,
    /// Seconds that the write of one batch took, by kind.
    pub write_seconds: HistogramVec,
    /// Writes that failed and are tried again, by kind.
    pub write_failures: IntCounterVec,
    /// Records passed over, by kind: not readable, or larger than the store takes.
    pub unreadable: IntCounterVec,
    /// Records whose time to live had passed before they were written, by kind.
    pub expired: IntCounterVec,
    /// Members made anew after an error, by kind.
    pub rebuilds: IntCounterVec,
    /// Records between what is committed and the end, by group.
    pub lag: IntGaugeVec,
    /// Live streams now.
    pub streams: IntGauge,
    /// Streams refused because there were too many.
    pub streams_refused: IntCounter,
    /// Streams ended because their reader was too slow.
    pub streams_slow: IntCounter,
    /// Seconds that a read of the store took.
    pub read_seconds: Histogram,
    /// Dead letters redriven or dropped, by action.
    pub dead_settled: IntCounterVec,
}

/// Buckets of times, seconds.
const SECONDS_BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// They are registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let count = |name: &str, help: &str| register_int_counter_with_registry!(name, help, registry);
        let count_by =
            |by: &str, name: &str, help: &str| register_int_counter_vec_with_registry!(name, help, &[by], registry);
        Ok(Self {
            written: count_by("kind", "jobico_recorder_written_total", "Results and lines written to the store")?,
            write_seconds: register_histogram_vec_with_registry!(
                "jobico_recorder_write_seconds",
                "Time of the write of one batch",
                &["kind"],
                SECONDS_BUCKETS.to_vec(),
                registry
            )?,
            write_failures: count_by(
                "kind",
                "jobico_recorder_write_failures_total",
                "Writes that failed and are tried again",
            )?,
            unreadable: count_by("kind", "jobico_recorder_unreadable_total", "Records passed over")?,
            expired: count_by("kind", "jobico_recorder_expired_total", "Records that had outlived their time to live")?,
            rebuilds: count_by("kind", "jobico_recorder_rebuilds_total", "Members made anew after an error")?,
            lag: register_int_gauge_vec_with_registry!(
                "jobico_recorder_lag_records",
                "Records between what is committed and the end",
                &["group"],
                registry
            )?,
            streams: register_int_gauge_with_registry!("jobico_recorder_streams", "Live streams", registry)?,
            streams_refused: count("jobico_recorder_streams_refused_total", "Streams refused: too many")?,
            streams_slow: count("jobico_recorder_streams_slow_total", "Streams ended: their reader was slow")?,
            read_seconds: register_histogram_with_registry!(
                "jobico_recorder_read_seconds",
                "Time of a read of the store",
                SECONDS_BUCKETS.to_vec(),
                registry
            )?,
            dead_settled: count_by("action", "jobico_recorder_dead_settled_total", "Dead letters redriven or dropped")?,
        })
    }
}
