//! Reading whole topics, outside any group.

use std::time::{Duration, Instant};

use jobico_broker::{Batch, Follower, GatherLimits, Positions, Start, TopicPartition};

use crate::fixture::{Fixture, PATIENCE, Seen, numbers, partition, record, until, values};

fn poll(follower: &mut dyn Follower, count: usize) -> Vec<Seen> {
    let (mut batch, mut seen) = (Batch::new(), Vec::new());
    until(&format!("{count} records"), || {
        follower.poll(&mut batch, Duration::from_secs(1)).unwrap();
        seen.extend(batch.iter().map(Seen::from));
        (seen.len() >= count).then_some(())
    });
    seen
}

pub fn a_follower_from_the_beginning_reads_everything(log: &Fixture) {
    let topics = [log.topic("one", 3), log.topic("two", 1)];
    log.put_range(&topics[0], 0..20);
    log.put_range(&topics[1], 20..30);
    let mut follower = log.broker.follow(&topics, Start::Beginning).unwrap();
    let seen = poll(&mut *follower, 30);
    assert_eq!(values(&seen), numbers(0..30));
    log.put_range(&topics[1], 30..40);
    assert_eq!(values(&poll(&mut *follower, 10)), numbers(30..40));
}

pub fn a_follower_from_the_end_reads_only_what_comes(log: &Fixture) {
    let topic = log.topic("end", 3);
    log.put_range(&topic, 0..20);
    let mut follower = log.follow(&topic, Start::End);
    log.put_range(&topic, 20..30);
    assert_eq!(values(&poll(&mut *follower, 10)), numbers(20..30));
}

pub fn reading_to_the_end_returns_all_that_was_committed_and_nothing_twice(log: &Fixture) {
    let topic = log.topic("to_end", 4);
    let mut follower = log.follow(&topic, Start::Beginning);
    let mut batch = Batch::new();
    for round in 0..5 {
        log.put_range(&topic, round * 30..(round + 1) * 30);
        follower.read_to_end(&mut batch).unwrap();
        let seen: Vec<_> = batch.iter().map(Seen::from).collect();
        assert_eq!(values(&seen), numbers(round * 30..(round + 1) * 30), "round {round}");
    }
}

pub fn reading_to_the_end_of_nothing_returns_at_once(log: &Fixture) {
    let topic = log.topic("nothing", 4);
    let (mut follower, mut batch) = (log.follow(&topic, Start::Beginning), Batch::new());
    let begun = Instant::now();
    for _ in 0..2 {
        follower.read_to_end(&mut batch).unwrap();
        assert!(batch.is_empty());
    }
    assert!(begun.elapsed() < PATIENCE / 3, "{:?}", begun.elapsed());
}

pub fn a_follower_that_waits_is_woken_by_a_record(log: &Fixture) {
    let topic = log.topic("wakes", 2);
    let (mut follower, mut batch) = (log.follow(&topic, Start::End), Batch::new());
    let begun = Instant::now();
    let (broker, late) = (log.broker.clone(), record(&topic, "k", "late"));
    let append = log.spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        broker.append(vec![late]).await.remove(0).unwrap();
    });
    follower.poll(&mut batch, PATIENCE).unwrap();
    assert_eq!(batch.len(), 1);
    assert!(begun.elapsed() < PATIENCE / 3, "{:?}", begun.elapsed());
    log.wait(append).unwrap();
}

pub fn a_follower_that_waits_in_vain_returns_in_time(log: &Fixture) {
    let topic = log.topic("vain", 2);
    let (mut follower, mut batch) = (log.follow(&topic, Start::End), Batch::new());
    batch.push("left over", 0, 0, 0, None, None, std::iter::empty());
    let begun = Instant::now();
    follower.poll(&mut batch, Duration::from_millis(200)).unwrap();
    assert!(batch.is_empty(), "the batch is cleared first");
    assert!(begun.elapsed() >= Duration::from_millis(190) && begun.elapsed() < PATIENCE / 3, "{:?}", begun.elapsed());
}

pub fn reading_some_goes_on_where_it_stopped_also_by_another_follower(log: &Fixture) {
    const FEW: GatherLimits = GatherLimits { records_max: 100, bytes_max: 1 << 20 };
    let topic = log.topic("some", 2);
    log.put_range(&topic, 0..5_000);
    let mut follower = log.follow(&topic, Start::Beginning);
    let (mut batch, mut seen, mut calls) = (Batch::new(), Vec::new(), 0);
    loop {
        let progress = follower.read_some(&mut batch, &FEW).unwrap();
        assert_eq!(progress.next.len(), 2, "all partitions have a place, read or not");
        seen.extend(batch.iter().map(Seen::from));
        calls += 1;
        if progress.is_end {
            break;
        }
        // As a program does that keeps no follower between its questions.
        if calls % 2 == 0 {
            follower = log.broker.follow_from(&progress.next).unwrap();
        }
    }
    assert!(calls >= 3, "{calls}");
    assert_eq!(values(&seen), numbers(0..5_000));
    assert!(follower.read_some(&mut batch, &FEW).unwrap().is_end && batch.is_empty());
}

pub fn a_follower_from_the_middle_reads_only_its_partitions(log: &Fixture) {
    let topic = log.topic("middle", 2);
    let positions = log.put_range(&topic, 0..100);
    let of = |number: i32| positions.iter().filter(|at| at.partition == number).count() as i64;
    let read = |from: &[(TopicPartition, i64)]| -> Vec<(i32, i64)> {
        let from: Positions = from.iter().cloned().collect();
        let mut batch = Batch::new();
        log.broker.follow_from(&from).unwrap().read_to_end(&mut batch).unwrap();
        batch.iter().map(|record| (record.partition(), record.offset())).collect()
    };
    assert_eq!(read(&[(partition(&topic, 1), of(1) - 2)]), [(1, of(1) - 2), (1, of(1) - 1)]);
    assert_eq!(read(&[(partition(&topic, 0), -5), (partition(&topic, 1), i64::MAX)]).len() as i64, of(0));
    assert_eq!(read(&[]), []);
    let mut follower = log.broker.follow_from(&Positions::from([(partition(&topic, 0), i64::MAX)])).unwrap();
    log.put_range(&topic, 100..200);
    assert!(poll(&mut *follower, 1).iter().all(|seen| seen.partition == 0 && seen.offset >= of(0)));
}
