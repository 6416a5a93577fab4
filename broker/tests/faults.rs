//! What only the simulated log does: it fails as it is told, and is what it was before, whatever it said.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jobico_broker::simulated::{Faults, Simulated};
use jobico_broker::{
    Batch, Broker, Cause, Class, Error, Membership, Outgoing, Positions, Retention, TopicSpec, Transactor,
};

use crate::fixture::{ANY, outgoing, record, set};

const NONE: Faults = Faults {
    unavailable: 0.0,
    lost_acknowledgement: 0.0,
    abortable: 0.0,
    fenced: 0.0,
    in_doubt: 0.0,
    rebalance: 0.0,
    unknown_topic: 0.0,
};

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn log(seed: u64) -> Arc<Simulated> {
    let log = Simulated::new(seed, NONE);
    let topic = |name: &str| TopicSpec {
        name: name.to_owned(),
        partitions: 3,
        retention: Retention::Default,
        record_bytes_max: None,
    };
    wait(log.ensure_topics(&[topic("in"), topic("out")])).unwrap();
    log
}

fn fill(log: &Simulated, count: usize) {
    let records = (0..count).map(|number| record("in", &number.to_string(), &number.to_string()));
    for answer in wait(log.append(records.collect())) {
        answer.unwrap();
    }
}

fn join(log: &Simulated) -> Result<Box<dyn Transactor>, Error> {
    let membership = Membership { group: "group".to_owned(), client_id: "test".to_owned(), topics: 1 };
    let mut transactor = log.join_transactional(&membership, "id")?;
    transactor.subscribe(&set(&["in"]))?;
    Ok(transactor)
}

/// A transactor with an open transaction of all records and one output each.
fn open(log: &Simulated) -> (Box<dyn Transactor>, Positions) {
    let (mut transactor, mut batch) = (join(log).unwrap(), Batch::new());
    transactor.gather(&mut batch, &ANY, Duration::ZERO).unwrap();
    transactor.begin().unwrap();
    for record in batch.iter() {
        let out = Outgoing { topic: "out", key: record.key(), value: record.value(), headers: &[] };
        transactor.produce(&out).unwrap();
    }
    let positions = batch.next_offsets();
    (transactor, positions)
}

fn told<T>(result: Result<T, Error>) -> (Class, Cause) {
    let error = result.err().expect("the fault is certain");
    (error.class, error.cause)
}

#[test]
fn an_append_whose_acknowledgement_is_lost_was_made() {
    let log = log(1);
    log.misbehave(Faults { lost_acknowledgement: 1.0, ..NONE });
    assert_eq!(told(wait(log.append(vec![record("in", "k", "v")])).remove(0)), (Class::Retriable, Cause::Unavailable));
    assert_eq!(log.committed("in").unwrap().len(), 1);
}

#[test]
fn an_append_that_is_refused_was_not_made() {
    for (faults, cause) in [
        (Faults { unavailable: 1.0, ..NONE }, Cause::Unavailable),
        (Faults { unknown_topic: 1.0, ..NONE }, Cause::UnknownTopic),
    ] {
        let log = log(1);
        log.misbehave(faults);
        assert_eq!(told(wait(log.append(vec![record("in", "k", "v")])).remove(0)), (Class::Retriable, cause));
        assert!(log.committed("in").unwrap().is_empty());
    }
}

#[test]
fn a_commit_that_may_be_made_again_was_not_made() {
    let log = log(1);
    fill(&log, 9);
    let (mut transactor, positions) = open(&log);
    log.misbehave(Faults { unavailable: 1.0, ..NONE });
    assert_eq!(told(transactor.commit(&positions)).0, Class::Retriable);
    assert!(log.committed("out").unwrap().is_empty());
    log.misbehave(NONE);
    transactor.commit(&positions).unwrap();
    assert_eq!(log.committed("out").unwrap().len(), 9);
    assert_eq!(log.committed_offsets("group"), positions);
}

#[test]
fn a_commit_that_must_be_aborted_was_not_made_and_can_only_be_aborted() {
    let log = log(1);
    fill(&log, 9);
    let (mut transactor, positions) = open(&log);
    log.misbehave(Faults { abortable: 1.0, ..NONE });
    assert_eq!(told(transactor.commit(&positions)).0, Class::Abortable);
    log.misbehave(NONE);
    assert_eq!(told(transactor.commit(&positions)).0, Class::Abortable);
    transactor.abort().unwrap();
    assert!(log.committed("out").unwrap().is_empty() && log.committed_offsets("group").is_empty());
}

#[test]
fn a_commit_in_doubt_was_made_as_a_whole_or_not_at_all() {
    let mut made = BTreeSet::new();
    for seed in 0..20 {
        let log = log(seed);
        fill(&log, 9);
        let (mut transactor, positions) = open(&log);
        log.misbehave(Faults { in_doubt: 1.0, ..NONE });
        assert_eq!(told(transactor.commit(&positions)), (Class::Fatal, Cause::Unavailable));
        log.misbehave(NONE);
        assert_eq!(told(transactor.abort()).0, Class::Fatal, "it is of no more use");
        let (outputs, offsets) = (log.committed("out").unwrap().len(), log.committed_offsets("group").len());
        assert!((outputs, offsets) == (9, 3) || (outputs, offsets) == (0, 0), "{outputs} outputs, {offsets} offsets");
        made.insert(outputs > 0);
    }
    assert_eq!(made.len(), 2, "both happen");
}

#[test]
fn a_fenced_transactor_is_of_no_more_use_and_its_successor_is() {
    let log = log(1);
    fill(&log, 9);
    let (mut transactor, positions) = open(&log);
    log.misbehave(Faults { fenced: 1.0, ..NONE });
    assert_eq!(told(transactor.commit(&positions)), (Class::Fatal, Cause::Fenced));
    log.misbehave(NONE);
    assert_eq!(told(transactor.begin()), (Class::Fatal, Cause::Fenced));
    drop(transactor);
    let (mut successor, positions) = open(&log);
    successor.commit(&positions).unwrap();
    assert_eq!(log.committed("out").unwrap().len(), 9);
}

#[test]
fn a_rebalance_takes_the_commit_and_the_next_gather_begins_at_the_committed_offsets() {
    let log = log(1);
    fill(&log, 9);
    let (mut transactor, positions) = open(&log);
    log.misbehave(Faults { rebalance: 1.0, ..NONE });
    assert_eq!(told(transactor.commit(&positions)), (Class::Abortable, Cause::Fenced));
    transactor.abort().unwrap();
    let mut batch = Batch::new();
    for _ in 0..3 {
        transactor.gather(&mut batch, &ANY, Duration::ZERO).unwrap();
        assert_eq!(batch.len(), 9, "each rebalance brings back what was not committed");
    }
}

#[test]
fn what_is_left_of_a_batch_goes_with_its_partitions_even_where_they_come_back_at_once() {
    let log = log(1);
    fill(&log, 9);
    let mut transactor = join(&log).unwrap();
    let mut batch = Batch::new();
    transactor.gather(&mut batch, &ANY, Duration::ZERO).unwrap();
    log.misbehave(Faults { rebalance: 1.0, ..NONE });
    for _ in 0..3 {
        transactor.gather_more(&mut batch, &ANY, Duration::ZERO).unwrap();
        assert_eq!(batch.len(), 9, "each record is there once");
    }
}

#[test]
fn a_writer_in_doubt_has_to_acquire_again() {
    let log = log(1);
    let mut writer = log.writer("writer").unwrap();
    writer.acquire().unwrap();
    log.misbehave(Faults { in_doubt: 1.0, ..NONE });
    assert_eq!(told(writer.write(&[outgoing("out", "k", "v")])), (Class::Fatal, Cause::Unavailable));
    log.misbehave(NONE);
    assert_eq!(told(writer.write(&[outgoing("out", "k", "v")])).0, Class::Fatal);
    let before = log.committed("out").unwrap().len();
    writer.acquire().unwrap();
    writer.write(&[outgoing("out", "k", "v")]).unwrap();
    assert_eq!(log.committed("out").unwrap().len(), before + 1);
}

/// The loop of a processor, as small as can be: whatever is said, each input has one output in the end.
fn copy_all(log: &Simulated, count: usize) -> Vec<String> {
    let mut course = Vec::new();
    let (mut transactor, mut batch) = (None, Batch::new());
    let finished = |log: &Simulated| log.committed_offsets("group").values().sum::<i64>() == count as i64;
    for _ in 0..100_000 {
        if finished(log) {
            return course;
        }
        let current = match &mut transactor {
            Some(current) => current,
            None => match join(log) {
                Ok(joined) => transactor.insert(joined),
                Err(error) => {
                    course.push(error.to_string());
                    continue;
                }
            },
        };
        let Err(error) = copy_some(&mut **current, &mut batch) else { continue };
        course.push(error.to_string());
        let recovered = match error.class {
            Class::Fatal => false,
            Class::Retriable | Class::Abortable => recover(&mut **current, &batch),
        };
        if !recovered {
            transactor = None;
        }
    }
    panic!("not done after 100,000 turns: {:?}", log.committed_offsets("group"));
}

fn copy_some(transactor: &mut dyn Transactor, batch: &mut Batch) -> Result<(), Error> {
    let limits = jobico_broker::GatherLimits { records_max: 7, ..ANY };
    transactor.gather(batch, &limits, Duration::ZERO)?;
    if batch.is_empty() {
        return Ok(());
    }
    transactor.begin()?;
    for record in batch.iter() {
        transactor.produce(&Outgoing { topic: "out", key: record.key(), value: record.value(), headers: &[] })?;
    }
    transactor.commit(&batch.next_offsets())
}

/// Whether the transactor is as before the batch.
fn recover(transactor: &mut dyn Transactor, batch: &Batch) -> bool {
    let mut again = |call: &mut dyn FnMut(&mut dyn Transactor) -> Result<(), Error>| loop {
        match call(&mut *transactor) {
            Err(error) if error.class == Class::Retriable => {}
            result => return result.is_ok(),
        }
    };
    again(&mut |transactor| transactor.abort()) && again(&mut |transactor| transactor.rewind(&batch.first_offsets()))
}

#[test]
fn a_loop_that_heeds_the_classes_is_exactly_once_whatever_goes_wrong() {
    for seed in 0..200 {
        let log = log(seed);
        fill(&log, 60);
        log.misbehave(Faults::all(0.03));
        copy_all(&log, 60);
        let output = log.committed("out").unwrap();
        let mut numbers: Vec<usize> = output
            .iter()
            .map(|record| std::str::from_utf8(record.value().unwrap()).unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..60).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_takes_the_same_course() {
    let course = |seed| {
        let log = log(seed);
        fill(&log, 60);
        log.misbehave(Faults::all(0.1));
        copy_all(&log, 60)
    };
    assert!(!course(7).is_empty());
    assert_eq!(course(7), course(7));
    assert_ne!(course(7), course(8));
}
