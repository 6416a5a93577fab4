//! What stands in the log afterwards.

use std::collections::BTreeSet;

use jobico_broker::partition_of_key;
use serde_json::json;

use crate::on_each_log;
use crate::stage::{PARTITIONS, Stage};

on_each_log!(
    an_event_is_stored_byte_for_byte,
    attributes_are_cloudevents_headers,
    the_key_is_what_the_job_points_at,
    events_are_taken_by_many_clients_at_once,
);

async fn an_event_is_stored_byte_for_byte(mut stage: Stage) {
    stage.deploy("any", 1, None, None).await;
    let events: [&[u8]; 6] = [
        br#"{ "z":1, "a" : 1.00e+2,"a":-0 ,"big":123456789012345678901234567890 }"#,
        "\"ä \\u00e4 \\/ \u{1f600}\"".as_bytes(),
        b"[ 1 ,\n\t2 ]",
        b"1.0",
        b"null",
        br#"{"":{"":""}}"#,
    ];
    let mut body = b" {\"data\" : [\n".to_vec();
    body.extend(events.join(&b" ,\r\n\t"[..]));
    body.extend_from_slice(b" ] } ");
    let answer = stage.post("any", body).await;
    let records = stage.read().await;
    for (event, told) in events.iter().zip(answer.events()) {
        let record = records.iter().find(|record| record.headers["ce_id"] == told["id"].as_str().unwrap()).unwrap();
        assert_eq!(String::from_utf8_lossy(&record.value), String::from_utf8_lossy(event));
    }
}

async fn attributes_are_cloudevents_headers(mut stage: Stage) {
    stage.deploy("any", 1, None, None).await;
    let (parent, state) = ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1");
    let before = time::OffsetDateTime::now_utc() - time::Duration::milliseconds(1);
    let request = stage
        .client
        .post(stage.url("any"))
        .header("traceparent", parent)
        .header("tracestate", state)
        .body(r#"{"data":[1,2]}"#);
    stage.send(request).await.events();
    let after = time::OffsetDateTime::now_utc();
    let records = stage.read().await;
    for record in &records {
        let header = |name: &str| record.headers[name].as_str();
        assert_eq!(header("ce_specversion"), "1.0");
        assert_eq!(header("ce_source"), format!("/events/{}/any", stage.tenant));
        assert_eq!(header("ce_type"), "any");
        assert_eq!(header("content-type"), "application/json");
        // No exporter, no span of our own: the client's context goes on as it came.
        assert_eq!((header("traceparent"), header("tracestate")), (parent, state));
        let time = time::OffsetDateTime::parse(header("ce_time"), &time::format_description::well_known::Rfc3339);
        assert!(before <= time.unwrap() && time.unwrap() <= after, "{}", header("ce_time"));
        assert!(header("ce_time").ends_with('Z'));
        let id = uuid::Uuid::parse_str(header("ce_id")).unwrap();
        assert_eq!((id.get_version_num(), record.headers.len()), (7, 8));
    }
    let ids: BTreeSet<_> = records.iter().map(|record| record.headers["ce_id"].clone()).collect();
    assert_eq!(ids.len(), 2);
    // Without a trace, or with one that is none, there are no such headers.
    stage.send(stage.client.post(stage.url("any")).header("traceparent", "x").body(r#"{"data":[3]}"#)).await.events();
    let records = stage.read().await;
    let untraced = records.iter().find(|record| record.value == b"3").unwrap();
    assert!(!untraced.headers.contains_key("traceparent"));
}

async fn the_key_is_what_the_job_points_at(mut stage: Stage) {
    stage.deploy("order", 1, None, Some("/customer/id")).await;
    let body = r#"{"data":[{"customer":{"id":"a\u00e4"}},{"customer":{"id":7.50}},{"customer":{"id":true}},
        {"customer":{"id":null}},{"customer":{"id":{}}},{"customer":3},{}]}"#;
    let answer = stage.post("order", body).await;
    let records = stage.read().await;
    let keys: [Option<&[u8]>; 7] = [Some("aä".as_bytes()), Some(b"7.50"), Some(b"true"), None, None, None, None];
    for (key, told) in keys.iter().zip(answer.events()) {
        let record = records.iter().find(|record| record.headers["ce_id"] == told["id"].as_str().unwrap()).unwrap();
        assert_eq!(record.key.as_deref(), *key, "{told}");
        if let Some(key) = key {
            assert_eq!(record.partition, partition_of_key(key, PARTITIONS as i32));
        }
    }
}

async fn events_are_taken_by_many_clients_at_once(mut stage: Stage) {
    stage.deploy("any", 1, None, Some("/client")).await;
    let stage = std::sync::Arc::new(stage);
    let clients: Vec<_> = (0..32)
        .map(|client| {
            let stage = stage.clone();
            tokio::spawn(async move {
                for turn in 0..10 {
                    let event = json!({ "client": client, "turn": turn });
                    let answer = stage.post("any", json!({ "data": [event] }).to_string()).await;
                    assert_eq!(answer.events().len(), 1);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let records = stage.read().await;
    assert_eq!(records.len(), 320);
    for client in 0..32 {
        let turns: Vec<u64> = records
            .iter()
            .map(|record| serde_json::from_slice::<serde_json::Value>(&record.value).unwrap())
            .filter(|event| event["client"] == client)
            .map(|event| event["turn"].as_u64().unwrap())
            .collect();
        assert_eq!(turns, (0..10).collect::<Vec<_>>(), "one key, one partition, one order");
    }
}
