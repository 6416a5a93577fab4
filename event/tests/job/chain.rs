//! Events in one list: chained ones, those that agree and those that do not, loops.

use jobico_event::job;

use super::faults;

/// A file with two events in `jobs`, the results of which are given.
fn two(first: &str, second: &str) -> String {
    format!(
        "\
id: j
tenant: t
queues: [{{id: q}}, {{id: other}}]
jobs:
- event: {{id: a, supplierqueue: q, runtime: r}}
  result: {first}
- event: {{id: b, supplierqueue: q, runtime: r, schema: {{schemaref: b.json}}}}
  result: {second}
runtimes: [{{id: r, moduleref: r.wasm}}, {{id: s, moduleref: s.wasm}}]
"
    )
}

#[test]
fn a_chained_event_that_is_also_a_job_has_the_results_of_the_job() {
    let b = "{id: b, name: B, supplierqueue: q, runtime: r, schema: {schemaref: b.json}}";
    let c = "{id: c, supplierqueue: other, runtime: s}";
    let file = job::parse(&two(&format!("{{ok: {b}, error: {c}}}"), &format!("{{ok: {c}}}")))
        .unwrap_or_else(|faults| panic!("{faults:#?}"));
    let chain: Vec<_> = file
        .events
        .iter()
        .map(|event| {
            (event.event.as_str(), event.ok.as_ref().map(|id| id.as_str()), event.error.as_ref().map(|id| id.as_str()))
        })
        .collect();
    assert_eq!(chain, [("a", Some("b"), Some("c")), ("b", Some("c"), None), ("c", None, None)]);
}

#[test]
fn an_event_that_is_defined_in_two_ways_is_refused() {
    let b = "{id: b, supplierqueue: other, runtime: s}";
    assert_eq!(
        faults(&two(&format!("{{ok: {b}}}"), "null")),
        [
            "line 6, column 21: jobs[0].result.ok.id: the event 'b' is defined here with another queue and another schema \
             and another runtime than on line 7; an event is one thing wherever it comes from"
        ]
    );
    let first = "{error: {id: c, supplierqueue: q, runtime: r}}";
    let second = "{error: {id: c, supplierqueue: q, runtime: r, key: /id}}";
    assert_eq!(
        faults(&two(first, second)),
        [
            "line 8, column 24: jobs[1].result.error.id: the event 'c' is defined here with another key than on line 6; an \
             event is one thing wherever it comes from"
        ]
    );
}

#[test]
fn a_chain_that_leads_back_to_itself_is_refused() {
    let a = "{id: a, supplierqueue: q, runtime: r}";
    let b = "{id: b, supplierqueue: q, runtime: r, schema: {schemaref: b.json}}";
    assert_eq!(
        faults(&two(&format!("{{error: {a}}}"), "null")),
        [
            "line 6, column 24: jobs[0].result.error.id: this closes a loop that never ends: a → a; a chain of events must end"
        ]
    );
    assert_eq!(
        faults(&two(&format!("{{ok: {b}}}"), &format!("{{error: {a}}}"))),
        [
            "line 8, column 24: jobs[1].result.error.id: this closes a loop that never ends: a → b → a; a chain of events must end"
        ]
    );
}

#[test]
fn two_ways_to_one_event_are_no_loop() {
    let c = "{id: c, supplierqueue: q, runtime: r}";
    let b = "{id: b, supplierqueue: q, runtime: r, schema: {schemaref: b.json}}";
    let text = two(&format!("{{ok: {b}, error: {c}}}"), &format!("{{ok: {c}, error: {c}}}"));
    assert_eq!(job::parse(&text).map(|file| file.events.len()), Ok(3));
}
