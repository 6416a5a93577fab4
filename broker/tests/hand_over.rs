//! Partitions on their way from one group to another.

use std::collections::BTreeMap;

use jobico_broker::{Cause, Class, Positions, Standing, TopicPartition, Transactor};

use crate::fixture::{ANY, Fixture, TURN, gather, next_offsets, partition, settle, turn, until, values};

/// How a group stands to the partitions of a topic.
fn standing(log: &Fixture, group: &str, topic: &str, partitions: i32) -> Vec<Standing> {
    let partitions: Vec<TopicPartition> = (0..partitions).map(|number| partition(topic, number)).collect();
    // Somebody who asks and does not take part.
    let mut stranger = log.broker.join(&log.membership(group)).unwrap();
    until("the log says how the group stands", || stranger.standing(&partitions).ok()).into_values().collect()
}

/// Members of `group` have all of `topic`'s partitions.
fn has_all(member: &mut dyn Transactor, partitions: usize) {
    settle(&mut [member], &mut Vec::new(), |has| has[0].len() == partitions);
}

pub fn a_partition_that_is_handed_over_stands_in_the_other_group_where_it_stood_in_this_one(log: &Fixture) {
    let topic = log.topic("in", 2);
    log.put_range(&topic, 0..20);
    let mut from = log.transactor("from", "from", &[&topic]);
    let seen = gather(&mut *from, 20);
    let ends = next_offsets(&seen);
    // Of one, all is done; of the other, all but three.
    let (whole, part) = (partition(&topic, 0), partition(&topic, 1));
    let done = Positions::from([(whole.clone(), ends[&whole]), (part.clone(), ends[&part] - 3)]);
    from.begin().unwrap();
    from.commit(&done).unwrap();
    assert_eq!(standing(log, "from", &topic, 2), [Standing::At(done[&whole]), Standing::At(done[&part])]);
    assert_eq!(standing(log, "to", &topic, 2), [Standing::Never; 2]);

    from.hand_over(&done, &log.name("to")).unwrap();
    assert_eq!(standing(log, "from", &topic, 2), [Standing::Moved(done[&whole]), Standing::Moved(done[&part])]);
    assert_eq!(standing(log, "to", &topic, 2), [Standing::At(done[&whole]), Standing::At(done[&part])]);
    let mut left: Vec<_> = seen.iter().filter(|seen| seen.partition == 1).cloned().collect();
    left.sort_by_key(|seen| seen.offset);
    let left = left.split_off(left.len() - 3);
    assert_eq!(values(&gather(&mut *log.transactor("to", "to", &[&topic]), 3)), values(&left));
}

pub fn a_partition_may_come_back(log: &Fixture) {
    let topic = log.topic("in", 1);
    log.put_range(&topic, 0..5);
    let (mut one, mut other) = (log.transactor("one", "one", &[&topic]), log.transactor("other", "other", &[&topic]));
    has_all(&mut *one, 1);
    has_all(&mut *other, 1);
    let at = |offset| Positions::from([(partition(&topic, 0), offset)]);
    one.hand_over(&at(2), &log.name("other")).unwrap();
    other.begin().unwrap();
    other.commit(&at(4)).unwrap();
    other.hand_over(&at(4), &log.name("one")).unwrap();
    assert_eq!(standing(log, "one", &topic, 1), [Standing::At(4)]);
    assert_eq!(standing(log, "other", &topic, 1), [Standing::Moved(4)]);
    // What is committed as ever is no move.
    one.begin().unwrap();
    one.commit(&at(5)).unwrap();
    assert_eq!(standing(log, "one", &topic, 1), [Standing::At(5)]);
}

pub fn nobody_hands_over_what_another_has(log: &Fixture) {
    let topic = log.topic("in", 2);
    let mut first = log.transactor("from", "first", &[&topic]);
    has_all(&mut *first, 2);
    let mut second = log.transactor("from", "second", &[&topic]);
    settle(&mut [&mut *first, &mut *second], &mut Vec::new(), |has| has[0].len() == 1 && has[1].len() == 1);
    let of_first = first.assignment().into_iter().next().unwrap();
    let error = second.hand_over(&Positions::from([(of_first, 0)]), &log.name("to")).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Abortable, Cause::Fenced), "{error}");
    second.abort().unwrap();
    assert_eq!(standing(log, "from", &topic, 2), [Standing::Never; 2]);
    assert_eq!(standing(log, "to", &topic, 2), [Standing::Never; 2]);
    // It is of use still.
    let own = second.assignment().into_iter().next().unwrap();
    second.hand_over(&Positions::from([(own.clone(), 0)]), &log.name("to")).unwrap();
    let to: BTreeMap<i32, Standing> = (0..).zip(standing(log, "to", &topic, 2)).collect();
    assert_eq!(to[&own.partition], Standing::At(0));
}

pub fn nothing_is_handed_over_by_a_holder_whose_transactional_id_was_taken(log: &Fixture) {
    let topic = log.topic("in", 1);
    let mut first = log.transactor("from", "same", &[&topic]);
    has_all(&mut *first, 1);
    let _second = log.transactor("elsewhere", "same", &[&topic]);
    let error = first.hand_over(&Positions::from([(partition(&topic, 0), 0)]), &log.name("to")).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Fatal, Cause::Fenced), "{error}");
    assert_eq!(standing(log, "from", &topic, 1), [Standing::Never]);
    assert_eq!(standing(log, "to", &topic, 1), [Standing::Never]);
}

pub fn a_partition_that_is_lost_and_had_again_is_assigned_anew(log: &Fixture) {
    let topic = log.topic("in", 2);
    let mut first = log.join("group", &[&topic]);
    settle(&mut [&mut *first], &mut Vec::new(), |has| has[0].len() == 2);
    let mut assigned = first.take_assigned();
    assigned.sort();
    assert_eq!(assigned, [partition(&topic, 0), partition(&topic, 1)]);
    assert_eq!(first.take_assigned(), []);
    let mut second = log.join("group", &[&topic]);
    settle(&mut [&mut *first, &mut *second], &mut Vec::new(), |has| has[0].len() == 1 && has[1].len() == 1);
    assert_eq!(first.take_assigned(), [], "it kept one");
    let lost = second.take_assigned();
    assert_eq!(lost.len(), 1);
    drop(second);
    until("it has both again", || {
        turn(&mut *first, &ANY, TURN).unwrap();
        (first.assignment().len() == 2).then_some(())
    });
    assert_eq!(first.take_assigned(), lost);
}
