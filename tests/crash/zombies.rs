//! Processors that others take for dead, and that go on as if nothing had happened.

use jobico_broker::crash_point::{COMMIT, OFFSETS};

use super::scene::{BATCH, Scene, once_delivered};
use crate::system::{On, System, eventually};

/// Events of a test.
const EVENTS: usize = 8 * BATCH;

/// `first` stops as its third batch comes to `place`, where it does what `order` says.
fn stopped_at(place: &str, order: &str, system: System) -> Scene {
    let mut scene = Scene::with(system);
    scene.send(EVENTS);
    scene.start_doomed("first", &format!("{place}=2*off->1*{order}"));
    scene.system.process("first").await_stopped();
    assert!(scene.readers_are_held_up(), "its transaction is open");
    scene
}

#[test]
fn a_zombie_that_wakes_when_another_has_done_its_work_commits_none_of_it() {
    // Nobody but the zombie itself ends its transaction within this test.
    let system = System::new(On::Kafka).with_env("JOBICO_KAFKA_TRANSACTION_TIMEOUT_MS", "600000");
    let mut scene = stopped_at(COMMIT, &once_delivered("stop"), system);
    let before = scene.outcomes_now();
    scene.start("second");
    eventually("another has done its work", || (before + scene.done_by("second") >= EVENTS).then_some(()));
    scene.system.process("first").signal("CONT");
    scene.await_outcomes(EVENTS);
    eventually("the zombie gives its batch up", || {
        scene.system.process("first").stderr().contains("a batch is given up").then_some(())
    });
    // It is of use again: it has joined anew, and does the work alone.
    assert_eq!(scene.system.stop("second"), Some(0));
    scene.send(EVENTS);
    scene.assert_exactly_once();
}

#[test]
fn a_zombie_that_wakes_with_its_offsets_sent_commits_before_another_reads_them() {
    let mut scene = stopped_at(OFFSETS, "return(stop)", System::new(On::Kafka));
    // Given its partitions, another has to wait for what becomes of the offsets that are pending.
    scene.start("second");
    scene.await_assignments("second", 1);
    assert!(scene.readers_are_held_up());
    scene.system.process("first").signal("CONT");
    scene.assert_exactly_once();
}

#[test]
fn a_zombie_that_wakes_when_the_broker_has_ended_its_transaction_commits_none_of_it() {
    // Longer than a session, and than a batch may take; the broker looks every ten seconds.
    let system = System::new(On::Kafka).with_env("JOBICO_KAFKA_TRANSACTION_TIMEOUT_MS", "9000");
    let mut scene = stopped_at(OFFSETS, "return(stop)", system);
    scene.start("second");
    // The pending offsets are gone, and with them the outcomes of the zombie's batch.
    scene.await_outcomes(EVENTS);
    assert!(!scene.readers_are_held_up());
    scene.system.process("first").signal("CONT");
    eventually("the zombie is told", || {
        scene.system.process("first").stderr().contains("the member is made anew").then_some(())
    });
    scene.send(EVENTS);
    scene.assert_exactly_once();
}

#[test]
fn two_processors_with_one_transactional_id_have_one_outcome_for_each_event() {
    let mut scene = Scene::new();
    scene.start_as("first", "same");
    scene.send(EVENTS);
    scene.await_outcomes(1);
    scene.start_as("second", "same");
    let fenced = |scene: &Scene, name: &str| scene.system.process(name).stderr().contains("the member is made anew");
    // Events, until one has begun a transaction under an id that the other has taken over.
    eventually("one is fenced by the other", || {
        scene.send(BATCH);
        (fenced(&scene, "first") || fenced(&scene, "second")).then_some(())
    });
    // When the one that was too many ends, the work goes on.
    assert_eq!(scene.system.stop("second"), Some(0));
    scene.send(EVENTS);
    scene.assert_exactly_once();
}
