//! Partitions on their way from one processor to another, and a processor that dies meanwhile.

use jobico_broker::crash_point::{ASSIGNED, REVOKED};

use super::scene::{BATCH, Scene};

/// Events sent at each stage.
const PORTION: usize = 4 * BATCH;

/// A scene in which `first` is at work.
fn at_work() -> Scene {
    let mut scene = Scene::new();
    scene.start("first");
    scene.send(PORTION);
    scene.await_outcomes(1);
    scene
}

#[test]
fn a_crash_of_one_who_joins_and_is_given_partitions_has_one_outcome_for_each_event() {
    let mut scene = at_work();
    scene.start_doomed("second", &format!("{ASSIGNED}=return(die)"));
    scene.send(PORTION);
    scene.system.await_death("second");
    scene.send(PORTION);
    scene.assert_exactly_once();
}

#[test]
fn a_crash_of_one_who_gives_partitions_up_for_another_has_one_outcome_for_each_event() {
    let mut scene = Scene::new();
    scene.start_doomed("first", &format!("{REVOKED}=return(die)"));
    scene.send(PORTION);
    scene.await_outcomes(1);
    scene.start("second");
    scene.send(PORTION);
    scene.system.await_death("first");
    scene.send(PORTION);
    scene.assert_exactly_once();
}

#[test]
fn a_crash_of_one_who_is_given_the_partitions_of_another_that_leaves_has_one_outcome_for_each_event() {
    let mut scene = at_work();
    scene.start_doomed("second", &format!("{ASSIGNED}=1*off->return(die)"));
    scene.await_assignments("second", 1);
    scene.send(PORTION);
    assert_eq!(scene.system.stop("first"), Some(0));
    scene.system.await_death("second");
    scene.send(PORTION);
    scene.start("second");
    scene.assert_exactly_once();
}

#[test]
fn a_join_a_leave_and_a_crash_at_once_have_one_outcome_for_each_event() {
    let mut scene = at_work();
    scene.start("second");
    scene.start("third");
    scene.await_assignments("third", 1);
    scene.send(PORTION);
    scene.start_doomed("fourth", "");
    scene.system.process("first").signal("TERM");
    scene.system.kill("second");
    scene.send(PORTION);
    assert_eq!(scene.system.end("first"), Some(0));
    scene.await_assignments("fourth", 1);
    scene.assert_exactly_once();
}
