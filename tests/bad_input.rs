//! Bad input at each door: it is answered with what is wrong, nothing of it is stored, and all goes on.

use serde_json::{Value, json};

use crate::system::{Answer, Job, On, System, example};

const SCHEMA: &str = r#"{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}"#;
const MEGABYTE: usize = 1_000_000;

/// A schema that would be asked 2^40 times whether one value is valid.
fn endless_schema() -> String {
    let twice = |nth: usize| json!({"allOf": vec![json!({"$ref": format!("#/$defs/a{}", nth + 1)}); 2]});
    let schemas: serde_json::Map<_, _> = (0..=40).map(|nth| (format!("a{nth}"), twice(nth))).collect();
    let mut schema = json!({"$ref": "#/$defs/a0", "$defs": schemas});
    schema["$defs"]["a41"] = json!({"type": "string"});
    schema.to_string()
}

fn system_with_a_job() -> System {
    let system = System::dev(On::Embedded);
    system.deploy(&Job::new("numbers").event("number", "q", "echo").schema(SCHEMA));
    system
}

#[test]
fn bad_events_are_answered_with_what_is_wrong_and_nothing_of_their_request_is_stored() {
    let mut system = system_with_a_job();
    let post = |body: &[u8]| system.client.post_event("number", body);
    let refused = |body: &[u8], status: u16, named: &str| -> Answer {
        let answer = post(body);
        let detail = answer.problem(status);
        assert!(answer.body.contains(named), "'{named}' is not in: {detail} {}", answer.body);
        answer
    };
    refused(b"not JSON", 400, "JSON");
    refused(b"", 400, "JSON");
    refused(b"[]", 400, "data");
    refused(b"{\"data\": []}", 400, "data");
    refused(b"{\"data\": {}}", 400, "data");
    refused(b"{\"data\": [{\"n\": 1}]", 400, "JSON");
    refused(b"{\"data\": [{\"n\": \"\xff\"}]}", 400, "UTF-8");
    refused(&[&b"{\"data\": ["[..], &b"[".repeat(100_000)].concat(), 400, "JSON");
    refused(&format!("{{\"data\": [{{\"n\": \"{}\"}}]}}", "x".repeat(10 * MEGABYTE)).into_bytes(), 413, "larger");
    let invalid = refused(br#"{"data": [{"n": 1}, {"n": "one"}, 7]}"#, 400, "/n").json();
    let faults: Vec<(u64, &str)> = invalid["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (fault["index"].as_u64().unwrap(), fault["keyword"].as_str().unwrap()))
        .collect();
    assert_eq!(faults, [(1, "type"), (2, "type")]);

    let json = [("content-type", "application/json")];
    let elsewhere = |path: &str| system.client.post("ingest", path, &json, br#"{"data": [{"n": 1}]}"#.to_vec());
    assert!(elsewhere("/events/nobody/number").problem(404).contains("nobody"));
    assert!(elsewhere(&format!("/events/{}/nothing", system.tenant)).problem(404).contains("nothing"));
    elsewhere("/events/%ff/number").problem(400);
    elsewhere("/events/../../etc/passwd").problem(404);
    let path = format!("/events/{}/number", system.tenant);
    for (name, value) in [("content-type", "text/plain"), ("content-encoding", "gzip")] {
        system.client.post("ingest", &path, &[(name, value)], br#"{"data": [{"n": 1}]}"#.to_vec()).problem(415);
    }
    assert_eq!(system.client.get("ingest", &path).problem(405), "GET is not allowed at this path");

    // What is fine goes through, and is all that there is.
    system.client.send("number", &[json!({"n": 1})]);
    system.client.await_results(1);
    system.assert_well();
    assert_eq!(system.stop("dev"), Some(0));
    assert_eq!(system.records("q").len(), 1, "nothing of what was refused was stored");
}

#[test]
fn the_registry_and_the_recorder_name_what_is_wrong_with_a_request() {
    let system = system_with_a_job();
    let tenant = &system.tenant;
    let upload = |path: &str, body: &[u8]| system.client.put("registry", path, body);
    let schemas = format!("/v1/tenants/{tenant}/schemas/s.json");
    assert!(upload(&schemas, b"{").problem(422).contains("JSON"));
    upload(&schemas, br#"{"type": 5}"#).problem(422);
    upload(&schemas, b"\"\xff\"").problem(422);
    upload(&schemas, &b"x".repeat(10 * MEGABYTE)).problem(413);
    let endless = upload(&schemas, endless_schema().as_bytes());
    assert!(endless.problem(422).contains("asked of one value"), "{endless:?}");
    upload("/v1/tenants/a.b/schemas/s.json", b"{}").problem(400);
    upload("/v1/tenants/jobico/schemas/s.json", b"{}").problem(400);
    let functions = format!("/v1/tenants/{tenant}/functions/f.wasm");
    upload(&functions, b"not wasm").problem(422);
    upload(&functions, b"\0asm\x01\0\0\0").problem(422);
    for (module, named) in [("no_memory", "memory"), ("unknown_import", "nope")] {
        assert!(upload(&functions, &example::test_module(module)).body.contains(named), "{module}");
    }
    let jobs = |body: &[u8]| system.client.post("registry", "/v1/jobs", &[("content-type", "application/yaml")], body);
    let large = b"a".repeat(MEGABYTE);
    let bodies: [&[u8]; 6] = [b"\xff", b"", b"[]", b"a: [", b"id: &a [*a]", &large];
    for body in bodies {
        let answer = jobs(body);
        assert!(matches!(answer.status, 413 | 422), "{answer:?}");
        answer.problem(answer.status);
    }
    system.client.get("registry", "/v1/tenants/nobody/jobs").problem(404);

    let asked = |query: &str| system.client.get("recorder", &format!("/v1/tenants/{tenant}/results?{query}"));
    for query in ["limit=0", "limit=many", "status=fine", "since=soon", "cursor=%ff", "cursor=AAAA", "colour=red"] {
        let answer = asked(query);
        answer.problem(400);
        assert_eq!(answer.json()["errors"].as_array().map(Vec::len), Some(1), "{query}: {answer:?}");
    }
    system.client.get("recorder", "/v1/tenants/nobody/results").problem(404);
    assert_eq!(asked("limit=1").json()["results"], Value::Array(Vec::new()));
    system.assert_well();
}
