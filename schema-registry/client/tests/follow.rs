//! The catalog, followed from the topics into snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jobico_broker::simulated::{Faults, Simulated};
use jobico_broker::{Append, Broker};
use jobico_catalog::Handle;
use jobico_event::catalog::{Active, Document, FunctionPin, JobVersion, Queue, Route, SchemaPin, Tenant};
use jobico_event::snapshot::Snapshot;
use jobico_event::{Digest, EventId, FileName, JobId, QueueId, RuntimeId, TenantId, name};
use jobico_service::Frame;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    log: Arc<Simulated>,
    frame: Frame,
}

impl World {
    async fn new() -> Self {
        let log = Simulated::new(1, Faults::default());
        log.ensure_topics(&jobico_catalog::follow::topics()).await.unwrap();
        Self { log, frame: Frame::new(PATIENCE) }
    }

    async fn follow(&self) -> Handle {
        jobico_catalog::start(&self.frame, self.log.clone()).await.unwrap()
    }

    async fn write(&self, topic: &str, records: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        let append = |(key, value)| Append { topic: topic.to_owned(), key: Some(key), value, headers: Vec::new() };
        for written in self.log.append(records.into_iter().map(append).collect()).await {
            written.unwrap();
        }
    }

    async fn documents(&self, documents: &[Document]) {
        let records = documents.iter().map(|document| (document.key().into_bytes(), Some(document.to_json())));
        self.write(name::CATALOG, records.collect()).await;
    }

    async fn schema(&self, id: u32, text: &str) {
        let key = format!(r#"{{"keytype":"SCHEMA","subject":"t.s","version":{id},"magic":1}}"#);
        let value = serde_json::json!({
            "subject": "t.s", "version": id, "id": id, "schemaType": "JSON", "schema": text, "deleted": false,
        });
        self.write(name::SCHEMAS, vec![(key.into_bytes(), Some(value.to_string().into_bytes()))]).await;
    }

    async fn stop(self) {
        self.frame.tasks.stop();
        self.frame.tasks.run().await.unwrap();
    }
}

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

fn made(id: &str) -> Document {
    Document::Tenant(Tenant::new(tenant(id), String::new()))
}

/// Version `version` of a job with the event `e`, checked against the schema with that id.
fn version(version: u32, schema: Option<u32>) -> [Document; 2] {
    let (queue, job) = (QueueId::new("q").unwrap(), JobId::new("j").unwrap());
    let function = FunctionPin {
        runtime: RuntimeId::new("r").unwrap(),
        name: FileName::new("f").unwrap(),
        digest: Digest::of(b"f"),
        main: "event".to_owned(),
    };
    let route = Route {
        event: EventId::new("e").unwrap(),
        queue: queue.clone(),
        schema: schema.map(|id| SchemaPin { subject: "t.s".to_owned(), version: id, id }),
        function,
        ok: None,
        error: None,
        key: None,
        timeout_ms: None,
    };
    let document = JobVersion {
        tenant: tenant("t"),
        job: job.clone(),
        version,
        replaces: None,
        name: None,
        deployed_at: String::new(),
        queues: vec![Queue { queue, pool: name::POOL_DEFAULT.to_owned(), pools: Vec::new(), partitions: None }],
        routes: vec![route],
        retry: jobico_event::retry::Retry::default(),
        source: String::new(),
    };
    let active = Active { tenant: tenant("t"), job, version, since: String::new() };
    [Document::Job(document), Document::Active(active)]
}

/// Waits for a snapshot that `expected` holds of.
async fn until(handle: &mut Handle, expected: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let wait = async {
        loop {
            let snapshot = handle.load();
            if expected(&snapshot) {
                return snapshot;
            }
            assert!(handle.changed().await, "the process has not stopped");
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the snapshot comes")
}

fn in_force(snapshot: &Snapshot) -> Option<u32> {
    snapshot.queue("t.q").map(|queue| queue.event(Some("e")).unwrap().version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_at_the_start_is_in_the_first_snapshot() {
    let world = World::new().await;
    world.documents(&[made("t"), made("u")]).await;
    let handle = world.follow().await;
    let snapshot = handle.load();
    assert!(["t", "u"].iter().all(|tenant| snapshot.tenant(tenant).is_some()) && snapshot.tenant("v").is_none());
    assert_eq!(snapshot.results_topics(), BTreeSet::new(), "they have no job, and so no topic");
    assert!(world.frame.health.is_ready());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_swapped_whole_and_the_former_stays_as_it_was() {
    let world = World::new().await;
    world.documents(&[made("t")]).await;
    let mut handle = world.follow().await;
    let (former, revision) = (handle.load(), handle.revision());
    world.documents(&version(1, None)).await;
    let snapshot = until(&mut handle, |snapshot| in_force(snapshot).is_some()).await;
    assert_eq!((in_force(&snapshot), in_force(&former)), (Some(1), None));
    assert!(handle.revision() > revision);

    // What has not changed is shared, not made again.
    world.documents(&[made("u")]).await;
    let later = until(&mut handle, |snapshot| snapshot.tenant("u").is_some()).await;
    assert!(Arc::ptr_eq(snapshot.queue("t.q").unwrap(), later.queue("t.q").unwrap()));

    // What is taken out is gone.
    world.write(name::CATALOG, vec![(b"active/t/j".to_vec(), None), (b"tenant/u".to_vec(), None)]).await;
    let last = until(&mut handle, |snapshot| snapshot.tenant("u").is_none()).await;
    assert_eq!((in_force(&last), last.tenants().count()), (None, 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_is_passed_over() {
    let world = World::new().await;
    let bytes = |text: &str| text.as_bytes().to_vec();
    let bad = vec![
        (bytes("tenant/x"), Some(bytes("not json"))),
        (bytes("tenant/x"), Some(bytes(r#"{"kind":"of the future"}"#))),
        (vec![0xff], Some(bytes("{}"))),
        (bytes("tenant/x"), None),
    ];
    world.write(name::CATALOG, bad.clone()).await;
    world.write(name::SCHEMAS, bad.clone()).await;
    world.documents(&[made("t")]).await;
    let mut handle = world.follow().await;
    assert!(handle.load().tenant("t").is_some());
    world.write(name::CATALOG, bad).await;
    world.documents(&[made("u")]).await;
    until(&mut handle, |snapshot| snapshot.tenant("u").is_some()).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_that_arrives_before_its_schema_keeps_the_former_version() {
    let world = World::new().await;
    world.schema(1, "{}").await;
    world.documents(&version(1, Some(1))).await;
    let mut handle = world.follow().await;
    assert_eq!(in_force(&handle.load()), Some(1));

    // What comes after the activation is seen, and the former version is in force with it.
    world.documents(&version(2, Some(2))).await;
    world.documents(&[made("u")]).await;
    let snapshot = until(&mut handle, |snapshot| snapshot.tenant("u").is_some()).await;
    assert_eq!(in_force(&snapshot), Some(1));

    world.schema(2, r#"{"type":"object"}"#).await;
    let snapshot = until(&mut handle, |snapshot| in_force(snapshot) == Some(2)).await;
    let event = snapshot.queue("t.q").unwrap().event(None).unwrap().clone();
    assert!(event.schema.check(b"3").is_err(), "with its own schema");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_makes_few_snapshots() {
    let world = World::new().await;
    let mut handle = world.follow().await;
    for index in 0..1_000 {
        world.documents(&[made(&format!("t{index}"))]).await;
    }
    until(&mut handle, |snapshot| snapshot.tenants().count() == 1_000).await;
    println!("1000 records in {} snapshots", handle.revision());
    assert!(handle.revision() < 100, "{} snapshots", handle.revision());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_log_is_away_the_start_waits_and_says_so() {
    let log = Simulated::new(1, Faults { unavailable: 1.0, ..Faults::default() });
    let frame = Frame::new(PATIENCE);
    let start = tokio::spawn({
        let (frame, log) = (frame.clone(), log.clone());
        async move { jobico_catalog::start(&frame, log).await.map_err(|error| error.to_string()) }
    });
    let failing = || frame.health.report().components.get("catalog").is_some_and(|why| why.starts_with("make topics"));
    let wait = async {
        while !failing() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{:?}", frame.health.report().components));
    assert!(!start.is_finished());
    log.misbehave(Faults::default());
    let handle = tokio::time::timeout(PATIENCE, start).await.unwrap().unwrap().unwrap();
    assert_eq!(handle.load().tenants().count(), 0);
    assert!(frame.health.is_ready());
    frame.tasks.stop();
    frame.tasks.run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_a_start_that_waits_for_the_log() {
    let log = Simulated::new(1, Faults { unavailable: 1.0, ..Faults::default() });
    let frame = Frame::new(PATIENCE);
    frame.tasks.stop();
    let started = tokio::time::timeout(PATIENCE, jobico_catalog::start(&frame, log)).await.unwrap();
    assert!(started.is_err());
    frame.tasks.run().await.unwrap();
}
