//! What a command does to the state: the records to write, or why it is refused. Pure: no I/O, no clock.
//!
//! A decision holds for the state it was made on. The store writes its records only while nobody else has written since,
//! and else decides again.

mod function;
mod job;
mod known;
mod refusal;
mod schema;
mod tenant;

use jobico_event::catalog::{Document, FunctionVersion, JobVersion, Tenant};
use jobico_event::contract::Module;
use jobico_event::job::JobFile;
use jobico_event::schema::SchemaError;
use jobico_event::{Digest, FileName, JobId, TenantId, name};

use crate::record;
use crate::state::{State, Text};

pub use refusal::Refusal;

/// The largest record that is written, bytes of key and value: what Kafka takes by default (1,000,000), less what its own
/// framing needs. The embedded log would take more; a deployment must not depend on which it is.
pub const RECORD_BYTES_MAX: usize = 990_000;
/// How many versions of a job are kept to go back to; older ones are taken out of the catalog.
pub const JOB_VERSIONS_MAX: usize = 50;

/// A change that somebody asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// A schema for a subject.
    RegisterSchema(RegisterSchema),
    /// A module for a name.
    UploadFunction(UploadFunction),
    /// Settings of a tenant.
    ChangeTenant(TenantId, TenantChange),
    /// A job file into force.
    Deploy(Box<JobFile>, Existing),
    /// The version before back into force.
    RollBack(TenantId, JobId),
}

/// See [`Command::ChangeTenant`]: what is none stays; an inner none goes back to the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// See [`Tenant::results_ttl_s`].
    pub results_ttl_s: Option<Option<u32>>,
    /// See [`Tenant::weight`].
    pub weight: Option<Option<u32>>,
    /// See [`Tenant::quota_ms_per_s`].
    pub quota_ms_per_s: Option<Option<u32>>,
}

/// See [`Command::RegisterSchema`].
#[derive(Debug, Clone)]
pub struct RegisterSchema {
    /// The subject: `{tenant}.{name}`.
    pub subject: String,
    /// The schema.
    pub text: Text,
    /// What is wrong with it as a JSON Schema.
    pub faults: Vec<SchemaError>,
    /// Which versions make it no new one.
    pub repeats: Repeats,
}

/// Which versions of a subject a schema is compared with, to see that it is registered already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Every version, as Confluent's registry does: producers of two releases that both register at their start do not
    /// make a new version each time.
    Any,
    /// The newest: who uploads an older text again wants it to be the newest, since a deployment pins that.
    Newest,
}

/// See [`Command::UploadFunction`].
#[derive(Debug, Clone)]
pub struct UploadFunction {
    /// Whose.
    pub tenant: TenantId,
    /// The name.
    pub name: FileName,
    /// The module's digest; its bytes are among the artifacts already.
    pub digest: Digest,
    /// Bytes in the module.
    pub size: u64,
    /// What its binary says.
    pub module: Module,
}

/// What a deployment does where the job is in force already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is refused.
    Refuse,
    /// It makes a new version.
    Update,
}

/// What a command comes to.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What to write in one transaction; empty = nothing changes.
    pub records: Vec<Record>,
    /// What to answer once that is written.
    pub answer: Answer,
}

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: &'static str,
    /// The key.
    pub key: Vec<u8>,
    /// The value; none takes the key's document out.
    pub value: Option<Vec<u8>>,
}

/// What came of a command.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A schema's place.
    Schema {
        /// The subject.
        subject: String,
        /// The version there.
        version: u32,
        /// The schema's id.
        id: u32,
        /// Whether the version is new.
        new: bool,
    },
    /// A function's newest version.
    Function {
        /// The version.
        version: FunctionVersion,
        /// Whether it is new.
        new: bool,
    },
    /// A tenant.
    Tenant(Tenant),
    /// The version of a job that is in force now.
    Job {
        /// The version.
        version: Box<JobVersion>,
        /// Whether anything has changed.
        new: bool,
    },
}

/// What `command` does to `state` at the time `now` (RFC 3339, UTC).
///
/// # Errors
/// [`Refusal`] says why it cannot be.
pub fn decide(state: &State, command: &Command, now: &str) -> Result<Decision, Refusal> {
    let decision = match command {
        Command::RegisterSchema(register) => schema::register(state, register, now),
        Command::UploadFunction(upload) => function::upload(state, upload, now),
        Command::ChangeTenant(tenant, change) => tenant::change(state, tenant, change),
        Command::Deploy(file, existing) => job::deploy(state, file, *existing, now),
        Command::RollBack(tenant, job) => job::roll_back(state, tenant, job, now),
    }?;
    match decision.records.iter().map(Record::bytes).max() {
        Some(bytes) if bytes > RECORD_BYTES_MAX => Err(Refusal::TooLarge { bytes, limit: RECORD_BYTES_MAX }),
        _ => Ok(decision),
    }
}

impl Record {
    fn document(document: &Document) -> Self {
        Self { topic: name::CATALOG, key: document.key().into_bytes(), value: Some(document.to_json()) }
    }

    fn tombstone(document: &Document) -> Self {
        Self { value: None, ..Self::document(document) }
    }

    fn schema(version: &record::Version) -> Self {
        let key = record::schema_key(&version.subject, version.version);
        Self { topic: name::SCHEMAS, key, value: Some(version.to_json()) }
    }

    /// Bytes of its key and value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests;
