//! The bare transactional copy: what Kafka and its client allow, with nothing done to the events.
//!
//! It drains the producer by `poll` of a millisecond before it commits: rust-rdkafka's own `flush` waits in steps of
//! 100 ms, which makes transactions twenty times slower.

use std::time::{Duration, Instant};

use jobico_event::header;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::Failure;
use crate::kafka::{Cluster, PARTITIONS};
use crate::statistics::{Pace, Sample, pace};
use crate::system::Lab;
use crate::system::process::Usage;

/// Events in one transaction at most: half of the processor's.
const BATCH_EVENTS_MAX: usize = 10_000;
/// How long one call of a transaction may take.
const CALL_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long the first event is waited for.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// A loop in which nothing comes for so long has lost its Kafka.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What the copies carry beside key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headers {
    /// Nothing.
    None,
    /// As many as a result has, of the same names and sizes.
    OfResult,
}

/// A consumer and a transactional producer.
pub struct CopyLoop {
    consumer: BaseConsumer,
    producer: BaseProducer,
    input: String,
    output: String,
    headers: Headers,
}

/// Copies all events once, in a group of its own.
pub fn measure(lab: &Lab, headers: Headers) -> Result<Pace, Failure> {
    let group = lab.unused_name("bench.copy");
    let mut copy = CopyLoop::start(&lab.cluster, &group, lab.queue.name(), lab.copies.name(), headers)?;
    let total = lab.events();
    let (mut samples, begun, mut done, mut last) = (Vec::new(), Instant::now(), 0, Instant::now());
    while done < total {
        match copy.turn()? {
            0 if last.elapsed() > SILENCE_MAX => return Err(format!("the copy loop stopped at {done} events").into()),
            0 => continue,
            copied => done += copied,
        }
        last = Instant::now();
        let (cpu, kafka_cpu) = (Usage::of_this_process()?.cpu, lab.cluster.usage()?.cpu);
        samples.push(Sample { at: begun.elapsed(), done, cpu, kafka_cpu });
    }
    pace(&samples, total).ok_or_else(|| "too few events to measure the copy loop with".into())
}

impl CopyLoop {
    /// Joins `group`, whose name is the transactional id as well.
    pub fn start(cluster: &Cluster, group: &str, input: &str, output: &str, headers: Headers) -> Result<Self, Failure> {
        let consumer: BaseConsumer = cluster
            .reader(group)
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            // The default rests a second once enough is fetched ahead, which a fast reader outruns.
            .set("fetch.queue.backoff.ms", "5")
            .create()?;
        let producer: BaseProducer = cluster
            .client()
            .set("transactional.id", group)
            .set("compression.codec", "lz4")
            .set("linger.ms", "0")
            // Must not exceed the transaction's own.
            .set("message.timeout.ms", "60000")
            .set("transaction.timeout.ms", "60000")
            .create()?;
        producer.init_transactions(CALL_WAIT_MAX)?;
        consumer.subscribe(&[input])?;
        Ok(Self { consumer, producer, input: input.to_owned(), output: output.to_owned(), headers })
    }

    /// Copies what is there, in one transaction. 0: nothing came.
    pub fn turn(&mut self) -> Result<u64, Failure> {
        let Some(first) = self.consumer.poll(FIRST_WAIT) else { return Ok(0) };
        self.producer.begin_transaction()?;
        let mut next = [None; PARTITIONS as usize];
        let (mut message, mut count) = (Some(first), 0);
        while let Some(found) = message {
            let found = found?;
            self.copy(&found)?;
            next[found.partition().unsigned_abs() as usize] = Some(found.offset() + 1);
            count += 1;
            message = if count < BATCH_EVENTS_MAX { self.consumer.poll(Duration::ZERO) } else { None };
        }
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in next.iter().enumerate().filter_map(|(index, next)| Some((index, (*next)?))) {
            offsets.add_partition_offset(&self.input, i32::try_from(partition)?, Offset::Offset(offset))?;
        }
        let metadata = self.consumer.group_metadata().ok_or("the consumer has no group")?;
        self.producer.send_offsets_to_transaction(&offsets, &metadata, CALL_WAIT_MAX)?;
        self.producer.commit_transaction(CALL_WAIT_MAX)?;
        Ok(count as u64)
    }

    fn copy(&self, message: &BorrowedMessage<'_>) -> Result<(), Failure> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.output);
        record.key = message.key();
        record.payload = message.payload();
        if self.headers == Headers::OfResult {
            record.headers = Some(of_result());
        }
        while let Err((error, refused)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(Code::QueueFull) {
                return Err(error.into());
            }
            record = refused;
            self.producer.poll(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Headers like those of a result: the same names, values of the same size.
fn of_result() -> OwnedHeaders {
    const HEADERS: [(&str, &str); 14] = [
        (header::CE_SPECVERSION, "1.0"),
        (header::CE_ID, "my-tenant-1.queue-default-3-123456.0"),
        (header::CE_SOURCE, "/my-tenant-1/customer-proc-jobs"),
        (header::CE_TYPE, "customer-proc-jobs.result"),
        (header::STATUS, "ok"),
        (header::CODE, "0"),
        (header::JOB, "customer-proc-jobs"),
        (header::FUNCTION, "customer.wasm@0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        (header::EVENT, "my-tenant-1.queue-default-3-123456"),
        (header::ORIGIN_TOPIC, "my-tenant-1.queue-default"),
        (header::ORIGIN_PARTITION, "3"),
        (header::ORIGIN_OFFSET, "123456"),
        (header::ATTEMPTS, "1"),
        (header::INDEX, "0/1"),
    ];
    let mut headers = OwnedHeaders::new_with_capacity(HEADERS.len());
    for (key, value) in HEADERS {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    headers
}
