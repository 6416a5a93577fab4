//! More than one registry, at a time or after each other.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::fixture::{World, job};

/// Schemas that each of two registries is given.
const SCHEMAS_EACH: usize = 15;

fn distinct(index: usize) -> String {
    json!({"type": "object", "maxProperties": index}).to_string()
}

pub async fn two_registries_that_write_at_once_lose_nothing(world: &World) {
    let registries = [world.registry().await, world.registry().await];
    let mut puts = JoinSet::new();
    for (index, registry) in registries.iter().enumerate() {
        for schema in 0..SCHEMAS_EACH {
            let (registry, text) = (registry.clone(), distinct(index * SCHEMAS_EACH + schema));
            puts.spawn(async move { registry.put("/v1/tenants/t/schemas/s", text).await.expect(201) });
        }
    }
    let answers: Vec<Value> = puts.join_all().await;
    let numbers = |member: &str| answers.iter().map(|answer| answer[member].as_u64().unwrap()).collect::<BTreeSet<_>>();
    let all = u64::try_from(2 * SCHEMAS_EACH).unwrap();
    assert_eq!(numbers("version"), (1..=all).collect(), "each has a version of its own, and none is left out");
    assert_eq!(numbers("id"), (1..=all).collect());
    for registry in &registries {
        let versions = registry.get("/subjects/t.s/versions").await.expect(200);
        assert_eq!(versions, json!((1..=all).collect::<Vec<_>>()));
    }
    // The tenant was made once.
    let made = world.records("jobico.catalog").into_iter().filter(|(key, _)| key == "tenant/t").count();
    assert_eq!(made, 1);
}

pub async fn one_registry_reads_what_another_wrote_before(world: &World) {
    let (one, other) = (world.registry().await, world.registry().await);
    for index in 0..10 {
        let (writer, reader) = if index % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let written = writer.put("/v1/tenants/t/schemas/s", distinct(index)).await.expect(201);
        let read = reader.get("/subjects/t.s/versions/latest").await.expect(200);
        assert_eq!(read["version"], written["version"], "what was answered before is seen by whoever is asked after");
    }
    one.upload_parts("t").await;
    one.deploy(&job("t", "j", "e", "q")).await.expect(201);
    other.deploy(&job("t", "j", "e", "q")).await.problem(409);
}

pub async fn a_registry_that_is_restarted_knows_everything(world: &World) {
    let before = world.registry().await;
    before.upload_parts("t").await;
    before.deploy(&job("t", "j", "e", "q")).await.expect(201);
    let shown = before.get("/v1/tenants/t/jobs/j").await.expect(200);
    before.frame.tasks.stop();
    before.frame.tasks.run().await.unwrap();

    let after = world.registry().await;
    assert_eq!(after.get("/v1/tenants/t/jobs/j").await.expect(200), shown);
    assert_eq!(after.put("/v1/tenants/t/schemas/other", "{}").await.expect(201)["id"], 2);
    let digest = shown["active"]["routes"][0]["function"]["digest"].as_str().unwrap();
    after.get(&format!("/v1/artifacts/{digest}")).await.expect(200);
}
