//! What the seam costs: the same transactional copy, once over bare rust-rdkafka and once through [`jobico_broker`].
//!
//! ```sh
//! cargo run --release -p jobico-broker --example copy_loop -- localhost:9092 [events=600000] [batch=10000] [read=0] [write=0] \
//!     [partitions=6] [pairs=5] [value=200] [what=both|bare|seam|latency] [PROPERTY=VALUE …]
//! ```
//!
//! Both read the same topic with a new group each time, and commit records and offsets in transactions of `batch`. Records
//! are read with `read` headers and written with `write`. Runs alternate; the medians and their ratio are printed. `what=latency` commits transactions of one record instead, and
//! prints how long they take, and how long from `append` until a follower has the copy.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program prints, and ends with its first error"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobico_broker::kafka::{Kafka, Settings};
use jobico_broker::{Append, Batch, Broker, GatherLimits, Membership, Outgoing, Retention, Start, TopicSpec};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Plan {
    bootstrap: String,
    numbers: BTreeMap<&'static str, usize>,
    what: String,
    properties: BTreeMap<String, String>,
    run: u128,
}

impl Plan {
    fn parse() -> Result<Self, Failure> {
        let mut arguments = std::env::args().skip(1);
        let bootstrap = arguments.next().ok_or("usage: copy_loop HOST:PORT [events=N] …")?;
        let defaults = [
            ("events", 600_000),
            ("batch", 10_000),
            ("read", 0),
            ("write", 0),
            ("partitions", 6),
            ("pairs", 5),
            ("value", 200),
        ];
        let (mut numbers, mut what, mut properties) = (BTreeMap::from(defaults), "both".to_owned(), BTreeMap::new());
        for argument in arguments {
            let (name, value) = argument.split_once('=').ok_or("arguments are name=value")?;
            match numbers.iter_mut().find(|(known, _)| **known == name) {
                Some((_, number)) => *number = value.parse()?,
                None if name == "what" => value.clone_into(&mut what),
                None => drop(properties.insert(name.to_owned(), value.to_owned())),
            }
        }
        let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        Ok(Self { bootstrap, numbers, what, properties, run })
    }

    fn of(&self, name: &str) -> usize {
        self.numbers[name]
    }

    fn input(&self) -> String {
        format!("copy.in.{}", self.run)
    }

    fn output(&self) -> String {
        format!("copy.out.{}", self.run)
    }

    /// Headers like those of a result: values of 10 to 60 bytes.
    fn headers(&self, which: &str) -> Vec<(String, Vec<u8>)> {
        let name = |index| format!("jobico-header-{index}");
        (0..self.of(which)).map(|index| (name(index), vec![b'x'; 10 + 50 * (index % 14) / 14])).collect()
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let plan = Arc::new(Plan::parse()?);
    let mut settings = Settings::new(&plan.bootstrap);
    settings.properties.clone_from(&plan.properties);
    let kafka = Kafka::connect(settings)?;
    let partitions = u32::try_from(plan.of("partitions"))?;
    let spec = |name| TopicSpec { name, partitions, retention: Retention::Default, record_bytes_max: None };
    kafka.ensure_topics(&[spec(plan.input()), spec(plan.output())]).await?;
    if plan.what == "latency" {
        let plan = plan.clone();
        return tokio::task::spawn_blocking(move || latency(&plan, &kafka)).await?;
    }
    fill(&plan, &kafka).await?;
    let (mut bare, mut seam) = (Vec::new(), Vec::new());
    for pair in 0..plan.of("pairs") {
        for (name, rates) in [("bare", &mut bare), ("seam", &mut seam)] {
            if plan.what != "both" && plan.what != name {
                continue;
            }
            let (plan, kafka, group) = (plan.clone(), kafka.clone(), format!("copy.{}.{name}.{pair}", plan.run));
            let cpu = cpu_seconds();
            let copy = move || {
                if name == "bare" { copy_bare(&plan, &group) } else { copy_through_seam(&plan, &kafka, &group) }
            };
            let (rate, events) = tokio::task::spawn_blocking(copy).await??;
            let cpu = (cpu_seconds() - cpu) * 1e6 / events;
            println!("{name}: {rate:.0} events/s, {cpu:.2} µs of CPU per event, {} MB resident", resident_mb());
            rates.push(rate);
        }
    }
    if plan.what == "both" {
        let (bare, seam) = (median(bare), median(seam));
        println!(
            "read={} write={} batch={}: bare {bare:.0}/s, seam {seam:.0}/s, ratio {:.3}",
            plan.of("read"),
            plan.of("write"),
            plan.of("batch"),
            seam / bare
        );
    }
    Ok(())
}

async fn fill(plan: &Plan, kafka: &Arc<Kafka>) -> Result<(), Failure> {
    let value: Vec<u8> = (0..plan.of("value")).map(|index| b'a' + (index * 7 % 26) as u8).collect();
    let headers = plan.headers("read");
    for first in (0..plan.of("events")).step_by(10_000) {
        let records = (first..(first + 10_000).min(plan.of("events")))
            .map(|index| Append {
                topic: plan.input(),
                key: Some(index.to_string().into_bytes()),
                value: Some(value.clone()),
                headers: headers.clone(),
            })
            .collect();
        for answer in kafka.append(records).await {
            answer?;
        }
    }
    Ok(())
}

/// Events per second from the first record read to the last commit, and events.
fn copy_through_seam(plan: &Plan, kafka: &Kafka, group: &str) -> Result<(f64, f64), Failure> {
    let membership = Membership { group: group.to_owned(), client_id: group.to_owned(), topics: 1 };
    let mut transactor = kafka.join_transactional(&membership, group)?;
    transactor.subscribe(&BTreeSet::from([plan.input()]))?;
    let written = plan.headers("write");
    let headers: Vec<(&str, &[u8])> = written.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let (output, limits) = (plan.output(), GatherLimits { records_max: plan.of("batch"), bytes_max: 64 << 20 });
    let (mut batch, mut done, mut begun, mut read) = (Batch::new(), 0, None, 0);
    while done < plan.of("events") {
        transactor.gather(&mut batch, &limits, Duration::from_secs(1))?;
        if batch.is_empty() {
            continue;
        }
        begun.get_or_insert_with(Instant::now);
        transactor.begin()?;
        for record in batch.iter() {
            read += record.headers().map(|(name, value)| name.len() + value.len()).sum::<usize>();
            let outgoing = Outgoing { topic: &output, key: record.key(), value: record.value(), headers: &headers };
            transactor.produce(&outgoing)?;
        }
        transactor.commit(&batch.next_offsets())?;
        done += batch.len();
    }
    std::hint::black_box(read);
    let seconds = begun.ok_or("nothing was read")?.elapsed().as_secs_f64();
    Ok((done as f64 / seconds, done as f64))
}

/// The same over rust-rdkafka as it is, with the settings that made it fastest.
fn copy_bare(plan: &Plan, group: &str) -> Result<(f64, f64), Failure> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &plan.bootstrap)
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .create()?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &plan.bootstrap)
        .set("transactional.id", group)
        .set("compression.codec", "lz4")
        .set("linger.ms", "0")
        .set("message.timeout.ms", "60000")
        .set("transaction.timeout.ms", "60000")
        .create()?;
    producer.init_transactions(Duration::from_secs(30))?;
    consumer.subscribe(&[&plan.input()])?;
    let output = plan.output();
    let written = plan.headers("write");
    let (mut done, mut begun, mut read) = (0, None, 0);
    while done < plan.of("events") {
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        begun.get_or_insert_with(Instant::now);
        producer.begin_transaction()?;
        let mut offsets: BTreeMap<i32, i64> = BTreeMap::new();
        let (mut next, mut count) = (Some(message), 0);
        while let Some(message) = next {
            let message = message?;
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&output);
            record.key = message.key();
            record.payload = message.payload();
            for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
                read += header.key.len() + header.value.map_or(0, <[u8]>::len);
            }
            if !written.is_empty() {
                let headers = OwnedHeaders::new_with_capacity(written.len());
                record.headers =
                    Some(written.iter().fold(headers, |headers, (name, value)| {
                        headers.insert(Header { key: name, value: Some(value) })
                    }));
            }
            producer.send(record).map_err(|(error, _)| error)?;
            offsets.insert(message.partition(), message.offset() + 1);
            count += 1;
            next = if count < plan.of("batch") { consumer.poll(Duration::ZERO) } else { None };
        }
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&plan.input(), partition, Offset::Offset(offset))?;
        }
        let metadata = consumer.group_metadata().ok_or("no group metadata")?;
        producer.send_offsets_to_transaction(&list, &metadata, Duration::from_secs(30))?;
        producer.commit_transaction(Duration::from_secs(30))?;
        done += count;
    }
    std::hint::black_box(read);
    let seconds = begun.ok_or("nothing was read")?.elapsed().as_secs_f64();
    Ok((done as f64 / seconds, done as f64))
}

/// Transactions of one record: how long gather-to-commit takes, and append-to-readable.
fn latency(plan: &Plan, kafka: &Arc<Kafka>) -> Result<(), Failure> {
    let group = format!("copy.{}.latency", plan.run);
    let membership = Membership { group: group.clone(), client_id: group.clone(), topics: 1 };
    let mut transactor = kafka.join_transactional(&membership, &group)?;
    transactor.subscribe(&BTreeSet::from([plan.input()]))?;
    let (input, output) = (plan.input(), plan.output());
    let events = plan.of("events").min(2_000);
    let (tell, sent) = std::sync::mpsc::channel();
    let appending = kafka.clone();
    let runtime = tokio::runtime::Handle::current();
    let producer = std::thread::spawn(move || -> Result<(), Failure> {
        for index in 0..events {
            tell.send(Instant::now())?;
            let key = Some(index.to_string().into_bytes());
            let record = Append { topic: input.clone(), key, value: Some(vec![b'v'; 200]), headers: Vec::new() };
            runtime.block_on(appending.append(vec![record])).remove(0)?;
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    });
    let mut follower = kafka.follow(std::slice::from_ref(&output), Start::End)?;
    let reader = std::thread::spawn(move || -> Result<Vec<f64>, Failure> {
        let (mut batch, mut times) = (Batch::new(), Vec::new());
        while times.len() < events {
            follower.poll(&mut batch, Duration::from_secs(1))?;
            for _ in batch.iter() {
                times.push(sent.recv()?.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(times)
    });
    let (mut batch, mut commits, mut done) = (Batch::new(), Vec::new(), 0);
    let limits = GatherLimits { records_max: 10_000, bytes_max: 16 << 20 };
    while done < events {
        transactor.gather(&mut batch, &limits, Duration::from_secs(1))?;
        if batch.is_empty() {
            continue;
        }
        let begun = Instant::now();
        transactor.begin()?;
        for record in batch.iter() {
            transactor.produce(&Outgoing { topic: &output, key: record.key(), value: record.value(), headers: &[] })?;
        }
        transactor.commit(&batch.next_offsets())?;
        commits.push(begun.elapsed().as_secs_f64() * 1e3);
        done += batch.len();
    }
    producer.join().map_err(|_| "the producer panicked")??;
    let readable = reader.join().map_err(|_| "the reader panicked")??;
    for (name, times) in [("begin to committed", commits), ("append to readable copy", readable)] {
        let (p50, p99) = (percentile(times.clone(), 0.5), percentile(times.clone(), 0.99));
        println!(
            "{name}: p50 {p50:.1} ms, p99 {p99:.1} ms, max {:.1} ms, n {}",
            percentile(times.clone(), 1.0),
            times.len()
        );
    }
    Ok(())
}

fn percentile(mut values: Vec<f64>, at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * at) as usize]
}

fn median(values: Vec<f64>) -> f64 {
    percentile(values, 0.5)
}

/// CPU time of this process, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in ticks of 10 ms.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
