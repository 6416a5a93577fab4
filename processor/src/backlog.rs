//! How far a process is behind, and how long it needs for that: what to scale a pool on.
//!
//! Each worker measures its own, every few seconds, and the process shows the sums. Nothing is counted per event, and nothing
//! asked of the log: ends of partitions come with its answers.

use std::time::{Duration, Instant};

use prometheus::{Gauge, Opts, Registry, register_gauge_with_registry};

/// Of what a worker did before its last measurement, this part counts still: its rate follows a change within a few
/// measurements.
const KEPT: f64 = 0.5;

/// The sums of a process, as metrics.
#[derive(Debug, Clone)]
pub struct Sums {
    lag: Gauge,
    rate: Gauge,
    seconds: Gauge,
}

impl Sums {
    /// Registers those of a pool's processor.
    ///
    /// # Errors
    /// They are registered already.
    pub fn register(registry: &Registry, pool: &str) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            register_gauge_with_registry!(Opts::new(name, help).const_label("pool", pool), registry)
        };
        Ok(Self {
            lag: gauge(
                "jobico_processor_lag_events",
                "Events in the partitions that this process has and that are not done, retries aside",
            )?,
            rate: gauge(
                "jobico_processor_service_rate_events",
                "Events that the workers of this process do in a second of work, as measured lately",
            )?,
            seconds: gauge(
                "jobico_processor_backlog_seconds",
                "Time this process needs for its lag at its service rate; 0 before it did anything",
            )?,
        })
    }

    /// A worker's numbers changed by so much.
    fn change(&self, lag: f64, rate: f64) {
        self.lag.add(lag);
        self.rate.add(rate);
        let rate = self.rate.get();
        self.seconds.set(if rate > 0.0 { self.lag.get().max(0.0) / rate } else { 0.0 });
    }
}

/// What a worker measures.
#[derive(Debug)]
pub struct Backlog {
    sums: Sums,
    every: Duration,
    told_at: Option<Instant>,
    /// Done lately, and the seconds that took.
    done: f64,
    busy_s: f64,
    /// Its part of the sums.
    lag: f64,
    rate: f64,
}

impl Backlog {
    /// Of a worker that has done nothing yet, to be measured this often.
    #[must_use]
    pub fn new(sums: &Sums, every: Duration) -> Self {
        Self { sums: sums.clone(), every, told_at: None, done: 0.0, busy_s: 0.0, lag: 0.0, rate: 0.0 }
    }

    /// So many events were done and committed within this time.
    pub fn has_done(&mut self, events: usize, time: Duration) {
        self.done += events as f64;
        self.busy_s += time.as_secs_f64();
    }

    /// Whether it is time to measure.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.told_at.is_none_or(|at| at.elapsed() >= self.every)
    }

    /// The worker has so many events before it.
    pub fn tell(&mut self, lag: u64) {
        let rate = if self.busy_s > 0.0 { self.done / self.busy_s } else { self.rate };
        self.change(lag as f64, rate);
        self.done *= KEPT;
        self.busy_s *= KEPT;
        self.told_at = Some(Instant::now());
    }

    fn change(&mut self, lag: f64, rate: f64) {
        self.sums.change(lag - self.lag, rate - self.rate);
        (self.lag, self.rate) = (lag, rate);
    }
}

impl Drop for Backlog {
    /// What a member had before it, others have now.
    fn drop(&mut self) {
        self.change(0.0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_shows_the_sum_of_its_workers_and_the_time_they_need() {
        let sums = Sums::register(&Registry::new(), "p").unwrap();
        let (mut one, mut other) = (Backlog::new(&sums, Duration::ZERO), Backlog::new(&sums, Duration::ZERO));
        one.tell(500);
        assert_eq!((sums.lag.get(), sums.seconds.get()), (500.0, 0.0), "no rate is known yet");
        one.has_done(100, Duration::from_secs(1));
        one.tell(400);
        other.has_done(300, Duration::from_secs(1));
        other.tell(1_600);
        assert_eq!((sums.lag.get(), sums.rate.get(), sums.seconds.get()), (2_000.0, 400.0, 5.0));
        // Lately counts for more than before.
        one.has_done(100, Duration::from_millis(500));
        one.tell(0);
        assert_eq!(sums.rate.get(), 150.0 + 300.0);
        drop(other);
        assert_eq!((sums.lag.get(), sums.rate.get(), sums.seconds.get()), (0.0, 150.0, 0.0));
    }
}
