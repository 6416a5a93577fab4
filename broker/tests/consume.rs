//! A member of a group, alone in it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jobico_broker::{Batch, Consumer, GatherLimits, Positions};

use crate::fixture::{
    ANY, Fixture, PATIENCE, Seen, TURN, gather, next_offsets, numbers, partition, record, set, settle, turn, until,
    values,
};

pub fn a_member_reads_every_record_once_in_the_order_of_each_partition(log: &Fixture) {
    let topics = [log.topic("one", 3), log.topic("two", 2)];
    for topic in &topics {
        log.put_range(topic, 0..100);
    }
    let mut member = log.join("group", &[&topics[0], &topics[1]]);
    let seen = gather(&mut *member, 200);
    let mut next: HashMap<(&str, i32), i64> = HashMap::new();
    for Seen { topic, partition, offset, .. } in &seen {
        let next = next.entry((topic, *partition)).or_default();
        assert_eq!(offset, next, "{topic} {partition}");
        *next += 1;
    }
    assert_eq!(next.len(), 5, "partitions");
}

pub fn a_member_begins_where_the_group_committed(log: &Fixture) {
    let topic = log.topic("resume", 3);
    log.put_range(&topic, 0..30);
    let mut member = log.join("group", &[&topic]);
    let seen = gather(&mut *member, 30);
    member.commit_offsets(&next_offsets(&seen)).unwrap();
    log.put_range(&topic, 30..40);
    // Read, and not committed: the next member reads them, too.
    assert_eq!(values(&gather(&mut *member, 10)), numbers(30..40));
    drop(member);
    assert_eq!(values(&gather(&mut *log.join("group", &[&topic]), 10)), numbers(30..40));
}

pub fn a_new_group_begins_at_the_beginning(log: &Fixture) {
    let topic = log.topic("new", 1);
    log.put_range(&topic, 0..10);
    for group in ["first", "second"] {
        assert_eq!(values(&gather(&mut *log.join(group, &[&topic]), 10)), numbers(0..10), "{group}");
    }
}

pub fn a_batch_has_at_most_the_records_asked_for(log: &Fixture) {
    let topic = log.topic("records", 2);
    log.put_range(&topic, 0..100);
    let mut member = log.join("group", &[&topic]);
    let limits = GatherLimits { records_max: 7, ..ANY };
    let mut seen = Vec::new();
    until("all records", || {
        let some = turn(&mut *member, &limits, Duration::from_secs(1)).unwrap();
        assert!(some.len() <= 7, "{}", some.len());
        seen.extend(some);
        (seen.len() == 100).then_some(())
    });
    assert_eq!(values(&seen), numbers(0..100));
}

pub fn a_batch_ends_with_the_record_that_meets_its_bytes(log: &Fixture) {
    let topic = log.topic("batch_bytes", 1);
    let large = "x".repeat(10_000);
    log.append((0..10).map(|_| record(&topic, "k", &large)).collect());
    let mut member = log.join("group", &[&topic]);
    for (bytes_max, records) in [(1, 1), (25_000, 3)] {
        let mut batch = Batch::new();
        until("some records", || {
            member.gather(&mut batch, &GatherLimits { bytes_max, ..ANY }, Duration::from_secs(1)).unwrap();
            (!batch.is_empty()).then_some(())
        });
        assert!(batch.len() <= records, "{} records of 10 kB where {bytes_max} bytes were asked for", batch.len());
        member.rewind(&batch.first_offsets()).unwrap();
    }
    assert_eq!(gather(&mut *member, 10).len(), 10);
}

pub fn a_member_that_waits_is_woken_by_a_record(log: &Fixture) {
    let topic = log.topic("wakes", 2);
    let mut member = log.join("group", &[&topic]);
    settle(&mut [&mut *member], &mut Vec::new(), |has| has[0].len() == 2);
    let begun = Instant::now();
    let (broker, late) = (log.broker.clone(), record(&topic, "k", "late"));
    let append = log.spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        broker.append(vec![late]).await.remove(0).unwrap();
    });
    assert_eq!(turn(&mut *member, &ANY, PATIENCE).unwrap().len(), 1);
    assert!(begun.elapsed() < PATIENCE / 3, "{:?}", begun.elapsed());
    log.wait(append).unwrap();
}

pub fn a_member_without_records_returns_in_time(log: &Fixture) {
    let topic = log.topic("vain", 2);
    let mut member = log.join("group", &[&topic]);
    settle(&mut [&mut *member], &mut Vec::new(), |has| has[0].len() == 2);
    let mut batch = Batch::new();
    batch.push("left over", 0, 0, 0, None, None, std::iter::empty());
    let begun = Instant::now();
    member.gather(&mut batch, &ANY, Duration::from_millis(200)).unwrap();
    assert!(batch.is_empty(), "the batch is cleared first");
    assert!(begun.elapsed() >= Duration::from_millis(190) && begun.elapsed() < PATIENCE / 3, "{:?}", begun.elapsed());
}

pub fn a_paused_partition_is_held_back_and_loses_nothing(log: &Fixture) {
    let (held, free) = (log.topic("held", 1), log.topic("free", 1));
    log.put_range(&held, 0..5);
    log.put_range(&free, 0..5);
    let mut member = log.join("group", &[&held, &free]);
    gather(&mut *member, 10);
    member.pause(&[partition(&held, 0)]).unwrap();
    log.put_range(&held, 5..10);
    log.put_range(&free, 5..10);
    let seen = gather(&mut *member, 5);
    assert!(seen.iter().all(|seen| seen.topic == free), "{seen:?}");
    assert_eq!(member.assignment().len(), 2, "a paused partition stays the member's");
    member.resume(&[partition(&held, 0)]).unwrap();
    let seen = gather(&mut *member, 5);
    assert_eq!((values(&seen), &seen[0].topic), (numbers(5..10), &held));
}

pub fn a_rewound_member_reads_again(log: &Fixture) {
    let topic = log.topic("rewind", 2);
    log.put_range(&topic, 0..20);
    let mut member = log.join("group", &[&topic]);
    let first = gather(&mut *member, 20);
    let back: Positions = (0..2).map(|number| (partition(&topic, number), 3)).collect();
    member.rewind(&back).unwrap();
    let again: Vec<_> = first.iter().filter(|seen| seen.offset >= 3).cloned().collect();
    let mut seen = gather(&mut *member, again.len());
    for seen in [&mut seen, &mut again.clone()] {
        seen.sort_by_key(|seen| (seen.partition, seen.offset));
    }
    assert_eq!(values(&seen), values(&again));
}

/// Adds what comes to a batch until it has so many records; their values.
fn fill(member: &mut dyn Consumer, batch: &mut Batch, count: usize) -> Vec<String> {
    let begun = Instant::now();
    while batch.len() < count {
        assert!(begun.elapsed() < PATIENCE, "{} of {count} records came", batch.len());
        member.gather_more(batch, &ANY, TURN).unwrap();
    }
    batch.iter().map(|record| String::from_utf8(record.value().unwrap().to_vec()).unwrap()).collect()
}

pub fn what_is_given_back_comes_again_before_what_follows_it(log: &Fixture) {
    let topic = log.topic("back", 1);
    let at = partition(&topic, 0);
    let from = |offset: i64| Positions::from([(at.clone(), offset)]);
    let (mut member, mut batch) = (log.join("group", &[&topic]), Batch::new());
    log.put_range(&topic, 0..10);
    assert_eq!(fill(&mut *member, &mut batch, 10), numbers(0..10));
    // As where an event waits for its time, and all that stands behind it.
    member.pause(std::slice::from_ref(&at)).unwrap();
    member.give_back(&mut batch, &from(4)).unwrap();
    log.put_range(&topic, 10..12);
    member.gather_more(&mut batch, &ANY, TURN).unwrap();
    assert_eq!(batch.next_offsets(), from(4));
    member.resume(std::slice::from_ref(&at)).unwrap();
    assert_eq!(fill(&mut *member, &mut batch, 12), numbers(0..12));
    // Some, and then some of what stands before it.
    member.give_back(&mut batch, &from(8)).unwrap();
    member.give_back(&mut batch, &from(2)).unwrap();
    assert_eq!(fill(&mut *member, &mut batch, 12), numbers(0..12));
    // Who goes back further has it once.
    member.give_back(&mut batch, &from(5)).unwrap();
    member.rewind(&from(1)).unwrap();
    batch.cut(&from(1));
    assert_eq!(fill(&mut *member, &mut batch, 12), numbers(0..12));
}

pub fn rewinding_a_partition_of_another_is_passed_over(log: &Fixture) {
    let (own, other) = (log.topic("own", 1), log.topic("other", 1));
    log.put_range(&own, 0..5);
    log.put_range(&other, 0..5);
    let mut member = log.join("group", &[&own]);
    gather(&mut *member, 5);
    member.rewind(&Positions::from([(partition(&own, 0), 2), (partition(&other, 0), 0)])).unwrap();
    let seen = gather(&mut *member, 3);
    assert!(seen.iter().all(|seen| seen.topic == own), "{seen:?}");
}

pub fn a_subscription_that_changes_gives_back_what_it_no_longer_names(log: &Fixture) {
    let (old, new) = (log.topic("old", 2), log.topic("new", 2));
    let mut member = log.join("group", &[&old]);
    log.put_range(&old, 0..10);
    let seen = gather(&mut *member, 10);
    member.commit_offsets(&next_offsets(&seen)).unwrap();
    member.subscribe(&set(&[&new])).unwrap();
    let expected = (0..2).map(|number| partition(&new, number)).collect();
    settle(&mut [&mut *member], &mut Vec::new(), |has| has[0] == expected);
    log.put_range(&old, 10..20);
    log.put_range(&new, 0..10);
    let seen = gather(&mut *member, 10);
    assert!(seen.iter().all(|seen| seen.topic == new), "{seen:?}");
    // And back again: on where the group had come.
    member.subscribe(&set(&[&old, &new])).unwrap();
    let seen = gather(&mut *member, 10);
    assert_eq!((values(&seen), &seen[0].topic), (numbers(10..20), &old));
    assert!(turn(&mut *member, &ANY, TURN).unwrap().is_empty());
}
