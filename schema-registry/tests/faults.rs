//! A log that fails, answers late or not at all: the simulated one, by seeds; and one that is not there yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jobico_broker::simulated::{Faults, Simulated};
use jobico_broker::{Batch, Broker};
use jobico_service::Frame;
use serde_json::{Value, json};

use crate::fixture::{PATIENCE, Registry, config};

/// How many seeds are tried.
const SEEDS: u64 = 20;
/// Schemas registered with each.
const SCHEMAS: u64 = 25;

fn catalog(log: &Simulated, topic: &str) -> BTreeMap<String, Value> {
    let batch: Batch = log.committed(topic).unwrap();
    let read = |record: jobico_broker::Record<'_>| {
        let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
        (key, serde_json::from_slice(record.value().unwrap()).unwrap())
    };
    batch.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_log_does_what_was_answered_is_there_once() {
    for seed in 1..=SEEDS {
        println!("seed {seed}");
        let log = Simulated::new(seed, Faults::default());
        let (frames, folder) = ([Frame::new(PATIENCE), Frame::new(PATIENCE)], tempfile::tempdir().unwrap());
        let mut registries = Vec::new();
        for frame in &frames {
            registries.push(Registry::start(frame.clone(), config(), folder.path(), log.clone()).await);
        }
        for registry in &registries {
            registry.get("/subjects").await.expect(200);
        }
        log.misbehave(Faults { fenced: 0.2, in_doubt: 0.2, abortable: 0.1, unavailable: 0.1, ..Faults::default() });

        let (mut answered, mut ids, mut away) = (BTreeMap::new(), BTreeSet::new(), 0);
        for schema in 0..SCHEMAS {
            let text = json!({"maxProperties": schema}).to_string();
            let registry = &registries[usize::try_from(schema % 2).unwrap()];
            // 503 says to ask again: whatever has happened before, asking again is safe.
            loop {
                let answer = registry.put("/v1/tenants/t/schemas/s", text.clone()).await;
                if answer.status == 503 {
                    away += 1;
                    continue;
                }
                assert!(answer.status.is_success(), "{}", answer.body);
                answered.insert(answer.body["version"].as_u64().unwrap(), text.clone());
                ids.insert(answer.body["id"].as_u64().unwrap());
                break;
            }
        }
        log.misbehave(Faults::default());
        println!("  {away} times the log was away");
        assert_eq!(answered.keys().copied().collect::<Vec<_>>(), (1..=SCHEMAS).collect::<Vec<_>>());
        assert_eq!(ids, (1..=SCHEMAS).collect());
        let written = catalog(&log, "_schemas");
        assert_eq!(written.len(), answered.len());
        for value in written.values() {
            assert_eq!(value["schema"].as_str().unwrap(), answered[&value["version"].as_u64().unwrap()]);
        }
        for frame in frames {
            frame.tasks.stop();
            frame.tasks.run().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_log_is_away_every_answer_is_503_and_the_registry_recovers_by_itself() {
    let log = Simulated::new(7, Faults { unavailable: 1.0, ..Faults::default() });
    let (frame, folder) = (Frame::new(PATIENCE), tempfile::tempdir().unwrap());
    let registry = Registry::start(frame.clone(), config(), folder.path(), log.clone()).await;
    registry.get("/v1/tenants").await.problem(503);
    registry.get("/subjects").await.confluent(500, 50001);
    let answer = registry.put("/v1/tenants/t/schemas/s", "{}").await;
    assert!(answer.problem(503).contains("nothing was changed"));
    assert!(!frame.health.is_ready());
    let response = registry.request(reqwest::Method::GET, "/v1/tenants").send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));

    log.misbehave(Faults::default());
    assert_eq!(registry.put("/v1/tenants/t/schemas/s", "{}").await.expect(201)["version"], 1);
    assert!(frame.health.is_ready());

    // An id that is known keeps its meaning, and is answered while the log is away.
    log.misbehave(Faults { unavailable: 1.0, ..Faults::default() });
    assert_eq!(registry.get("/schemas/ids/1").await.expect(200)["schema"], "{}");
    registry.get("/schemas/ids/2").await.confluent(500, 50001);
    frame.tasks.stop();
    frame.tasks.run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_refuses_now_and_then_is_asked_of_it_again() {
    let log = Simulated::new(1, Faults::default());
    let (frame, folder) = (Frame::new(PATIENCE), tempfile::tempdir().unwrap());
    let registry = Registry::start(frame.clone(), config(), folder.path(), log.clone()).await;
    log.misbehave(Faults { abortable: 0.3, ..Faults::default() });
    for version in 1..=SCHEMAS {
        let text = json!({"maxProperties": version}).to_string();
        assert_eq!(registry.put("/v1/tenants/t/schemas/s", text).await.expect(201)["version"], version);
    }
    log.misbehave(Faults { abortable: 1.0, ..Faults::default() });
    let refused = registry.put("/v1/tenants/t/schemas/s", "{}").await.problem(503);
    assert!(refused.contains("nothing was changed"), "{refused}");
    log.misbehave(Faults::default());
    assert_eq!(registry.put("/v1/tenants/t/schemas/s", "{}").await.expect(201)["version"], SCHEMAS + 1);
    frame.tasks.stop();
    frame.tasks.run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_requests_by_route_and_documents_by_kind() {
    let log: Arc<dyn Broker> = Simulated::new(1, Faults::default());
    let (frame, folder) = (Frame::new(PATIENCE), tempfile::tempdir().unwrap());
    let registry = Registry::start(frame.clone(), config(), folder.path(), log).await;
    registry.upload_parts("t").await;
    registry.get("/v1/tenants/t").await.expect(200);
    registry.get("/v1/tenants/u").await.expect(404);
    registry.get("/nothing").await.expect(404);
    let mut text = String::new();
    prometheus::TextEncoder::new().encode_utf8(&frame.metrics.gather(), &mut text).unwrap();
    for line in [
        r#"jobico_registry_requests_total{route="/v1/tenants/{tenant}",status="200"} 1"#,
        r#"jobico_registry_requests_total{route="/v1/tenants/{tenant}",status="404"} 1"#,
        r#"jobico_registry_requests_total{route="/v1/tenants/{tenant}/schemas/{name}",status="201"} 1"#,
        r#"jobico_registry_documents{kind="tenant"} 1"#,
        r#"jobico_registry_documents{kind="schema"} 1"#,
        "jobico_registry_write_seconds_count 2",
        "jobico_registry_fenced_total 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    frame.tasks.stop();
    frame.tasks.run().await.unwrap();
}
