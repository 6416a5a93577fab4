//! Job files into force, and back.

use std::time::Instant;

use jobico_event::EventId;
use serde_json::json;

use crate::fixture::{CUSTOMER, PATIENCE, World, job, module};

pub async fn a_deployment_reaches_another_process(world: &World) {
    let registry = world.registry().await;
    registry.upload_parts("t").await;
    let mut catalog = jobico_catalog::start(&world.frame(), world.broker()).await.unwrap();
    assert!(catalog.load().tenant("t").is_some_and(|tenant| tenant.events.is_empty()));

    let answer = registry.deploy(&job("t", "j", "e", "q")).await.expect(201);
    assert_eq!(
        answer,
        json!({"tenant": "t", "job": "j", "version": 1, "events": ["e"], "topics": ["t.q", "t.results", "t.dead"]})
    );
    let answered = Instant::now();
    let event = EventId::new("e").unwrap();
    let view = tokio::time::timeout(PATIENCE, async {
        loop {
            let snapshot = catalog.load();
            if let Some(view) = snapshot.tenant("t").and_then(|tenant| tenant.events.get(&event)) {
                return view.clone();
            }
            assert!(catalog.changed().await);
        }
    });
    let view = view.await.expect("the deployment reaches the other process");
    println!("in force in another process {:?} after the answer", answered.elapsed());
    assert_eq!((view.version, view.topic.as_str()), (1, "t.q"));
    assert!(view.schema.check(br#"{"name":"Ada"}"#).is_ok() && view.schema.check(b"{}").is_err());
    assert_eq!(view.function.digest.to_string(), jobico_event::Digest::of(&module("")).to_string());

    let topics = world.broker().topics().await.unwrap();
    for topic in ["t.q", "t.results", "t.dead", "jobico.log"] {
        assert!(topics.contains(topic), "{topic} is not among {topics:?}");
    }
    let shown = registry.get("/v1/tenants/t/jobs/j").await.expect(200);
    assert_eq!(shown["active"]["source"], job("t", "j", "e", "q"));
    assert_eq!(shown["active"]["routes"][0]["schema"], json!({"subject": "t.customer.json", "version": 1, "id": 1}));
    let listed = registry.get("/v1/tenants/t/jobs").await.expect(200);
    assert_eq!((&listed["items"][0]["job"], &listed["items"][0]["events"]), (&json!("j"), &json!(["e"])));
}

pub async fn deploying_again_needs_update_and_the_same_again_changes_nothing(world: &World) {
    let registry = world.registry().await;
    registry.upload_parts("t").await;
    let file = job("t", "j", "e", "q");
    registry.deploy(&file).await.expect(201);
    assert!(registry.deploy(&file).await.problem(409).contains("--update"));

    let again = registry.update(&file).await.expect(200);
    assert_eq!((&again["version"], &again["unchanged"]), (&json!(1), &json!(true)));

    // The file is the same, what it names is not.
    registry.put("/v1/tenants/t/schemas/customer.json", r#"{"type":"object"}"#).await.expect(201);
    let pinned = registry.update(&file).await.expect(201);
    assert_eq!((&pinned["version"], pinned.get("unchanged")), (&json!(2), None));
    assert_eq!(registry.update(&job("t", "j", "e2", "q")).await.expect(201)["version"], 3);
    let versions = registry.get("/v1/tenants/t/jobs/j").await.expect(200)["versions"].clone();
    let numbers: Vec<_> = versions.as_array().unwrap().iter().map(|version| version["version"].as_u64()).collect();
    assert_eq!(numbers, [Some(3), Some(2), Some(1)]);
}

pub async fn all_faults_of_a_job_file_come_at_once_with_their_places(world: &World) {
    let registry = world.registry().await;
    // By itself in order; nothing that it names is there.
    let refused = registry.deploy(&job("t", "j", "e", "q")).await.expect(422);
    let places = |refused: &serde_json::Value| {
        let errors = refused["errors"].as_array().unwrap().clone();
        errors.iter().map(|e| (e["line"].as_u64().unwrap(), e["path"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(
        places(&refused),
        [(8, "jobs[0].event.schema.schemaref".to_owned()), (12, "runtimes[0].moduleref".to_owned())]
    );
    let refused = registry.deploy(&job("t..", "j", "e", "q").replace("runtime: r1", "runtime: r2")).await.expect(422);
    assert_eq!(places(&refused), [(2, "tenant".to_owned()), (10, "jobs[0].event.runtime".to_owned())]);
    registry.post("/v1/jobs", vec![b'a', b'\n', 0xff]).await.problem(422);
    registry.post("/v1/jobs?upgrade=true", job("t", "j", "e", "q")).await.problem(400);
    assert!(!world.broker().topics().await.unwrap().contains("t.q"), "a refused deployment makes no topics");
}

pub async fn a_dry_run_says_what_would_be_and_changes_nothing(world: &World) {
    let registry = world.registry().await;
    registry.upload_parts("t").await;
    let written = world.records("jobico.catalog").len();
    let answer = registry.post("/v1/jobs?dry_run=true", job("t", "j", "e", "q")).await.expect(200);
    assert_eq!((&answer["version"], &answer["dry_run"]), (&json!(1), &json!(true)));
    assert_eq!(world.records("jobico.catalog").len(), written);
    assert!(!world.broker().topics().await.unwrap().contains("t.q"));
    registry.get("/v1/tenants/t/jobs/j").await.problem(404);
}

pub async fn each_rollback_goes_one_version_back(world: &World) {
    let registry = world.registry().await;
    registry.upload_parts("t").await;
    for event in ["e1", "e2", "e3"] {
        registry.update(&job("t", "j", event, "q")).await.expect(201);
    }
    let back = async || registry.post("/v1/tenants/t/jobs/j/rollback", "").await;
    assert_eq!(back().await.expect(200), json!({"tenant": "t", "job": "j", "version": 2}));
    assert_eq!(back().await.expect(200)["version"], 1);
    back().await.problem(409);
    registry.post("/v1/tenants/t/jobs/none/rollback", "").await.problem(404);
    assert_eq!(registry.get("/v1/tenants/t/jobs/j").await.expect(200)["active"]["routes"][0]["event"], "e1");

    // A deployment makes a new number, and goes back to what it replaced.
    assert_eq!(registry.update(&job("t", "j", "e4", "q")).await.expect(201)["version"], 4);
    assert_eq!(back().await.expect(200)["version"], 1);
}

pub async fn a_rollback_does_not_take_an_event_from_another_job(world: &World) {
    let registry = world.registry().await;
    registry.upload_parts("t").await;
    registry.deploy(&job("t", "a", "e", "q")).await.expect(201);
    registry.deploy(&job("t", "b", "e", "q2")).await.expect(422);
    registry.update(&job("t", "a", "other", "q")).await.expect(201);
    registry.deploy(&job("t", "b", "e", "q2")).await.expect(201);
    let refused = registry.post("/v1/tenants/t/jobs/a/rollback", "").await.problem(409);
    assert!(refused.contains("'e'") && refused.contains("'b'"), "{refused}");
}

pub async fn partitions_grow_where_a_file_asks_and_never_shrink(world: &World) {
    let registry = world.registry().await;
    registry.upload_parts("t").await;
    registry.put("/v1/tenants/t/schemas/customer.json", CUSTOMER).await.expect(200);
    let with =
        |count: u32| job("t", "j", "e", "q").replace("- id: q\n", &format!("- {{id: q, partitions: {count}}}\n"));
    let partitions = async || world.broker().lag("group", &["t.q".to_owned()]).await.unwrap().len();
    registry.deploy(&job("t", "j", "e", "q")).await.expect(201);
    assert_eq!(partitions().await, 4);
    registry.update(&with(6)).await.expect(201);
    assert_eq!(partitions().await, 6);
    let refused = registry.update(&with(5)).await.expect(422);
    assert_eq!((&refused["errors"][0]["line"], &refused["errors"][0]["column"]), (&json!(4), &json!(10)));
    // A registry with another default leaves topics as they are.
    let other = world.registry_with(jobico_schema_registry::Config { partitions: 9, ..crate::fixture::config() }).await;
    other.update(&job("t", "j", "e2", "q")).await.expect(201);
    assert_eq!(partitions().await, 6);
}

pub async fn results_have_as_many_partitions_as_the_largest_queue_of_their_first_job(world: &World) {
    let registry = world.registry().await;
    let results = async |tenant: &str| world.broker().lag("group", &[format!("{tenant}.results")]).await.unwrap().len();
    for (tenant, queue, partitions) in
        [("small", "{id: q, partitions: 1}", 1), ("large", "{id: q, partitions: 6}", 6), ("usual", "{id: q}", 4)]
    {
        registry.upload_parts(tenant).await;
        let file = job(tenant, "j", "e", "q").replace("- id: q\n", &format!("- {queue}\n"));
        registry.deploy(&file).await.expect(201);
        assert_eq!(results(tenant).await, partitions, "{file}");
        // Later ones leave keys where they are.
        registry.update(&file.replace(queue, "{id: q, partitions: 7}")).await.expect(201);
        assert_eq!(results(tenant).await, partitions);
    }
}
