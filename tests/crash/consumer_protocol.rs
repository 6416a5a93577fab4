//! Kafka's newer group protocol (KIP-848), in which brokers assign partitions: the same promise.
//!
//! Sessions end as the brokers have it there, after 45 s.

use super::scene::{BATCH, Scene};
use crate::system::{On, System, eventually};

/// Events in a portion of the load.
const PORTION: usize = 4 * BATCH;

fn scene() -> Scene {
    Scene::with(System::new(On::Kafka).with_env("JOBICO_KAFKA_GROUP_PROTOCOL", "consumer"))
}

/// Waits until as many more outcomes are committed as a portion has events.
fn go_on(scene: &mut Scene) {
    let seen = scene.outcomes();
    scene.await_outcomes(seen + PORTION);
}

#[test]
fn joins_leaves_and_crashes_under_load_have_one_outcome_for_each_event() {
    let mut scene = scene();
    scene.start("first");
    scene.under_load(PORTION, |scene| {
        go_on(scene);
        for name in ["second", "third"] {
            scene.start(name);
            scene.await_assignments(name, 1);
            go_on(scene);
        }
        assert_eq!(scene.system.stop("first"), Some(0));
        go_on(scene);
        scene.system.kill("second");
        scene.start("second");
        go_on(scene);
        scene.start("first");
        scene.system.kill("third");
        go_on(scene);
    });
    scene.assert_exactly_once();
}

#[test]
fn a_processor_that_was_stopped_for_longer_than_its_session_has_one_outcome_for_each_event() {
    let mut scene = scene();
    scene.start("first");
    scene.start("second");
    scene.under_load(PORTION, |scene| {
        go_on(scene);
        scene.system.process("first").signal("STOP");
        // Until the broker gives its partitions to the other.
        let before = scene.system.process("second").stderr().matches("partitions assigned").count();
        eventually("the other has its partitions", || {
            (scene.system.process("second").stderr().matches("partitions assigned").count() > before).then_some(())
        });
        go_on(scene);
        scene.system.process("first").signal("CONT");
        go_on(scene);
    });
    scene.assert_exactly_once();
}

#[test]
fn a_queue_moves_between_pools_of_that_protocol_with_one_outcome_for_each_event() {
    let mut scene = scene();
    let pools = [scene.system.pool.clone(), format!("{}-other", scene.system.pool)];
    scene.start("old");
    scene.start_in(&pools[1], "new");
    scene.under_load(PORTION, |scene| {
        go_on(scene);
        for turn in 1..=2 {
            let name = ["old", "new"][turn % 2];
            let done = scene.done_by(name);
            scene.move_to(&pools[turn % 2]);
            eventually("the new pool does events", || (scene.done_by(name) > done).then_some(()));
        }
    });
    scene.assert_exactly_once();
}
