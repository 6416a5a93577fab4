//! Functions are made ready before their first event: those of the queues that a worker reads.

use std::collections::HashMap;

use jobico_broker::Consumer;
use jobico_event::snapshot::Snapshot;
use jobico_event::{Digest, TenantId};

use crate::library::Library;

/// What a worker has foreseen.
#[derive(Debug, Default)]
pub struct Foresight(HashMap<Digest, TenantId>);

impl Foresight {
    /// Tells the library what the functions of the member's queues are, where it does not know yet. To be called when the
    /// catalog or the assignment has changed.
    pub fn look(&mut self, member: &dyn Consumer, snapshot: &Snapshot, library: &Library) {
        let assigned = member.assignment();
        let mut queues: Vec<_> = assigned.iter().filter_map(|at| snapshot.queue(&at.topic)).collect();
        // A topic's partitions stand side by side.
        queues.dedup_by(|one, other| one.topic == other.topic);
        let functions = queues.iter().flat_map(|queue| queue.events.values());
        let now: HashMap<_, _> = functions.map(|event| (event.function.digest, event.tenant.clone())).collect();
        for (digest, tenant) in now.iter().filter(|(digest, _)| !self.0.contains_key(digest)) {
            library.foresee(tenant, digest);
        }
        self.0 = now;
    }
}
