//! The way from the topics to the store.

use std::time::{Duration, Instant};

use jobico_broker::{Append, Batch, GatherLimits, Membership, Positions, Retention, TopicSpec};
use jobico_event::catalog::Document;
use jobico_event::{TenantId, name};
use jobico_service::Frame;

use crate::job;
use crate::rows::{log_record, result_record};
use crate::stage::{Ground, PATIENCE, TransactionEnd, eventually, metric, on_both, unique};

on_both!(
    results_of_committed_transactions_appear_and_those_of_aborted_ones_do_not,
    records_delivered_again_overwrite_and_do_not_double,
    what_functions_log_is_listed_by_tenant_and_level,
    unreadable_records_are_counted_and_passed_over,
    tenants_are_separated,
);

fn results(tenant: &TenantId, offsets: std::ops::Range<i64>) -> Vec<Append> {
    offsets.map(|offset| result_record(tenant, &format!("e{offset}"), offset, b"{\"ok\": true}")).collect()
}

async fn results_of_committed_transactions_appear_and_those_of_aborted_ones_do_not(ground: Ground) {
    let recorder = ground.recorder(&[]).await;
    ground.transact(results(&ground.tenant, 0..3), TransactionEnd::Commit).await;
    ground.transact(results(&ground.tenant, 3..6), TransactionEnd::Abort).await;
    ground.transact(results(&ground.tenant, 6..9), TransactionEnd::Commit).await;
    let listed = recorder.await_results(&ground.tenant, 6).await;
    let mut offsets: Vec<i64> = listed.iter().map(|result| result["offset"].as_i64().unwrap()).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [0, 1, 2, 6, 7, 8]);
    let (status, aborted) = recorder.get(&format!("/v1/tenants/{}/events/e4/results", ground.tenant)).await;
    assert_eq!((status, aborted["results"].as_array().unwrap().len()), (200, 0));
    let (_, committed) = recorder.get(&format!("/v1/tenants/{}/events/e7/results", ground.tenant)).await;
    assert_eq!(committed["results"][0]["data"], serde_json::json!({"ok": true}));
    assert_eq!(committed["next"], serde_json::Value::Null);
    recorder.end().await;
}

async fn records_delivered_again_overwrite_and_do_not_double(ground: Ground) {
    let recorder = ground.recorder(&[]).await;
    ground.append(results(&ground.tenant, 0..50)).await;
    recorder.await_results(&ground.tenant, 50).await;
    await_committed(&ground).await;
    recorder.end().await;

    rewind_group(&ground).await;
    let again = ground.recorder(&[]).await;
    again.await_metric("jobico_recorder_written_total", Some("results"), |written| written >= 50.0).await;
    assert_eq!(again.results(&ground.tenant).await.len(), 50);
    again.end().await;
}

/// Waits until the group has committed all that there is.
async fn await_committed(ground: &Ground) {
    let until = Instant::now() + PATIENCE;
    loop {
        let lag = ground.broker.lag(name::RECORDER_GROUP, &[name::results(&ground.tenant)]).await.unwrap();
        if lag.iter().all(|lag| lag.committed.unwrap_or(0) == lag.end) {
            return;
        }
        assert!(Instant::now() < until, "not committed: {lag:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sets the group back to the beginning of the tenant's results.
async fn rewind_group(ground: &Ground) {
    let (broker, topic) = (ground.broker.clone(), name::results(&ground.tenant));
    tokio::task::spawn_blocking(move || {
        let membership = Membership { group: name::RECORDER_GROUP.into(), client_id: "rewind".into(), topics: 1 };
        let mut member = broker.join(&membership).unwrap();
        member.subscribe(&[topic.clone()].into()).unwrap();
        let (until, mut batch) = (Instant::now() + PATIENCE, Batch::new());
        let limits = GatherLimits { records_max: 1, bytes_max: 1 };
        while member.assignment().iter().filter(|partition| *partition.topic == *topic).count() < 2 {
            assert!(Instant::now() < until, "no assignment");
            member.gather(&mut batch, &limits, Duration::from_millis(50)).unwrap();
        }
        let start: Positions = member.assignment().into_iter().map(|partition| (partition, 0)).collect();
        member.commit_offsets(&start).unwrap();
    })
    .await
    .unwrap();
}

async fn what_functions_log_is_listed_by_tenant_and_level(ground: Ground) {
    let recorder = ground.recorder(&[]).await;
    let tenant = &ground.tenant;
    ground
        .append(vec![log_record(tenant, "e1", "info", "hello"), log_record(&ground.other, "e9", "info", "not mine")])
        .await;
    ground.append(vec![log_record(tenant, "e1", "error", "ouch")]).await;
    let until = Instant::now() + PATIENCE;
    let logs = loop {
        let (status, body) = recorder.get(&format!("/v1/tenants/{tenant}/logs")).await;
        assert_eq!(status, 200, "{body}");
        let logs = body["logs"].as_array().unwrap().clone();
        if !logs.is_empty() && logs.iter().any(|line| line["level"] == "error") {
            break logs;
        }
        assert!(Instant::now() < until, "{logs:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(logs.iter().all(|line| line["tenant"] == tenant.as_str()), "{logs:?}");
    assert!(logs[0]["at"].as_str().unwrap().ends_with('Z'));
    let (_, body) = recorder.get(&format!("/v1/tenants/{tenant}/logs?level=error")).await;
    assert_eq!(body["logs"].as_array().unwrap().len(), 1);
    assert_eq!(body["logs"][0]["message"], "ouch");
    recorder.end().await;
}

async fn unreadable_records_are_counted_and_passed_over(ground: Ground) {
    let recorder = ground.recorder(&[]).await;
    let mut no_status = result_record(&ground.tenant, "e0", 0, b"1");
    no_status.headers.remove(0);
    let huge = result_record(&ground.tenant, &"e".repeat(100_000), 1, b"1");
    let mut no_line = log_record(&ground.tenant, "e0", "info", "");
    no_line.value = Some(b"plain text".to_vec());
    ground.append(vec![no_status, huge, no_line]).await;
    ground.append(results(&ground.tenant, 2..5)).await;
    recorder.await_results(&ground.tenant, 3).await;
    let unreadable = "jobico_recorder_unreadable_total";
    recorder.await_metric(unreadable, Some("results"), |count| count == 2.0).await;
    recorder.await_metric(unreadable, Some("logs"), |count| count >= 1.0).await;
    await_committed(&ground).await;
    recorder.end().await;
}

async fn tenants_are_separated(ground: Ground) {
    let recorder = ground.recorder(&[]).await;
    ground.append(results(&ground.tenant, 0..10)).await;
    ground.append(results(&ground.other, 0..4)).await;
    recorder.await_results(&ground.tenant, 10).await;
    let theirs = recorder.await_results(&ground.other, 4).await;
    assert!(theirs.iter().all(|result| result["topic"] == format!("{}.q", ground.other)), "{theirs:?}");
    assert_eq!(theirs.len(), 4);
    let (_, of_event) = recorder.get(&format!("/v1/tenants/{}/events/e9/results", ground.other)).await;
    assert!(of_event["results"].as_array().unwrap().is_empty(), "an event of another tenant is unknown");
    // A cursor is a place in time and nothing else: with it, too, a tenant reads its own.
    let (_, page) = recorder.get(&format!("/v1/tenants/{}/results?limit=1", ground.tenant)).await;
    let cursor = page["next"].as_str().unwrap();
    let (status, page) = recorder.get(&format!("/v1/tenants/{}/results?cursor={cursor}", ground.other)).await;
    assert_eq!(status, 200);
    let foreign = |result: &serde_json::Value| result["topic"] != format!("{}.q", ground.other);
    assert!(!page["results"].as_array().unwrap().iter().any(foreign), "{page}");
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_comes_later_is_recorded_too() {
    let ground = Ground::embedded().await;
    let control = Frame::new(Duration::from_secs(20));
    let catalog = jobico_catalog::start(&control, ground.broker.clone()).await.unwrap();
    let recorder = ground.recorder_with(&[], ground.store.clone(), catalog).await;
    let late = TenantId::new(&unique("late")).unwrap();
    assert_eq!(recorder.get(&format!("/v1/tenants/{late}/results")).await.0, 404);

    let topic =
        TopicSpec { name: name::results(&late), partitions: 1, retention: Retention::Default, record_bytes_max: None };
    ground.broker.ensure_topics(&[topic]).await.unwrap();
    ground.append(results(&late, 0..3)).await;
    let record = |document: Document| Append {
        topic: name::CATALOG.into(),
        key: Some(document.key().into_bytes()),
        value: Some(document.to_json()),
        headers: vec![],
    };
    ground.append(job::documents(&late, name::POOL_DEFAULT).map(record).into()).await;

    recorder.await_metric("jobico_recorder_written_total", Some("results"), |written| written >= 3.0).await;
    assert_eq!(recorder.results(&late).await.len(), 3);
    recorder.end().await;
    control.tasks.stop();
    control.tasks.run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_outlived_its_time_to_live_is_not_written() {
    let ground = Ground::embedded().await;
    ground.append(results(&ground.tenant, 0..5)).await;
    let recorder = ground.recorder(&["--results-ttl", "0s"]).await;
    eventually("all have expired", || metric(&recorder.frame, "jobico_recorder_expired_total", Some("results")) == 5.0)
        .await;
    assert!(recorder.results(&ground.tenant).await.is_empty());
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_results_appear_when_two_recorders_share_the_work() {
    let ground = Ground::embedded().await;
    let (one, two) = (ground.recorder(&[]).await, ground.recorder(&[]).await);
    for round in 0..20 {
        ground.append(results(&ground.tenant, round * 20..round * 20 + 20)).await;
    }
    one.await_results(&ground.tenant, 400).await;
    one.end().await;
    ground.append(results(&ground.tenant, 400..420)).await;
    two.await_results(&ground.tenant, 420).await;
    two.end().await;
}
