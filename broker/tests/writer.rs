//! The one writer of the control plane's topics.

use jobico_broker::{Cause, Class, RECORD_BYTES_CAP, Retention};

use crate::fixture::{Fixture, outgoing};

fn compacted(log: &Fixture) -> String {
    let topic = log.name("catalog");
    log.ensure(&topic, 1, Retention::Compact);
    topic
}

pub fn what_a_writer_wrote_is_read_as_a_whole(log: &Fixture) {
    let (topic, other) = (compacted(log), log.topic("other", 2));
    let mut writer = log.broker.writer(&log.name("writer")).unwrap();
    writer.acquire().unwrap();
    writer.write(&[outgoing(&topic, "a", "1"), outgoing(&other, "b", "2"), outgoing(&topic, "c", "3")]).unwrap();
    writer.write(&[outgoing(&topic, "d", "4")]).unwrap();
    log.expect_values(&topic, ["1", "3", "4"]);
    log.expect_values(&other, ["2"]);
}

pub fn a_writer_that_acquired_nothing_writes_nothing(log: &Fixture) {
    let topic = compacted(log);
    let mut writer = log.broker.writer(&log.name("writer")).unwrap();
    let error = writer.write(&[outgoing(&topic, "a", "1")]).unwrap_err();
    assert_eq!(error.cause, Cause::Fenced, "{error}");
    assert!(log.committed(&topic).is_empty());
}

pub fn a_writer_is_fenced_by_the_next_and_may_acquire_again(log: &Fixture) {
    let topic = compacted(log);
    let mut writers = [(); 2].map(|()| log.broker.writer(&log.name("writer")).unwrap());
    let [first, second] = &mut writers;
    first.acquire().unwrap();
    first.write(&[outgoing(&topic, "a", "1")]).unwrap();
    second.acquire().unwrap();
    for _ in 0..2 {
        let error = first.write(&[outgoing(&topic, "a", "lost")]).unwrap_err();
        assert_eq!((error.class, error.cause), (Class::Fatal, Cause::Fenced), "{error}");
    }
    second.write(&[outgoing(&topic, "a", "2")]).unwrap();
    first.acquire().unwrap();
    first.write(&[outgoing(&topic, "a", "3")]).unwrap();
    assert_eq!(second.write(&[outgoing(&topic, "a", "lost")]).unwrap_err().cause, Cause::Fenced);
    log.expect_values(&topic, ["1", "2", "3"]);
}

pub fn a_refused_write_leaves_nothing(log: &Fixture) {
    let (topic, large) = (compacted(log), "x".repeat(RECORD_BYTES_CAP as usize + 1));
    let mut writer = log.broker.writer(&log.name("writer")).unwrap();
    writer.acquire().unwrap();
    let error = writer.write(&[outgoing(&topic, "a", "half"), outgoing(&topic, "b", &large)]).unwrap_err();
    assert_eq!(error.cause, Cause::TooLarge, "{error}");
    assert!(log.committed(&topic).is_empty());
    writer.write(&[outgoing(&topic, "a", "whole")]).unwrap();
    log.expect_values(&topic, ["whole"]);
}
