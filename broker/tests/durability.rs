//! What an embedded log keeps.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use jobico_broker::embedded::{Embedded, Settings};
use jobico_broker::{Batch, Broker, Cause, Class, Membership, Outgoing, Retention, Start, TopicSpec, Transactor};
use tempfile::TempDir;

use crate::fixture::{ANY, outgoing, record, set, until};

/// Names the log for a child of this test; without it, the test is its parent.
const CHILD: &str = "JOBICO_TEST_APPEND_TO";

fn open(path: &Path) -> Arc<Embedded> {
    Embedded::open(path, Settings::default()).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn topic(name: &str, partitions: u32, retention: Retention) -> TopicSpec {
    TopicSpec { name: name.to_owned(), partitions, retention, record_bytes_max: None }
}

fn values(log: &Embedded, topic: &str) -> Vec<String> {
    let mut batch = Batch::new();
    log.follow(&[topic.to_owned()], Start::Beginning).unwrap().read_to_end(&mut batch).unwrap();
    batch.iter().map(|record| String::from_utf8(record.value().unwrap().to_vec()).unwrap()).collect()
}

fn transactor(log: &Embedded) -> Box<dyn Transactor> {
    let membership = Membership { group: "group".to_owned(), client_id: "test".to_owned(), topics: 1 };
    let mut transactor = log.join_transactional(&membership, "id").unwrap();
    transactor.subscribe(&set(&["in"])).unwrap();
    transactor
}

#[test]
fn a_log_that_is_opened_again_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/log.sqlite");
    let log = open(&path);
    let topics = [topic("in", 1, Retention::Default), topic("out", 3, Retention::Compact)];
    wait(log.ensure_topics(&topics)).unwrap();
    wait(log.append((0..10).map(|number| record("in", "k", &number.to_string())).collect()));
    let (mut holder, mut batch) = (transactor(&log), Batch::new());
    let limits = jobico_broker::GatherLimits { records_max: 4, ..ANY };
    holder.gather(&mut batch, &limits, std::time::Duration::from_secs(1)).unwrap();
    holder.begin().unwrap();
    holder.produce(&outgoing("out", "k", "committed")).unwrap();
    holder.commit(&batch.next_offsets()).unwrap();
    holder.begin().unwrap();
    holder.produce(&outgoing("out", "k", "left open")).unwrap();
    drop((holder, log));

    let log = open(&path);
    assert_eq!(wait(log.topics()).unwrap(), set(&["in", "out"]));
    assert_eq!(values(&log, "out"), ["committed"]);
    let lag = wait(log.lag("group", &["in".to_owned()])).unwrap();
    assert_eq!((lag[0].committed, lag[0].end), (Some(4), 10));
    assert_eq!(wait(log.lag("group", &["out".to_owned()])).unwrap().len(), 3);
    transactor(&log).gather(&mut batch, &ANY, std::time::Duration::from_secs(1)).unwrap();
    assert_eq!(batch.get(0).unwrap().offset(), 4);
    let position = wait(log.append(vec![record("in", "k", "10")])).remove(0).unwrap();
    assert_eq!(position.offset, 10, "offsets go on");
    // Its retention is that of the first day, too: a compacted topic takes no record without a key.
    let keyless = jobico_broker::Append { key: None, ..record("out", "", "v") };
    assert!(wait(log.append(vec![keyless])).remove(0).is_err());
}

#[test]
fn an_epoch_outlives_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.sqlite");
    let log = open(&path);
    wait(log.ensure_topics(&[topic("in", 1, Retention::Default), topic("out", 1, Retention::Default)])).unwrap();
    drop((transactor(&log), log));
    let log = open(&path);
    let mut old = transactor(&log);
    let _new = transactor(&log);
    assert_eq!(old.begin().unwrap_err().cause, Cause::Fenced);
}

#[test]
fn a_second_log_on_a_folder_is_refused_and_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.sqlite");
    let log = open(&path);
    let error = Embedded::open(&path, Settings::default()).err().expect("one at a time");
    assert_eq!(error.class, Class::Fatal);
    assert!(error.message.contains(&folder.path().display().to_string()), "{error}");
    assert!(error.message.contains(&std::process::id().to_string()), "{error}");
    drop(log);
    open(&path);
}

#[test]
fn a_member_that_outlives_its_log_can_still_commit() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder.path().join("log.sqlite"));
    wait(log.ensure_topics(&[topic("in", 1, Retention::Default), topic("out", 1, Retention::Default)])).unwrap();
    let (mut holder, other) = (transactor(&log), log.follow(&["out".to_owned()], Start::Beginning));
    drop(log);
    holder.begin().unwrap();
    holder.produce(&outgoing("out", "k", "late")).unwrap();
    holder.commit(&jobico_broker::Positions::new()).unwrap();
    let mut batch = Batch::new();
    other.unwrap().read_to_end(&mut batch).unwrap();
    assert_eq!(batch.len(), 1);
}

/// A process that writes without end, and prints what was acknowledged.
struct Writing {
    child: Child,
    folder: TempDir,
}

impl Writing {
    /// Runs this binary again with one test, which finds itself to be the child.
    fn start(test: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, folder.path().join("log.sqlite"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log.sqlite")
    }

    /// Waits until `count` values were acknowledged, kills it, and returns all that it had said by then.
    fn kill_after(&mut self, count: usize) -> Vec<String> {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut acknowledged = Vec::new();
        while acknowledged.len() < count {
            let line = lines.next().expect("it appends without end");
            acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
        }
        let error = Embedded::open(&self.path(), Settings::default()).err().expect("the child has it");
        assert!(error.message.contains(&format!("process {}", self.child.id())), "{error}");
        // SIGKILL, on Unix.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // What is cut short was not acknowledged to us.
        acknowledged
            .extend(lines.filter_map(|line| Some(line.strip_prefix("acknowledged ")?.strip_suffix('.')?.to_owned())));
        acknowledged.iter().map(|value| value.trim_end_matches('.').to_owned()).collect()
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Nothing to do where it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    if let Some(path) = std::env::var_os(CHILD) {
        return append_without_end(Path::new(&path));
    }
    let mut writer = Writing::start("durability::what_was_acknowledged_outlives_a_kill");
    let acknowledged = writer.kill_after(2_000);
    let log = open(&writer.path());
    let kept: std::collections::HashSet<String> = values(&log, "in").into_iter().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|value| !kept.contains(*value)).collect();
    assert!(lost.is_empty(), "{} of {} were acknowledged and are lost: {lost:?}", lost.len(), acknowledged.len());
    wait(log.check()).unwrap();
    // And it goes on: the kernel has lifted the lock, and the file takes records.
    wait(log.append(vec![record("in", "k", "after")])).remove(0).unwrap();
    let mut batch = Batch::new();
    let mut follower = log.follow(&["in".to_owned()], Start::Beginning).unwrap();
    until("the last record", || {
        follower.read_to_end(&mut batch).unwrap();
        batch.iter().any(|record| record.value() == Some(b"after")).then_some(())
    });
}

/// The child: several appenders at once, so that the kill meets a commit with many waiting for it.
fn append_without_end(path: &Path) {
    use std::io::Write as _;
    let log = open(path);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(log.ensure_topics(&[topic("in", 4, Retention::Default)])).unwrap();
    let appenders: Vec<_> = (0..8)
        .map(|appender| {
            let log = log.clone();
            runtime.spawn(async move {
                for number in 0_u64.. {
                    let value = format!("{appender}-{number}");
                    log.append(vec![record("in", &value, &value)]).await.remove(0).unwrap();
                    let line = format!("acknowledged {value}.\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for appender in appenders {
        runtime.block_on(appender).unwrap();
    }
}

#[test]
fn outputs_and_offsets_agree_after_a_kill() {
    if let Some(path) = std::env::var_os(CHILD) {
        return copy_without_end(Path::new(&path));
    }
    let mut writer = Writing::start("durability::outputs_and_offsets_agree_after_a_kill");
    let acknowledged = writer.kill_after(300).len();
    let log = open(&writer.path());
    let lag = wait(log.lag("group", &["in".to_owned()])).unwrap();
    let done: i64 = lag.iter().filter_map(|lag| lag.committed).sum();
    let mut outputs: Vec<usize> = values(&log, "out").iter().map(|value| value.parse().unwrap()).collect();
    outputs.sort_unstable();
    outputs.dedup();
    let copies = values(&log, "out").len();
    assert_eq!((copies as i64, outputs.len()), (done, copies), "each input that is done has one output");
    assert!(copies >= acknowledged, "{copies} outputs of {acknowledged} commits");
}

/// The child: input is appended while a member copies it, some records a transaction.
fn copy_without_end(path: &Path) {
    use std::io::Write as _;
    let log = open(path);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let topics = [topic("in", 4, Retention::Default), topic("out", 4, Retention::Default)];
    runtime.block_on(log.ensure_topics(&topics)).unwrap();
    let own = log.clone();
    runtime.spawn(async move {
        for number in 0_u64.. {
            own.append(vec![record("in", &number.to_string(), &number.to_string())]).await.remove(0).unwrap();
        }
    });
    let (mut holder, mut batch) = (transactor(&log), Batch::new());
    let limits = jobico_broker::GatherLimits { records_max: 37, ..ANY };
    loop {
        holder.gather(&mut batch, &limits, std::time::Duration::from_secs(1)).unwrap();
        holder.begin().unwrap();
        for record in batch.iter() {
            let out = Outgoing { topic: "out", key: record.key(), value: record.value(), headers: &[] };
            holder.produce(&out).unwrap();
        }
        holder.commit(&batch.next_offsets()).unwrap();
        std::io::stdout().lock().write_all(b"acknowledged a commit.\n").unwrap();
    }
}
