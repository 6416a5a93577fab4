//! The embedded log, read after its process has ended.

use std::path::Path;

use jobico_broker::embedded::{Embedded, Settings};
use jobico_broker::{Batch, Broker, Start};

use super::Record;

/// All committed records of a topic.
pub fn read(file: &Path, topic: &str) -> Vec<Record> {
    let log = Embedded::open(file, Settings::default()).expect("the log is whole, and nobody has it open");
    let mut follower = log.follow(&[topic.to_owned()], Start::Beginning).expect("the topic is there");
    let mut batch = Batch::new();
    follower.read_to_end(&mut batch).expect("the log can be read");
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    batch
        .iter()
        .map(|record| Record {
            partition: record.partition(),
            offset: record.offset(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: record.headers().map(|(name, value)| (name.to_owned(), text(value))).collect(),
        })
        .collect()
}
