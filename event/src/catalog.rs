//! The catalog's documents: what the control plane writes to [`crate::name::CATALOG`], one JSON document a key.
//!
//! A deployed job version is immutable and pins what it uses: schema ids and function digests. What is in force is a
//! document of its own ([`Active`]), so that a deployment and a rollback are one write.

use serde::{Deserialize, Serialize};

use crate::contract::{Contract, Exports};
use crate::digest::Digest;
use crate::id::{EventId, FileName, JobId, QueueId, RuntimeId, TenantId};
use crate::retry::Retry;

/// A document of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Document {
    /// A tenant and its settings.
    Tenant(Tenant),
    /// One uploaded version of a function's module.
    Function(FunctionVersion),
    /// One deployed version of a job; never changed.
    Job(JobVersion),
    /// Which version of a job is in force.
    Active(Active),
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub tenant: TenantId,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// How long its results stay in the result store, seconds; none = the recorder's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_ttl_s: Option<u32>,
    /// Its part of a worker's time beside other tenants that have events there: as many parts as this, 1 to [`WEIGHT_MAX`].
    #[serde(default = "weight_default")]
    pub weight: u32,
    /// Milliseconds that its functions may run in a second on each worker, 1 to [`QUOTA_MS_PER_S_MAX`]; none = no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_ms_per_s: Option<u32>,
}

/// See [`Tenant::weight`].
pub const WEIGHT_DEFAULT: u32 = 1;
/// See [`Tenant::weight`]: beside such a one, a tenant of weight 1 has a hundredth of the time, still more than nothing.
pub const WEIGHT_MAX: u32 = 100;
/// See [`Tenant::quota_ms_per_s`]: a worker is one thread, and has no more.
pub const QUOTA_MS_PER_S_MAX: u32 = 1_000;

fn weight_default() -> u32 {
    WEIGHT_DEFAULT
}

impl Tenant {
    /// A tenant without settings of its own.
    #[must_use]
    pub fn new(tenant: TenantId, created_at: String) -> Self {
        Self { tenant, created_at, results_ttl_s: None, weight: WEIGHT_DEFAULT, quota_ms_per_s: None }
    }
}

/// One uploaded version of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionVersion {
    /// Whose.
    pub tenant: TenantId,
    /// The name it was uploaded under: a job file's `moduleref`.
    pub name: FileName,
    /// From 1, in the order of uploads.
    pub version: u32,
    /// The module's SHA-256: its place among the artifacts.
    pub digest: Digest,
    /// Bytes in the module.
    pub size: u64,
    /// What its binary says of how it is called.
    pub contract: Contract,
    /// The functions it exports: a job may name one of the right type.
    #[serde(default)]
    pub exports: Exports,
    /// When it was uploaded, RFC 3339.
    pub uploaded_at: String,
}

/// One deployed version of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobVersion {
    /// Whose.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// From 1, in the order of deployments.
    pub version: u32,
    /// The version that was in force when this one was deployed: what a rollback puts back into force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u32>,
    /// Its friendly name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was deployed, RFC 3339.
    pub deployed_at: String,
    /// The queues it defines.
    pub queues: Vec<Queue>,
    /// What it does with each of its events, chained ones among them.
    pub routes: Vec<Route>,
    /// How its events are run again where their function failed; a version without it has the default.
    #[serde(default)]
    pub retry: Retry,
    /// The job file as it was sent.
    pub source: String,
}

/// A queue: one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its id.
    pub queue: QueueId,
    /// The pool of processors that reads it.
    pub pool: String,
    /// Every pool that it was ever in when this version was deployed, the first one first; empty = `pool` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Partitions it was asked to have; none = the registry's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
}

impl Queue {
    /// Every pool that it was ever in, its own among them, the first one first; one may come twice.
    pub fn all_pools(&self) -> impl Iterator<Item = &String> {
        self.pools.iter().chain([&self.pool])
    }
}

/// What a job does with one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The event.
    pub event: EventId,
    /// The queue it is written to.
    pub queue: QueueId,
    /// What it is checked against; none = any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaPin>,
    /// The function that handles it.
    pub function: FunctionPin,
    /// The event that a success becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<EventId>,
    /// The event that the function's own error becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<EventId>,
    /// JSON pointer (RFC 6901) to what becomes the record's key; none = spread over the partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Longest call of the function, milliseconds; none = the processor's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
}

/// A schema, by the id that never changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaPin {
    /// Its subject in the registry.
    pub subject: String,
    /// Its version there.
    pub version: u32,
    /// Its id.
    pub id: u32,
}

/// A function, by the digest of its module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionPin {
    /// The runtime of the job file that named it.
    pub runtime: RuntimeId,
    /// The name its module was uploaded under.
    pub name: FileName,
    /// The module.
    pub digest: Digest,
    /// The exported function to call.
    pub main: String,
}

/// Which version of a job is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// Whose.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// The version in force.
    pub version: u32,
    /// Since when, RFC 3339.
    pub since: String,
}

impl Document {
    /// The record's key: `tenant/T`, `function/T/NAME/VERSION`, `job/T/JOB/VERSION`, `active/T/JOB`.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Tenant(Tenant { tenant, .. }) => format!("tenant/{tenant}"),
            Self::Function(FunctionVersion { tenant, name, version, .. }) => {
                format!("function/{tenant}/{name}/{version}")
            }
            Self::Job(JobVersion { tenant, job, version, .. }) => format!("job/{tenant}/{job}/{version}"),
            Self::Active(Active { tenant, job, .. }) => format!("active/{tenant}/{job}"),
        }
    }

    /// The record's value.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a document holds strings and numbers alone, which JSON can write")
    }
}
