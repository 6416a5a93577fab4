//! What the API answers to what is asked badly, and to what there is nothing of.

use crate::rows::{result, result_record};
use crate::stage::Ground;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_parameters_are_named_all_at_once() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&[]).await;
    let path = format!("/v1/tenants/{}/results?limit=1001&since=soon&status=fine&kolour=1", ground.tenant);
    let (status, problem) = recorder.get(&path).await;
    assert_eq!(status, 400);
    let errors = problem["errors"].as_array().unwrap();
    let mut named: Vec<&str> = errors.iter().map(|error| error["parameter"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, ["kolour", "limit", "since", "status"]);
    assert!(problem["detail"].as_str().unwrap().contains("1 to 1000"), "{problem}");
    let (status, problem) = recorder.get(&format!("/v1/tenants/{}/logs?level=loud", ground.tenant)).await;
    assert_eq!((status, problem["errors"][0]["parameter"].as_str()), (400, Some("level")));
    let (status, problem) = recorder.get(&format!("/v1/tenants/{}/events/e/results?job=j", ground.tenant)).await;
    assert_eq!((status, problem["errors"][0]["parameter"].as_str()), (400, Some("job")));
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_is_not_there_is_404_and_an_event_that_is_not_there_has_no_results() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&[]).await;
    for path in ["results", "results/stream", "logs", "logs/stream", "events/e/results"] {
        let (status, problem) = recorder.get(&format!("/v1/tenants/nobody/{path}")).await;
        assert_eq!((status, problem["detail"].as_str()), (404, Some("there is no tenant 'nobody'")), "{path}");
    }
    let (status, problem) = recorder.get("/v1/tenants/no.body/results").await;
    assert_eq!((status, problem["errors"][0]["parameter"].as_str()), (400, Some("tenant")));
    let (status, list) = recorder.get(&format!("/v1/tenants/{}/events/none/results", ground.tenant)).await;
    assert_eq!((status, list), (200, serde_json::json!({"results": [], "next": null})));
    let long = "e".repeat(9_000);
    let (status, list) = recorder.get(&format!("/v1/tenants/{}/events/{long}/results", ground.tenant)).await;
    assert_eq!((status, list["results"].as_array().unwrap().len()), (200, 0));
    let (status, problem) = recorder.get(&format!("/v1/tenants/{}/events/%FF/results", ground.tenant)).await;
    assert_eq!(status, 400, "{problem}");
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_read_and_not_written() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&[]).await;
    let url = recorder.url(&format!("/v1/tenants/{}/results", ground.tenant));
    let answer = recorder.client.post(url).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 405);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["allow"], "GET,HEAD");
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_of_the_api_walk_all_pages() {
    let ground = Ground::embedded().await;
    let rows = (0..250).map(|offset| result(&ground.tenant, 1_795_517_919_413 + offset, offset));
    ground.store.write_results(rows.collect()).await.unwrap();
    let recorder = ground.recorder(&[]).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = recorder.get(&format!("/v1/tenants/{}/results?{cursor}", ground.tenant)).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["results"].as_array().unwrap().iter().map(|result| result["offset"].as_i64().unwrap()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..250).rev().collect::<Vec<_>>());
    let (status, problem) = recorder.get(&format!("/v1/tenants/{}/logs?{cursor}", ground.tenant)).await;
    assert_eq!((status, problem["errors"][0]["parameter"].as_str()), (400, Some("cursor")), "another list's cursor");
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_id_may_hold_any_text() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&[]).await;
    ground.append(vec![result_record(&ground.tenant, "a/b c?ä%", 0, b"no json")]).await;
    recorder.await_results(&ground.tenant, 1).await;
    let path = format!("/v1/tenants/{}/events/a%2Fb%20c%3F%C3%A4%25/results", ground.tenant);
    let (_, list) = recorder.get(&path).await;
    assert_eq!(
        (list["results"][0]["event"].as_str(), list["results"][0]["data"].as_str()),
        (Some("a/b c?ä%"), Some("no json"))
    );
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_is_there_after_a_restart() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&[]).await;
    ground.append((0..5).map(|offset| result_record(&ground.tenant, "e", offset, b"1")).collect()).await;
    recorder.await_results(&ground.tenant, 5).await;
    recorder.end().await;
    let recorder = ground.recorder(&[]).await;
    assert_eq!(recorder.results(&ground.tenant).await.len(), 5);
    recorder.end().await;
}
