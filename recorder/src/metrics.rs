//! What a recorder counts. The label `kind` is `results` or `logs`, `group` one of the recorder's two groups,
//! `action` `redriven` or `dropped`.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

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
    pub fn new(registry: &prometheus::Registry) -> prometheus::Result<Self> {
        let by_kind = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["kind"]);
        let seconds = |name: &str, help: &str| HistogramOpts::new(name, help).buckets(SECONDS_BUCKETS.to_vec());
        let metrics = Self {
            written: by_kind("jobico_recorder_written_total", "Results and lines written to the store")?,
            write_seconds: HistogramVec::new(
                seconds("jobico_recorder_write_seconds", "Time of the write of one batch"),
                &["kind"],
            )?,
            write_failures: by_kind("jobico_recorder_write_failures_total", "Writes that failed and are tried again")?,
            unreadable: by_kind("jobico_recorder_unreadable_total", "Records passed over")?,
            expired: by_kind("jobico_recorder_expired_total", "Records that had outlived their time to live")?,
            rebuilds: by_kind("jobico_recorder_rebuilds_total", "Members made anew after an error")?,
            lag: IntGaugeVec::new(
                Opts::new("jobico_recorder_lag_records", "Records between what is committed and the end"),
                &["group"],
            )?,
            streams: IntGauge::new("jobico_recorder_streams", "Live streams")?,
            streams_refused: IntCounter::new("jobico_recorder_streams_refused_total", "Streams refused: too many")?,
            streams_slow: IntCounter::new(
                "jobico_recorder_streams_slow_total",
                "Streams ended: their reader was slow",
            )?,
            read_seconds: Histogram::with_opts(seconds("jobico_recorder_read_seconds", "Time of a read of the store"))?,
            dead_settled: IntCounterVec::new(
                Opts::new("jobico_recorder_dead_settled_total", "Dead letters redriven or dropped"),
                &["action"],
            )?,
        };
        let all: [Box<dyn prometheus::core::Collector>; 12] = [
            Box::new(metrics.written.clone()),
            Box::new(metrics.write_seconds.clone()),
            Box::new(metrics.write_failures.clone()),
            Box::new(metrics.unreadable.clone()),
            Box::new(metrics.expired.clone()),
            Box::new(metrics.rebuilds.clone()),
            Box::new(metrics.lag.clone()),
            Box::new(metrics.streams.clone()),
            Box::new(metrics.streams_refused.clone()),
            Box::new(metrics.streams_slow.clone()),
            Box::new(metrics.read_seconds.clone()),
            Box::new(metrics.dead_settled.clone()),
        ];
        for collector in all {
            registry.register(collector)?;
        }
        Ok(metrics)
    }
}
