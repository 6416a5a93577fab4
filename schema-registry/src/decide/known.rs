//! What a job file may name, as the state has it.

use jobico_event::catalog::{Queue, SchemaPin};
use jobico_event::job::{Function, Known};
use jobico_event::{EventId, FileName, JobId, QueueId, TenantId, name};

use crate::state::{JSON, State};

/// The state, as a job file's references see it.
pub(super) struct Uploaded<'a>(pub(super) &'a State);

impl Known for Uploaded<'_> {
    fn schema(&self, tenant: &TenantId, schema: &FileName) -> Option<SchemaPin> {
        let subject = name::subject(tenant, schema);
        let newest = self.0.schemas.latest(&subject).filter(|newest| newest.text.kind() == JSON)?;
        Some(SchemaPin { version: newest.version, id: newest.id, subject })
    }

    fn function(&self, tenant: &TenantId, module: &FileName) -> Option<Function> {
        let newest = self.0.function(tenant, module)?;
        Some(Function { digest: newest.digest, exports: newest.exports.clone() })
    }

    fn event_owner(&self, tenant: &TenantId, event: &EventId) -> Option<JobId> {
        self.0.event_owner(tenant, event).cloned()
    }

    fn queue_elsewhere(&self, tenant: &TenantId, job: &JobId, queue: &QueueId) -> Option<(JobId, Queue)> {
        self.0.all_in_force(tenant).filter(|(_, other)| other.job != *job).find_map(|(_, other)| {
            let found = other.queues.iter().find(|found| found.queue == *queue)?;
            Some((other.job.clone(), found.clone()))
        })
    }
}
