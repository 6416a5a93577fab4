//! Pools of processors: how far each is behind, and who is in it; on the embedded log and on Kafka.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jobico_broker::{Append, Batch, Consumer, GatherLimits, Membership, Positions, Retention, TopicSpec};
use jobico_catalog::Handle;
use jobico_event::name;
use jobico_event::retry::Tier;
use jobico_event::snapshot::Catalog;
use serde_json::{Value, json};

use crate::job;
use crate::stage::{Ground, PATIENCE, unique};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_is_shown_with_lag_and_members_on_the_embedded_log() {
    a_pool_is_shown_with_lag_and_members(Ground::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_is_shown_with_lag_and_members_on_kafka() {
    a_pool_is_shown_with_lag_and_members(Ground::kafka_alone().await).await;
}

/// A catalog with one queue, in a pool.
fn catalog(ground: &Ground, pool: &str) -> Handle {
    let mut catalog = Catalog::default();
    job::documents(&ground.tenant, pool).into_iter().for_each(|document| catalog.insert(document));
    Handle::fixed(catalog.snapshot())
}

/// Joins, reads `count` records of three partitions, and commits them.
fn read(mut member: Box<dyn Consumer>, topics: &BTreeSet<String>, count: usize) -> Box<dyn Consumer> {
    member.subscribe(topics).unwrap();
    let (mut batch, mut done, mut seen, begun) = (Batch::new(), Positions::new(), 0, Instant::now());
    let limits = GatherLimits { records_max: 100, bytes_max: 1 << 20 };
    while seen < count || member.assignment().len() < 3 {
        assert!(begun.elapsed() < PATIENCE, "{done:?}");
        member.gather(&mut batch, &limits, Duration::from_millis(100)).unwrap();
        done.extend(batch.next_offsets());
        seen += batch.len();
    }
    member.commit_offsets(&done).unwrap();
    member
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap()
}

async fn a_pool_is_shown_with_lag_and_members(ground: Ground) {
    let pool = unique("pool");
    let recorder = ground.recorder_with(&[], ground.store.clone(), catalog(&ground, &pool)).await;
    let (queue, tier) = (format!("{}.q", ground.tenant), name::retry(&pool, Tier::S1));
    let show = async || recorder.get(&format!("/v1/pools?pool={pool}")).await;
    assert_eq!(show().await.1["pools"][0]["topics"], json!([]), "no topic is there yet");
    let topic = |name: &str, partitions| TopicSpec {
        name: name.to_owned(),
        partitions,
        retention: Retention::Default,
        record_bytes_max: None,
    };
    ground.broker.ensure_topics(&[topic(&queue, 2), topic(&tier, 1)]).await.unwrap();
    let record = |n: i32| Append {
        topic: queue.clone(),
        key: Some(n.to_string().into_bytes()),
        value: Some(b"1".to_vec()),
        headers: Vec::new(),
    };
    ground.append((0..10).map(record).collect()).await;
    let (status, answer) = show().await;
    let shown = &answer["pools"][0];
    assert_eq!((status, &shown["lag"], &shown["members"]), (200, &json!(10), &json!([])), "{answer}");
    assert_eq!(shown["group"], name::processor_group(&pool));
    let names = list(shown, "topics").iter().map(|topic| topic["topic"].as_str().unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from([queue.as_str(), tier.as_str()]));

    let topics = BTreeSet::from([queue.clone(), tier.clone()]);
    let membership =
        Membership { group: name::processor_group(&pool), client_id: "jobico-processor-it".to_owned(), topics: 1 };
    let member = ground.broker.join(&membership).unwrap();
    let member = tokio::task::spawn_blocking(move || read(member, &topics, 10)).await.unwrap();
    let (_, answer) = show().await;
    let shown = &answer["pools"][0];
    assert_eq!(shown["lag"], 0, "{answer}");
    let members = list(shown, "members");
    assert_eq!((members.len(), &members[0]["client"]), (1, &json!("jobico-processor-it")), "{answer}");
    assert_eq!(members[0]["partitions"], 3);
    for partition in list(shown, "topics").iter().flat_map(|topic| list(topic, "partitions")) {
        assert_eq!((&partition["lag"], &partition["member"]), (&json!(0), &json!(0)), "{answer}");
    }
    // It leaves its group, which blocks.
    tokio::task::spawn_blocking(move || drop(member)).await.unwrap();
    assert_eq!(recorder.get("/v1/pools?pool=nobodys").await.0, 404);
    assert_eq!(recorder.get("/v1/pools?pool=a.b").await.0, 400);
    assert!(list(&recorder.get("/v1/pools").await.1, "pools").iter().any(|one| one["pool"] == *pool));
    recorder.end().await;
}
