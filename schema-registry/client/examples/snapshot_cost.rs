//! What a snapshot costs with many tenants: `cargo run --release -p jobico-catalog --example snapshot_cost [TENANTS]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::time::Instant;

use jobico_event::catalog::{Active, Document, FunctionPin, JobVersion, Queue, Route, SchemaPin, Tenant};
use jobico_event::snapshot::Catalog;
use jobico_event::{Digest, EventId, FileName, JobId, QueueId, RuntimeId, TenantId, name};

/// Events of each tenant's one job.
const EVENTS: u32 = 3;

fn main() {
    let tenants: u32 = std::env::args().nth(1).map_or(10_000, |text| text.parse().unwrap());
    let mut catalog = Catalog::default();
    let began = Instant::now();
    for index in 0..tenants {
        fill(&mut catalog, index);
    }
    println!("{tenants} tenants of {EVENTS} events: {:?} to read, schemas compiled", began.elapsed());
    for index in 0..5 {
        // The first is made from nothing; before each of the others one tenant's job is deployed again.
        if index > 0 {
            fill(&mut catalog, index);
        }
        let began = Instant::now();
        let snapshot = catalog.snapshot();
        println!("  {:?} for a snapshot of {} tenants", began.elapsed(), snapshot.tenants().count());
    }
}

fn fill(catalog: &mut Catalog, index: u32) {
    let tenant = TenantId::new(&format!("tenant-{index}")).unwrap();
    let (job, queue) = (JobId::new("job").unwrap(), QueueId::new("queue").unwrap());
    let (subject, id) = (format!("{tenant}.customer.json"), index + 1);
    let text = format!(
        r#"{{"title":"{index}","type":"object","required":["name"],"properties":{{"name":{{"type":"string"}}}}}}"#
    );
    let value = serde_json::json!({"subject": subject, "version": 1, "id": id, "schemaType": "JSON", "schema": text});
    let key = format!(r#"{{"keytype":"SCHEMA","subject":"{subject}","version":1,"magic":1}}"#);
    catalog.apply_schema(key.as_bytes(), Some(value.to_string().as_bytes())).unwrap();
    let route = |event: u32| Route {
        event: EventId::new(&format!("event-{event}")).unwrap(),
        queue: queue.clone(),
        schema: Some(SchemaPin { subject: subject.clone(), version: 1, id }),
        function: FunctionPin {
            runtime: RuntimeId::new("runtime").unwrap(),
            name: FileName::new("customer.wasm").unwrap(),
            digest: Digest::of(&index.to_be_bytes()),
            main: "event".to_owned(),
        },
        ok: None,
        error: None,
        key: None,
        timeout_ms: None,
    };
    let (at, pool) = (String::new(), name::POOL_DEFAULT.to_owned());
    let documents = [
        Document::Tenant(Tenant::new(tenant.clone(), at.clone())),
        Document::Job(JobVersion {
            tenant: tenant.clone(),
            job: job.clone(),
            version: 1,
            replaces: None,
            name: None,
            deployed_at: at.clone(),
            queues: vec![Queue { queue: queue.clone(), pool, pools: Vec::new(), partitions: None }],
            routes: (0..EVENTS).map(route).collect(),
            retry: jobico_event::retry::Retry::default(),
            source: String::new(),
        }),
        Document::Active(Active { tenant, job, version: 1, since: at }),
    ];
    for document in documents {
        catalog.apply(document.key().as_bytes(), Some(&document.to_json())).unwrap();
    }
}
