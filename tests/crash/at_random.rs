//! Processors and brokers killed and stopped at random, under load, for as long as wished (`make crash-test MINUTES=…`).
//!
//! Kafka has three nodes, of which one at a time is down: what is acknowledged is on two. `JOBICO_CRASH_MINUTES` says how
//! long, `JOBICO_CRASH_SEED` repeats the choices of an earlier run; what the kernel and Kafka do with them is their own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use super::scene::Scene;
use super::{seeded, setting};
use crate::system::cluster::Cluster;

/// The processors.
const PROCESSORS: [&str; 3] = ["first", "second", "third"];
/// Nodes of Kafka.
const NODES: u32 = 3;
/// Events in a portion of the load.
const PORTION: usize = 200;
/// How long a processor is stopped, milliseconds: mostly longer than its session (6 s), after which others take over.
const STOPPED_MS: std::ops::Range<u64> = 5_000..14_000;
/// How long a broker is stopped, milliseconds: shorter than its session with the controller (9 s), or longer.
const BROKER_STOPPED_MS: std::ops::Range<u64> = 2_000..14_000;
/// How long a dead processor stays away, milliseconds.
const AWAY_MS: std::ops::Range<u64> = 0..4_000;
/// How long everything runs undisturbed, milliseconds.
const REST_MS: std::ops::Range<u64> = 0..3_000;

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    ProcessorKilled,
    ProcessorStopped,
    BrokerKilled,
    BrokerStopped,
}

#[test]
fn processors_and_brokers_killed_and_stopped_at_random_have_one_outcome_for_each_event() {
    let time = Duration::from_secs(60 * setting("JOBICO_CRASH_MINUTES", 1) as u64);
    let mut random = seeded();
    let cluster = Cluster::start(NODES);
    let mut scene = Scene::on_own_kafka(&cluster.address);
    for name in PROCESSORS {
        scene.start(name);
    }
    let (begun, mut blows) = (Instant::now(), BTreeMap::<Blow, usize>::new());
    scene.under_load(PORTION, |scene| {
        while begun.elapsed() < time {
            let blow = strike(scene, &cluster, &mut random);
            *blows.entry(blow).or_default() += 1;
            rest(&mut random, REST_MS);
            println!("{:>4} s: {} outcomes", begun.elapsed().as_secs(), scene.outcomes());
        }
    });
    let (sent, sending, undone) = (scene.sent, begun.elapsed(), scene.sent - scene.outcomes_now());
    scene.assert_exactly_once();
    println!(
        "{} s, {blows:?}: {sent} events, {undone} of them undone at the end and done within {:.1} s; one outcome each",
        sending.as_secs(),
        (begun.elapsed() - sending).as_secs_f64()
    );
}

/// One blow, and what follows from it: afterwards everything runs.
fn strike(scene: &mut Scene, cluster: &Cluster, random: &mut StdRng) -> Blow {
    let name = PROCESSORS[random.random_range(0..PROCESSORS.len())];
    let node = random.random_range(1..=NODES);
    let blow = match random.random_range(0..10) {
        0..4 => Blow::ProcessorKilled,
        4..6 => Blow::ProcessorStopped,
        6..8 => Blow::BrokerKilled,
        _ => Blow::BrokerStopped,
    };
    match blow {
        Blow::ProcessorKilled => {
            println!("{blow:?} {name}");
            scene.system.kill(name);
            rest(random, AWAY_MS);
            scene.start(name);
        }
        Blow::ProcessorStopped => {
            let millis = random.random_range(STOPPED_MS);
            println!("{blow:?} {name}, for {millis} ms");
            scene.system.process(name).signal("STOP");
            std::thread::sleep(Duration::from_millis(millis));
            scene.system.process(name).signal("CONT");
        }
        Blow::BrokerKilled => {
            println!("{blow:?} {node}");
            cluster.kill(node);
            rest(random, AWAY_MS);
            cluster.run_nodes();
        }
        Blow::BrokerStopped => {
            let millis = random.random_range(BROKER_STOPPED_MS);
            println!("{blow:?} {node}, for {millis} ms");
            cluster.hang(node);
            std::thread::sleep(Duration::from_millis(millis));
            cluster.wake(node);
        }
    }
    scene.system.assert_well();
    blow
}

fn rest(random: &mut StdRng, millis: std::ops::Range<u64>) {
    std::thread::sleep(Duration::from_millis(random.random_range(millis)));
}
