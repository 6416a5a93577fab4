//! Job files: refused, deployed, updated, rolled back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::system::{Ending, Job, On, System, eventually, example};

/// How long an update may take to be in force. It is promised within a second; a loaded machine gets more.
const UPDATE_MAX: Duration = Duration::from_secs(10);

#[test]
fn a_faulty_job_file_is_refused_with_all_of_its_faults_and_their_lines() {
    let system = System::dev(On::Embedded);
    let file = system.file(
        "job.yaml",
        "id: faulty\n\
         tenant: my tenant\n\
         queues:\n  - id: q1\n    partition: 3\n\
         jobs:\n  - event:\n      id: e1\n      schema: {schemaref: nowhere.json}\n      supplierqueue: q2\n      runtime: r1\n\
         runtimes:\n  - {id: r2, moduleref: nowhere.wasm}\n",
    );
    let file = file.to_str().unwrap();
    for command in [&["deploy", file][..], &["deploy", "--dry-run", file]] {
        let said = system.jobico(command).expect_code(3).to_owned();
        for fault in ["line 2,", "line 5,", "line 10,", "line 11,"] {
            assert!(said.contains(fault), "{fault} is not in:\n{said}");
        }
        for named in ["tenant", "partition", "q2", "r1"] {
            assert!(said.contains(named), "{named} is not in:\n{said}");
        }
    }
    // By itself the file is fine now: what it names is missing.
    let whole = "id: faulty\ntenant: t1\nqueues: [{id: q1}]\njobs:\n  - event: {id: e1, schema: {schemaref: nowhere.json}, \
                 supplierqueue: q1, runtime: r1}\nruntimes:\n  - {id: r1, moduleref: nowhere.wasm}\n";
    let file = system.file("job.yaml", whole);
    let said = system.jobico(&["deploy", file.to_str().unwrap()]).expect_code(3).to_owned();
    assert!(said.contains("nowhere.json") && said.contains("nowhere.wasm"), "{said}");
    assert_eq!(system.client.get("registry", "/v1/tenants").json(), json!({"items": []}), "nothing was changed");
}

#[test]
fn a_job_is_shown_with_what_is_in_force_and_all_versions() {
    let system = System::dev(On::Embedded);
    let job = |function: &str| Job::new("numbers").event("number", "q", function);
    system.deploy(&job("echo"));
    system.deploy(&job("trap_when"));
    let shown = system.jobico(&["show", "job", &system.tenant, "numbers"]).expect_ok().to_owned();
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[2][..2], ["number", "q"], "{shown}");
    let of_versions: Vec<_> = lines[4..].iter().map(|line| (line[0], line[2])).collect();
    assert_eq!(of_versions, [("VERSION", "REPLACES"), ("2", "1"), ("1", "-")], "{shown}");
}

#[test]
fn both_spellings_of_the_job_file_are_the_same_job() {
    let system = System::of(On::Embedded, "my-tenant-1", "default");
    let mut system = system;
    system.start_dev(&[]);
    upload_customer(&system);
    let routes = |file: &str| {
        system.jobico(&["deploy", "--update", &example::path(file)]).expect_ok();
        let shown = system.jobico(&["show", "job", "my-tenant-1", "customer-proc-jobs", "--output", "json"]).json();
        (shown["active"]["queues"].clone(), shown["active"]["routes"].clone())
    };
    let lower = routes("customer-registration/job.yaml");
    assert!(lower.1.as_array().is_some_and(|routes| routes.len() == 1), "{lower:?}");
    assert_eq!(routes("customer-registration/job-package.yaml"), lower);
}

fn upload_customer(system: &System) {
    for (kind, name, file) in [
        ("json", "customer.json", "customer-registration/customer.json"),
        ("wasm", "customer.wasm", "dist/customer.wasm"),
    ] {
        system.jobico(&["upload", kind, &system.tenant, name, &example::path(file)]).expect_ok();
    }
}

on_each_log! {
    fn the_chain_example_goes_either_way(on: On) {
        let system = System::dev(on);
        upload_customer(&system);
        let tenant = &system.tenant;
        system.jobico(&["upload", "wasm", tenant, "welcome.wasm", &example::path("dist/welcome.wasm")]).expect_ok();
        system.jobico(&["upload", "json", tenant, "registered.json", &example::path("chain/registered.json")]).expect_ok();
        let job = system.file("job.yaml", example::of_tenant(&example::text("chain/job.yaml"), tenant, &system.pool));
        system.jobico(&["deploy", job.to_str().unwrap()]).expect_ok();
        system.client.await_event("customer-signup");
        system.jobico(&["send", tenant, "customer-signup", &example::path("chain/events.json")]).expect_ok();

        let results = system.client.await_results(4);
        let data: Vec<&Value> = results.iter().map(|result| &result["data"]).collect();
        let has = |wanted: Value| assert!(data.contains(&&wanted), "{wanted} is not in {data:#?}");
        has(json!("firstName is blank"));
        has(json!({"subject": "Welcome, Ada", "text": "Welcome, Ada Lovelace. Your registration is complete.", "to": "ada.lovelace@example.com"}));
        has(json!({"subject": "A signup was rejected", "text": "firstName is blank", "to": "registrations@example.com"}));
        assert_eq!(results.len(), 4);
        let of_queue = |queue: &str| results.iter().filter(|result| result["topic"] == format!("{tenant}.{queue}")).count();
        assert_eq!((of_queue("queue-signup"), of_queue("queue-registered"), of_queue("queue-rejected")), (2, 1, 1));
    }

    fn a_rollback_puts_the_version_before_back_into_force(on: On) {
        let system = System::dev(on);
        let answer = || {
            let event = system.client.send("greet", &[json!("hello")])[0]["id"].as_str().unwrap().to_owned();
            let path = format!("/v1/tenants/{}/events/{event}/results", system.tenant);
            let result = eventually("the event has its result", || {
                system.client.get("recorder", &path).json()["results"].get(0).cloned()
            });
            (result["status"].as_str().unwrap().to_owned(), result["data"].clone())
        };
        let in_force = |wanted: (&str, Value)| eventually("the version is in force", || {
            let (status, data) = answer();
            (status == wanted.0 && data == wanted.1).then_some(())
        });
        system.deploy(&Job::new("greetings").event("greet", "q", "echo"));
        assert_eq!(answer(), ("ok".to_owned(), json!("hello")));
        system.deploy(&Job::new("greetings").event("greet", "q", "reject"));
        in_force(("error", json!("no thanks")));
        let roll_back = || system.jobico(&["rollback", &system.tenant, "greetings"]);
        assert!(roll_back().expect_ok().contains("version 1"));
        in_force(("ok", json!("hello")));
        let said = roll_back().expect_code(3).to_owned();
        assert!(said.contains("nothing to go back to"), "{said}");
    }

    fn an_update_takes_effect_in_a_running_system_and_loses_nothing(on: On) {
        let system = System::dev(on);
        system.deploy(&Job::new("greetings").event("greet", "q", "echo"));
        let (client, stop) = (system.client.clone(), AtomicBool::new(false));
        let (sent, updated_at) = std::thread::scope(|threads| {
            let ending = Ending(&stop);
            let sender = threads.spawn(|| {
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    sent += client.send("greet", &[json!(sent), json!(sent + 1)]).len();
                }
                sent
            });
            client.await_results(50);
            let module = system.file("reject.wasm", example::test_module("reject"));
            system.jobico(&["upload", "wasm", &system.tenant, "echo.wasm", module.to_str().unwrap()]).expect_ok();
            let job = system.folder().join("job.yaml");
            system.jobico(&["deploy", "--update", job.to_str().unwrap()]).expect_ok();
            let updated_at = now_ms();
            eventually("the new version answers", || {
                let path = format!("/v1/tenants/{}/results?status=error&limit=1", system.tenant);
                client.get("recorder", &path).json()["results"].get(0).cloned()
            });
            drop(ending);
            (sender.join().expect("every event is taken, also during the update"), updated_at)
        });
        let results = client.await_results(sent);
        assert_eq!(results.len(), sent, "each event has one result");
        let first = results.iter().filter(|result| result["status"] == "error").map(written_ms).min().unwrap();
        let last = results.iter().filter(|result| result["status"] == "ok").map(written_ms).max().unwrap();
        println!("{sent} events; after the deploy answered, the new version answered after {} ms, the old one for the last time after {} ms",
            first - updated_at, last - updated_at);
        let bound = i128::try_from(UPDATE_MAX.as_millis()).unwrap();
        assert!(first - updated_at < bound && last - updated_at < bound);
    }
}

fn now_ms() -> i128 {
    time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000
}

/// When a result was written, milliseconds since 1970.
fn written_ms(result: &Value) -> i128 {
    let at = result["at"].as_str().unwrap();
    let at = time::OffsetDateTime::parse(at, &time::format_description::well_known::Rfc3339).unwrap();
    at.unix_timestamp_nanos() / 1_000_000
}
