//! Each step of a batch, and a processor that dies exactly there (broker/src/crash_point.rs).
//!
//! The processor aborts at its third batch; what it has left behind is looked at; one that holds its name comes after it.

use std::time::Instant;

use jobico_broker::crash_point::{
    ABORT, ABORTED, BEGIN, BEGUN, COMMIT, COMMITTED, DRAINED, OFFSETS, PRODUCE, PRODUCED, SENDING,
};

use super::scene::{BATCH, Scene, once_delivered};
use crate::system::{On, System};

/// Events of a test: eight batches at least.
const EVENTS: usize = 8 * BATCH;
/// Batches that go well before.
const BEFORE: usize = 2;

/// What a dead processor leaves with the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing.
    Nothing,
    /// An open transaction, that holds readers up.
    Transaction,
    /// One or the other: what librdkafka's threads had sent by then is their own.
    Either,
}

/// A processor that dies where `failpoints` say, and its successor.
fn dies(failpoints: &str, left: Left) {
    let mut scene = Scene::new();
    scene.send(EVENTS);
    scene.start_doomed("first", failpoints);
    scene.system.await_death("first");
    match left {
        Left::Nothing => drop(scene.await_readers_free()),
        Left::Transaction => assert!(scene.readers_are_held_up(), "its transaction is open"),
        Left::Either => {}
    }
    let before = scene.outcomes_now();
    assert!(before > 0 && before < EVENTS, "it died in the midst of its work: {before} outcomes");
    let begun = Instant::now();
    scene.start("first");
    scene.await_readers_free();
    println!("{before} outcomes before; readers are free {} ms after the successor began", begun.elapsed().as_millis());
    scene.assert_exactly_once();
}

/// Dies at a step of a batch.
fn dies_at(place: &str, left: Left) {
    dies(&format!("{place}={BEFORE}*off->return(die)"), left);
}

/// Dies at a step of one event, in the midst of a batch.
fn dies_at_event(place: &str, left: Left) {
    dies(&format!("{place}={}*off->return(die)", BEFORE * BATCH + BATCH / 2), left);
}

/// Dies at a step of an abort, for which a commit has to fail.
fn dies_aborting_at(place: &str, left: Left) {
    dies(&format!("{OFFSETS}={BEFORE}*off->1*return(fail);{place}=return(die)"), left);
}

#[test]
fn a_crash_before_begin_has_one_outcome_for_each_event() {
    dies_at(BEGIN, Left::Nothing);
}

#[test]
fn a_crash_after_begin_has_one_outcome_for_each_event() {
    dies_at(BEGUN, Left::Nothing);
}

#[test]
fn a_crash_after_a_call_has_one_outcome_for_each_event() {
    dies_at_event(PRODUCE, Left::Either);
}

#[test]
fn a_crash_after_produce_has_one_outcome_for_each_event() {
    dies_at_event(PRODUCED, Left::Either);
}

#[test]
fn a_crash_when_all_is_produced_and_no_offset_sent_has_one_outcome_for_each_event() {
    dies(&format!("{COMMIT}={BEFORE}*off->{}", once_delivered("die")), Left::Transaction);
}

#[test]
fn a_crash_when_all_is_produced_and_offsets_are_on_their_way_has_one_outcome_for_each_event() {
    dies_at(DRAINED, Left::Transaction);
}

#[test]
fn a_crash_after_send_offsets_has_one_outcome_for_each_event() {
    dies_at(OFFSETS, Left::Transaction);
}

#[test]
fn a_crash_after_the_coordinator_has_committed_has_one_outcome_for_each_event() {
    dies_at(COMMITTED, Left::Nothing);
}

/// Deaths at moments from the call's first instruction to its answer and beyond: where the coordinator has the commit in
/// some and has not in others. `crash::brokers` has the one where it certainly gets it from a dead worker.
#[test]
fn a_crash_in_the_midst_of_a_commit_has_one_outcome_for_each_event() {
    dies_soon_after(OFFSETS, [0, 200, 500, 1_000, 2_000, 4_000]);
}

/// As above, from the moment on at which the offsets set out beside the last outcomes: either may be first.
#[test]
fn a_crash_while_offsets_and_outcomes_are_sent_has_one_outcome_for_each_event() {
    dies_soon_after(SENDING, [0, 300, 700, 1_500, 3_000, 6_000]);
}

fn dies_soon_after(place: &str, each_of_micros: [u32; 6]) {
    let mut scene = Scene::new();
    scene.send(EVENTS);
    let mut before = 0;
    for micros in each_of_micros {
        scene.start_doomed("first", &format!("{place}=return(die in {micros} us)"));
        scene.system.await_death("first");
        // Who takes over decides it, where the coordinator had not: readers alone see what was committed by now.
        let seen = scene.outcomes_now();
        println!("{micros} us: {} outcomes are committed", seen - before);
        before = seen;
    }
    assert!(before < EVENTS, "it died in the midst of its work");
    scene.start("first");
    scene.assert_exactly_once();
}

#[test]
fn a_crash_before_an_abort_has_one_outcome_for_each_event() {
    dies_aborting_at(ABORT, Left::Transaction);
}

#[test]
fn a_crash_after_an_abort_has_one_outcome_for_each_event() {
    dies_aborting_at(ABORTED, Left::Nothing);
}

#[test]
fn a_batch_that_is_aborted_at_every_step_in_turn_has_one_outcome_for_each_event() {
    let mut scene = Scene::new();
    scene.send(EVENTS);
    let fails = |place: &str, times: usize| format!("{place}={times}*off->1*return(fail)");
    let places =
        [(BEGIN, 1), (BEGUN, 3), (PRODUCE, 20), (PRODUCED, 30), (COMMIT, 2), (SENDING, 2), (DRAINED, 2), (OFFSETS, 2)];
    let failpoints: Vec<String> = places.iter().map(|(place, times)| fails(place, *times)).collect();
    scene.start_doomed("first", &failpoints.join(";"));
    scene.await_outcomes(EVENTS);
    let admin = scene.system.process("first").addresses()["admin"].clone();
    assert!(scene.system.client.metric(&admin, "jobico_processor_aborts_total") >= places.len() as f64);
    scene.assert_exactly_once();
}

/// With a transaction that the broker would let stand for ten minutes.
#[test]
fn readers_held_up_by_a_dead_processor_are_freed_by_its_successor_and_by_no_one_else() {
    let system = System::new(On::Kafka).with_env("JOBICO_KAFKA_TRANSACTION_TIMEOUT_MS", "600000");
    let mut scene = Scene::with(system);
    scene.send(EVENTS);
    scene.start_doomed("first", &format!("{COMMIT}={BEFORE}*off->{}", once_delivered("die")));
    scene.system.await_death("first");
    let (before, begun) = (scene.outcomes_now(), Instant::now());
    // Another does the work, the dead one's too; what it commits stands behind the open transaction.
    scene.start("second");
    crate::system::eventually("the other has done the rest", || {
        (before + scene.done_by("second") >= EVENTS).then_some(())
    });
    assert!(scene.readers_are_held_up(), "the transaction of the dead is open still");
    assert!(scene.outcomes_now() < EVENTS);
    let (successor, held) = (Instant::now(), begun.elapsed());
    scene.start("first");
    scene.await_readers_free();
    println!(
        "held up for {} ms without a successor, {} ms with one",
        held.as_millis(),
        successor.elapsed().as_millis()
    );
    scene.assert_exactly_once();
}
