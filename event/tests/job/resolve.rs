//! What a job file names outside of itself.

use std::collections::HashMap;

use jobico_event::catalog::{Queue, SchemaPin};
use jobico_event::contract::Exports;
use jobico_event::job::{self, Fault, Function, Known};
use jobico_event::{Digest, EventId, FileName, JobId, QueueId, TenantId, name};

use super::LOWER;

/// What a tenant has uploaded, and what another job of it has in force.
#[derive(Default)]
struct Uploaded {
    schemas: Vec<&'static str>,
    modules: HashMap<&'static str, Vec<(&'static str, &'static str)>>,
    events: HashMap<&'static str, &'static str>,
    queues: HashMap<&'static str, Queue>,
}

impl Known for Uploaded {
    fn schema(&self, tenant: &TenantId, schema: &FileName) -> Option<SchemaPin> {
        let index = self.schemas.iter().position(|known| *known == schema.as_str())?;
        Some(SchemaPin { subject: name::subject(tenant, schema), version: 3, id: 40 + index as u32 })
    }

    fn function(&self, _: &TenantId, module: &FileName) -> Option<Function> {
        let exports = self.modules.get(module.as_str())?;
        let exports: Exports =
            exports.iter().map(|(name, r#type)| ((*name).to_owned(), (*r#type).to_owned())).collect();
        Some(Function { digest: Digest::of(module.as_str().as_bytes()), exports })
    }

    fn event_owner(&self, _: &TenantId, event: &EventId) -> Option<JobId> {
        self.events.get(event.as_str()).map(|job| JobId::new(job).expect("an id"))
    }

    fn queue_elsewhere(&self, _: &TenantId, _: &JobId, queue: &QueueId) -> Option<(JobId, Queue)> {
        self.queues.get(queue.as_str()).map(|queue| (JobId::new("other").expect("an id"), queue.clone()))
    }
}

const MAIN: (&str, &str) = ("event", "(i32, i32, i32) -> ()");

fn all() -> Uploaded {
    Uploaded {
        schemas: vec!["customer.json"],
        modules: [("customer.wasm", vec![MAIN]), ("r2.wasm", vec![MAIN])].into(),
        ..Uploaded::default()
    }
}

fn faults(known: &Uploaded) -> Vec<String> {
    let file = job::parse(LOWER).expect("the file is right");
    job::resolve(&file, known).expect_err("something is missing").iter().map(Fault::to_string).collect()
}

#[test]
fn a_deployment_pins_schemas_by_id_and_modules_by_digest() {
    let file = job::parse(LOWER).unwrap();
    let (queues, routes) = job::resolve(&file, &all()).unwrap();

    let queues: Vec<_> = queues.iter().map(|q| (q.queue.as_str(), q.pool.as_str(), q.partitions)).collect();
    assert_eq!(queues, [("queue-default", "default", None), ("q2", "heavy", Some(6)), ("q3", "default", None)]);

    let route = &routes[0];
    assert_eq!(route.schema, Some(SchemaPin { subject: "my-tenant-1.customer.json".to_owned(), version: 3, id: 40 }));
    assert_eq!(route.function.digest, Digest::of(b"customer.wasm"));
    assert_eq!((route.function.name.as_str(), route.function.main.as_str()), ("customer.wasm", "event"));
    assert_eq!((route.key.as_deref(), route.timeout_ms), (Some("/customer/id"), None));
    let chain: Vec<_> = routes.iter().map(|r| (r.event.as_str(), r.queue.as_str(), r.timeout_ms)).collect();
    assert_eq!(chain[1..], [("registered", "q2", Some(2500)), ("rejected", "q3", Some(2500))]);
    assert_eq!(route.ok, Some(routes[1].event.clone()));
    assert_eq!(route.error, Some(routes[2].event.clone()));
}

#[test]
fn all_that_was_never_uploaded_is_named_with_the_command_that_uploads_it() {
    assert_eq!(
        faults(&Uploaded::default()),
        [
            "line 14, column 51: jobs[0].event.schema.schemaref: no schema was uploaded under the name 'customer.json'; \
             upload it first: jobico upload json my-tenant-1 customer.json FILE",
            "line 22, column 61: runtimes[0].moduleref: no module was uploaded under the name 'customer.wasm'; upload it \
             first: jobico upload wasm my-tenant-1 customer.wasm FILE",
            "line 23, column 25: runtimes[1].moduleref: no module was uploaded under the name 'r2.wasm'; upload it first: \
             jobico upload wasm my-tenant-1 r2.wasm FILE",
        ]
    );
}

#[test]
fn a_module_without_the_main_function_is_refused() {
    let mut known = all();
    known.modules.insert("customer.wasm", vec![("event", "(i32) -> ()"), ("handle", MAIN.1)]);
    known.modules.insert("r2.wasm", vec![]);
    assert_eq!(
        faults(&known),
        [
            "line 22, column 90: runtimes[0].mainfuncname: events cannot be given to 'event' of 'customer.wasm': the module \
             exports 'event' as (i32) -> (), and it must be (i32, i32, i32) -> (); 'handle' is exported and has the right \
             type",
            "line 23, column 25: runtimes[1].moduleref: events cannot be given to 'event' of 'r2.wasm': the module exports \
             no function 'event'; it exports no function of the type (i32, i32, i32) -> () at all",
        ]
    );
}

#[test]
fn an_event_of_another_job_is_refused_and_one_of_the_same_job_is_not() {
    let mut known = all();
    known.events.insert("customer-registration", "customer-proc-jobs");
    known.events.insert("rejected", "other");
    assert_eq!(
        faults(&known),
        ["line 20, column 19: jobs[0].result.error.id: the event 'rejected' belongs to the job 'other', which is in \
             force; an event belongs to one job, so give this one another id"]
    );
}

#[test]
fn a_queue_that_another_job_defines_otherwise_is_refused() {
    let mut known = all();
    let other = |queue, pool: &str, partitions| Queue {
        queue: QueueId::new(queue).unwrap(),
        pool: pool.to_owned(),
        pools: Vec::new(),
        partitions,
    };
    known.queues.insert("queue-default", other("queue-default", "default", Some(12)));
    known.queues.insert("q2", other("q2", "slow", Some(8)));
    assert_eq!(
        faults(&known),
        [
            "line 7, column 10: queues[1].id: the job 'other' defines the queue 'q2' for the pool 'slow', here it is for \
             'heavy'; a queue is read by one pool",
            "line 7, column 10: queues[1].id: the job 'other' defines the queue 'q2' with 8 partitions, here it has 6; leave \
             'partitions' out, or say the same in both",
        ],
        "queue-default says nothing of partitions, which agrees with any"
    );
}
