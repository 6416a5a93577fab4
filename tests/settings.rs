//! Settings, and starts that cannot be.

use crate::system::{Job, On, System};

#[test]
fn settings_come_from_files_and_variables_and_flags_and_the_nearest_wins() {
    let mut system = System::new(On::Embedded).with_env("JOBICO_ENV", "test");
    system.file(".env", "JOBICO_REGISTRY=http://127.0.0.1:1\nJOBICO_RECORDER=http://127.0.0.1:2\nJOBICO_OUTPUT=json\n");
    system.file(".env.local", "JOBICO_RECORDER=http://127.0.0.1:3\nJOBICO_INGEST=http://127.0.0.1:4\n");
    system.file(".env.test", "JOBICO_INGEST=http://127.0.0.1:5\nJOBICO_WORKERS=1\n");
    let environment = [("JOBICO_ENV".to_owned(), "test".to_owned())];
    let asks = |arguments: &[&str]| {
        let run = crate::system::process::run(arguments, &environment, system.folder());
        run.expect_code(5).to_owned()
    };
    assert!(asks(&["show", "tenants"]).contains("127.0.0.1:1"), ".env is read");
    assert!(asks(&["results", "t"]).contains("127.0.0.1:3"), ".env.local wins over .env");
    let events = system.file("events.json", "1");
    let send = ["send", "t", "e", events.to_str().unwrap()];
    assert!(asks(&send).contains("127.0.0.1:5"), ".env.$JOBICO_ENV wins over .env.local");
    let flag = [&send[..], &["--ingest", "http://127.0.0.1:6"]].concat();
    assert!(asks(&flag).contains("127.0.0.1:6"), "a flag wins over all");
    let variable = [("JOBICO_REGISTRY".to_owned(), "http://127.0.0.1:7".to_owned())];
    let run = crate::system::process::run(&["show", "tenants"], &variable, system.folder());
    assert!(run.expect_code(5).contains("127.0.0.1:7"), "a variable wins over files");

    system.file(".env", "what is this");
    let run = crate::system::process::run(&["show", "tenants"], &[], system.folder());
    assert!(run.expect_code(2).contains(".env"), "{run:?}");

    system.file(".env", "JOBICO_OUTPUT=json");
    system.start_dev(&[]);
    assert_eq!(system.jobico(&["health"]).json()["status"], "ready");
}

#[test]
fn a_process_has_small_pages_alone() {
    let system = System::dev(On::Embedded);
    assert_ne!(system.process("dev").has_huge_pages(), Some(true));
}

#[test]
fn a_taken_port_is_named_with_the_flag_that_chooses_another() {
    let system = System::new(On::Embedded);
    for server in ["ingest", "registry", "recorder", "admin"] {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let flag = format!("--{server}-addr");
        let mut process = system.spawn(server, &["dev"], &[&flag, &address]);
        assert_eq!(process.end(), Some(1));
        let said = process.stderr();
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("jobico: ") && last.contains(&address) && last.contains(&flag), "{said}");
    }
}

#[test]
fn a_processor_whose_transactions_could_last_longer_than_kafka_lets_them_does_not_start() {
    let system = System::new(On::Kafka);
    let mut process = system.spawn("processor", &["serve", "processor"], &["--call-ms-max", "30000"]);
    assert_eq!(process.end(), Some(1));
    let said = process.stderr();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("--call-ms-max 30000") && last.contains("JOBICO_KAFKA_TRANSACTION_TIMEOUT_MS="), "{said}");

    let mut system = System::new(On::Kafka).with_env("JOBICO_KAFKA_TRANSACTION_TIMEOUT_MS", "100000");
    system.start_dev(&["--call-ms-max", "30000"]);
    system.deploy(&Job::new("job").event("e", "q", "echo"));
    system.client.send("e", &[serde_json::json!({"n": 1})]);
    system.client.await_results(1);
    assert_eq!(system.stop("dev"), Some(0));
}

#[test]
fn a_recorder_with_a_wrong_file_for_tls_to_its_store_does_not_start() {
    let system = System::new(On::Embedded);
    let text = system.file("ca.pem", "no PEM");
    let (missing, text) = (system.folder().join("missing.pem"), text.to_str().unwrap().to_owned());
    for (file, what) in [(missing.to_str().unwrap(), "cannot be read"), (&text, "holds no certificate")] {
        let mut process = system.spawn("dev", &["dev"], &["--cql", "127.0.0.1:1", "--cql-tls-ca", file]);
        assert_eq!(process.end(), Some(1));
        let said = process.stderr();
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with(&format!("jobico: --cql-tls-ca {file}: {what}")), "{said}");
    }
}

#[test]
fn a_data_folder_belongs_to_one_process() {
    let mut system = System::dev(On::Embedded);
    let mut second = system.spawn("second", &["dev"], &[]);
    assert_eq!(second.end(), Some(1));
    let said = second.stderr();
    assert!(
        said.lines().last().is_some_and(|line| line.starts_with("jobico: ") && line.contains("--data-dir")),
        "{said}"
    );
    system.assert_well();
    assert_eq!(system.stop("dev"), Some(0));
    system.start_dev(&[]);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let system = System::new(On::Embedded);
    let meaningless: [(&[&str], &str); 8] = [
        (&["serve", "everything"], "everything"),
        (&["dev", "--ingest-addr", "here"], "--ingest-addr"),
        (&["dev", "--workers", "0"], "--workers"),
        (&["dev", "--results-ttl", "soon"], "soon"),
        (&["dev", "--cql-keyspace", "No-Good"], "--cql-keyspace"),
        (&["dev", "--cql-tls-ca", "ca", "--cql-tls-cert", "cert"], "--cql-tls-key"),
        (&["dev", "--cql-tls-ca", "ca", "--cql-tls-key", "key"], "--cql-tls-cert"),
        (&["dev", "--cql-tls-cert", "cert", "--cql-tls-key", "key"], "--cql-tls-ca"),
    ];
    for (arguments, named) in meaningless {
        let said = system.jobico(arguments).expect_code(2).to_owned();
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    // Roles of one system need a log that they can share.
    let said = system.jobico(&["serve", "ingest"]).expect_code(2).to_owned();
    assert!(said.contains("--kafka"), "{said}");
}
