//! What exactly-once is measured against: results are written, then offsets are committed, and nothing is lost where either
//! fails. That a batch may be done twice is what it saves.

use jobico_broker::{Cause, Class, Positions};

use crate::fixture::{Fixture, Kind, numbers, outgoing, partition};
use crate::transact::{self, copy};

fn log() -> Fixture {
    Fixture::new(Kind::AtLeastOnce)
}

#[test]
fn results_are_written_and_offsets_committed() {
    let log = log();
    let (input, output) = (log.topic("in", 2), log.topic("out", 2));
    log.put_range(&input, 0..20);
    let mut transactor = log.transactor("group", "id", &[&input]);
    let positions = copy(&mut *transactor, 20, &output);
    // No transaction holds them back.
    log.expect_values(&output, numbers(0..20));
    assert_eq!(log.offsets("group", &input), [None, None]);
    transactor.commit(&positions).unwrap();
    let committed: Vec<_> = positions.values().map(|offset| Some(*offset)).collect();
    assert_eq!(log.offsets("group", &input), committed);
    assert_eq!(log.committed_values(&output), numbers(0..20));
}

#[test]
fn a_successor_reads_on_where_its_predecessor_committed() {
    transact::a_successor_reads_on_where_its_predecessor_committed(&log());
}

#[test]
fn what_is_given_up_is_done_again_and_written_twice() {
    let log = log();
    let (input, output) = (log.topic("in", 1), log.topic("out", 1));
    log.put_range(&input, 0..5);
    let mut transactor = log.transactor("group", "id", &[&input]);
    copy(&mut *transactor, 5, &output);
    transactor.abort().unwrap();
    transactor.rewind(&Positions::from([(partition(&input, 0), 0)])).unwrap();
    let positions = copy(&mut *transactor, 5, &output);
    transactor.commit(&positions).unwrap();
    log.expect_values(&output, numbers(0..5).into_iter().flat_map(|value| [value.clone(), value]));
}

#[test]
fn a_record_that_is_not_written_keeps_the_offsets_back() {
    let log = log();
    let (input, output, missing) = (log.topic("in", 1), log.topic("out", 1), log.name("missing"));
    log.put_range(&input, 0..5);
    let mut transactor = log.transactor("group", "id", &[&input]);
    let positions = copy(&mut *transactor, 5, &output);
    let bad = transactor.produce(&outgoing(&missing, "k", "v"));
    let error = bad.and_then(|()| transactor.commit(&positions)).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Abortable, Cause::UnknownTopic), "{error}");
    assert_eq!(log.offsets("group", &input), [None]);
    transactor.abort().unwrap();
    transactor.rewind(&Positions::from([(partition(&input, 0), 0)])).unwrap();
    let positions = copy(&mut *transactor, 5, &output);
    transactor.commit(&positions).unwrap();
    assert_eq!(log.offsets("group", &input), [Some(5)]);
}

#[test]
fn partitions_are_not_handed_over() {
    let log = log();
    let input = log.topic("in", 1);
    log.put_range(&input, 0..5);
    let mut transactor = log.transactor("group", "id", &[&input]);
    let positions = copy(&mut *transactor, 5, &log.topic("out", 1));
    let error = transactor.hand_over(&positions, &log.name("other")).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Fatal, Cause::Other), "{error}");
    assert!(error.to_string().contains("hand over"), "{error}");
    assert_eq!((log.offsets("group", &input), log.offsets("other", &input)), (vec![None], vec![None]));
}
