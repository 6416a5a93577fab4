//! Why a command is refused.

use jobico_event::schema::SchemaError;
use jobico_event::{EventId, JobId, QueueId, TenantId, job};

/// Why a command is refused. What it asks for cannot be, whenever it is asked again, unless something else changes first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is no JSON Schema that can be used.
    #[error("the schema cannot be used: {}", joined(.0))]
    Schema(Vec<SchemaError>),
    /// A schema of another type, which is not registered already.
    #[error(
        "schemas of the type {0} are not registered here: Jobico checks events against JSON Schema; send schemaType JSON"
    )]
    SchemaKind(String),
    /// A schema that refers to other subjects.
    #[error("references to other subjects are not followed; put the definitions into the schema itself, under $defs")]
    References,
    /// A subject that is not `{tenant}.{name}`.
    #[error("'{subject}' is no subject that schemas are registered to, which is {{tenant}}.{{schema}}: {reason}")]
    Subject {
        /// The subject.
        subject: String,
        /// Which rule it breaks.
        reason: String,
    },
    /// A subject that only stands for another.
    #[error(
        "'{alias}' stands for the subject '{subject}': its queue carries one event, which is checked against that; register the schema to '{subject}'"
    )]
    Alias {
        /// The subject asked for.
        alias: String,
        /// What it stands for.
        subject: String,
    },
    /// There are no ids or versions left.
    #[error("the numbers of {0} are used up: the topic _schemas holds the last one that there can be")]
    UsedUp(&'static str),
    /// A record that the log would not take.
    #[error("this would be a record of {bytes} bytes, and {limit} are allowed")]
    TooLarge {
        /// Bytes of its key and value.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The job file has faults.
    #[error("the job file has {} fault{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    JobFile(Vec<job::Fault>),
    /// The job is in force already.
    #[error(
        "the job '{job}' of tenant '{tenant}' is deployed already, as version {version}; to make a new version of it: jobico deploy --update, or update=true"
    )]
    JobExists {
        /// Whose.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The version in force.
        version: u32,
    },
    /// There is no such tenant.
    #[error("there is no tenant '{0}'; uploading a schema or a function makes one")]
    NoTenant(TenantId),
    /// There is no such job.
    #[error("tenant '{tenant}' has no job '{job}'")]
    NoJob {
        /// Whose.
        tenant: TenantId,
        /// The job.
        job: JobId,
    },
    /// There is no version to go back to.
    #[error("the job '{job}' of tenant '{tenant}' has nothing to go back to before its version {version}")]
    NothingBefore {
        /// Whose.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The version in force.
        version: u32,
    },
    /// The version to go back to has an event that another job has taken over since.
    #[error(
        "version {version} has the event '{event}', which belongs to the job '{owner}' now; deploy a file without it, or take it out of '{owner}'"
    )]
    EventTaken {
        /// The version to go back to.
        version: u32,
        /// The event.
        event: EventId,
        /// The job in force that has it.
        owner: JobId,
    },
    /// The version to go back to reads a queue with another pool than a job in force.
    #[error(
        "version {version} reads the queue '{queue}' with the pool '{pool}', and the job '{other}' with '{other_pool}' now; a queue is read by one pool"
    )]
    QueueTaken {
        /// The version to go back to.
        version: u32,
        /// The queue.
        queue: QueueId,
        /// The pool that it asks for.
        pool: String,
        /// The job in force that has the queue too.
        other: JobId,
        /// The pool of that job.
        other_pool: String,
    },
}

fn joined(faults: &[SchemaError]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
