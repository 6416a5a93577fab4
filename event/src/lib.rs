//! The contract between Jobico's services. Pure: no I/O, no async, no clock.
//!
//! ```text
//! bytes ─► schema::Schema::check ─► ValidEvent ─► record headers ─► {tenant}.{queue}
//!                                                                      │
//! job file ─► job ─► catalog documents ─► snapshot::Snapshot ──► route │
//!                                                                      ▼
//!                                  outcome of the function ─► result ─► {tenant}.results
//! ```
//!
//! What two services must agree on stands here, once: ids, the names of topics, groups and transactional ids, the
//! headers of a record, the verdict on an event, the job file, the catalog's documents and what they add up to.

pub mod id;
pub mod name;

pub mod job;

pub mod catalog;
pub mod snapshot;

pub mod schema;

pub mod decode;
pub mod header;
pub mod key;

pub mod contract;
pub mod digest;

pub mod dead_letter;
pub mod function_log;
pub mod result;
pub mod retry;

pub mod text;

pub use digest::Digest;
pub use id::{EventId, FileName, JobId, PoolId, QueueId, RuntimeId, TenantId};
pub use schema::{Schema, ValidEvent, Violation};
