//! The job file: what a tenant writes to say which events it takes, on which queues, and what handles them.
//!
//! ```text
//! text ─► yaml (tree with places) ─► read (keys, types, ids) ─► chain (events, references, loops) ─► JobFile
//!                                                                                                     │ resolve
//!                                catalog::Queue, catalog::Route ◄── schemas, modules, other jobs ◄────┘ (Known)
//! ```
//!
//! The format is that of Jobico-fn, in both of its spellings; docs/jobs.md describes it for users. Everything that is
//! wrong with a file is reported at once, each [`Fault`] with line, column and path.

mod chain;
mod fields;
mod read;
mod resolve;
mod yaml;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{EventId, FileName, JobId, PoolId, QueueId, RuntimeId, TenantId};
use crate::retry::Retry;

pub use resolve::{Function, Known, resolve};

/// The largest job file, bytes. Its text is part of a catalog record, escaped as JSON and next to all that it defines;
/// with the limits below that record stays under the megabyte that Kafka takes by default.
pub const FILE_BYTES_MAX: usize = 256 << 10;
/// The most values in a job file, aliases counted as often as they are used.
pub const NODES_MAX: usize = 20_000;
/// How deep a job file may nest. What it describes needs eight levels.
pub const DEPTH_MAX: usize = 24;
/// How many faults are reported of one file.
pub const FAULTS_MAX: usize = 100;
/// The most queues in one job file.
pub const QUEUES_MAX: usize = 100;
/// The most events in one job file, chained ones among them.
pub const EVENTS_MAX: usize = 256;
/// The most runtimes in one job file.
pub const RUNTIMES_MAX: usize = 100;
/// The longest friendly name, bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest `key` of an event, bytes.
pub const KEY_BYTES_MAX: usize = 255;
/// The most partitions that a queue may ask for: each is paid for by the whole cluster.
pub const PARTITIONS_MAX: u32 = 1_000;
/// The longest `timeoutms` of a runtime, milliseconds.
pub const TIMEOUT_MS_MAX: u32 = 60_000;
/// The function that is called where a runtime does not name one.
pub const MAIN_DEFAULT: &str = "event";

/// A job file that holds together by itself. Whether the schemas and modules that it names exist is what [`resolve`]
/// says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFile {
    /// Whose job.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// Its friendly name.
    pub name: Option<String>,
    /// The queues it defines, in the order of the file; at least one.
    pub queues: Vec<QueueSpec>,
    /// Its events: those of `jobs` in the order of the file, then those that stand in a `result` alone; at least one.
    pub events: Vec<EventSpec>,
    /// The runtimes it defines, in the order of the file; at least one.
    pub runtimes: Vec<RuntimeSpec>,
    /// How its events are run again where their function failed.
    pub retry: Retry,
    /// The file's text, byte for byte.
    pub source: String,
}

/// A queue as a job file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its id.
    pub queue: QueueId,
    /// Its friendly name.
    pub name: Option<String>,
    /// The pool that reads it; none = [`crate::name::POOL_DEFAULT`].
    pub pool: Option<PoolId>,
    /// Partitions, 1 to [`PARTITIONS_MAX`]; none = the registry's default.
    pub partitions: Option<u32>,
    /// Where its id stands.
    pub place: Place,
}

/// An event as a job file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSpec {
    /// Its id.
    pub event: EventId,
    /// Its friendly name.
    pub name: Option<String>,
    /// The queue it is written to; the file defines it.
    pub queue: QueueId,
    /// What it is checked against; none = any JSON.
    pub schema: Option<SchemaSpec>,
    /// What handles it; the file defines it.
    pub runtime: RuntimeId,
    /// The event that a success becomes; it is among the file's events.
    pub ok: Option<EventId>,
    /// The event that the function's own error becomes; it is among the file's events.
    pub error: Option<EventId>,
    /// JSON pointer (RFC 6901) to what becomes the record's key; none = spread over the partitions.
    pub key: Option<String>,
    /// Where its id stands.
    pub place: Place,
}

/// A schema as a job file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaSpec {
    /// What the file calls it; Jobico makes no use of it.
    pub id: Option<String>,
    /// Its friendly name.
    pub name: Option<String>,
    /// The name it was uploaded under.
    pub schemaref: FileName,
    /// Where `schemaref` stands.
    pub place: Place,
}

/// A runtime as a job file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeSpec {
    /// Its id.
    pub runtime: RuntimeId,
    /// Its friendly name.
    pub name: Option<String>,
    /// The name its module was uploaded under.
    pub moduleref: FileName,
    /// The exported function to call.
    pub main: String,
    /// Longest call, 1 to [`TIMEOUT_MS_MAX`] milliseconds; none = the processor's default.
    pub timeout_ms: Option<u32>,
    /// Where `moduleref` stands.
    pub place: Place,
    /// Where `mainfuncname` stands, or `moduleref` where it is left out.
    pub main_place: Place,
}

/// A place in a job file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Path of keys and indices, as the file spells the keys: `jobs[0].event.id`; empty = the whole file.
    pub path: String,
}

/// One thing that is wrong with a job file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Path of keys and indices, as the file spells the keys: `jobs[0].event.id`; empty = the whole file.
    pub path: String,
    /// What is wrong and how to mend it, for people.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

impl std::error::Error for Fault {}

/// Parses a job file.
///
/// # Errors
/// Every [`Fault`] of the file in the order of their places, up to [`FAULTS_MAX`]. Where the text is no YAML, or breaks
/// a limit, that one fault is all: nothing after it can be trusted.
pub fn parse(text: &str) -> Result<JobFile, Vec<Fault>> {
    let tree = yaml::load(text).map_err(|fault| vec![fault])?;
    let mut faults = fields::Faults::default();
    let file = read::document(&tree, &mut faults).and_then(|draft| chain::connect(draft, text, &mut faults));
    let faults = faults.into_sorted();
    match file {
        Some(file) if faults.is_empty() => Ok(file),
        _ => Err(faults),
    }
}
