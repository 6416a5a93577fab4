//! Schemas, modules and settings, under a tenant's names.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Answer, CUSTOMER, Registry, World, module};

pub async fn what_is_uploaded_first_makes_the_tenant(world: &World) {
    let registry = world.registry().await;
    registry.get("/v1/tenants/t").await.problem(404);
    registry.get("/v1/tenants/t/schemas").await.problem(404);

    let schema = registry.put("/v1/tenants/t/schemas/customer.json", CUSTOMER).await.expect(201);
    assert_eq!(
        schema,
        json!({"tenant": "t", "name": "customer.json", "subject": "t.customer.json", "version": 1, "id": 1})
    );
    let function = registry.put("/v1/tenants/t/functions/f.wasm", module("")).await.expect(201);
    assert_eq!((&function["version"], &function["contract"]), (&json!(1), &json!("jobicolet_v1")));
    assert_eq!(function["size"], module("").len());

    let tenants = registry.get("/v1/tenants").await.expect(200);
    assert_eq!(tenants["items"][0]["tenant"], "t");
    assert_eq!(tenants["items"].as_array().unwrap().len(), 1);
    let schemas = registry.get("/v1/tenants/t/schemas").await.expect(200);
    assert_eq!(
        schemas,
        json!({"items": [{"name": "customer.json", "version": 1, "id": 1, "subject": "t.customer.json", "type": "JSON"}]})
    );
    let functions = registry.get("/v1/tenants/t/functions").await.expect(200);
    assert_eq!(functions["items"][0]["digest"], function["digest"]);
    assert_eq!(functions["items"][0]["callable"], json!(["event"]));
}

pub async fn the_same_text_again_is_the_same_version_and_an_older_one_becomes_the_newest(world: &World) {
    let registry = world.registry().await;
    let put = async |text: &str| {
        let answer: Answer = registry.put("/v1/tenants/t/schemas/s", text.to_owned()).await;
        (answer.status.as_u16(), answer.body["version"].as_u64().unwrap(), answer.body["id"].as_u64().unwrap())
    };
    assert_eq!(put(r#"{"type":"object"}"#).await, (201, 1, 1));
    assert_eq!(put("{ \"type\" :\n \"object\" }").await, (200, 1, 1), "blanks make no other schema");
    assert_eq!(put(r#"{"type":"array"}"#).await, (201, 2, 2));
    assert_eq!(put(r#"{"type":"object"}"#).await, (201, 3, 1), "the older text is the newest again, under its id");
}

pub async fn a_schema_that_does_not_compile_is_refused_with_all_faults(world: &World) {
    let registry = world.registry().await;
    let put = async |text: &str| registry.put("/v1/tenants/t/schemas/s", text.to_owned()).await;
    let refused = put(r#"{"type":"strin","properties":{"a":{"minimum":"x"}},"required":"a"}"#).await.expect(422);
    let mut pointers: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/properties/a/minimum", "/required", "/type"]);
    let refused = put("{\n \"type\": }").await.expect(422);
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("line 2"), "{refused}");
    registry.put("/v1/tenants/t/schemas/s", vec![0xff, 0xfe]).await.problem(422);
    put(r#"{"$ref":"http://example.com/other.json"}"#).await.problem(422);
    registry.get("/v1/tenants/t").await.problem(404);
}

pub async fn a_module_that_breaks_the_contract_is_refused_with_all_faults(world: &World) {
    let registry = world.registry().await;
    let put = async |bytes: Vec<u8>| registry.put("/v1/tenants/t/functions/f", bytes).await;
    assert!(put(b"hello".to_vec()).await.problem(422).contains("not WebAssembly"));
    let text = r#"(module (import "env" "fetch" (func)) (func (export "free") (param i64)))"#;
    let refused = put(wat::parse_str(text).unwrap()).await.expect(422);
    let messages: String =
        refused["errors"].as_array().unwrap().iter().map(|error| error["message"].as_str().unwrap()).collect();
    for part in ["env.fetch", "'free'", "memory", "malloc"] {
        assert!(messages.contains(part), "{part}: {messages}");
    }
    assert!(world.records("jobico.catalog").is_empty());
}

pub async fn the_same_module_again_is_the_same_version(world: &World) {
    let registry = world.registry().await;
    let put = async |bytes: Vec<u8>| {
        let answer = registry.put("/v1/tenants/t/functions/f", bytes).await;
        (answer.status.as_u16(), answer.body["version"].as_u64().unwrap())
    };
    assert_eq!(put(module("")).await, (201, 1));
    assert_eq!(put(module("")).await, (200, 1));
    assert_eq!(put(module("(func)")).await, (201, 2));
    assert_eq!(put(module("")).await, (201, 3), "the older module is the newest again");
}

pub async fn settings_of_a_tenant_are_changed_one_by_one_and_unset(world: &World) {
    let registry = world.registry().await;
    let change = async |registry: &Registry, body: Value| {
        registry.send(registry.request(Method::PATCH, "/v1/tenants/t").body(body.to_string())).await
    };
    change(&registry, json!({"results_ttl_s": 60})).await.problem(404);
    registry.put("/v1/tenants/t/schemas/s", "{}").await.expect(201);
    let settings = |tenant: &Value| {
        let setting = |name: &str| tenant.get(name).cloned();
        (setting("results_ttl_s"), setting("weight"), setting("quota_ms_per_s"))
    };
    let unset = (None, Some(json!(1)), None);
    assert_eq!(settings(&registry.get("/v1/tenants/t").await.expect(200)), unset);
    assert_eq!(change(&registry, json!({"results_ttl_s": 60})).await.expect(200)["results_ttl_s"], 60);
    let changed = change(&registry, json!({"weight": 3, "quota_ms_per_s": 200})).await.expect(200);
    let all = (Some(json!(60)), Some(json!(3)), Some(json!(200)));
    assert_eq!(settings(&changed), all, "what is not named stays");
    for bad in [
        json!({}),
        json!({"results_ttl_s": 0}),
        json!({"results_ttl_s": "60"}),
        json!({"x": 1}),
        json!(3),
        json!({"weight": 0}),
        json!({"weight": 101}),
        json!({"weight": 2, "quota_ms_per_s": 1001}),
        json!({"results_ttl_s": 5, "name": "x"}),
    ] {
        change(&registry, bad).await.problem(400);
    }
    let faults = change(&registry, json!({"weight": 0, "quota_ms_per_s": 0})).await.problem(400);
    assert!(faults.contains("weight is 0") && faults.contains("quota_ms_per_s is 0"), "{faults}");
    assert_eq!(settings(&registry.get("/v1/tenants/t").await.expect(200)), all, "nothing of what is refused is done");
    let nothing = json!({"results_ttl_s": null, "weight": null, "quota_ms_per_s": null});
    assert_eq!(settings(&change(&registry, nothing).await.expect(200)), unset);
}
