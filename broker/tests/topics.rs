//! Making topics, and letting them grow.

use jobico_broker::{Retention, Start, TopicSpec, partition_of_key};

use crate::fixture::{ANY, Fixture, TURN, gather, numbers, settle, turn, until, values};

pub fn a_topic_can_be_written_and_read_once_it_is_ensured(log: &Fixture) {
    let topics: Vec<_> = (0..10).map(|number| log.name(&format!("many{number}"))).collect();
    let spec = |name: &String| TopicSpec { name: name.clone(), partitions: 2, retention: Retention::Default };
    log.wait(log.broker.ensure_topics(&topics.iter().map(spec).collect::<Vec<_>>())).unwrap();
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
    let (mut batch, mut seen) = (jobico_broker::Batch::new(), Vec::new());
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
