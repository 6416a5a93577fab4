//! The Schema Registry API, as Confluent's clients use it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{CUSTOMER, World, job};

const COMPACT: &str = r#"{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}"#;

fn sent(schema: &str) -> String {
    json!({"schema": schema, "schemaType": "JSON"}).to_string()
}

pub async fn a_schema_is_registered_looked_up_and_read(world: &World) {
    let registry = world.registry().await;
    assert_eq!(registry.get("/subjects").await.expect(200), json!([]));
    let registered = registry.post("/subjects/t.customer.json/versions", sent(CUSTOMER)).await;
    assert_eq!(registered.content_type, "application/vnd.schemaregistry.v1+json");
    assert_eq!(registered.expect(200), json!({"id": 1}));
    assert_eq!(registry.post("/subjects/t.customer.json/versions", sent(COMPACT)).await.expect(200), json!({"id": 1}));
    assert_eq!(registry.post("/subjects/t.customer.json/versions", sent("{}")).await.expect(200), json!({"id": 2}));
    // An older text again is what it was: producers of two releases register at their start.
    assert_eq!(registry.post("/subjects/t.customer.json/versions", sent(CUSTOMER)).await.expect(200), json!({"id": 1}));

    let full = json!({"subject": "t.customer.json", "version": 1, "id": 1, "schemaType": "JSON", "schema": COMPACT});
    assert_eq!(registry.get("/subjects").await.expect(200), json!(["t.customer.json"]));
    assert_eq!(registry.get("/subjects?subjectPrefix=u.").await.expect(200), json!([]));
    assert_eq!(registry.get("/subjects/t.customer.json/versions").await.expect(200), json!([1, 2]));
    assert_eq!(registry.get("/subjects/t.customer.json/versions/1").await.expect(200), full);
    assert_eq!(registry.get("/subjects/t.customer.json/versions/latest").await.expect(200)["version"], 2);
    assert_eq!(registry.get("/subjects/t.customer.json/versions/-1").await.expect(200)["version"], 2);
    assert_eq!(registry.get("/subjects/t.customer.json/versions/latest/schema").await.expect(200), json!({}));
    assert_eq!(registry.post("/subjects/t.customer.json", sent(CUSTOMER)).await.expect(200), full);
    assert_eq!(registry.get("/schemas/ids/1").await.expect(200), json!({"schemaType": "JSON", "schema": COMPACT}));
    let text: Value = serde_json::from_str(COMPACT).unwrap();
    assert_eq!(registry.get("/schemas/ids/1/schema").await.expect(200), text);
    assert_eq!(
        registry.get("/schemas/ids/1/versions").await.expect(200),
        json!([{"subject": "t.customer.json", "version": 1}])
    );
    assert_eq!(registry.get("/schemas/types").await.expect(200), json!(["JSON"]));
    assert_eq!(registry.get("/config").await.expect(200), json!({"compatibilityLevel": "NONE"}));
    assert_eq!(registry.get("/mode").await.expect(200), json!({"mode": "READWRITE"}));
    // Registering is uploading: the tenant is there, and its schema.
    assert_eq!(registry.get("/v1/tenants/t/schemas").await.expect(200)["items"][0]["name"], "customer.json");
}

pub async fn the_same_schema_under_another_subject_has_the_same_id(world: &World) {
    let registry = world.registry().await;
    let register = async |subject: &str, schema: &str| {
        let path = format!("/subjects/{subject}/versions");
        registry.post(&path, sent(schema)).await.expect(200)["id"].clone()
    };
    assert_eq!(register("t.a", CUSTOMER).await, 1);
    assert_eq!(register("t.b", "{}").await, 2);
    assert_eq!(register("u.c", COMPACT).await, 1);
    assert_eq!(
        registry.get("/schemas/ids/1/versions").await.expect(200),
        json!([{"subject": "t.a", "version": 1}, {"subject": "u.c", "version": 1}])
    );
    assert_eq!(registry.get("/schemas/ids/1/subjects").await.expect(200), json!(["t.a", "u.c"]));
}

pub async fn what_is_not_there_has_confluents_codes(world: &World) {
    let registry = world.registry().await;
    registry.post("/subjects/t.s/versions", sent("{}")).await.expect(200);
    let get = async |path: &str, status: u16, code: u32| registry.get(path).await.confluent(status, code);
    assert_eq!(get("/subjects/t.none/versions", 404, 40401).await, "Subject 't.none' not found.");
    get("/subjects/t.none/versions/1", 404, 40401).await;
    get("/subjects/t.none/versions/latest", 404, 40401).await;
    assert_eq!(get("/subjects/t.s/versions/7", 404, 40402).await, "Version 7 not found.");
    for version in ["0", "-2", "x", "2147483648", "1.0"] {
        get(&format!("/subjects/t.s/versions/{version}"), 422, 42202).await;
    }
    assert_eq!(get("/schemas/ids/9", 404, 40403).await, "Schema 9 not found");
    get("/schemas/ids/9/versions", 404, 40403).await;
    get("/schemas/ids/x", 404, 404).await;
    get("/config/t.s", 404, 40408).await;
    get("/mode/t.s", 404, 40409).await;
    assert_eq!(registry.get("/config/t.s?defaultToGlobal=true").await.expect(200)["compatibilityLevel"], "NONE");
    registry.post("/subjects/t.none", sent("{}")).await.confluent(404, 40401);
    assert_eq!(registry.post("/subjects/t.s", sent(CUSTOMER)).await.confluent(404, 40403), "Schema not found");
    registry.send(registry.request(Method::DELETE, "/subjects/t.s/versions")).await.confluent(405, 405);
}

pub async fn what_cannot_be_registered_says_why(world: &World) {
    let registry = world.registry().await;
    let register = async |subject: &str, body: Value| {
        registry.post(&format!("/subjects/{subject}/versions"), body.to_string()).await.confluent(422, {
            let invalid_subject =
                body["schema"] == "{}" && body["schemaType"] == "JSON" && body.get("references").is_none();
            if invalid_subject { 42208 } else { 42201 }
        })
    };
    let message = register("t.s", json!({"schema": "{\"type\": \"record\"}"})).await;
    assert!(message.contains("AVRO") && message.contains("JSON"), "{message}");
    register("t.s", json!({"schema": "syntax = \"proto3\";", "schemaType": "PROTOBUF"})).await;
    let message = register("t.s", json!({"schema": "{\"type\": 3}", "schemaType": "JSON"})).await;
    assert!(message.contains("/type"), "{message}");
    register("t.s", json!({"schema": "", "schemaType": "JSON"})).await;
    let references = json!([{"name": "a", "subject": "b", "version": 1}]);
    register("t.s", json!({"schema": "{}", "schemaType": "JSON", "references": references})).await;
    for subject in ["orders-value", "jobico.s", "t.", ".s", "t.%C3%A4", "t.a%2Fb"] {
        let message = register(subject, json!({"schema": "{}", "schemaType": "JSON"})).await;
        assert!(message.contains("{tenant}.{schema}"), "{message}");
    }
    registry.post("/subjects/t.s/versions", "hello").await.confluent(422, 422);
    assert!(world.records("_schemas").is_empty());
}

pub async fn a_queue_with_one_event_has_an_alias_for_its_schema(world: &World) {
    let registry = world.registry().await;
    registry.upload_parts("t").await;
    registry.get("/subjects/t.q-value/versions/latest").await.confluent(404, 40401);
    registry.deploy(&job("t", "j", "e", "q")).await.expect(201);

    let latest = registry.get("/subjects/t.q-value/versions/latest").await.expect(200);
    assert_eq!((&latest["subject"], &latest["id"]), (&json!("t.customer.json"), &json!(1)));
    assert_eq!(registry.post("/subjects/t.q-value", sent(CUSTOMER)).await.expect(200)["id"], 1);
    // A serializer that registers what is there already goes on; another schema is refused.
    assert_eq!(registry.post("/subjects/t.q-value/versions", sent(CUSTOMER)).await.expect(200), json!({"id": 1}));
    let message = registry.post("/subjects/t.q-value/versions", sent("{}")).await.confluent(422, 42208);
    assert!(message.contains("'t.customer.json'"), "{message}");

    // With a second event on the queue it stands for nothing any more.
    registry.deploy(&job("t", "j2", "e2", "q")).await.expect(201);
    registry.get("/subjects/t.q-value/versions/latest").await.confluent(404, 40401);
}
