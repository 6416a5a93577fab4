//! What a service on the data path sees of a tenant, a queue, an event and a function.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Digest;
use crate::id::{EventId, FileName, JobId, TenantId};
use crate::retry::Retry;
use crate::schema::Schema;

/// A tenant, at one moment.
#[derive(Debug)]
pub struct TenantView {
    /// See [`Tenant::results_ttl_s`](crate::catalog::Tenant::results_ttl_s).
    pub results_ttl_s: Option<u32>,
    /// See [`Tenant::weight`](crate::catalog::Tenant::weight); within its limits, whatever the document says.
    pub weight: u32,
    /// See [`Tenant::quota_ms_per_s`](crate::catalog::Tenant::quota_ms_per_s); within its limits, whatever the document says.
    pub quota_ms_per_s: Option<u32>,
    /// The events it takes.
    pub events: HashMap<EventId, Arc<EventView>>,
}

/// A queue, at one moment: what a processor needs to know of a topic.
#[derive(Debug)]
pub struct QueueView {
    /// Whose.
    pub tenant: TenantId,
    /// Its topic.
    pub topic: String,
    /// The pool that reads it.
    pub pool: String,
    /// Every pool that it was ever in, `pool` among them, the first one first.
    pub pools: Vec<String>,
    /// The events it carries.
    pub events: HashMap<EventId, Arc<EventView>>,
}

/// An event, at one moment: how it is checked, where it goes, what handles it.
#[derive(Debug)]
pub struct EventView {
    /// Whose.
    pub tenant: TenantId,
    /// The job that takes it.
    pub job: JobId,
    /// The job's version.
    pub version: u32,
    /// The event.
    pub event: EventId,
    /// The topic of its queue.
    pub topic: String,
    /// The topic of its tenant's results.
    pub results: String,
    /// The topic of its tenant's dead letters.
    pub dead: String,
    /// CloudEvents `source` of what its job writes: `/jobs/{tenant}/{job}`.
    pub source: String,
    /// CloudEvents `type` of its results: `{job}.result`.
    pub result_type: String,
    /// What it is checked against.
    pub schema: Schema,
    /// JSON pointer to what becomes the record's key.
    pub key: Option<String>,
    /// What handles it.
    pub function: FunctionView,
    /// The event that a success becomes.
    pub ok: Option<Onward>,
    /// The event that the function's own error becomes.
    pub error: Option<Onward>,
    /// What becomes of it where its function fails.
    pub retry: Arc<Retry>,
}

/// A function, at one moment.
#[derive(Debug, Clone)]
pub struct FunctionView {
    /// The name its module was uploaded under.
    pub name: FileName,
    /// The module.
    pub digest: Digest,
    /// The exported function to call.
    pub main: String,
    /// `name@digest`, as the header `jobico-function` has it.
    pub label: String,
    /// Longest call, milliseconds; none = the processor's default.
    pub timeout_ms: Option<u32>,
}

/// The next event of a chain.
#[derive(Debug, Clone)]
pub struct Onward {
    /// The event.
    pub event: EventId,
    /// The topic of its queue.
    pub topic: String,
    /// What it is checked against.
    pub schema: Schema,
    /// JSON pointer to what becomes the record's key.
    pub key: Option<String>,
}

impl QueueView {
    /// The first pool that it was in: the one that has what no pool has begun.
    #[must_use]
    pub fn home(&self) -> &str {
        self.pools.first().unwrap_or(&self.pool)
    }

    /// Whether it was ever in another pool than its first.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.pools.len() > 1
    }

    /// The event a record is: the one it names, or the only one of the queue where it names none.
    #[must_use]
    pub fn event(&self, ce_type: Option<&str>) -> Option<&Arc<EventView>> {
        match ce_type {
            Some(event) => self.events.get(event),
            None if self.events.len() == 1 => self.events.values().next(),
            None => None,
        }
    }
}
