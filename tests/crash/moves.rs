//! A queue on its way from one pool to another and back, under load, and processors of both that die meanwhile.

use std::time::{Duration, Instant};

use jobico_broker::crash_point::{COMMIT, HAND_OVER, HANDED_OVER};
use rand::Rng;

use super::scene::{BATCH, Scene, once_delivered};
use super::{seeded, setting};
use crate::system::eventually;

/// Events sent at each stage.
const PORTION: usize = 4 * BATCH;
/// How often the queue is moved in the test at random, unless `JOBICO_MOVES` says otherwise.
const MOVES: usize = 6;
/// How many partitions the queue has.
const PARTITIONS: usize = 3;

/// The pool that the queue is in at first, and another.
fn pools(scene: &Scene) -> [String; 2] {
    [scene.system.pool.clone(), format!("{}-other", scene.system.pool)]
}

/// A scene in which `old` is at work and has done something.
fn at_work() -> (Scene, [String; 2]) {
    let mut scene = Scene::new();
    let pools = pools(&scene);
    scene.start("old");
    scene.send(PORTION);
    scene.await_outcomes(1);
    (scene, pools)
}

/// Waits until processors of the new pool have taken all partitions over.
fn await_taken_over(scene: &Scene, names: &[&str], before: usize) {
    eventually("the new pool has all partitions", || (taken_over(scene, names) >= before + PARTITIONS).then_some(()));
}

fn taken_over(scene: &Scene, names: &[&str]) -> usize {
    names.iter().map(|name| scene.count_of(name, "jobico_processor_moved_partitions_total")).sum()
}

#[test]
fn a_queue_that_moves_back_and_forth_under_load_has_one_outcome_for_each_event() {
    let (mut scene, pools) = at_work();
    scene.start_in(&pools[1], "new");
    scene.under_load(PORTION, |scene| {
        for turn in 1..=4 {
            let (pool, name) = (&pools[turn % 2], ["old", "new"][turn % 2]);
            let (taken, done, begun) = (taken_over(scene, &[name]), scene.done_by(name), Instant::now());
            scene.move_to(pool);
            await_taken_over(scene, &[name], taken);
            eventually("the new pool does events", || (scene.done_by(name) > done).then_some(()));
            println!("move {turn}: events are done again after {:?}", begun.elapsed());
        }
    });
    scene.assert_exactly_once();
}

#[test]
fn a_move_that_is_rolled_back_under_load_has_one_outcome_for_each_event() {
    let (mut scene, pools) = at_work();
    scene.start_in(&pools[1], "new");
    scene.under_load(PORTION, |scene| {
        for name in ["new", "old"] {
            let (taken, done) = (taken_over(scene, &[name]), scene.done_by(name));
            if name == "new" {
                scene.move_to(&pools[1])
            } else {
                scene.roll_back()
            }
            await_taken_over(scene, &[name], taken);
            eventually("the pool does events", || (scene.done_by(name) > done).then_some(()));
        }
    });
    scene.assert_exactly_once();
}

#[test]
fn processors_of_both_pools_killed_at_random_while_a_queue_moves_have_one_outcome_for_each_event() {
    let mut random = seeded();
    let mut scene = Scene::new();
    let pools = pools(&scene);
    let names = [["a1", "a2"], ["b1", "b2"]];
    for (pool, names) in pools.iter().zip(names) {
        names.iter().for_each(|name| scene.start_in(pool, name));
    }
    let moves = setting("JOBICO_MOVES", MOVES);
    scene.under_load(PORTION, |scene| {
        for turn in 1..=moves {
            scene.move_to(&pools[turn % 2]);
            for _ in 0..random.random_range(1..=3) {
                std::thread::sleep(Duration::from_millis(random.random_range(0..4_000)));
                let (pool, one) = (random.random_range(0..2), random.random_range(0..2));
                let name = names[pool][one];
                if random.random_bool(0.7) {
                    scene.system.kill(name);
                    scene.start_in(&pools[pool], name);
                    println!("move {turn}: {name} was killed, {} outcomes", scene.outcomes());
                } else {
                    // About as long as its session: it may be taken for dead, and it may not have seen the move.
                    scene.system.process(name).signal("STOP");
                    std::thread::sleep(Duration::from_millis(random.random_range(3_000..9_000)));
                    scene.system.process(name).signal("CONT");
                    println!("move {turn}: {name} was stopped, {} outcomes", scene.outcomes());
                }
            }
        }
    });
    scene.assert_exactly_once();
}

/// One who takes partitions over dies at `place`.
fn dies_at(place: &str) {
    let (mut scene, pools) = at_work();
    scene.move_to(&pools[1]);
    scene.start_doomed("new", &format!("{place}=return(die)"));
    scene.send(PORTION);
    scene.system.await_death("new");
    scene.send(PORTION);
    scene.start("new");
    scene.assert_exactly_once();
}

#[test]
fn a_crash_in_the_midst_of_a_hand_over_has_one_outcome_for_each_event() {
    dies_at(HAND_OVER);
}

#[test]
fn a_crash_right_after_a_hand_over_has_one_outcome_for_each_event() {
    dies_at(HANDED_OVER);
}

#[test]
fn a_zombie_of_the_old_pool_that_wakes_after_the_move_commits_nothing() {
    let mut scene = Scene::new();
    let pools = pools(&scene);
    scene.send(PORTION);
    scene.start_doomed("old", &format!("{COMMIT}=1*off->1*{}", once_delivered("stop")));
    scene.system.process("old").await_stopped();
    scene.move_to(&pools[1]);
    scene.start("new");
    // The zombie has the partitions until its session ends; it does not know that the queue was moved.
    await_taken_over(&scene, &["new"], 0);
    let done = scene.done_by("new");
    eventually("the new pool does events", || (scene.done_by("new") > done || done > 0).then_some(()));
    scene.system.process("old").signal("CONT");
    eventually("the zombie gives its batch up", || {
        scene.system.process("old").stderr().contains("a batch is given up").then_some(())
    });
    scene.send(PORTION);
    scene.assert_exactly_once();
}

#[test]
fn a_queue_leaves_a_pool_in_which_no_processor_runs_any_more() {
    let (mut scene, pools) = at_work();
    assert_eq!(scene.system.stop("old"), Some(0));
    scene.send(PORTION);
    scene.move_to(&pools[1]);
    scene.start("new");
    scene.assert_exactly_once();
}
