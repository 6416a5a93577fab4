//! Job files: both spellings, and every fault with its place.

mod chain;
mod resolve;
mod robust;
mod yaml;

use jobico_event::job::{self, Fault, JobFile, Place};
use jobico_event::retry::{Ordering, Retry, Tier};

/// The file of the guide, lower-case keys.
pub const LOWER: &str = "\
name: Customer events
id: customer-proc-jobs
tenant: my-tenant-1
queues:
  - id: queue-default
    name: Default to all events
  - {id: q2, partitions: 6, pool: heavy}
  - id: q3
jobs:
  - event:
      name: New customer
      id: customer-registration
      datatype: 0
      schema: {id: s1, name: Customer, schemaref: customer.json}
      supplierqueue: queue-default
      runtime: wasm-runtime-customer
      key: /customer/id
    result:
      ok:    {id: registered, name: Done, datatype: 0, schema: null, supplierqueue: q2, runtime: r2}
      error: {id: rejected, name: Not done, datatype: 0, schema: null, supplierqueue: q3, runtime: r2}
runtimes:
  - {id: wasm-runtime-customer, name: Customers, moduleref: customer.wasm, mainfuncname: event, type: 0}
  - {id: r2, moduleref: r2.wasm, timeoutms: 2500}
";

/// The same in the spelling with the wrapper.
const CAMEL: &str = "\
package:
  ID: customer-proc-jobs
  name: Customer events
  tenant: my-tenant-1
  queues:
  - ID: queue-default
    name: Default to all events
  - ID: q2
    partitions: 6
    pool: heavy
  - ID: q3
  jobs:
  - event:
      ID: customer-registration
      name: New customer
      dataType: 0
      schema:
        ID: s1
        name: Customer
        schemaRef: customer.json
      supplierQueue: queue-default
      runtime: wasm-runtime-customer
      key: /customer/id
    result:
      ok:
        ID: registered
        name: Done
        dataType: 0
        schema: null
        supplierQueue: q2
        runtime: r2
      error:
        ID: rejected
        name: Not done
        dataType: 0
        schema: null
        supplierQueue: q3
        runtime: r2
  runtimes:
  - ID: wasm-runtime-customer
    name: Customers
    moduleRef: customer.wasm
    mainFuncName: event
    type: 0
    platform: 0
  - ID: r2
    moduleRef: r2.wasm
    timeoutMs: 2500
";

/// The file without what only says where things stand.
fn meaning(text: &str) -> JobFile {
    let mut file = job::parse(text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    file.source = String::new();
    file.queues.iter_mut().for_each(|queue| queue.place = Place::default());
    for event in &mut file.events {
        event.place = Place::default();
        event.schema.iter_mut().for_each(|schema| schema.place = Place::default());
    }
    for runtime in &mut file.runtimes {
        runtime.place = Place::default();
        runtime.main_place = Place::default();
    }
    file
}

/// The faults of a file, as the user sees them.
fn faults(text: &str) -> Vec<String> {
    job::parse(text).expect_err("the file has a fault").iter().map(Fault::to_string).collect()
}

/// [`LOWER`] with `from` replaced, which must be there.
fn with(from: &str, to: &str) -> String {
    assert!(LOWER.contains(from), "the file has no {from:?}");
    LOWER.replace(from, to)
}

#[test]
fn the_two_spellings_say_the_same() {
    assert_eq!(meaning(LOWER), meaning(CAMEL));
}

#[test]
fn the_files_in_the_documentation_can_be_deployed() {
    let page = include_str!("../../docs/jobs.md");
    let examples: Vec<&str> = page.split("```").filter_map(|block| block.strip_prefix("yaml\n")).collect();
    let whole: Vec<JobFile> =
        examples.iter().filter(|text| text.contains("tenant:")).map(|text| meaning(text)).collect();
    assert_eq!(whole.len(), 2, "one of each spelling");
    let chained = examples.iter().find(|text| text.starts_with("jobs:")).expect("the chained events");
    let rest = ["price", "ship", "notify"].map(|id| format!("- {{id: {id}, moduleref: {id}.wasm}}\n")).concat();
    let chained = meaning(&format!("id: j\ntenant: t\nqueues: [{{id: q}}]\n{chained}runtimes:\n{rest}"));
    assert_eq!(
        chained.events.iter().map(|event| event.event.as_str()).collect::<Vec<_>>(),
        ["order", "priced", "shipped"]
    );
}

#[test]
fn a_key_may_have_either_spelling_whatever_the_wrapper() {
    let mixed = LOWER.replace("schemaref", "schemaRef").replace("  - id: queue-default", "  - ID: queue-default");
    assert_eq!(meaning(&mixed), meaning(LOWER));
    assert_eq!(meaning(&CAMEL.replace("supplierQueue", "supplierqueue")), meaning(LOWER));
}

#[test]
fn everything_that_the_file_says_is_kept() {
    let file = job::parse(LOWER).unwrap();
    assert_eq!((file.tenant.as_str(), file.job.as_str()), ("my-tenant-1", "customer-proc-jobs"));
    assert_eq!(file.name.as_deref(), Some("Customer events"));
    assert_eq!(file.source, LOWER);

    let queues: Vec<_> = file.queues.iter().map(|q| (q.queue.as_str(), q.partitions, q.pool.is_some())).collect();
    assert_eq!(queues, [("queue-default", None, false), ("q2", Some(6), true), ("q3", None, false)]);

    let ids: Vec<_> = file.events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(ids, ["customer-registration", "registered", "rejected"]);
    let first = &file.events[0];
    assert_eq!(first.ok.as_ref().map(|id| id.as_str()), Some("registered"));
    assert_eq!(first.error.as_ref().map(|id| id.as_str()), Some("rejected"));
    assert_eq!(first.key.as_deref(), Some("/customer/id"));
    let schema = first.schema.as_ref().unwrap();
    assert_eq!((schema.id.as_deref(), schema.schemaref.as_str()), (Some("s1"), "customer.json"));
    assert_eq!((file.events[1].ok.is_none(), file.events[1].schema.is_none()), (true, true));

    let runtime = &file.runtimes[1];
    assert_eq!((runtime.main.as_str(), runtime.timeout_ms), ("event", Some(2500)), "the default, and what was set");
}

#[test]
fn places_are_those_of_the_values() {
    let file = job::parse(CAMEL).unwrap();
    let at = |place: &Place| (place.line, place.column, place.path.clone());
    assert_eq!(at(&file.queues[1].place), (8, 9, "package.queues[1].ID".to_owned()));
    assert_eq!(at(&file.events[0].place), (14, 11, "package.jobs[0].event.ID".to_owned()));
    let schema = file.events[0].schema.as_ref().unwrap();
    assert_eq!(at(&schema.place), (20, 20, "package.jobs[0].event.schema.schemaRef".to_owned()));
    assert_eq!(at(&file.events[2].place), (33, 13, "package.jobs[0].result.error.ID".to_owned()));
    assert_eq!(at(&file.runtimes[0].main_place), (43, 19, "package.runtimes[0].mainFuncName".to_owned()));
    assert_eq!(at(&file.runtimes[1].main_place), at(&file.runtimes[1].place), "left out: that of moduleRef");
}

#[test]
fn what_the_seed_leaves_empty_or_null_is_absent() {
    let text = "\
id: 1
tenant: t
queues: [{id: 1}]
jobs:
- event: {id: 7, schema: {id: '', name: null, schemaref: sch1}, supplierqueue: 1, runtime: 1}
  result: {ok: null, error: ~}
- event: {id: 8, name:, supplierqueue: 1, runtime: 1}
  result:
runtimes: [{id: 1, moduleref: run1, mainfuncname: null}]
";
    let file = job::parse(text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let schema = file.events[0].schema.as_ref().unwrap();
    assert_eq!((schema.id.as_deref(), schema.name.as_deref()), (None, None));
    assert_eq!((file.job.as_str(), file.events[1].event.as_str()), ("1", "8"));
    assert_eq!(file.events[1].name, None);
    assert_eq!(file.events.len(), 2);
    assert_eq!(file.runtimes[0].main, "event");
}

#[test]
fn every_fault_of_a_file_is_reported_at_once_with_its_place() {
    let text = "\
name: [a, b]
id: customer.jobs
tennant: t1
queues:
  - id: dead
  - id: q1
    partitions: 0
  - id: q1
  - q3
jobs:
  - event:
      id: e1
      datatype: 1
      schema: {id: s1}
      supplierqueue: q2
      runtime: r1
      key: customer/id
      runtime: r2
  - event: {id: e1, supplierqueue: q1, runtime: nowhere}
    result: {ok: {id: e2, supplierqueue: q1}, fail: null}
  - result: null
runtimes:
  - {id: r1, moduleref: ../x.wasm, type: 1, timeoutms: 60001}
  - {id: r1, moduleref: x.wasm, mainFunction: event}
";
    let expected = [
        "line 1, column 1: tenant: the key 'tenant' is missing here",
        "line 1, column 7: name: a list is here, and it must be a single value",
        "line 2, column 5: id: 'customer.jobs' cannot stand here: '.' at position 9 is not allowed; allowed are letters, \
         digits, '-' and '_'",
        "line 3, column 1: tennant: there is no key 'tennant'; is 'tenant' meant?",
        "line 5, column 9: queues[0].id: 'dead' cannot stand here: 'dead' is reserved",
        "line 7, column 17: queues[1].partitions: '0' must be a whole number from 1 to 1000",
        "line 8, column 9: queues[2].id: the queue 'q1' is defined a second time; the first is on line 6",
        "line 9, column 5: queues[3]: a text is here, and it must be a mapping of keys to values",
        "line 13, column 17: jobs[0].event.datatype: '1' is not known: the only data type is 0, JSON",
        "line 14, column 15: jobs[0].event.schema.schemaref: the key 'schemaref' is missing here",
        "line 17, column 12: jobs[0].event.key: 'customer/id' must be a JSON pointer: it begins with '/', and '~' and '/' \
         within a name are written ~0 and ~1",
        "line 18, column 7: jobs[0].event.runtime: the key 'runtime' stands here a second time; the first is on line 16",
        "line 19, column 17: jobs[1].event.id: the event 'e1' is defined a second time; the first is on line 12",
        "line 19, column 49: jobs[1].event.runtime: the file defines no runtime 'nowhere'; define it under 'runtimes'",
        "line 20, column 18: jobs[1].result.ok.runtime: the key 'runtime' is missing here",
        "line 20, column 47: jobs[1].result.fail: there is no key 'fail'; known here are ok, error",
        "line 21, column 5: jobs[2].event: the key 'event' is missing here",
        "line 23, column 25: runtimes[0].moduleref: '../x.wasm' cannot stand here: '.' at position 1 is not allowed; \
         allowed are a letter or digit first",
        "line 23, column 42: runtimes[0].type: '1' is not known: the only type of runtime is 0, WebAssembly",
        "line 23, column 56: runtimes[0].timeoutms: '60001' must be a whole number from 1 to 60000",
        "line 24, column 10: runtimes[1].id: the runtime 'r1' is defined a second time; the first is on line 23",
        "line 24, column 33: runtimes[1].mainFunction: there is no key 'mainFunction'; is 'mainfuncname' meant?",
    ];
    let found = faults(text);
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "fault {index}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_missing_key_is_called_by_the_spelling_of_its_file() {
    let text = CAMEL.replace("      supplierQueue: queue-default\n", "");
    assert_eq!(
        faults(&text),
        ["line 14, column 7: package.jobs[0].event.supplierQueue: the key 'supplierQueue' is missing here"]
    );
}

#[test]
fn a_column_counts_characters_and_not_bytes() {
    let text = with("{id: q2, partitions: 6", "{name: Zoë → ø, id: q2, partitions: x");
    assert_eq!(faults(&text), ["line 7, column 41: queues[1].partitions: 'x' must be a whole number from 1 to 1000"]);
}

#[test]
fn the_same_key_in_both_spellings_is_a_duplicate() {
    let text = with("datatype: 0\n      schema", "dataType: 0\n      datatype: 0\n      schema");
    assert_eq!(
        faults(&text),
        [
            "line 14, column 7: jobs[0].event.datatype: the key 'datatype' stands here a second time; the first is on line 13"
        ]
    );
}

#[test]
fn an_unknown_key_suggests_the_nearest_known_one() {
    for (from, to, column, message) in [
        ("moduleref: r2.wasm", "module_ref: r2.wasm", 14, "there is no key 'module_ref'; is 'moduleref' meant?"),
        ("timeoutms: 2500", "timeout: 2500", 34, "there is no key 'timeout'; is 'timeoutms' meant?"),
        (
            "timeoutms: 2500",
            "memory: 2500",
            34,
            "there is no key 'memory'; known here are id, name, moduleref, \
          mainfuncname, type, platform, timeoutms",
        ),
        (
            "timeoutms: 2500",
            "<<: {}",
            34,
            "merge keys (<<) are not part of YAML 1.2; write the keys out, or use an alias \
          for a whole value",
        ),
    ] {
        let found = job::parse(&with(from, to)).unwrap_err();
        let place = (found[0].line, found[0].column);
        assert!(
            found.iter().any(|fault| fault.message == message && (fault.line, fault.column) == (23, column)),
            "{to}: {found:#?} at {place:?}"
        );
    }
}

#[test]
fn what_stands_beside_the_wrapper_is_not_overlooked() {
    assert_eq!(
        faults(&format!("{CAMEL}tenant: other\n")),
        ["line 49, column 1: tenant: there is no key 'tenant'; known here are package"]
    );
}

#[test]
fn lists_must_be_lists_and_hold_something() {
    assert_eq!(
        faults("id: a\ntenant: t\nqueues: []\njobs: {}\nruntimes:\n"),
        [
            "line 3, column 9: queues: the list is empty, and at least one is needed",
            "line 4, column 7: jobs: a mapping is here, and it must be a list",
            "line 5, column 9: runtimes: it has no value, and one is required",
        ]
    );
}

#[test]
fn a_reference_to_a_queue_whose_own_id_is_wrong_is_no_second_fault() {
    let found = faults(&LOWER.replace("queue-default", "queue default"));
    assert_eq!(found.len(), 2, "{found:#?}");
    let found = faults(&with("  - id: queue-default", "  - id: queue default"));
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn a_reference_that_leads_nowhere_suggests_the_nearest_id() {
    assert_eq!(
        faults(&with("supplierqueue: queue-default", "supplierqueue: queue-defualt")),
        ["line 15, column 22: jobs[0].event.supplierqueue: the file defines no queue 'queue-defualt'; is \
             'queue-default' meant?"]
    );
}

#[test]
fn tags_of_the_core_schema_change_nothing_and_others_are_refused() {
    let plain = job::parse(LOWER).unwrap();
    let tagged = job::parse(&with("tenant: my-tenant-1", "tenant: !!str my-tenant-1")).unwrap();
    assert_eq!(JobFile { source: plain.source.clone(), ..tagged }, plain);
    for tag in ["!!binary", "!!python/object", "!mine"] {
        let found = faults(&with("tenant: my-tenant-1", &format!("tenant: {tag} my-tenant-1")));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("line 3, column 9: the tag '"), "{}", found[0]);
        assert!(found[0].ends_with("has no meaning in a job file; leave it out"), "{}", found[0]);
    }
}

#[test]
fn reserved_ids_are_refused() {
    assert_eq!(
        faults(&with("tenant: my-tenant-1", "tenant: jobico")),
        ["line 3, column 9: tenant: 'jobico' cannot stand here: 'jobico' is reserved"]
    );
    assert_eq!(
        faults(&with("  - id: q3", "  - id: results"))[0],
        "line 8, column 9: queues[2].id: 'results' cannot stand here: 'results' is reserved"
    );
}

#[test]
fn a_job_says_how_its_events_are_run_again() {
    let read = |retry: &str| job::parse(&format!("{LOWER}{retry}")).unwrap().retry;
    assert_eq!(read(""), Retry::default());
    assert_eq!(read("retry: {attempts: 1}\n"), Retry { attempts: 1, ..Retry::default() });
    let whole = "retry:\n  attempts: 5\n  tiers: [10s, 1m]\n  ordering: key\n";
    let tiers = vec![Tier::S10, Tier::M1];
    assert_eq!(read(whole), Retry { attempts: 5, tiers, ordering: Ordering::Key });
}

#[test]
fn everything_that_is_wrong_with_retries_is_said() {
    let found = faults(&format!("{LOWER}retry:\n  attempts: 21\n  tiers: [2s]\n  ordering: strict\n  times: 3\n"));
    let messages: Vec<_> = found.iter().map(|fault| fault.split_once(": ").unwrap().1).collect();
    assert_eq!(
        messages,
        [
            "retry.attempts: '21' must be a whole number from 1 to 20",
            "retry.tiers[0]: '2s' is no wait: it is none of 1s, 10s, 1m and 10m",
            "retry.ordering: 'strict' is not known: 'none' lets later events pass one that waits, 'key' keeps them behind it",
            "retry.times: there is no key 'times'; is 'tiers' meant?",
        ]
    );
}
