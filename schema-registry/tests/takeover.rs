//! A topic that Confluent's registry wrote, and one that it could read.

use jobico_broker::Append;
use serde_json::json;

use crate::fixture::{CUSTOMER, World, job, module};

const AVRO: &str = r#"{"type":"record","name":"R","fields":[]}"#;

/// Writes records to `_schemas` as another registry does.
async fn written_before(world: &World, records: &[(&str, Option<&str>)]) {
    let broker = world.broker();
    broker.ensure_topics(&jobico_catalog::follow::topics()).await.unwrap();
    let records = records.iter().map(|(key, value)| Append {
        topic: "_schemas".to_owned(),
        key: Some(key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: Vec::new(),
    });
    for written in broker.append(records.collect()).await {
        written.unwrap();
    }
}

fn key(subject: &str, version: u32) -> String {
    format!(r#"{{"keytype":"SCHEMA","subject":"{subject}","version":{version},"magic":1}}"#)
}

fn json_version(subject: &str, version: u32, id: u32, schema: &str) -> String {
    let schema = json!(schema);
    format!(
        r#"{{"subject":"{subject}","version":{version},"id":{id},"schemaType":"JSON","schema":{schema},"deleted":false}}"#
    )
}

pub async fn the_topic_of_another_registry_is_taken_over(world: &World) {
    let avro = format!(r#"{{"subject":"orders-value","version":1,"id":1,"schema":{},"deleted":false}}"#, json!(AVRO));
    let object = r#"{"type":"object"}"#;
    let elsewhere = r#"{"type":"array"}"#;
    let reference = r##"{"$ref":"other.json"}"##;
    written_before(
        world,
        &[
            (r#"{"keytype":"CONFIG","subject":null,"magic":0}"#, Some(r#"{"compatibilityLevel":"BACKWARD"}"#)),
            (r#"{"keytype":"NOOP","magic":0}"#, None),
            (&key("orders-value", 1), Some(&avro)),
            (&key("t.customer.json", 1), Some(&json_version("t.customer.json", 1, 2, object))),
            (&key("t.gone", 1), Some(&json_version("t.gone", 1, 3, "{}"))),
            (
                r#"{"keytype":"DELETE_SUBJECT","subject":"t.gone","magic":0}"#,
                Some(r#"{"subject":"t.gone","version":1}"#),
            ),
            (&key("t.refers", 1), Some(&json_version("t.refers", 1, 4, reference))),
            // Another context numbers its ids by itself.
            (&key(":.other:x", 1), Some(&json_version(":.other:x", 1, 900, elsewhere))),
            ("not json at all", Some("{}")),
            (&key("t.broken", 1), Some("{")),
            (r#"{"keytype":"MODE","subject":null,"magic":0}"#, Some(r#"{"mode":"READWRITE"}"#)),
            (r#"{"keytype":"OF_THE_FUTURE","magic":9}"#, Some("{}")),
        ],
    )
    .await;

    let registry = world.registry().await;
    assert_eq!(
        registry.get("/subjects").await.expect(200),
        json!([":.other:x", "orders-value", "t.customer.json", "t.refers"])
    );
    assert_eq!(registry.get("/subjects?deleted=true").await.expect(200).as_array().unwrap().len(), 5);
    // Avro is served as it is, and not taken.
    assert_eq!(
        registry.get("/subjects/orders-value/versions/latest").await.expect(200),
        json!({"subject": "orders-value", "version": 1, "id": 1, "schema": AVRO})
    );
    assert_eq!(registry.get("/schemas/ids/1").await.expect(200), json!({"schema": AVRO}));
    let sent = |schema: &str| json!({"schema": schema}).to_string();
    let same = registry.post("/subjects/orders-value/versions", sent(AVRO)).await.expect(200);
    assert_eq!(same, json!({"id": 1}), "an Avro producer that registers what is there goes on");
    registry.post("/subjects/orders-value/versions", sent("\"int\"")).await.confluent(422, 42201);
    registry.get("/subjects/t.gone/versions").await.confluent(404, 40401);
    registry.get("/subjects/t.broken/versions").await.confluent(404, 40401);
    assert_eq!(
        registry.get("/schemas/ids/3").await.expect(200)["schema"],
        "{}",
        "a deleted version's id keeps its meaning"
    );
    registry.get("/schemas/ids/900").await.confluent(404, 40403);

    // It goes on where the other registry ended: ids, versions, and ids of the same text.
    let put = async |name: &str, text: &str| {
        let answer = registry.put(&format!("/v1/tenants/t/schemas/{name}"), text.to_owned()).await.expect(201);
        (answer["version"].as_u64().unwrap(), answer["id"].as_u64().unwrap())
    };
    assert_eq!(put("customer.json", CUSTOMER).await, (2, 5));
    assert_eq!(put("same", object).await, (1, 2));
    assert_eq!(put("gone", r#"{"type":"null"}"#).await, (2, 6));
    assert_eq!(put("elsewhere", elsewhere).await, (1, 7));

    // What refers to other documents is served, and no job can be checked against it.
    registry.put("/v1/tenants/t/functions/customer.wasm", module("")).await.expect(201);
    let refused = registry.deploy(&job("t", "j", "e", "q").replace("customer.json", "refers")).await.expect(422);
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("'t.refers' cannot be used"), "{refused}");
    registry.deploy(&job("t", "j", "e", "q")).await.expect(201);
}

pub async fn records_are_written_byte_for_byte_as_confluent_writes_them(world: &World) {
    let registry = world.registry().await;
    registry.put("/v1/tenants/t/schemas/customer.json", r#"{ "type": "object" }"#).await.expect(201);
    let key = r#"{"keytype":"SCHEMA","subject":"t.customer.json","version":1,"magic":1}"#;
    let value = r#"{"subject":"t.customer.json","version":1,"id":1,"schemaType":"JSON","schema":"{\"type\":\"object\"}","deleted":false}"#;
    assert_eq!(world.records("_schemas"), [(key.to_owned(), Some(value.to_owned()))]);
}
