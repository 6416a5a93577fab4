//! The engine on real logs: the embedded one, and Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jobico_event::retry::{Ordering, Retry, Tier};
use jobico_event::{Digest, EventId, name};

use crate::world::{On, Processor, Seen, World};

/// Runs a scenario on both logs.
macro_rules! on_both_logs {
    ($($scenario:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(super::On::Embedded).await;
            })+
        }
        mod kafka {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(super::On::Kafka).await;
            })+
        }
    };
}

on_both_logs!(
    every_event_has_exactly_one_outcome_in_the_order_of_its_partition,
    a_dead_letter_keeps_the_events_bytes_and_says_why,
    the_largest_event_of_a_queue_becomes_a_dead_letter_or_waits_in_a_tier,
    an_event_too_large_for_a_dead_letter_leaves_its_value_where_it_is,
    an_event_that_brings_along_more_than_results_have_room_for_is_a_dead_letter,
    a_chain_carries_the_output_to_the_next_event,
    an_output_against_the_next_events_schema_is_a_dead_letter_and_nothing_else,
    all_forms_of_direct_producers_are_read,
    a_queue_waits_for_its_module_and_its_neighbour_does_not,
    a_function_is_compiled_before_its_first_event,
    what_a_function_logs_reaches_the_log_topic,
    a_function_that_loops_does_not_stop_its_neighbour,
    a_second_processor_takes_over_what_the_first_leaves,
    a_failed_event_is_run_again_while_others_pass_it,
    a_failed_event_whose_function_is_not_there_holds_up_nobody_elses,
    an_event_whose_order_counts_waits_in_its_place,
    attempts_that_are_used_up_end_in_a_dead_letter,
    a_batch_that_has_had_its_time_is_committed_and_the_rest_is_done_after_it,
    a_dead_letter_that_cannot_be_written_holds_its_batch_up_and_nothing_is_passed_over,
    more_functions_than_there_is_room_for_take_turns,
    an_event_does_not_pay_for_what_those_before_it_left_in_an_instance,
    a_batch_that_produces_much_ends_and_the_rest_is_done_after_it,
    a_backlog_shows_in_metrics_and_is_gone_once_it_is_done,
    a_pool_that_gets_very_many_queues_goes_on,
);

fn values(count: usize) -> Vec<String> {
    (0..count).map(|n| format!(r#"{{"n":{n}}}"#)).collect()
}

/// Each origin's outcomes, which must be one each; offsets of a partition must be seen in their order.
fn check_once_in_order(seen: &[Seen]) {
    let mut last: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for record in seen {
        let (topic, partition, offset) = record.origin();
        let before = last.insert((topic.clone(), partition), offset);
        assert!(before.is_none_or(|before| before < offset), "{topic}/{partition}: {offset} after {before:?}");
    }
}

async fn every_event_has_exactly_one_outcome_in_the_order_of_its_partition(on: On) {
    let mut world = World::new(on).await;
    world.job("e", "q", "trap_when.wat").await;
    let _processor = world.process("0", 2).await;
    let mut sent = values(2_000);
    for (index, value) in sent.iter_mut().enumerate().filter(|(index, _)| index % 100 == 7) {
        *value = format!(r#"{{"n":{index},"note":"bang!"}}"#);
    }
    world.send_plain("q", &sent).await;
    let (results, dead) = (world.results(1_980).await, world.dead(20).await);
    assert_eq!((results.len(), dead.len()), (1_980, 20));
    // A key spreads over the partitions of the results topic too, so order is looked at per source partition in each.
    let mut origins: Vec<_> = results.iter().chain(&dead).map(Seen::origin).collect();
    origins.sort_unstable();
    origins.dedup();
    assert_eq!(origins.len(), 2_000, "each event has an outcome of its own");
    check_once_in_order(&dead);
    assert!(results.iter().all(|result| result.header("jobico-status") == "ok" && result.header("jobico-code") == "0"));
}

async fn a_dead_letter_keeps_the_events_bytes_and_says_why(on: On) {
    let mut world = World::new(on).await;
    let pin = world.schema(r#"{"type":"object","required":["name"],"properties":{"tag":{"pattern":"(?=.*b)c"}}}"#);
    world.job("e", "q", "echo.wat").await.schema = Some(pin);
    let _processor = world.process("0", 1).await;
    let long = format!(r#"{{"name":1,"tag":"{}"}}"#, "a".repeat(200_000));
    let spelling = r#"{ "nome" : 1.0 }"#;
    world
        .send(
            "q",
            [
                (spelling, &[("x-mine", "kept"), ("ce_id", "id-1")][..]),
                ("{", &[][..]),
                ("{\"name\":1}", &[("ce_type", "other")][..]),
                (&long, &[][..]),
            ],
        )
        .await;
    let mut dead = world.dead(4).await;
    dead.sort_by_key(|record| record.header("jobico-error-code").to_owned());
    let codes: Vec<_> = dead.iter().map(|record| record.header("jobico-error-code")).collect();
    assert_eq!(codes, ["json", "schema", "unknown_event", "work"]);
    let schema = &dead[1];
    assert_eq!(
        (schema.value.as_deref(), schema.header("x-mine"), schema.header("jobico-event")),
        (Some(spelling), "kept", "id-1")
    );
    assert_eq!(schema.header("jobico-error-stage"), "validate");
    assert!(schema.header("jobico-error-message").contains("name"), "{schema:?}");
}

/// Text that no codec without entropy coding makes smaller, as Kafka counts what is sent.
fn noise(bytes: usize) -> String {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 58) as usize])
    };
    (0..bytes).map(|_| next()).collect()
}

async fn the_largest_event_of_a_queue_becomes_a_dead_letter_or_waits_in_a_tier(on: On) {
    let mut world = World::new(on).await;
    world.retry = Retry { attempts: 2, tiers: vec![Tier::S1], ordering: Ordering::None };
    world.job("e", "q", "trap_when.wat").await;
    let _processor = world.process("0", 1).await;
    let (invalid, trapped) = (noise(1_048_000), format!("\"{}!\"", noise(1_047_900)));
    world.send_large("q", &invalid).await;
    world.send_large("q", &trapped).await;
    world.send_plain("q", &["1".to_owned()]).await;
    world.results(1).await;
    let mut dead = world.dead(2).await;
    dead.sort_by_key(|record| record.header("jobico-error-code").to_owned());
    assert!(dead[0].value.as_ref() == Some(&invalid) && dead[0].header("jobico-error-code") == "json");
    assert!(dead[1].value.as_ref() == Some(&trapped) && dead[1].header("jobico-error-code") == "trap");
    assert_eq!(dead[1].header("jobico-attempts"), "2");
}

async fn an_event_too_large_for_a_dead_letter_leaves_its_value_where_it_is(on: On) {
    let mut world = World::new(on).await;
    world.retry = Retry { attempts: 2, ..Retry::default() };
    world.job("e", "q", "trap_when.wat").await;
    let _processor = world.process("0", 1).await;
    world.enlarge("q", jobico_broker::RECORD_BYTES_CAP).await;
    let value = format!("\"{}!\"", "x".repeat(3 << 20));
    world.send_large("q", &value).await;
    let dead = world.dead(1).await.remove(0);
    assert_eq!((dead.value.as_deref(), dead.header("jobico-left-bytes")), (None, &*value.len().to_string()));
    assert_eq!((dead.header("jobico-error-code"), dead.header("jobico-attempts")), ("trap", "1"));
    assert_eq!(dead.origin().0, world.topic("q"));
}

async fn an_event_that_brings_along_more_than_results_have_room_for_is_a_dead_letter(on: On) {
    let mut world = World::new(on).await;
    world.job("e", "q", "echo.wat").await;
    let _processor = world.process("0", 1).await;
    let (long, fits) = (noise(70_000), noise(60_000));
    world.send("q", [("1", &[("ce_id", &*long)][..]), ("2", &[("ce_id", &*fits)][..])]).await;
    world.send_keyed("q", &noise(900_000), &["3"]).await;
    assert_eq!(world.results(1).await[0].value.as_deref(), Some("2"));
    for dead in world.dead(2).await {
        assert_eq!((dead.header("jobico-error-stage"), dead.header("jobico-error-code")), ("validate", "too_large"));
        assert!(dead.header("jobico-event").len() <= 8 << 10);
        assert_eq!(dead.header("jobico-job"), "job", "it is known whose it is");
    }
}

async fn a_chain_carries_the_output_to_the_next_event(on: On) {
    let mut world = World::new(on).await;
    let route = world.job("first", "q1", "echo.wat").await;
    route.ok = Some(EventId::new("second").unwrap());
    world.job("second", "q2", "reject.wat").await.error = Some(EventId::new("third").unwrap());
    world.job("third", "q3", "echo.wat").await;
    let _processor = world.process("0", 2).await;
    world.send_plain("q1", &[r#"{"a":1}"#.to_owned()]).await;
    let results = world.results(3).await;
    let of = |topic: &str| results.iter().find(|result| result.origin().0 == world.topic(topic)).unwrap();
    assert_eq!((of("q1").value.as_deref(), of("q1").header("jobico-status")), (Some(r#"{"a":1}"#), "ok"));
    assert_eq!((of("q2").value.as_deref(), of("q2").header("jobico-code")), (Some("no thanks"), "7"));
    // Text becomes a JSON string on its way on: an event is always JSON.
    assert_eq!(of("q3").value.as_deref(), Some(r#""no thanks""#));
}

async fn an_output_against_the_next_events_schema_is_a_dead_letter_and_nothing_else(on: On) {
    let mut world = World::new(on).await;
    world.job("first", "q1", "echo.wat").await.ok = Some(EventId::new("second").unwrap());
    let pin = world.schema(r#"{"required":["b"]}"#);
    world.job("second", "q2", "echo.wat").await.schema = Some(pin);
    let processor = world.process("0", 1).await;
    world.send_plain("q1", &[r#"{"a":1}"#.to_owned(), r#"{"b":1}"#.to_owned()]).await;
    let dead = world.dead(1).await;
    assert_eq!((dead[0].header("jobico-error-stage"), dead[0].value.as_deref()), ("output", Some(r#"{"a":1}"#)));
    let results = world.results(2).await;
    assert_eq!(results.iter().filter(|result| result.origin().0 == world.topic("q1")).count(), 1, "only that of b");
    // Each is counted once, as what became of it.
    for (outcome, count) in [("dead", 1), ("ok", 2)] {
        let labels = format!("outcome=\"{outcome}\",tenant=\"{}\"", world.tenant);
        until_metric(&processor, &format!("jobico_processor_events_total{{{labels}}} {count}")).await;
    }
}

async fn all_forms_of_direct_producers_are_read(on: On) {
    let mut world = World::new(on).await;
    world.job("e", "q", "echo.wat").await;
    let _processor = world.process("0", 1).await;
    let structured = r#"{"specversion":"1.0","id":"s-1","source":"/x","type":"e","data":{"form":"structured"}}"#;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    world
        .send(
            "q",
            [
                (r#"{"form":"plain"}"#, &[][..]),
                (r#"{"form":"binary"}"#, &[("ce_id", "b-1"), ("ce_type", "e"), ("traceparent", traceparent)][..]),
                (structured, &[("content-type", "application/cloudevents+json")][..]),
                ("\0\0\0\0\u{1}{\"form\":\"confluent\"}", &[][..]),
            ],
        )
        .await;
    let results = world.results(4).await;
    let find = |form: &str| {
        results.iter().find(|result| result.value.as_deref() == Some(&format!(r#"{{"form":"{form}"}}"#))).unwrap()
    };
    assert_eq!((find("binary").header("jobico-event"), find("binary").header("traceparent")), ("b-1", traceparent));
    assert_eq!(find("structured").header("jobico-event"), "s-1");
    let (topic, partition, offset) = find("plain").origin();
    assert_eq!(find("plain").header("jobico-event"), format!("{topic}-{partition}-{offset}"));
    find("confluent");
}

async fn a_queue_waits_for_its_module_and_its_neighbour_does_not(on: On) {
    let mut world = World::new(on).await;
    let late =
        wat::parse_file(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules/reject.wat")).unwrap();
    world.job_of_digest("late", "q-late", Digest::of(&late));
    world.job("here", "q-here", "echo.wat").await;
    let _processor = world.process("0", 1).await;
    world.send_plain("q-late", &values(10)).await;
    world.send_plain("q-here", &values(10)).await;
    let first = world.results(10).await;
    assert!(first.iter().all(|result| result.origin().0 == world.topic("q-here")));
    jobico_catalog::artifact::store(&world.artifacts(), &Digest::of(&late), &late).await.unwrap();
    let all = world.results(20).await;
    let waited: Vec<_> = all.iter().filter(|result| result.origin().0 == world.topic("q-late")).cloned().collect();
    assert_eq!((waited.len(), waited[0].header("jobico-status")), (10, "error"));
}

async fn a_function_is_compiled_before_its_first_event(on: On) {
    let mut world = World::new(on).await;
    world.job("here", "q-here", "echo.wat").await;
    let processor = world.process("0", 1).await;
    until_metric(&processor, "jobico_processor_module_compile_seconds_count 1").await;
    world.send_plain("q-here", &values(1)).await;
    assert_eq!(world.results(1).await[0].header("jobico-status"), "ok");
    until_metric(&processor, "jobico_processor_module_compile_seconds_count 1").await;
}

async fn what_a_function_logs_reaches_the_log_topic(on: On) {
    let mut world = World::new(on).await;
    world.job("e", "q", "log.wat").await;
    let _processor = world.process("0", 1).await;
    world.send("q", [("{}", &[("ce_id", "logged")][..])]).await;
    let tenant = world.tenant.clone();
    let mine = move |record: &Seen| record.key.as_deref() == Some(tenant.as_str().as_bytes());
    let enough = mine.clone();
    let lines = world.read(name::LOG, move |seen| seen.iter().filter(|record| enough(record)).count() >= 7).await;
    let lines: Vec<serde_json::Value> = lines
        .iter()
        .filter(|record| mine(record))
        .map(|record| serde_json::from_str(record.value.as_deref().unwrap()).unwrap())
        .collect();
    let told: Vec<_> =
        lines.iter().map(|line| (line["level"].as_str().unwrap(), line["message"].as_str().unwrap())).collect();
    assert_eq!(told[0], ("debug", "level 0"));
    assert_eq!((told.len(), lines[0]["event"].as_str()), (7, Some("logged")));
}

async fn a_function_that_loops_does_not_stop_its_neighbour(on: On) {
    let mut world = World::new(on).await;
    world.job("bad", "q-bad", "loop.wat").await;
    world.job("good", "q-good", "echo.wat").await;
    let _processor = world.process("0", 1).await;
    world.send_plain("q-bad", &values(3)).await;
    world.send_plain("q-good", &values(50)).await;
    let (results, dead) = (world.results(50).await, world.dead(3).await);
    assert_eq!(results.len(), 50);
    assert!(dead.iter().all(|record| record.header("jobico-error-code") == "timeout"), "{dead:?}");
}

async fn a_second_processor_takes_over_what_the_first_leaves(on: On) {
    let mut world = World::new(on).await;
    world.job("e", "q", "echo.wat").await;
    let first = world.process("0", 1).await;
    world.send_plain("q", &values(100)).await;
    world.results(100).await;
    first.frame.tasks.stop();
    tokio::time::timeout(Duration::from_secs(20), first.frame.tasks.run()).await.unwrap().unwrap();
    world.send_plain("q", &values(100)).await;
    let _second = world.process("1", 2).await;
    let results = world.results(200).await;
    let mut origins: Vec<_> = results.iter().map(Seen::origin).collect();
    origins.sort_unstable();
    origins.dedup();
    assert_eq!((results.len(), origins.len()), (200, 200));
}

async fn a_failed_event_is_run_again_while_others_pass_it(on: On) {
    let mut world = World::new(on).await;
    world.retry = Retry { attempts: 2, tiers: vec![Tier::S1], ordering: Ordering::None };
    world.job("e", "q", "trap_when_cold.wat").await;
    let _processor = world.process("0", 1).await;
    world.send_keyed("q", "k", &["\"cold!\"", "1", "2"]).await;
    let results = world.results(3).await;
    let seen: Vec<_> =
        results.iter().map(|result| (result.value.as_deref(), result.header("jobico-attempts"))).collect();
    assert_eq!(seen, [(Some("1"), "1"), (Some("2"), "1"), (Some("\"cold!\""), "2")]);
    let (topic, _, offset) = results[2].origin();
    assert_eq!(
        (topic, offset),
        (world.topic("q"), 0),
        "a result names the record in the queue, not the one in the tier"
    );
    assert_eq!(results[2].header("ce_id"), format!("{}.0", results[2].header("jobico-event")));
}

async fn a_failed_event_whose_function_is_not_there_holds_up_nobody_elses(on: On) {
    let mut world = World::new(on).await;
    world.retry = Retry { attempts: 2, tiers: vec![Tier::S1], ordering: Ordering::None };
    world.job("gone", "q-gone", "trap.wat").await;
    world.job("here", "q-here", "trap.wat").await;
    let processor = world.process("0", 1).await;
    world.send_plain("q-gone", &values(1)).await;
    until_metric(&processor, "jobico_processor_retries_total{tier=\"1s\"} 1").await;
    // A new version of its job, before it is run again.
    let late =
        wat::parse_file(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules/reject.wat")).unwrap();
    world.routes[0].function.digest = Digest::of(&late);
    world.show(&processor).await;
    world.send_plain("q-here", &values(1)).await;
    assert_eq!(world.dead(1).await[0].origin().0, world.topic("q-here"));
    jobico_catalog::artifact::store(&world.artifacts(), &Digest::of(&late), &late).await.unwrap();
    let result = world.results(1).await.remove(0);
    assert_eq!((result.origin().0, result.header("jobico-status")), (world.topic("q-gone"), "error"));
    assert_eq!(result.header("jobico-attempts"), "2", "it was not tried meanwhile");
}

async fn an_event_whose_order_counts_waits_in_its_place(on: On) {
    let mut world = World::new(on).await;
    world.retry = Retry { attempts: 2, tiers: vec![Tier::S1], ordering: Ordering::Key };
    world.job("e", "q", "trap_when_cold.wat").await;
    world.job("warm", "w", "trap_when_cold.wat").await;
    let processor = world.process("0", 1).await;
    world.send_keyed("q", "k", &["\"cold!\"", "1", "2"]).await;
    // Its neighbour on another queue shares the instance, and makes the next attempt go well.
    until_metric(&processor, "jobico_processor_retries_total{tier=\"1s\"} 1").await;
    world.send_keyed("w", "k", &["0"]).await;
    let results = world.results(4).await;
    let seen: Vec<_> =
        results.iter().map(|result| (result.value.as_deref(), result.header("jobico-attempts"))).collect();
    assert_eq!(seen, [(Some("0"), "1"), (Some("\"cold!\""), "2"), (Some("1"), "1"), (Some("2"), "1")]);
}

async fn attempts_that_are_used_up_end_in_a_dead_letter(on: On) {
    for ordering in [Ordering::None, Ordering::Key] {
        let mut world = World::new(on).await;
        world.retry = Retry { attempts: 3, tiers: vec![Tier::S1], ordering };
        world.job("e", "q", "trap.wat").await;
        let _processor = world.process("0", 1).await;
        world.send("q", [("1", &[("ce_id", "id-1"), ("x-mine", "kept")][..])]).await;
        let dead = world.dead(1).await.remove(0);
        let (topic, _, offset) = dead.origin();
        assert_eq!((topic, offset, dead.value.as_deref()), (world.topic("q"), 0, Some("1")), "{ordering:?}");
        let headers = ["jobico-attempts", "jobico-error-code", "jobico-event", "ce_id", "x-mine"];
        assert_eq!(headers.map(|name| dead.header(name)), ["3", "trap", "id-1", "id-1", "kept"], "{ordering:?}");
    }
}

async fn a_dead_letter_that_cannot_be_written_holds_its_batch_up_and_nothing_is_passed_over(on: On) {
    let mut world = World::new(on).await;
    world.job("e", "q", "trap_when.wat").await;
    world.lacks_dead = true;
    let processor = world.process("0", 1).await;
    world.send_keyed("q", "k", &["1"]).await;
    world.results(1).await;
    world.send_keyed("q", "k", &["2", "\"bang!\"", "3"]).await;
    // Its readiness says why, and it tries on.
    let (health, worker) = (processor.frame.health.clone(), "worker-0");
    let says_why = || health.report().components[worker].contains(name::dead(&world.tenant).as_str());
    until("the worker says what it lacks", says_why).await;
    assert!(aborts(&processor) > 1);
    world.lacks_dead = false;
    world.show(&processor).await;
    assert_eq!(world.dead(1).await[0].value.as_deref(), Some("\"bang!\""));
    let results = world.results(3).await;
    assert_eq!(results.iter().map(|result| result.value.as_deref().unwrap()).collect::<Vec<_>>(), ["1", "2", "3"]);
    until("the worker is ready again", || health.report().components[worker] == "ready").await;
}

async fn more_functions_than_there_is_room_for_take_turns(on: On) {
    const PLACES: u32 = 2;
    let mut world = World::new(on).await;
    world.instances_max = PLACES;
    // Of one digest they would share an instance.
    let modules = ["counter.wat", "echo.wat", "trap_when.wat", "log.wat"];
    for (number, module) in modules.into_iter().enumerate() {
        world.job(&format!("e{number}"), &format!("q{number}"), module).await;
    }
    let processor = world.process("0", 1).await;
    for round in 1..=3 {
        for number in 0..modules.len() {
            world.send_plain(&format!("q{number}"), &values(1)).await;
            world.results((round - 1) * modules.len() + number + 1).await;
        }
    }
    until_metric(&processor, &format!("jobico_processor_instances {PLACES}")).await;
    until_metric(&processor, "jobico_processor_instances_made_total 12").await;
}

async fn an_event_does_not_pay_for_what_those_before_it_left_in_an_instance(on: On) {
    // Of 100 KB each, twice: an instance has room for 80 of them.
    const EVENTS: usize = 200;
    let mut world = World::new(on).await;
    world.job("e", "q", "leak.wat").await;
    let processor = world.process("0", 1).await;
    let sent: Vec<String> = (0..EVENTS).map(|n| format!(r#"{{"n":{n},"rest":"{}"}}"#, "x".repeat(100_000))).collect();
    world.send_plain("q", &sent).await;
    let results = world.results(EVENTS).await;
    assert_eq!(results.len(), EVENTS);
    assert!(results.iter().all(|result| result.header("jobico-attempts") == "1"));
    let labels = format!("outcome=\"ok\",tenant=\"{}\"", world.tenant);
    until_metric(&processor, &format!("jobico_processor_events_total{{{labels}}} {EVENTS}")).await;
    assert!(count(&processor, "jobico_processor_instances_made_total") > 1, "one had room for all");
}

async fn a_batch_that_produces_much_ends_and_the_rest_is_done_after_it(on: On) {
    // Half a MiB each: 50 MiB more than one batch may produce.
    const EVENTS: usize = 230;
    let mut world = World::new(on).await;
    world.job("e", "q", "much_output.wat").await;
    let waiting = world.process("0", 1).await;
    drop(waiting);
    world.send_keyed("q", "k", &vec!["1"; EVENTS]).await;
    let processor = world.process("0", 1).await;
    let results = world.read(&name::results(&world.tenant), |seen| seen.len() >= EVENTS).await;
    check_once_in_order(&results);
    assert!(results.iter().all(|result| result.value.as_ref().is_some_and(|value| value.len() == 1 << 19)));
    assert_eq!(aborts(&processor), 0);
    let batches = batches(&processor);
    assert!(batches >= 2, "115 MiB took {batches} transaction");
}

/// Turns that a processor has given up.
fn aborts(processor: &Processor) -> u64 {
    count(processor, "jobico_processor_aborts_total")
}

/// Transactions that a processor has committed.
fn batches(processor: &Processor) -> u64 {
    let families = processor.frame.metrics.gather();
    let family = families.iter().find(|family| family.name() == "jobico_processor_batch_events").unwrap();
    family.get_metric()[0].get_histogram().get_sample_count()
}

/// The sum of a counter over its labels.
fn count(processor: &Processor, name: &str) -> u64 {
    let families = processor.frame.metrics.gather();
    let family = families.iter().find(|family| family.name() == name);
    family.map_or(0, |family| family.get_metric().iter().map(|metric| metric.get_counter().get_value() as u64).sum())
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Waits until a processor's metrics have this line.
async fn until_metric(processor: &Processor, line: &str) {
    let seen = || {
        let text = prometheus::TextEncoder::new().encode_to_string(&processor.frame.metrics.gather()).unwrap();
        text.lines().any(|found| found == line)
    };
    until(line, seen).await;
}

/// A processor's metric.
fn metric(processor: &Processor, name: &str) -> f64 {
    let families = processor.frame.metrics.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    let metric = &family.get_metric()[0];
    assert_eq!(metric.get_label()[0].name(), "pool");
    metric.get_gauge().get_value()
}

async fn a_backlog_shows_in_metrics_and_is_gone_once_it_is_done(on: On) {
    let mut world = World::new(on).await;
    // Each call runs until its deadline: a hundred events a second, and a worker measures every five seconds.
    world.job("slow", "slow", "loop.wat").await.timeout_ms = Some(10);
    let processor = world.process("0", 1).await;
    world.send_plain("slow", &values(10)).await;
    world.dead(10).await;
    world.send_plain("slow", &values(1_200)).await;
    let [lag, rate, seconds] = ["lag_events", "service_rate_events", "backlog_seconds"];
    let of = |name: &str| metric(&processor, &format!("jobico_processor_{name}"));
    let seen = async {
        while of(lag) < 100.0 || of(rate) == 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (of(lag), of(rate), of(seconds))
    };
    let (lag_seen, rate_seen, seconds_seen) = tokio::time::timeout(Duration::from_secs(15), seen).await.unwrap();
    assert!(lag_seen < 1_250.0, "{lag_seen}");
    assert!((20.0..=110.0).contains(&rate_seen), "{rate_seen} events in a second of calls of 10 ms");
    assert!((seconds_seen - lag_seen / rate_seen).abs() < 0.5, "{lag_seen} / {rate_seen} = {seconds_seen}");
    let gone = async {
        while (of(lag), of(seconds)) != (0.0, 0.0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the backlog is done");
    assert!(of(rate) > 0.0, "the rate is known still");
    assert_eq!(world.dead(1_210).await.len(), 1_210);
}

async fn a_batch_that_has_had_its_time_is_committed_and_the_rest_is_done_after_it(on: On) {
    let mut world = World::new(on).await;
    // Each call runs until its deadline of 10 ms, so a batch of 100 ms holds about ten.
    world.job("slow", "slow", "loop.wat").await.timeout_ms = Some(10);
    world.job("quick", "quick", "echo.wat").await;
    let processor = world.process("0", 1).await;
    world.send_plain("slow", &values(60)).await;
    world.dead(1).await;
    world.send_plain("quick", &values(30)).await;
    world.results(30).await;
    let dead = world.dead(60).await;
    check_once_in_order(&dead);
    let batches = batches(&processor);
    assert!(batches >= 4, "60 calls of 10 ms took {batches} transactions");
}

async fn a_pool_that_gets_very_many_queues_goes_on(on: On) {
    const QUEUES: usize = 180;
    let mut world = World::new(on).await;
    world.job("e", "q", "echo.wat").await;
    let processor = world.process("0", 1).await;
    world.send_plain("q", &values(200)).await;
    world.results(200).await;
    for number in 0..QUEUES {
        world.job(&format!("e{number}"), &format!("q{number}"), "echo.wat").await;
    }
    world.send_plain("q", &values(200)).await;
    world.show(&processor).await;
    world.send_plain("q", &values(200)).await;
    world.send_plain(&format!("q{}", QUEUES - 1), &values(50)).await;
    let results = world.results(650).await;
    let origins: BTreeSet<(String, i32, i64)> = results.iter().map(Seen::origin).collect();
    assert_eq!((results.len(), origins.len()), (650, 650));
    // On Kafka, a member for few topics has become one for many.
    let expected = u64::from(matches!(on, On::Kafka));
    assert_eq!(count(&processor, "jobico_processor_rebuilds_total"), expected);
}
