//! What a deployment notes of a queue's pools, and when it would change nothing.

use jobico_event::catalog::{FunctionPin, SchemaPin};
use jobico_event::job::parse;
use jobico_event::retry::{Ordering, Retry, Tier};
use jobico_event::{Digest, EventId, FileName, QueueId, RuntimeId};

use super::*;

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

/// A queue as a job file defines it: what it was in before is not known yet.
fn queue(id: &str, pool: &str) -> Queue {
    Queue { queue: QueueId::new(id).unwrap(), pool: pool.to_owned(), pools: Vec::new(), partitions: None }
}

/// A version with these queues; later versions are deployed later.
fn version(of: &str, job: &str, version: u32, queues: Vec<Queue>) -> JobVersion {
    JobVersion {
        tenant: tenant(of),
        job: JobId::new(job).unwrap(),
        version,
        replaces: version.checked_sub(1).filter(|before| *before > 0),
        name: None,
        deployed_at: format!("2026-01-02T03:04:{version:02}Z"),
        queues,
        routes: Vec::new(),
        retry: Retry::default(),
        source: String::new(),
    }
}

/// The pools that a queue `q` of tenant `t`, deployed into `pool`, remembers beside `versions`.
fn remembered(versions: Vec<JobVersion>, pool: &str) -> Vec<String> {
    let mut state = State::default();
    for version in versions {
        state.catalog.insert(Document::Job(version));
    }
    let mut queues = [queue("q", pool)];
    remember_pools(&state, &tenant("t"), &mut queues);
    let [queue] = queues;
    assert_eq!((queue.queue.as_str(), queue.pool.as_str()), ("q", pool), "the queue stays what it is");
    queue.pools
}

#[test]
fn a_queue_that_was_never_elsewhere_remembers_nothing() {
    assert!(remembered(vec![], "a").is_empty(), "a new one");
    let stays = vec![version("t", "j", 1, vec![queue("q", "a")]), version("t", "j", 2, vec![queue("q", "a")])];
    assert!(remembered(stays, "a").is_empty(), "one that stays where it is");
}

#[test]
fn a_queue_remembers_each_pool_once_the_first_one_first() {
    for (before, now, expected) in [
        (vec!["a"], "b", vec!["a", "b"]),
        (vec!["b"], "a", vec!["b", "a"]),
        (vec!["a", "b"], "c", vec!["a", "b", "c"]),
        (vec!["a", "b"], "b", vec!["a", "b"]),
        (vec!["a", "b"], "a", vec!["a", "b"]),
        (vec!["b", "a", "b", "a"], "c", vec!["b", "a", "c"]),
    ] {
        let versions = before.iter().zip(1..).map(|(pool, number)| version("t", "j", number, vec![queue("q", pool)]));
        assert_eq!(remembered(versions.collect(), now), expected, "{before:?}, and now {now}");
    }
}

#[test]
fn pools_of_versions_that_are_not_kept_any_more_are_remembered() {
    // Version 5 was deployed while those in the pools a and b were still there.
    let pools = ["a", "b", "c"].map(str::to_owned).to_vec();
    let kept = version("t", "j", 5, vec![Queue { pools, ..queue("q", "c") }]);
    assert_eq!(remembered(vec![kept.clone()], "d"), ["a", "b", "c", "d"]);
    assert_eq!(remembered(vec![kept], "c"), ["a", "b", "c"], "a deployment that moves nothing forgets nothing");
}

#[test]
fn pools_are_those_of_the_queue_whichever_job_of_the_tenant_had_it() {
    let other_job = version("t", "other", 1, vec![queue("q", "a")]);
    assert_eq!(remembered(vec![other_job], "b"), ["a", "b"]);
    let other_queue = version("t", "j", 1, vec![queue("p", "a")]);
    assert!(remembered(vec![other_queue], "b").is_empty());
    let other_tenant = version("u", "j", 1, vec![queue("q", "a")]);
    assert!(remembered(vec![other_tenant], "b").is_empty());
}

#[test]
fn each_queue_of_a_job_remembers_its_own_pools() {
    let mut state = State::default();
    let before = vec![queue("moves", "a"), queue("stays", "a"), queue("comes-back", "b")];
    state.catalog.insert(Document::Job(version("t", "j", 1, before)));
    state.catalog.insert(Document::Job(version("t", "j", 2, vec![queue("comes-back", "c")])));
    let mut queues = [queue("stays", "a"), queue("moves", "b"), queue("comes-back", "b"), queue("new", "b")];
    remember_pools(&state, &tenant("t"), &mut queues);
    let pools = queues.map(|queue| queue.pools);
    assert_eq!(pools, [vec![], vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned(), "c".to_owned()], vec![]]);
}

/// A job file and what it resolves to.
#[derive(Clone)]
struct Asked {
    file: JobFile,
    queues: Vec<Queue>,
    routes: Vec<Route>,
}

fn asked() -> Asked {
    let text = "id: j\ntenant: t\nqueues:\n  - id: q\njobs:\n  - event: {id: e, supplierqueue: q, runtime: r}\n\
                runtimes:\n  - {id: r, moduleref: f}\n";
    let route = |event: &str| Route {
        event: EventId::new(event).unwrap(),
        queue: QueueId::new("q").unwrap(),
        schema: Some(SchemaPin { subject: "t.s".to_owned(), version: 1, id: 1 }),
        function: FunctionPin {
            runtime: RuntimeId::new("r").unwrap(),
            name: FileName::new("f").unwrap(),
            digest: Digest::of(b"module"),
            main: "event".to_owned(),
        },
        ok: None,
        error: None,
        key: None,
        timeout_ms: None,
    };
    let file = parse(text).unwrap();
    Asked { file, queues: vec![queue("q", "a"), queue("p", "a")], routes: vec![route("e"), route("f")] }
}

/// The version that a deployment of `asked` made.
fn made_of(asked: &Asked) -> JobVersion {
    JobVersion {
        routes: asked.routes.clone(),
        retry: asked.file.retry.clone(),
        source: asked.file.source.clone(),
        ..version("t", "j", 1, asked.queues.clone())
    }
}

fn changes_nothing(version: &JobVersion, asked: &Asked) -> bool {
    is_same(version, &asked.file, &asked.queues, &asked.routes)
}

#[test]
fn a_deployment_of_what_is_in_force_changes_nothing() {
    assert!(changes_nothing(&made_of(&asked()), &asked()));
}

#[test]
fn pools_that_a_version_remembers_are_no_change() {
    let mut version = made_of(&asked());
    version.queues[0].pools = vec!["before".to_owned(), "a".to_owned()];
    assert!(changes_nothing(&version, &asked()), "no job file says them");
    version.queues[0].pool = "before".to_owned();
    assert!(!changes_nothing(&version, &asked()), "the pool it is in now is one");
}

#[test]
fn whatever_differs_is_a_change() {
    type Change = fn(&mut Asked);
    let changes: [(&str, Change); 18] = [
        ("the text", |asked| asked.file.source.push('\n')),
        ("the attempts", |asked| asked.file.retry.attempts = 2),
        ("the waits", |asked| asked.file.retry.tiers = vec![Tier::M10]),
        ("the order of events that are run again", |asked| asked.file.retry.ordering = Ordering::Key),
        ("a queue's pool", |asked| asked.queues[1].pool = "b".to_owned()),
        ("a queue's partitions", |asked| asked.queues[1].partitions = Some(3)),
        ("a queue more", |asked| asked.queues.push(queue("new", "a"))),
        ("a queue less", |asked| drop(asked.queues.pop())),
        ("an event's queue", |asked| asked.routes[1].queue = QueueId::new("p").unwrap()),
        ("a schema's version", |asked| {
            asked.routes[1].schema = Some(SchemaPin { subject: "t.s".to_owned(), version: 2, id: 2 });
        }),
        ("no schema", |asked| asked.routes[1].schema = None),
        ("a function's module", |asked| asked.routes[1].function.digest = Digest::of(b"another")),
        ("the function that is called", |asked| asked.routes[1].function.main = "other".to_owned()),
        ("the event that follows", |asked| asked.routes[0].ok = Some(EventId::new("f").unwrap())),
        ("a key", |asked| asked.routes[1].key = Some("/id".to_owned())),
        ("the longest call", |asked| asked.routes[1].timeout_ms = Some(5)),
        ("an event less", |asked| drop(asked.routes.pop())),
        ("no event", |asked| asked.routes.clear()),
    ];
    for (what, change) in changes {
        let mut changed = asked();
        change(&mut changed);
        assert!(!changes_nothing(&made_of(&asked()), &changed), "{what}");
        assert!(changes_nothing(&made_of(&changed), &changed), "{what}, deployed again");
    }
}
