//! Making topics, and letting them grow.

use jobico_broker::{
    Batch, Cause, Error, GatherLimits, Outgoing, Positions, RECORD_BYTES_CAP, Retention, Start, TopicSpec,
    partition_of_key,
};
use rand::{RngCore, SeedableRng};

use crate::fixture::{ANY, Fixture, TURN, gather, numbers, settle, turn, until, values};

pub fn a_topic_can_be_written_and_read_once_it_is_ensured(log: &Fixture) {
    let topics = log.topics("many", 10, 2);
    for topic in &topics {
        log.put_range(topic, 0..2);
        log.expect_values(topic, ["0", "1"]);
    }
    let known = log.wait(log.broker.topics()).unwrap();
    assert!(topics.iter().all(|topic| known.contains(topic)), "{known:?}");
    assert!(!known.contains(&log.name("never made")));
}

pub fn ensuring_again_changes_nothing(log: &Fixture) {
    let topic = log.topic("again", 3);
    log.put_range(&topic, 0..10);
    for (partitions, retention) in [(3, Retention::Default), (1, Retention::Compact)] {
        log.ensure(&topic, partitions, retention);
    }
    log.ensure(&topic, 3, Retention::Default);
    assert_eq!(log.offsets("none", &topic).len(), 3, "partitions");
    log.expect_values(&topic, numbers(0..10));
}

pub fn a_topic_grows_and_keeps_its_records(log: &Fixture) {
    let topic = log.topic("grows", 1);
    let mut follower = log.follow(&topic, Start::Beginning);
    log.put_range(&topic, 0..10);
    log.ensure(&topic, 4, Retention::Default);
    assert_eq!(log.offsets("none", &topic).len(), 4, "partitions");
    // The client that appends learns of the new partitions in its own time; until then it uses those it knows.
    let mut number = 10;
    until("a record in a new partition", || {
        let position = log.put_range(&topic, number..number + 1)[0];
        number += 1;
        let place = partition_of_key((number - 1).to_string().as_bytes(), 4);
        (position.partition > 0 && position.partition == place).then_some(())
    });
    log.expect_values(&topic, numbers(0..number));
    let (mut batch, mut seen) = (Batch::new(), Vec::new());
    until("the follower reads the new partitions, too", || {
        follower.poll(&mut batch, TURN).unwrap();
        seen.extend(batch.iter().map(crate::fixture::Seen::from));
        (seen.len() == number).then_some(())
    });
    assert_eq!(values(&seen), numbers(0..number));
}

pub fn a_member_gets_the_partitions_that_its_topic_gains(log: &Fixture) {
    let topic = log.topic("gains", 1);
    let mut member = log.join("group", &[&topic]);
    settle(&mut [&mut *member], &mut Vec::new(), |has| has[0].len() == 1);
    log.ensure(&topic, 3, Retention::Default);
    settle(&mut [&mut *member], &mut Vec::new(), |has| has[0].len() == 3);
    log.put_range(&topic, 0..30);
    assert_eq!(values(&gather(&mut *member, 30)), numbers(0..30));
}

pub fn a_member_gets_a_topic_that_is_made_after_it_subscribed(log: &Fixture) {
    let (there, later) = (log.topic("there", 1), log.name("later"));
    let mut member = log.join("group", &[&there, &later]);
    // Kafka says that the topic is not there; that passes when it is.
    until("the partition of the topic that is there", || {
        drop(turn(&mut *member, &ANY, TURN));
        (member.assignment().len() == 1).then_some(())
    });
    log.ensure(&later, 2, Retention::Default);
    log.put_range(&later, 0..10);
    let mut seen = Vec::new();
    until("the records of the new topic", || {
        seen.extend(turn(&mut *member, &ANY, TURN).unwrap_or_default());
        (seen.len() == 10).then_some(())
    });
    assert_eq!(values(&seen), numbers(0..10));
}

/// What no codec makes smaller: Kafka counts records as they are sent.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    rand::rngs::StdRng::seed_from_u64(7).fill_bytes(&mut noise);
    noise
}

/// As large a value as a topic takes that asks for nothing else.
const LARGEST: usize = 1_048_000;

/// Writes one record in a transaction.
fn write(log: &Fixture, topic: &str, value: &[u8], headers: &[(&str, &[u8])]) -> Result<(), Error> {
    let id = log.name(&format!("writer.{topic}"));
    let mut transactor = log.broker.join_transactional(&log.membership("writers"), &id).unwrap();
    transactor.begin().unwrap();
    let outgoing = Outgoing { topic, key: Some(b"k"), value: Some(value), headers };
    let written = transactor.produce(&outgoing).and_then(|()| transactor.commit(&Positions::new()));
    transactor.abort().unwrap();
    written
}

fn sizes(log: &Fixture, topic: &str, count: usize) -> Vec<usize> {
    let mut batch = Batch::new();
    until("the records of the topic", || {
        log.follow(topic, Start::Beginning).read_to_end(&mut batch).unwrap();
        (batch.len() >= count).then_some(())
    });
    batch.iter().map(|record| record.value().unwrap().len()).collect()
}

fn ensure_large(log: &Fixture, topic: &str) {
    let spec = TopicSpec {
        name: topic.to_owned(),
        partitions: 1,
        retention: Retention::Default,
        record_bytes_max: Some(2 << 20),
    };
    log.wait(log.broker.ensure_topics(&[spec])).unwrap();
}

pub fn the_largest_record_of_a_topic_fits_with_headers_beside_it_into_one_for_larger_records(log: &Fixture) {
    let (queue, dead) = (log.topic("queue", 1), log.name("dead"));
    ensure_large(log, &dead);
    write(log, &queue, &noise(LARGEST), &[]).unwrap();
    let mut reader = log.join("reader", &[&queue]);
    let (mut batch, few) = (Batch::new(), GatherLimits { records_max: 1, bytes_max: 1 });
    until("the largest record", || {
        reader.gather(&mut batch, &few, TURN).unwrap();
        (!batch.is_empty()).then_some(())
    });
    let value = batch.get(0).unwrap().value().unwrap();
    let note = noise(5_000);
    let headers: Vec<(&str, &[u8])> = (0..20).map(|_| ("jobico-note", &*note)).collect();
    assert_eq!(write(log, &queue, value, &headers).unwrap_err().cause, Cause::TooLarge);
    write(log, &dead, value, &headers).unwrap();
    assert_eq!(sizes(log, &dead, 1), [LARGEST]);
    assert_eq!(sizes(log, &queue, 1), [LARGEST]);
}

pub fn a_topic_that_exists_takes_larger_records_once_that_is_asked_for(log: &Fixture) {
    let topic = log.name("kept");
    log.ensure(&topic, 2, Retention::Compact);
    write(log, &topic, b"small", &[]).unwrap();
    let larger = noise(LARGEST * 3 / 2);
    assert_eq!(write(log, &topic, &larger, &[]).unwrap_err().cause, Cause::TooLarge);
    for _ in 0..2 {
        ensure_large(log, &topic);
    }
    write(log, &topic, &larger, &[]).unwrap();
    // Asking for less takes nothing back, and what else was set stays: it is compacted still.
    log.ensure(&topic, 1, Retention::Default);
    write(log, &topic, &larger, &[]).unwrap();
    let keyless = jobico_broker::Append { topic: topic.clone(), key: None, value: None, headers: Vec::new() };
    assert!(log.wait(log.broker.append(vec![keyless]))[0].is_err());
    assert_eq!(sizes(log, &topic, 3), [5, larger.len(), larger.len()]);
    let beyond = TopicSpec {
        name: log.name("beyond"),
        partitions: 1,
        retention: Retention::Default,
        record_bytes_max: Some(RECORD_BYTES_CAP + 1),
    };
    assert!(log.wait(log.broker.ensure_topics(&[beyond])).is_err());
}
