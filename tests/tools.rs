//! The tools, as people and programs use them.

use std::path::Path;

use serde_json::{Value, json};

use crate::system::{Job, On, System, eventually, example, process};

/// Every command that people type, without its arguments.
const COMMANDS: &[&[&str]] = &[
    &["serve"],
    &["dev"],
    &["upload", "wasm"],
    &["upload", "json"],
    &["deploy"],
    &["rollback"],
    &["show"],
    &["send"],
    &["results"],
    &["recorder"],
    &["dead", "list"],
    &["dead", "show"],
    &["dead", "redrive"],
    &["dead", "drop"],
    &["pools"],
    &["tenant", "set"],
    &["health"],
    &["completions"],
];

#[test]
fn every_command_says_what_it_does_with_an_example() {
    let system = System::new(On::Embedded);
    let all = system.jobico(&["--help"]).expect_ok().to_owned();
    for command in COMMANDS {
        assert!(all.contains(&format!("  {}", command[0])), "{command:?} is not in:\n{all}");
        let help = [*command, &["--help"]].concat();
        let help = system.jobico(&help).expect_ok().to_owned();
        let examples = help.split("Example").nth(1).unwrap_or_default();
        assert!(examples.contains(&format!("jobico {}", command[0])), "{command:?} has no example:\n{help}");
    }
    assert!(system.jobico(&["--version"]).expect_ok().starts_with("jobico "));
    for shell in ["bash", "zsh", "fish"] {
        assert!(system.jobico(&["completions", shell]).expect_ok().contains("rollback"), "{shell}");
    }
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let system = System::dev(On::Embedded);
    system.deploy(&Job::new("numbers").event("number", "q", "echo").schema(r#"{"type": "integer"}"#));
    let tenant = system.tenant.as_str();
    let events = system.file("events.json", "1\n2\n");
    let wrong = system.file("wrong.json", "{\"data\": [1, \"two\"]}");
    let (events, wrong) = (events.to_str().unwrap(), wrong.to_str().unwrap());
    let fails = |arguments: &[&str], code: i32, named: &str| {
        let run = system.jobico(arguments);
        let said = run.expect_code(code);
        assert!(said.contains(named), "'{named}' is not in:\n{said}");
        assert_eq!(run.stdout, "", "{arguments:?}");
    };
    system.jobico(&["send", tenant, "number", events]).expect_ok();
    // 1: something was not there.
    fails(&["send", tenant, "number", "missing.json"], 1, "missing.json");
    // 2: the command line.
    fails(&["frobnicate"], 2, "frobnicate");
    fails(&["results", "no tenant"], 2, "no tenant");
    fails(&["results", tenant, "--limit", "0"], 2, "--limit");
    fails(&["tenant", "set", tenant], 2, "--weight");
    fails(&["tenant", "set", tenant, "--weight", "much"], 2, "default");
    // 3: refused, with each fault.
    fails(&["send", tenant, "number", wrong], 3, "data[1]");
    fails(&["results", tenant, "--since", "soon"], 3, "soon");
    fails(&["upload", "wasm", tenant, "f.wasm", wrong], 3, "WebAssembly");
    fails(&["deploy", "job.yaml"], 3, "--update");
    fails(&["tenant", "set", tenant, "--weight", "0"], 3, "1 to 100");
    // 4: not found.
    fails(&["send", tenant, "nothing", events], 4, "nothing");
    fails(&["results", "nobody"], 4, "nobody");
    fails(&["show", "job", tenant, "nothing"], 4, "nothing");
    fails(&["rollback", tenant, "nothing"], 4, "nothing");
    fails(&["tenant", "set", "nobody", "--weight", "2"], 4, "nobody");
    // 5: not now.
    fails(&["show", "tenants", "--registry", "http://127.0.0.1:1"], 5, "http://127.0.0.1:1");
    fails(&["health", "--admin-url", "http://127.0.0.1:1"], 5, "http://127.0.0.1:1");
}

#[test]
fn every_command_prints_json_for_programs() {
    let system = System::dev(On::Embedded);
    let tenant = system.tenant.as_str();
    let json = |arguments: &[&str]| system.jobico(&[arguments, &["--output", "json"]].concat()).json();
    let schema = example::path("customer-registration/customer.json");
    assert_eq!(json(&["upload", "json", tenant, "customer.json", &schema])["version"], 1);
    let module = example::path("dist/customer.wasm");
    let uploaded = json(&["upload", "wasm", tenant, "customer.wasm", &module]);
    assert_eq!(uploaded["digest"].as_str().map(str::len), Some(64));
    let job = example::of_tenant(&example::text("customer-registration/job.yaml"), tenant, &system.pool);
    let job = system.file("job.yaml", job);
    let job = job.to_str().unwrap();
    assert_eq!(json(&["deploy", "--dry-run", job])["dry_run"], true);
    assert_eq!(json(&["deploy", job])["events"], json!(["customer-registration"]));
    system.client.await_event("customer-registration");
    let sent = json(&["send", tenant, "customer-registration", &example::path("customer-registration/events.json")]);
    let event = sent["events"][0]["id"].as_str().unwrap();
    system.client.await_results(3);
    let results = json(&["results", tenant, "--limit", "2"]);
    assert_eq!((results["results"].as_array().map(Vec::len), results["next"].is_string()), (Some(2), true));
    let of_event = json(&["results", tenant, "--event", event]);
    assert_eq!(of_event["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(of_event["results"][0]["event"], event);
    assert_eq!(json(&["results", tenant, "--status", "error"])["results"], json!([]));
    for list in ["jobs", "functions", "schemas"] {
        assert_eq!(json(&["show", list, tenant])["items"].as_array().map(Vec::len), Some(1), "{list}");
    }
    let set = json(&["tenant", "set", tenant, "--weight", "3", "--quota-ms-per-s", "200", "--results-ttl-s", "60"]);
    assert_eq!((&set["weight"], &set["quota_ms_per_s"], &set["results_ttl_s"]), (&json!(3), &json!(200), &json!(60)));
    let set = json(&["tenant", "set", tenant, "--quota-ms-per-s", "default"]);
    assert_eq!((&set["weight"], set.get("quota_ms_per_s")), (&json!(3), None), "what is not named stays");
    assert_eq!(json(&["show", "tenants"])["items"][0], set);
    let shown = json(&["show", "job", tenant, "customer-proc-jobs"]);
    assert_eq!(
        (&shown["version"], &shown["active"]["routes"][0]["event"]),
        (&json!(1), &json!("customer-registration"))
    );
    assert_eq!(json(&["health"])["status"], "ready");
    // One document a line.
    let recorded = system.jobico(&["recorder", "--output", "json"]);
    let lines: Vec<Value> = recorded.expect_ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 3 && lines.iter().all(|line| line["tenant"] == tenant), "{lines:?}");
}

#[test]
fn events_are_read_from_standard_input_and_sent_in_batches() {
    let system = System::dev(On::Embedded);
    system.deploy(&Job::new("numbers").event("number", "q", "echo").schema(r#"{"type": "integer"}"#));
    let pipe = |text: &str| {
        let input = system.file("input", text);
        let ingest = [("JOBICO_INGEST".to_owned(), system.client.url("ingest", ""))];
        let arguments = ["send", &system.tenant, "number", "--batch", "2", "--output", "json"];
        process::run_with_input(&arguments, &ingest, system.folder(), Some(Path::new(&input)))
    };
    assert_eq!(pipe("1 2\n3\n\n4 5").json()["events"].as_array().map(Vec::len), Some(5));
    assert_eq!(system.client.await_results(5).len(), 5);
    // The second request is refused: what was stored before is said.
    let said = pipe("1 2 \"three\"").expect_code(3).to_owned();
    assert!(said.contains("2 events") && said.contains("stored"), "{said}");
    assert!(pipe("").expect_code(3).contains("no event"));
    assert!(pipe("{").expect_code(3).contains("JSON"));
}

on_each_log! {
    fn what_functions_log_is_shown_and_followed(on: On) {
        let system = System::dev(on);
        system.deploy(&Job::new("talk").event("say", "q", "log"));
        let tenant = system.tenant.as_str();
        let follower = system.follow(&["recorder", "--tenant", tenant, "-f", "--lines", "0"]);
        // The follower sees what comes after it has opened its streams, which it does not announce: the first event whose
        // lines it shows tells that it has.
        eventually("recorder -f shows what is logged", || {
            system.client.send("say", &[json!("hello")]);
            eventually("the event's lines are stored", || (!system.client.logs().is_empty()).then_some(()));
            follower.stdout().contains("level 3").then_some(())
        });
        eventually("recorder -f shows results", || follower.stdout().contains("result ok").then_some(()));
        let lines = system.client.logs();
        let first: Vec<(&str, &str)> = lines.iter().rev().take(7)
            .map(|line| (line["level"].as_str().unwrap(), line["message"].as_str().unwrap())).collect();
        assert_eq!(first, [("debug", "level 0"), ("info", "level 1"), ("warning", "level 2"), ("error", "level 3"),
            ("fatal", "level 4"), ("panic", "level 5"), ("none", "level 6")]);
        system.client.await_results(1);
        let shown = system.jobico(&["recorder", "--tenant", tenant, "--lines", "1000"]).expect_ok().to_owned();
        assert!(shown.contains("result ok"), "{shown}");
        let levels: Vec<&str> = shown.lines().filter(|line| line.contains(" log ")).filter_map(|line| line.rsplit(' ').next()).take(7).collect();
        assert_eq!(levels, ["0", "1", "2", "3", "4", "5", "6"], "the newest is the last");
    }
}
