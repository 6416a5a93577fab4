//! Outputs and offsets as one.

use jobico_broker::{Batch, Cause, Class, Outgoing, Positions, RECORD_BYTES_CAP, Start, Transactor};

use crate::fixture::{Fixture, Seen, TURN, gather, next_offsets, numbers, outgoing, partition, until, values};

/// Reads `count` records and copies them in one open transaction.
pub fn copy(transactor: &mut dyn Transactor, count: usize, output: &str) -> Positions {
    let seen = gather(transactor, count);
    transactor.begin().unwrap();
    for Seen { key, value, .. } in &seen {
        transactor.produce(&outgoing(output, key.as_ref().unwrap(), value.as_ref().unwrap())).unwrap();
    }
    next_offsets(&seen)
}

pub fn a_commit_shows_outputs_and_offsets_together(log: &Fixture) {
    let (input, output) = (log.topic("in", 2), log.topic("out", 2));
    log.put_range(&input, 0..20);
    let mut transactor = log.transactor("group", "id", &[&input]);
    let positions = copy(&mut *transactor, 20, &output);
    transactor.commit(&positions).unwrap();
    log.expect_values(&output, numbers(0..20));
    let committed: Vec<_> = positions.values().map(|offset| Some(*offset)).collect();
    assert_eq!(log.offsets("group", &input), committed);
}

pub fn an_abort_shows_neither(log: &Fixture) {
    let (input, output) = (log.topic("in", 2), log.topic("out", 2));
    log.put_range(&input, 0..20);
    let mut transactor = log.transactor("group", "id", &[&input]);
    let positions = copy(&mut *transactor, 20, &output);
    transactor.abort().unwrap();
    assert!(log.committed(&output).is_empty());
    assert!(log.offsets("group", &input).iter().all(Option::is_none));
    // Again, and it is done once.
    transactor.rewind(&positions.into_keys().map(|partition| (partition, 0)).collect()).unwrap();
    let positions = copy(&mut *transactor, 20, &output);
    transactor.commit(&positions).unwrap();
    log.expect_values(&output, numbers(0..20));
}

pub fn what_is_not_committed_is_not_seen(log: &Fixture) {
    let (input, output) = (log.topic("in", 1), log.topic("out", 1));
    log.put_range(&input, 0..10);
    let mut follower = log.follow(&output, Start::Beginning);
    let mut transactor = log.transactor("group", "id", &[&input]);
    let positions = copy(&mut *transactor, 10, &output);
    let mut batch = Batch::new();
    follower.read_to_end(&mut batch).unwrap();
    assert!(batch.is_empty());
    follower.poll(&mut batch, TURN).unwrap();
    assert!(batch.is_empty());
    transactor.commit(&positions).unwrap();
    let mut seen = Vec::new();
    until("what was committed", || {
        follower.read_to_end(&mut batch).unwrap();
        seen.extend(batch.iter().map(Seen::from));
        (seen.len() == 10).then_some(())
    });
    assert_eq!(values(&seen), numbers(0..10));
}

pub fn a_transaction_spans_topics_and_partitions(log: &Fixture) {
    let (input, results, dead) = (log.topic("in", 1), log.topic("results", 3), log.topic("dead", 1));
    log.put_range(&input, 0..30);
    let mut transactor = log.transactor("group", "id", &[&input]);
    let seen = gather(&mut *transactor, 30);
    transactor.begin().unwrap();
    for (index, seen) in seen.iter().enumerate() {
        let topic = if index % 3 == 0 { &dead } else { &results };
        let headers: [(&str, &[u8]); 2] = [("jobico-index", b"0/1"), ("empty", b"")];
        let value = seen.value.as_ref().map(|value| value.as_bytes());
        transactor.produce(&Outgoing { topic, key: None, value, headers: &headers }).unwrap();
    }
    transactor.commit(&next_offsets(&seen)).unwrap();
    let batch = until("the results", || {
        let mut batch = Batch::new();
        log.follow(&results, Start::Beginning).read_to_end(&mut batch).unwrap();
        (batch.len() >= 20).then_some(batch)
    });
    assert_eq!(batch.len(), 20);
    for record in batch.iter() {
        assert_eq!(record.headers().collect::<Vec<_>>(), [("jobico-index", &b"0/1"[..]), ("empty", &b""[..])]);
    }
    assert_eq!(until("the dead letters", || Some(log.committed(&dead).len()).filter(|count| *count >= 10)), 10);
}

pub fn a_transaction_may_have_offsets_alone_or_records_alone(log: &Fixture) {
    let (input, output) = (log.topic("in", 1), log.topic("out", 1));
    log.put_range(&input, 0..10);
    let mut transactor = log.transactor("group", "id", &[&input]);
    let seen = gather(&mut *transactor, 10);
    transactor.begin().unwrap();
    transactor.commit(&next_offsets(&seen)).unwrap();
    assert_eq!(log.offsets("group", &input), [Some(10)]);
    transactor.begin().unwrap();
    transactor.produce(&outgoing(&output, "k", "alone")).unwrap();
    transactor.commit(&Positions::new()).unwrap();
    log.expect_values(&output, ["alone"]);
    transactor.begin().unwrap();
    transactor.commit(&Positions::new()).unwrap();
    transactor.begin().unwrap();
    transactor.abort().unwrap();
    transactor.abort().unwrap();
}

pub fn transactions_follow_each_other(log: &Fixture) {
    let (input, output) = (log.topic("in", 2), log.topic("out", 2));
    let mut transactor = log.transactor("group", "id", &[&input]);
    for round in 0..20 {
        log.put_range(&input, round * 5..(round + 1) * 5);
        let positions = copy(&mut *transactor, 5, &output);
        transactor.commit(&positions).unwrap();
    }
    log.expect_values(&output, numbers(0..100));
}

/// A transaction fails with `cause` because of one record, is aborted, and the next goes well.
fn fails_alone(log: &Fixture, bad: &Outgoing<'_>, cause: Cause) {
    let (input, output) = (log.topic("in", 1), log.topic("out", 1));
    log.put_range(&input, 0..5);
    let mut transactor = log.transactor("group", "id", &[&input]);
    let positions = copy(&mut *transactor, 5, &output);
    let error = transactor.produce(bad).and_then(|()| transactor.commit(&positions)).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Abortable, cause), "{error}");
    transactor.abort().unwrap();
    assert!(log.committed(&output).is_empty());
    transactor.rewind(&Positions::from([(partition(&input, 0), 0)])).unwrap();
    let positions = copy(&mut *transactor, 5, &output);
    transactor.commit(&positions).unwrap();
    log.expect_values(&output, numbers(0..5));
}

pub fn a_record_for_a_topic_that_does_not_exist_fails_its_transaction_alone(log: &Fixture) {
    let missing = log.name("missing");
    fails_alone(log, &outgoing(&missing, "k", "v"), Cause::UnknownTopic);
}

pub fn a_record_that_is_too_large_fails_its_transaction_alone(log: &Fixture) {
    let (large, topic) = ("x".repeat(RECORD_BYTES_CAP as usize + 1), log.topic("large", 1));
    fails_alone(log, &outgoing(&topic, "k", &large), Cause::TooLarge);
    assert!(log.committed(&topic).is_empty());
}

pub fn a_successor_reads_on_where_its_predecessor_committed(log: &Fixture) {
    let (input, output) = (log.topic("in", 2), log.topic("out", 2));
    for round in 0..3 {
        log.put_range(&input, round * 10..(round + 1) * 10);
        let mut transactor = log.transactor("group", "id", &[&input]);
        let positions = copy(&mut *transactor, 10, &output);
        transactor.commit(&positions).unwrap();
    }
    log.expect_values(&output, numbers(0..30));
}
