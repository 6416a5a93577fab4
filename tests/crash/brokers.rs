//! Brokers that die and that hang, under processors that go on.

use std::time::Duration;

use jobico_broker::crash_point::OFFSETS;

use super::scene::{BATCH, Scene};
use crate::system::cluster::Cluster;
use crate::system::eventually;

/// Events sent at each stage.
const PORTION: usize = 20 * BATCH;
/// How long a broker hangs: longer than its own session with the controller (9 s), so that others take its partitions over,
/// and longer than a member's.
const HANG: Duration = Duration::from_secs(12);
/// What a coordinator writes last of a transaction, when all its markers are there, nobody outside can see. It takes
/// milliseconds.
const TRANSACTIONS_COMPLETE: Duration = Duration::from_secs(1);

/// Two processors at work on a Kafka of their own.
fn at_work(cluster: &Cluster) -> Scene {
    let mut scene = Scene::on_own_kafka(&cluster.address);
    for name in ["first", "second"] {
        scene.start(name);
    }
    scene.send(PORTION);
    scene.await_outcomes(1);
    scene
}

/// All of Kafka goes and comes back. No transaction ends meanwhile: a coordinator that goes on before its partitions have
/// leaders leaves ends out (docs/exactly-once.md), which is what the nodes of a cluster are for.
#[test]
fn a_kafka_that_is_killed_and_comes_back_has_one_outcome_for_each_event() {
    let cluster = Cluster::start(1);
    let mut scene = at_work(&cluster);
    for _ in 0..2 {
        scene.await_outcomes(scene.sent);
        scene.await_readers_free();
        std::thread::sleep(TRANSACTIONS_COMPLETE);
        cluster.kill(1);
        scene.system.assert_well();
        let says_so = || scene.readiness("first").err().filter(|why| why.contains(r#""log":"#));
        eventually("the processor says that it cannot work", says_so);
        cluster.run_nodes();
        eventually("the processor says that it can work", || scene.readiness("first").ok());
        scene.send(PORTION);
    }
    scene.assert_exactly_once();
}

/// The one that is left has leaders for all partitions, and may not acknowledge anything.
#[test]
fn two_of_three_brokers_killed_at_once_have_one_outcome_for_each_event() {
    let cluster = Cluster::start(3);
    let mut scene = at_work(&cluster);
    scene.under_load(BATCH, |scene| {
        cluster.kill(1);
        cluster.kill(2);
        scene.system.assert_well();
        cluster.run_nodes();
    });
    scene.send(PORTION);
    scene.assert_exactly_once();
}

/// Each of three: a cluster of one would have nobody to take its partitions over, and Kafka leaves out what it has to write
/// to a partition without a leader (docs/exactly-once.md).
#[test]
fn a_broker_that_hangs_has_one_outcome_for_each_event() {
    let cluster = Cluster::start(3);
    let mut scene = at_work(&cluster);
    for node in 1..=3 {
        scene.under_load(BATCH, |scene| {
            cluster.hang(node);
            // What is tested is this time itself.
            std::thread::sleep(HANG);
            scene.system.assert_well();
            cluster.wake(node);
        });
    }
    scene.send(PORTION);
    scene.assert_exactly_once();
}

/// The commit is in the sockets of a broker that hangs when the worker dies: the coordinator reads it from the dead.
#[test]
fn a_commit_that_the_coordinator_reads_after_the_worker_has_died_has_one_outcome_for_each_event() {
    let cluster = Cluster::start(1);
    let mut scene = Scene::on_own_kafka(&cluster.address);
    scene.send(PORTION);
    scene.start_doomed("first", &format!("{OFFSETS}=2*off->1*return(stop)"));
    scene.system.process("first").await_stopped();
    assert!(scene.readers_are_held_up(), "its transaction is open");
    let before = scene.outcomes_now();
    cluster.hang(1);
    scene.system.process("first").signal("CONT");
    // The commit leaves within a millisecond; nobody but the broker could say that it has it, and that is stopped.
    std::thread::sleep(Duration::from_millis(500));
    scene.system.kill("first");
    cluster.wake(1);
    // No one else may have ended it: its transaction had 30 s to go when the broker woke.
    scene.await_readers_free();
    let after = scene.outcomes_now();
    assert!(after > before, "the commit of the dead counts: {before} outcomes before, {after} after");
    scene.start("first");
    scene.assert_exactly_once();
}

/// One of them is the coordinator of the transactions, one that of the group, each leads partitions.
#[test]
fn each_of_three_brokers_killed_in_turn_has_one_outcome_for_each_event() {
    let cluster = Cluster::start(3);
    let mut scene = at_work(&cluster);
    for node in 1..=3 {
        // Under load, which the two that are left carry.
        scene.under_load(BATCH, |_| {
            cluster.kill(node);
            cluster.run_nodes();
        });
        let seen = scene.outcomes();
        println!("node {node} was killed; {} events sent, {seen} outcomes", scene.sent);
    }
    scene.send(PORTION);
    scene.assert_exactly_once();
}
