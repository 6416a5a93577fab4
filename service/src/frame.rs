//! What every service is given.

use std::time::Duration;

use crate::{Health, Tasks, metrics};

/// What a service is given to live in: where it counts, reports and runs.
#[derive(Clone)]
pub struct Frame {
    /// Its metrics go here; `/metrics` shows them.
    pub metrics: prometheus::Registry,
    /// What `/readyz` asks.
    pub health: Health,
    /// What runs, and what stops it.
    pub tasks: Tasks,
    /// Whether traces are exported: where they are not, spans of single events are not made.
    pub traces: bool,
}

impl Frame {
    /// A frame for one process.
    #[must_use]
    pub fn new(drain: Duration) -> Self {
        Self { metrics: metrics::registry(), health: Health::default(), tasks: Tasks::new(drain), traces: false }
    }
}
