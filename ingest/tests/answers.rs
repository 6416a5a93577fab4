//! Each status, and what it says.

use serde_json::json;

use crate::on_each_log;
use crate::stage::{CUSTOMER, Stage};

on_each_log!(
    stored_events_are_answered_in_the_order_of_data,
    one_invalid_element_refuses_all_and_each_is_named,
    a_new_version_is_in_force_without_a_restart,
);

async fn stored_events_are_answered_in_the_order_of_data(mut stage: Stage) {
    stage.deploy("customer", 1, Some(CUSTOMER), Some("/name")).await;
    let names: Vec<String> = (0..50).map(|index| format!("c{index}")).collect();
    let data: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    let answer = stage.post("customer", json!({ "data": data }).to_string()).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let records = stage.read().await;
    assert_eq!((answer.events().len(), records.len()), (50, 50));
    for (name, event) in names.iter().zip(answer.events()) {
        assert_eq!(event["topic"], stage.topic());
        let record = records
            .iter()
            .find(|record| record.partition == event["partition"] && record.offset == event["offset"])
            .unwrap_or_else(|| panic!("nothing stands at {event}"));
        assert_eq!(record.headers["ce_id"], event["id"].as_str().unwrap());
        assert_eq!(record.value, json!({ "name": name }).to_string().into_bytes());
        assert_eq!(record.key.as_deref(), Some(name.as_bytes()));
    }
    assert!(records.iter().any(|record| record.partition != records[0].partition), "keys spread over partitions");
    assert_eq!(stage.count("jobico_ingest_events_total", &[("verdict", "accepted")]), 50.0);
    assert_eq!(stage.count("jobico_ingest_requests_total", &[("outcome", "accepted")]), 1.0);
    assert_eq!(stage.count("jobico_ingest_requests_in_flight", &[]), 0.0);
}

async fn one_invalid_element_refuses_all_and_each_is_named(mut stage: Stage) {
    stage.deploy("customer", 1, Some(CUSTOMER), None).await;
    let body = r#"{"data":[{"name":"Ada"},{"age":3},{"name":"Alan"},{"name":7}]}"#;
    let answer = stage.post("customer", body).await;
    answer.is_problem(400, "2 of 4 events are not valid");
    let mut errors: Vec<_> = answer.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            assert!(!error["message"].as_str().unwrap().is_empty());
            (error["index"].as_u64().unwrap(), error["pointer"].as_str().unwrap(), error["keyword"].as_str().unwrap())
        })
        .collect();
    errors.sort_unstable();
    assert_eq!(errors, [(1, "", "required"), (1, "/age", "minimum"), (3, "/name", "type")]);
    assert!(stage.read().await.is_empty());
    assert_eq!(stage.count("jobico_ingest_events_total", &[("verdict", "refused")]), 2.0);
}

async fn a_new_version_is_in_force_without_a_restart(mut stage: Stage) {
    stage.post("customer", r#"{"data":[3]}"#).await.is_problem(404, "there is no tenant");
    stage.deploy("customer", 1, None, None).await;
    assert_eq!(stage.post("customer", r#"{"data":[3]}"#).await.events().len(), 1);
    stage.deploy("customer", 2, Some(CUSTOMER), None).await;
    stage.post("customer", r#"{"data":[3]}"#).await.is_problem(400, "not valid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_told_apart() {
    let mut stage = Stage::embedded().start().await;
    stage.deploy("customer", 1, None, None).await;
    stage.post("order", r#"{"data":[1]}"#).await.is_problem(404, "has no event 'order'");
    let nobody = stage.client.post(format!("http://{}/events/nobody/customer", stage.address)).body(r#"{"data":[1]}"#);
    stage.send(nobody).await.is_problem(404, "there is no tenant 'nobody'");
    let elsewhere = stage.client.get(format!("http://{}/event", stage.address));
    stage.send(elsewhere).await.is_problem(404, "nothing at this path");
    let no_text = stage.client.post(format!("http://{}/events/%ff/customer", stage.address)).body(r#"{"data":[1]}"#);
    stage.send(no_text).await.is_problem(400, "the path cannot be read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_another_form_is_refused_by_name() {
    let mut stage = Stage::embedded().start().await;
    stage.deploy("customer", 1, None, None).await;
    let broken = stage.post("customer", "{\"data\":\n[1,]}").await;
    broken.is_problem(400, "not JSON");
    assert_eq!((&broken.json["line"], &broken.json["column"]), (&json!(2), &json!(4)));
    let no_utf8 = stage.post("customer", b"{\"data\":[\"\xc3\"]}".to_vec()).await;
    no_utf8.is_problem(400, "not UTF-8");
    assert_eq!((&no_utf8.json["line"], &no_utf8.json["column"]), (&json!(1), &json!(11)));
    for (body, words) in [
        ("", "not JSON"),
        ("[1]", "must be a JSON object"),
        ("{}", "no member 'data'"),
        (r#"{"data":[]}"#, "'data' is empty"),
        (r#"{"data":{"name":"Ada"}}"#, "'data' is an object"),
        (r#"{"data":null}"#, "'data' is null"),
        (r#"{"data":[1],"date":[2]}"#, "not known: 'date'"),
        (r#"{"data":[1],"data":[2]}"#, "more than once"),
    ] {
        stage.post("customer", body).await.is_problem(400, words);
    }
    let deep = format!(r#"{{"data":[{}{}]}}"#, "[".repeat(200), "]".repeat(200));
    let answer = stage.post("customer", deep).await;
    answer.is_problem(400, "not valid");
    assert_eq!(answer.json["errors"][0]["keyword"], "json");
    assert!(stage.read().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_json_is_taken() {
    let mut stage = Stage::embedded().start().await;
    stage.deploy("customer", 1, None, None).await;
    let body = r#"{"data":[1]}"#;
    for content_type in ["application/json", "application/json; charset=utf-8", "application/vnd.example+json"] {
        let request = stage.client.post(stage.url("customer")).header("content-type", content_type).body(body);
        assert_eq!(stage.send(request).await.events().len(), 1);
    }
    assert_eq!(stage.send(stage.client.post(stage.url("customer")).body(body)).await.events().len(), 1);
    for content_type in ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-16"] {
        let request = stage.client.post(stage.url("customer")).header("content-type", content_type).body(body);
        stage.send(request).await.is_problem(415, content_type);
    }
    let compressed = stage.client.post(stage.url("customer")).header("content-encoding", "gzip").body(body);
    stage.send(compressed).await.is_problem(415, "gzip");
    assert_eq!(stage.read().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_told_which_are_allowed() {
    let stage = Stage::embedded().start().await;
    for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE] {
        let answer = stage.send(stage.client.request(method.clone(), stage.url("customer"))).await;
        answer.is_problem(405, method.as_str());
        assert_eq!(answer.headers["allow"], "POST");
    }
    let root = format!("http://{}/", stage.address);
    let up = stage.send(stage.client.get(&root)).await;
    assert_eq!((up.status, up.text.as_str()), (200, "jobico ingest is up\n"));
    assert_eq!(stage.send(stage.client.head(&root)).await.status, 200);
    let posted = stage.send(stage.client.post(&root)).await;
    posted.is_problem(405, "POST");
    assert_eq!(posted.headers["allow"], "GET,HEAD");
}
