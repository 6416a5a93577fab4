//! Those whose time has passed without their knowing.

use jobico_broker::{Cause, Class, Consumer, Positions};

use crate::fixture::{ANY, Fixture, TURN, gather, next_offsets, outgoing, settle, turn, until};

pub fn a_holder_whose_transactional_id_was_taken_commits_nothing_and_is_told(log: &Fixture) {
    let (input, output) = (log.topic("in", 1), log.topic("out", 1));
    log.put_range(&input, 0..5);
    let mut old = log.transactor("group", "id", &[&input]);
    let seen = gather(&mut *old, 5);
    old.begin().unwrap();
    old.produce(&outgoing(&output, "k", "of the old")).unwrap();
    let mut new = log.transactor("group", "id", &[&input]);
    // Kafka's client learns of it only from the broker: producing may go well, committing never does.
    let produced = old.produce(&outgoing(&output, "k", "of the old, later"));
    for error in produced.err().into_iter().chain(old.commit(&next_offsets(&seen)).err()) {
        assert_eq!((error.class, error.cause), (Class::Fatal, Cause::Fenced), "{error}");
    }
    assert!(old.commit(&next_offsets(&seen)).is_err());
    assert_eq!(log.offsets("group", &input), [None]);
    drop(old);
    let seen = gather(&mut *new, 5);
    new.begin().unwrap();
    new.produce(&outgoing(&output, "k", "of the new")).unwrap();
    new.commit(&next_offsets(&seen)).unwrap();
    log.expect_values(&output, ["of the new"]);
}

pub fn a_takeover_ends_the_open_transaction_at_once(log: &Fixture) {
    let (input, output) = (log.topic("in", 1), log.topic("out", 1));
    let mut old = log.transactor("group", "id", &[&input]);
    old.begin().unwrap();
    for _ in 0..100 {
        old.produce(&outgoing(&output, "k", "left open")).unwrap();
    }
    // It is with the broker for certain once a turn of the client's own threads has passed.
    drop(turn(&mut *old, &ANY, TURN));
    let mut new = log.transactor("group", "id", &[&input]);
    log.append(vec![crate::fixture::record(&output, "k", "behind it")]);
    // Were it open still, this would be held back until it expires.
    let begun = std::time::Instant::now();
    until("what stands behind the transaction", || (log.committed_values(&output) == ["behind it"]).then_some(()));
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    new.begin().unwrap();
    new.abort().unwrap();
}

/// Two members; records of a partition that the first read and that the second has now.
fn moved<C: Consumer + ?Sized>(
    log: &Fixture,
    topic: &str,
    first: &mut C,
    second: impl FnOnce() -> Box<C>,
) -> (Positions, Box<C>) {
    log.put_range(topic, 0..50);
    let seen = gather(first, 50);
    let mut second = second();
    let mut read_again = Vec::new();
    settle(&mut [first, &mut *second], &mut read_again, |has| has[0].len() == 1 && has[1].len() == 1);
    let has = second.assignment();
    let positions: Positions =
        next_offsets(&seen).into_iter().filter(|(partition, _)| has.contains(partition)).collect();
    assert_eq!(positions.len(), 1, "the second has a partition that the first read");
    (positions, second)
}

pub fn a_member_whose_partition_moved_commits_nothing_for_it(log: &Fixture) {
    let topic = log.topic("moves", 2);
    let mut first = log.join("group", &[&topic]);
    let (positions, mut second) = moved(log, &topic, &mut *first, || log.join("group", &[&topic]));
    let error = first.commit_offsets(&positions).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Abortable, Cause::Fenced), "{error}");
    assert!(log.offsets("group", &topic).iter().all(Option::is_none));
    second.commit_offsets(&positions).unwrap();
    assert_eq!(log.offsets("group", &topic).iter().flatten().count(), 1);
}

pub fn a_transactor_whose_partition_moved_commits_nothing_for_it(log: &Fixture) {
    let (topic, output) = (log.topic("moves", 2), log.topic("out", 1));
    let mut first = log.transactor("group", "first", &[&topic]);
    let (positions, mut second) = moved(log, &topic, &mut *first, || log.transactor("group", "second", &[&topic]));
    for (transactor, name, may) in [(&mut first, "of the first", false), (&mut second, "of the second", true)] {
        transactor.begin().unwrap();
        transactor.produce(&outgoing(&output, "k", name)).unwrap();
        match transactor.commit(&positions) {
            Ok(()) => assert!(may, "{name} committed"),
            Err(error) => {
                assert_eq!((error.class, error.cause, may), (Class::Abortable, Cause::Fenced, false), "{error}");
                transactor.abort().unwrap();
            }
        }
    }
    log.expect_values(&output, ["of the second"]);
}
