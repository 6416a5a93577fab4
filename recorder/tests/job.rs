//! A tenant's documents in the catalog: recorders read the results of those that have a job.

use jobico_event::catalog::{Active, Document, FunctionPin, JobVersion, Queue, Route, Tenant};
use jobico_event::retry::{Retry, Tier};
use jobico_event::{Digest, EventId, FileName, JobId, QueueId, RuntimeId, TenantId};

/// A tenant and its one job, in force, with a queue `q` in a pool.
pub fn documents(tenant: &TenantId, pool: &str) -> [Document; 3] {
    let (job, queue) = (JobId::new("job").unwrap(), QueueId::new("q").unwrap());
    let function = FunctionPin {
        runtime: RuntimeId::new("r").unwrap(),
        name: FileName::new("f.wasm").unwrap(),
        digest: Digest::of(b""),
        main: "event".to_owned(),
    };
    let route = Route {
        event: EventId::new("e").unwrap(),
        queue: queue.clone(),
        schema: None,
        function,
        ok: None,
        error: None,
        key: None,
        timeout_ms: None,
    };
    let version = JobVersion {
        tenant: tenant.clone(),
        job: job.clone(),
        version: 1,
        replaces: None,
        name: None,
        deployed_at: String::new(),
        queues: vec![Queue { queue, pool: pool.to_owned(), pools: Vec::new(), partitions: None }],
        routes: vec![route],
        retry: Retry { attempts: 2, tiers: vec![Tier::S1], ..Retry::default() },
        source: String::new(),
    };
    let active = Active { tenant: tenant.clone(), job, version: 1, since: String::new() };
    [Document::Tenant(Tenant::new(tenant.clone(), String::new())), Document::Job(version), Document::Active(active)]
}
