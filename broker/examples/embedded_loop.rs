//! What the embedded log does on this machine.
//!
//! ```sh
//! cargo run --release -p jobico-broker --example embedded_loop -- [events=500000] [batch=10000] [partitions=6] [value=200] \
//!     [workers=1] [callers=64] [fsync=0]
//! ```
//!
//! Appends by `callers` tasks, one record a call; the loop of a processor (gather, produce each record with three headers,
//! commit with the offsets) by `workers` members; transactions of one record; and memory and time at 10,000 tenants.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program prints, and ends with its first error"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jobico_broker::embedded::{Embedded, Fsync, Settings};
use jobico_broker::{Append, Batch, Broker, GatherLimits, Membership, Outgoing, Retention, Start, TopicSpec};

const HEADERS: [(&str, &[u8]); 3] =
    [("ce_id", b"01234567-89ab"), ("ce_type", b"customer.result"), ("jobico-status", b"ok")];

type Numbers = BTreeMap<&'static str, usize>;

#[tokio::main]
async fn main() {
    let mut numbers: Numbers = [
        ("events", 500_000),
        ("batch", 10_000),
        ("partitions", 6),
        ("value", 200),
        ("workers", 1),
        ("callers", 64),
        ("fsync", 0),
    ]
    .into();
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').expect("arguments are name=value");
        *numbers.get_mut(name).expect("a name of those above") = value.parse().unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let fsync = if numbers["fsync"] == 0 { Fsync::AtCheckpoints } else { Fsync::EachCommit };
    let settings = Settings { fsync, ..Settings::default() };
    let log = Embedded::open(&folder.path().join("log.sqlite"), settings).unwrap();
    let spec = |name: &str| TopicSpec {
        name: name.to_owned(),
        partitions: numbers["partitions"] as u32,
        retention: Retention::Default,
        record_bytes_max: None,
    };
    log.ensure_topics(&[spec("in"), spec("out"), spec("single")]).await.unwrap();
    single_appends(&log, &numbers).await;
    fill(&log, &numbers).await;
    let (shared, given) = (log.clone(), numbers.clone());
    tokio::task::spawn_blocking(move || copy(&shared, &given)).await.unwrap();
    let shared = log.clone();
    tokio::task::spawn_blocking(move || latency(&shared)).await.unwrap();
    many_tenants().await;
}

fn append(topic: &str, number: usize, bytes: usize) -> Append {
    Append {
        topic: topic.to_owned(),
        key: Some(number.to_string().into_bytes()),
        value: Some(vec![b'a' + (number % 26) as u8; bytes]),
        headers: HEADERS.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
    }
}

async fn single_appends(log: &Arc<Embedded>, numbers: &Numbers) {
    let (next, events, bytes) = (Arc::new(AtomicUsize::new(0)), numbers["events"] / 10, numbers["value"]);
    let begun = Instant::now();
    let callers: Vec<_> = (0..numbers["callers"])
        .map(|_| {
            let (log, next) = (log.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= events {
                        return;
                    }
                    log.append(vec![append("single", number, bytes)]).await.remove(0).unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    report(&format!("append, one record a call, {} callers", numbers["callers"]), events, begun);
}

async fn fill(log: &Arc<Embedded>, numbers: &Numbers) {
    let begun = Instant::now();
    for first in (0..numbers["events"]).step_by(1_000) {
        let records =
            (first..(first + 1_000).min(numbers["events"])).map(|number| append("in", number, numbers["value"]));
        for answer in log.append(records.collect()).await {
            answer.unwrap();
        }
    }
    report("append, 1,000 records a call", numbers["events"], begun);
}

fn copy(log: &Embedded, numbers: &Numbers) {
    let limits = GatherLimits { records_max: numbers["batch"], bytes_max: 64 << 20 };
    let (done, begun) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for worker in 0..numbers["workers"] {
            let done = &done;
            scope.spawn(move || {
                let membership = Membership { group: "copy".to_owned(), client_id: "measure".to_owned(), topics: 1 };
                let mut transactor = log.join_transactional(&membership, &format!("copy.{worker}")).unwrap();
                transactor.subscribe(&BTreeSet::from(["in".to_owned()])).unwrap();
                let mut batch = Batch::new();
                while done.load(Ordering::Relaxed) < numbers["events"] {
                    transactor.gather(&mut batch, &limits, Duration::from_millis(100)).unwrap();
                    transactor.begin().unwrap();
                    for record in batch.iter() {
                        let out =
                            Outgoing { topic: "out", key: record.key(), value: record.value(), headers: &HEADERS };
                        transactor.produce(&out).unwrap();
                    }
                    transactor.commit(&batch.next_offsets()).unwrap();
                    done.fetch_add(batch.len(), Ordering::Relaxed);
                }
            });
        }
    });
    report(
        &format!("gather, produce, commit; {} workers, batches of {}", numbers["workers"], numbers["batch"]),
        numbers["events"],
        begun,
    );
}

/// Transactions of one record, each waited for by a follower.
fn latency(log: &Embedded) {
    let membership = Membership { group: "latency".to_owned(), client_id: "measure".to_owned(), topics: 1 };
    let mut transactor = log.join_transactional(&membership, "latency").unwrap();
    let (mut follower, mut batch) = (log.follow(&["out".to_owned()], Start::End).unwrap(), Batch::new());
    let mut micros: Vec<u128> = (0..2_000)
        .map(|_| {
            let begun = Instant::now();
            transactor.begin().unwrap();
            transactor.produce(&Outgoing { topic: "out", key: None, value: Some(b"{}"), headers: &HEADERS }).unwrap();
            transactor.commit(&jobico_broker::Positions::new()).unwrap();
            follower.poll(&mut batch, Duration::from_secs(10)).unwrap();
            assert_eq!(batch.len(), 1);
            begun.elapsed().as_micros()
        })
        .collect();
    micros.sort_unstable();
    println!("a transaction of one record until it is read: median {} µs, p99 {} µs", micros[1_000], micros[1_980]);
}

/// 10,000 tenants with a queue, results and dead letters each: 9 partitions.
async fn many_tenants() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.sqlite");
    let log = Embedded::open(&path, Settings::default()).unwrap();
    let before = resident_mb();
    let specs: Vec<_> = (0..10_000)
        .flat_map(|tenant| {
            [("queue", 4), ("results", 4), ("dead", 1)].map(|(kind, partitions)| (tenant, kind, partitions))
        })
        .map(|(tenant, kind, partitions)| TopicSpec {
            name: format!("t{tenant}.{kind}"),
            partitions,
            retention: Retention::Default,
            record_bytes_max: None,
        })
        .collect();
    let begun = Instant::now();
    log.ensure_topics(&specs).await.unwrap();
    println!("30,000 topics made in {:?}", begun.elapsed());
    let membership = Membership { group: "many".to_owned(), client_id: "measure".to_owned(), topics: 1 };
    let mut member = log.join(&membership).unwrap();
    let queues = specs.iter().map(|spec| spec.name.clone()).filter(|name| name.ends_with("queue")).collect();
    let begun = Instant::now();
    member.subscribe(&queues).unwrap();
    let (mut batch, limits) = (Batch::new(), GatherLimits { records_max: 1_000, bytes_max: 1 << 20 });
    member.gather(&mut batch, &limits, Duration::ZERO).unwrap();
    println!("10,000 topics subscribed and assigned in {:?}", begun.elapsed());
    let begun = Instant::now();
    for tenant in 0..1_000 {
        log.append(vec![append(&format!("t{}.queue", tenant * 7), tenant, 200)]).await.remove(0).unwrap();
        member.gather(&mut batch, &limits, Duration::from_secs(1)).unwrap();
        assert_eq!(batch.len(), 1);
        member.commit_offsets(&batch.next_offsets()).unwrap();
    }
    println!("append, gather, commit with 10,000 topics: {:?} each", begun.elapsed() / 1_000);
    println!("{} MB resident for it", resident_mb().saturating_sub(before));
    drop((member, log));
    let begun = Instant::now();
    drop(Embedded::open(&path, Settings::default()).unwrap());
    println!("opened again in {:?}", begun.elapsed());
}

fn report(what: &str, events: usize, begun: Instant) {
    println!("{what}: {:.0} events/s", events as f64 / begun.elapsed().as_secs_f64());
}

fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4 / 1024
}
