//! How far a group is behind.

use jobico_broker::{Cause, Lag, Positions};

use crate::fixture::{Fixture, gather, partition};

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
