//! Topics that are taken away under a running system.

use crate::system::kafka::{delete_topic, make_topic};
use crate::system::{Job, On, System, eventually, numbers};

/// Of a queue, as tests have them.
const PARTITIONS: i32 = 3;

#[test]
fn a_queue_whose_topic_is_deleted_and_made_again_goes_on_and_its_neighbour_does_not_notice() {
    let mut system = System::dev(On::Kafka);
    system.deploy(&Job::new("numbers").event("kept", "kept", "echo").event("lost", "lost", "echo"));
    let (address, lost) = (system.kafka(), format!("{}.lost", system.tenant));
    system.client.send("kept", &numbers(0..10));
    system.client.send("lost", &numbers(10..20));
    system.client.await_results(20);
    let admin = system.process("dev").addresses()["admin"].clone();
    let has = |partitions: i32| {
        eventually(&format!("the workers have {partitions} partitions"), || {
            let assigned = system.client.metric(&admin, "jobico_processor_assigned_partitions");
            (assigned == f64::from(partitions)).then_some(())
        });
    };
    has(2 * PARTITIONS);

    delete_topic(&address, &lost);
    // Until then it would look like the same topic to them (docs/exactly-once.md).
    has(PARTITIONS);
    for round in 0..5 {
        let first = 20 + 10 * round;
        system.client.send("kept", &numbers(first..first + 10));
        system.client.await_results(first + 10);
    }
    make_topic(&address, &lost, PARTITIONS);
    // Ingest's producer finds it again by itself; some of a request may be stored before all of it is.
    eventually("the queue takes events again", || system.client.try_send("lost", &numbers(70..80)));
    system.client.send("lost", &numbers(80..90));
    // The store would say less: an event that stands where another one stood has its row.
    let outcomes = || (system.records("results").len(), 70 + system.records("lost").len());
    eventually("each event of the new topic has a result", || {
        let (results, events) = outcomes();
        (results >= events && events >= 90).then_some(())
    });
    assert_eq!(system.stop("dev"), Some(0));
    let (results, events) = (system.records("results").len(), 70 + system.records("lost").len());
    assert_eq!(results, events, "one of each");
    assert!(system.records("dead").is_empty());
}
