//! docs/telemetry.md says what there is to see.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::system::{Job, On, System};

const DOCUMENT: &str = include_str!("../docs/telemetry.md");
/// The files that name metrics.
const SOURCES: [&str; 6] = [
    include_str!("../service/src/metrics.rs"),
    include_str!("../schema-registry/src/metrics.rs"),
    include_str!("../ingest/src/metrics.rs"),
    include_str!("../processor/src/metrics.rs"),
    include_str!("../processor/src/backlog.rs"),
    include_str!("../recorder/src/metrics.rs"),
];

/// A metric: its type and the names of its labels.
#[derive(Debug, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
}

/// The rows of the document's tables of metrics, by name.
fn documented() -> BTreeMap<String, Metric> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `jobico_"));
    rows.map(|row| {
        let (metric, rest) = row.split_once("` | ").expect("a metric in back-quotes, then its type");
        let kind = rest.split_once(" | ").expect("a type, then what it means").0;
        let (name, labels) = metric.trim_end_matches('}').split_once('{').unwrap_or((metric, ""));
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        (format!("jobico_{name}"), Metric { kind: kind.to_owned(), labels })
    })
    .collect()
}

/// What a process exports, from Prometheus' text format.
fn exported(text: &str) -> BTreeMap<String, Metric> {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    kinds
        .filter(|(name, _)| name.starts_with("jobico_"))
        .map(|(name, kind)| {
            // A sample of it; of a histogram, one that has no label but its own.
            let sample = if kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
            let of = |line: &&str| line.strip_prefix(&*sample).is_some_and(|rest| rest.starts_with(['{', ' ']));
            let line = text.lines().find(of).expect("a metric that is exported has a sample");
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(labels, _)| labels);
            let labels = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
            (name.to_owned(), Metric { kind: kind.to_owned(), labels: labels.collect() })
        })
        .collect()
}

#[test]
fn the_document_has_each_metric_of_the_program_and_no_other() {
    let quoted = SOURCES.iter().flat_map(|source| source.split('"'));
    let named: BTreeSet<&str> = quoted.filter(|text| text.starts_with("jobico_")).collect();
    let documented = documented();
    assert_eq!(documented.keys().map(String::as_str).collect::<BTreeSet<_>>(), named);
}

#[test]
fn what_is_exported_is_as_the_document_says() {
    let mut system = System::new(On::Embedded);
    system.start_dev(&[]);
    let schema = r#"{"type": "object", "required": ["n"]}"#;
    system.deploy(&Job::new("numbers").event("number", "q", "echo").schema(schema));
    system.client.send("number", &[json!({"n": 1}), json!({"n": 2})]);
    system.client.await_results(2);
    let admin = system.process("dev").addresses()["admin"].clone();
    let text = system.client.get_url(&format!("{admin}/metrics")).body;
    let (exported, documented) = (exported(&text), documented());
    for (name, metric) in &exported {
        assert_eq!(Some(metric), documented.get(name), "{name}");
    }
    // What has no labels is there from the start, in each of the roles.
    let bare = documented.iter().filter(|(_, metric)| metric.labels.is_empty());
    let missing: Vec<&String> = bare.map(|(name, _)| name).filter(|name| !exported.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?} of\n{text}");
    #[cfg(target_os = "linux")]
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_threads"] {
        assert!(text.contains(&format!("\n{name} ")), "{name}");
    }
}
