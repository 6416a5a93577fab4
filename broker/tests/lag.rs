//! How far a group is behind.

use std::collections::BTreeSet;

use jobico_broker::{Cause, Lag, Positions, TopicPartition};

use crate::fixture::{Fixture, gather, partition, settle, until};

pub fn lag_is_what_a_group_has_not_committed(log: &Fixture) {
    let topic = log.topic("lag", 2);
    let ends: Vec<i64> = {
        let positions = log.put_range(&topic, 0..30);
        (0..2).map(|number| positions.iter().filter(|at| at.partition == number).count() as i64).collect()
    };
    let expected = |committed: [Option<i64>; 2]| -> Vec<Lag> {
        let lag = |number: usize| Lag {
            partition: partition(&topic, number as i32),
            committed: committed[number],
            end: ends[number],
        };
        (0..2).map(lag).collect()
    };
    let lag = || {
        let mut lag = log.wait(log.broker.lag(&log.name("group"), std::slice::from_ref(&topic))).unwrap();
        lag.sort_by(|a, b| a.partition.cmp(&b.partition));
        lag
    };
    assert_eq!(lag(), expected([None, None]), "a group that nobody knows");
    let mut member = log.join("group", &[&topic]);
    gather(&mut *member, 30);
    member.commit_offsets(&Positions::from([(partition(&topic, 1), 4)])).unwrap();
    assert_eq!(lag(), expected([None, Some(4)]));
    member
        .commit_offsets(&Positions::from([(partition(&topic, 0), ends[0]), (partition(&topic, 1), ends[1])]))
        .unwrap();
    assert_eq!(lag(), expected([Some(ends[0]), Some(ends[1])]));
}

pub fn lag_of_a_topic_that_does_not_exist_is_an_error(log: &Fixture) {
    let error = log.wait(log.broker.lag("group", &[log.name("missing")])).unwrap_err();
    assert_eq!(error.cause, Cause::UnknownTopic, "{error}");
}

pub fn lag_of_many_topics_at_once_has_each_of_their_partitions(log: &Fixture) {
    let names = log.topics("many-", 30, 2);
    log.put_range(&names[17], 0..5);
    let lag = log.wait(log.broker.lag(&log.name("group"), &names)).unwrap();
    let found: BTreeSet<(&str, i32)> = lag.iter().map(|lag| (&*lag.partition.topic, lag.partition.partition)).collect();
    let expected = names.iter().flat_map(|name| [(name.as_str(), 0), (name.as_str(), 1)]);
    assert_eq!((found, lag.len()), (expected.collect(), 60));
    let behind: Vec<&str> = lag.iter().filter(|lag| lag.end > 0).map(|lag| &*lag.partition.topic).collect();
    assert!(!behind.is_empty() && behind.iter().all(|topic| *topic == names[17]), "{behind:?}");
    let with_missing = [&names[..], &[log.name("missing")]].concat();
    let error = log.wait(log.broker.lag("group", &with_missing)).unwrap_err();
    assert_eq!(error.cause, Cause::UnknownTopic, "{error}");
}

pub fn the_members_of_a_group_are_known_with_what_they_have(log: &Fixture) {
    let topic = log.topic("members", 4);
    let members = || log.wait(log.broker.members(&log.name("group"))).unwrap();
    assert_eq!(members(), [], "a group that nobody knows");
    let (mut first, mut second) = (log.join("group", &[&topic]), log.join("group", &[&topic]));
    settle(&mut [&mut *first, &mut *second], &mut Vec::new(), |has| has[0].len() == 2 && has[1].len() == 2);
    let found = members();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|member| member.client_id == "conformance" && !member.host.is_empty()), "{found:?}");
    let mut has: Vec<BTreeSet<TopicPartition>> =
        found.into_iter().map(|member| member.partitions.into_iter().collect()).collect();
    has.sort();
    let mut expected = vec![first.assignment(), second.assignment()];
    expected.sort();
    assert_eq!(has, expected);
    drop((first, second));
    until("the group is empty", || members().is_empty().then_some(()));
}
