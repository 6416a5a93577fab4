//! What is too large, and what is no name.

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Registry, World, job};

pub async fn bodies_over_their_limit_are_refused_with_413(world: &World) {
    let registry = world.registry().await;
    let blanks = |bytes: usize| " ".repeat(bytes);
    let schema = |bytes: usize| format!("{{{}}}", blanks(bytes - 2));
    registry.put("/v1/tenants/t/schemas/s", schema(1 << 20)).await.expect(201);
    assert!(registry.put("/v1/tenants/t/schemas/s", schema((1 << 20) + 1)).await.problem(413).contains("1048576"));
    let module = vec![0; (32 << 20) + 1];
    registry.put("/v1/tenants/t/functions/f", module).await.problem(413);
    let file = format!("{}{}", job("t", "j", "e", "q"), blanks(jobico_event::job::FILE_BYTES_MAX));
    registry.deploy(&file).await.problem(413);
    let body = serde_json::json!({"schema": schema((1 << 20) + 1), "schemaType": "JSON"}).to_string();
    registry.post("/subjects/t.s/versions", body).await.confluent(422, 42209);
    registry.post("/subjects/t.s/versions", blanks((2 << 20) + 1)).await.confluent(413, 413);
    // Within the limit of a schema, and no record that Kafka takes.
    let wide = serde_json::json!({"title": "\"".repeat(400_000)}).to_string();
    assert!(registry.put("/v1/tenants/t/schemas/s", wide).await.problem(413).contains("record"));
    let patch = registry.request(Method::PATCH, "/v1/tenants/t").body(blanks(5_000));
    registry.send(patch).await.problem(413);
}

/// The status of a request whose path goes out as it is written here: clients tidy paths up.
async fn raw(registry: &Registry, method: &str, path: &str) -> u16 {
    let mut stream = tokio::net::TcpStream::connect(registry.address()).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
}

pub async fn names_that_are_none_are_refused_and_write_nothing_elsewhere(world: &World) {
    let registry = world.registry().await;
    let long = "a".repeat(64);
    let names =
        ["..", "%2e%2e", "..%2f..%2fetc", "a%2Fb", &long, "%C3%A4", "jobico", "a%00b", ".a", "-a", "a%20b", "%ff"];
    for name in names {
        assert_eq!(raw(&registry, "PUT", &format!("/v1/tenants/{name}/schemas/s")).await, 400, "{name}");
        assert_eq!(raw(&registry, "GET", &format!("/v1/tenants/{name}")).await, 400, "{name}");
        assert_eq!(
            raw(&registry, "POST", &format!("/v1/tenants/t/jobs/{name}/rollback")).await,
            if name == "jobico" { 404 } else { 400 }
        );
    }
    let longer = "a".repeat(128);
    for name in ["..", "%2e%2e%2fx", "a%2Fb", &longer, "%C3%A4", ".a", "%ff"] {
        assert_eq!(raw(&registry, "PUT", &format!("/v1/tenants/t/schemas/{name}")).await, 400, "{name}");
        assert_eq!(raw(&registry, "PUT", &format!("/v1/tenants/t/functions/{name}")).await, 400, "{name}");
    }
    for name in ["..", "%2e%2e", "..%2f..%2fCargo.toml", "%ff"] {
        assert_eq!(raw(&registry, "GET", &format!("/v1/artifacts/{name}")).await, 400, "{name}");
    }
    let tenant = registry.put("/v1/tenants/..x/schemas/s", "{}").await.problem(400);
    assert!(tenant.contains("tenant '..x'") && tenant.contains("letter or digit first"), "{tenant}");
    assert!(world.records("_schemas").is_empty() && world.records("jobico.catalog").is_empty());
    assert_eq!(std::fs::read_dir(&registry.artifacts).unwrap().count(), 0);
}

pub async fn paths_and_methods_that_do_not_exist_are_answered_as_problems(world: &World) {
    let registry = world.registry().await;
    registry.get("/v1/nothing").await.problem(404);
    registry.send(registry.request(Method::DELETE, "/v1/tenants")).await.problem(405);
}
