//! The time that an event is charged with: to its tenant's turn, quota and share.

use std::sync::Arc;
use std::time::Duration;

/// The time that has passed since some moment, which never goes back.
pub type Stopwatch = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Measures what a tenant's code and schemas take, and leaves out what the log does: it makes everybody wait, whoever has filled
/// the queue to it.
pub struct Meter {
    stopwatch: Stopwatch,
    /// None where it has stopped.
    since: Option<Duration>,
    charged: Duration,
}

impl Meter {
    /// One that has not begun.
    #[must_use]
    pub fn new(stopwatch: Stopwatch) -> Self {
        Self { stopwatch, since: None, charged: Duration::ZERO }
    }

    /// Begins with an event; nothing is charged yet.
    pub fn begin(&mut self) {
        self.charged = Duration::ZERO;
        self.since = Some((self.stopwatch)());
    }

    /// Stops, where it has not; what is charged.
    pub fn stop(&mut self) -> Duration {
        if let Some(since) = self.since.take() {
            self.charged += (self.stopwatch)().saturating_sub(since);
        }
        self.charged
    }

    /// Does something that is not charged.
    pub fn leave_out<T>(&mut self, something: impl FnOnce() -> T) -> T {
        if self.since.is_none() {
            return something();
        }
        self.stop();
        let done = something();
        self.since = Some((self.stopwatch)());
        done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_is_left_out_is_not_charged_and_nothing_is_once_it_has_stopped() {
        let now = Arc::new(AtomicU64::new(100));
        let passes = |seconds| now.fetch_add(seconds, Ordering::Relaxed);
        let clock = now.clone();
        let mut meter = Meter::new(Arc::new(move || Duration::from_secs(clock.load(Ordering::Relaxed))));
        meter.begin();
        passes(1);
        assert_eq!(meter.leave_out(|| passes(20)), 101);
        passes(3);
        assert_eq!(meter.stop(), Duration::from_secs(4));
        meter.leave_out(|| passes(50));
        passes(60);
        assert_eq!(meter.stop(), Duration::from_secs(4));
        meter.begin();
        passes(7);
        assert_eq!(meter.stop(), Duration::from_secs(7));
    }
}
