//! Appending.

use std::collections::BTreeSet;

use jobico_broker::{Append, Batch, Cause, Retention, Start, partition_of_key};

use crate::fixture::{Fixture, gather, record, until};

pub fn appended_records_stand_in_their_order_at_the_positions_that_were_answered(log: &Fixture) {
    let topic = log.topic("order", 3);
    let mut positions = log.put_range(&topic, 0..50);
    positions.extend(log.put_range(&topic, 50..60));
    for partition in 0..3 {
        let offsets: Vec<_> = positions.iter().filter(|at| at.partition == partition).map(|at| at.offset).collect();
        assert_eq!(
            offsets,
            (0..offsets.len() as i64).collect::<Vec<_>>(),
            "offsets of partition {partition} are dense"
        );
    }
    for seen in log.committed(&topic) {
        let number: usize = seen.value.unwrap().parse().unwrap();
        assert_eq!((positions[number].partition, positions[number].offset), (seen.partition, seen.offset));
    }
    assert_eq!(log.committed(&topic).len(), 60);
}

pub fn all_bytes_of_a_record_come_back(log: &Fixture) {
    let topic = log.topic("bytes", 1);
    let every_byte: Vec<u8> = (0..=255).collect();
    let headers: Vec<(String, Vec<u8>)> = vec![
        ("ce_id".to_owned(), b"1".to_vec()),
        ("empty".to_owned(), Vec::new()),
        ("ce_id".to_owned(), every_byte.clone()),
        ("größe".to_owned(), "ß".as_bytes().to_vec()),
    ];
    let records = [
        (Some(every_byte.clone()), Some(every_byte), headers.clone()),
        (Some(b"tombstone".to_vec()), None, Vec::new()),
        (Some(b"empty".to_vec()), Some(Vec::new()), Vec::new()),
        (Some(Vec::new()), Some(b"empty key".to_vec()), Vec::new()),
        (None, Some(b"no key".to_vec()), headers),
        (None, None, Vec::new()),
        (Some(b"long".to_vec()), Some(vec![b'x'; 900_000]), Vec::new()),
    ];
    let append = |(key, value, headers)| Append { topic: topic.clone(), key, value, headers };
    log.append(records.iter().cloned().map(append).collect());
    let mut batch = Batch::new();
    log.follow(&topic, Start::Beginning).read_to_end(&mut batch).unwrap();
    assert_eq!(batch.len(), records.len());
    for (read, (key, value, headers)) in batch.iter().zip(&records) {
        assert_eq!((read.key(), read.value()), (key.as_deref(), value.as_deref()));
        let written: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        assert_eq!(read.headers().collect::<Vec<_>>(), written);
        assert!(read.timestamp_ms() > 1_600_000_000_000, "{}", read.timestamp_ms());
    }
}

pub fn a_record_with_a_key_goes_to_the_partition_of_the_key(log: &Fixture) {
    let topic = log.topic("keys", 7);
    let positions = log.put_range(&topic, 0..100);
    for (number, position) in positions.iter().enumerate() {
        assert_eq!(position.partition, partition_of_key(number.to_string().as_bytes(), 7), "key {number}");
    }
}

pub fn records_without_a_key_reach_every_partition(log: &Fixture) {
    let topic = log.topic("spread", 3);
    let mut reached = BTreeSet::new();
    // Kafka keeps to one partition for a while, so one append of many would prove nothing.
    until("records in all three partitions", || {
        let record = Append { key: None, ..record(&topic, "", "v") };
        reached.extend(log.append(vec![record]).iter().map(|at| at.partition));
        (reached.len() == 3).then_some(())
    });
}

pub fn a_topic_that_does_not_exist_is_named_as_the_cause(log: &Fixture) {
    let (there, missing) = (log.topic("there", 1), log.name("missing"));
    let answers = log.wait(log.broker.append(vec![record(&missing, "k", "v"), record(&there, "k", "v")]));
    assert_eq!(answers[0].as_ref().unwrap_err().cause, Cause::UnknownTopic, "{answers:?}");
    assert!(answers[1].is_ok(), "{answers:?}");
    let error = log.broker.follow(&[missing], Start::Beginning).err().expect("there is nothing to follow");
    assert_eq!(error.cause, Cause::UnknownTopic, "{error}");
}

pub fn a_record_that_is_too_large_is_refused_and_its_neighbours_are_not(log: &Fixture) {
    let topic = log.topic("large", 1);
    let large = "x".repeat(2 << 20);
    let records = vec![record(&topic, "k", "before"), record(&topic, "k", &large), record(&topic, "k", "after")];
    let answers = log.wait(log.broker.append(records));
    assert_eq!(answers[1].as_ref().unwrap_err().cause, Cause::TooLarge, "{answers:?}");
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    log.expect_values(&topic, ["after", "before"]);
}

pub fn a_compacted_topic_takes_no_record_without_a_key(log: &Fixture) {
    let topic = log.name("compacted");
    log.ensure(&topic, 1, Retention::Compact);
    let keyless = Append { key: None, ..record(&topic, "", "v") };
    let answers = log.wait(log.broker.append(vec![keyless]));
    assert!(answers[0].is_err(), "{answers:?}");
    log.append(vec![record(&topic, "k", "v")]);
    log.expect_values(&topic, ["v"]);
}

pub fn appends_made_at_once_keep_each_callers_order(log: &Fixture) {
    const CALLERS: usize = 8;
    const APPENDS: usize = 25;
    let topic = log.topic("callers", 1);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (broker, topic) = (log.broker.clone(), topic.clone());
            log.spawn(async move {
                for number in 0..APPENDS {
                    let records =
                        [2 * number, 2 * number + 1].map(|n| record(&topic, &format!("c{caller}"), &n.to_string()));
                    for answer in broker.append(records.to_vec()).await {
                        answer.unwrap();
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        log.wait(caller).unwrap();
    }
    let seen = gather(&mut *log.join("reader", &[&topic]), CALLERS * APPENDS * 2);
    for caller in 0..CALLERS {
        let key = format!("c{caller}");
        let own = seen.iter().filter(|seen| seen.key.as_ref() == Some(&key));
        let numbers: Vec<usize> = own.map(|seen| seen.value.as_ref().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..2 * APPENDS).collect::<Vec<_>>(), "order of caller {caller}");
    }
}
