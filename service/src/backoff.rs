//! Waits after errors: they grow, and end at once where the process stops.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// A thread that waits looks this often whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Doublings after which any wait is at its longest.
const DOUBLINGS_MAX: u32 = 10;

/// Waits that double with each error in a row.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    errors: u32,
}

impl Backoff {
    /// From the wait after the first error to the longest.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, errors: 0 }
    }

    /// There was an error: how long to wait.
    pub fn after_error(&mut self) -> Duration {
        let wait = self.min.saturating_mul(1 << self.errors.min(DOUBLINGS_MAX)).min(self.max);
        self.errors = self.errors.saturating_add(1);
        wait
    }

    /// How many errors there were in a row.
    #[must_use]
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// Something went well.
    pub fn reset(&mut self) {
        self.errors = 0;
    }
}

/// Has the calling thread wait, but not beyond the stop.
pub fn sleep(stop: &CancellationToken, wait: Duration) {
    let until = Instant::now() + wait;
    while !stop.is_cancelled() {
        match until.checked_duration_since(Instant::now()) {
            Some(rest) if !rest.is_zero() => std::thread::sleep(rest.min(LOOK_EVERY)),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew_after_a_success() {
        let (min, max) = (Duration::from_millis(20), Duration::from_secs(2));
        let mut backoff = Backoff::new(min, max);
        assert_eq!((backoff.after_error(), backoff.after_error(), backoff.errors()), (min, min * 2, 2));
        assert_eq!((0..100).map(|_| backoff.after_error()).max(), Some(max));
        backoff.reset();
        assert_eq!((backoff.errors(), backoff.after_error()), (0, min));
    }

    #[test]
    fn a_wait_ends_with_the_process() {
        let stop = CancellationToken::new();
        stop.cancel();
        let begun = Instant::now();
        sleep(&stop, Duration::from_secs(600));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
