//! Sweeps at given times, of a log whose clock is set.

use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;

use super::*;
use crate::embedded::lock::Lock;
use crate::embedded::store::Store;
use crate::embedded::{Fsync, Settings};
use crate::local::{AtOnce, Core, Log};
use crate::{Append, Batch, Start, TopicSpec};

const DAY: i64 = 24 * 60 * 60 * 1000;

struct Scene {
    core: Arc<Core>,
    log: Arc<Log>,
    readers: Arc<Readers>,
    sweeper: Sweeper,
    now: Arc<AtomicI64>,
    deletions: usize,
    folder: TempDir,
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Scene {
    fn new(retention: Retention) -> Self {
        let scene = Self::open(tempfile::tempdir().unwrap());
        wait(scene.log.ensure_topics(&[TopicSpec {
            name: "t".to_owned(),
            partitions: 1,
            retention,
            record_bytes_max: None,
        }]))
        .unwrap();
        scene
    }

    fn open(folder: TempDir) -> Self {
        let path = folder.path().join("log.sqlite");
        let (store, loaded) = Store::open(&path, Fsync::AtCheckpoints, Lock::take(&path).unwrap()).unwrap();
        let (readers, now) = (store.readers(), Arc::new(AtomicI64::new(0)));
        let clock = now.clone();
        let core = Core::new(Box::new(store), loaded, Box::new(move || clock.load(Ordering::Relaxed)));
        let log = Log::new(core.clone(), Box::new(AtOnce(core.clone())));
        Self { core, log, readers, sweeper: Sweeper::new(&Settings::default()), now, deletions: 0, folder }
    }

    fn append(&self, at_ms: i64, records: impl IntoIterator<Item = (&'static str, Option<String>)>) -> i64 {
        self.now.store(at_ms, Ordering::Relaxed);
        let append = |(key, value): (&str, Option<String>)| Append {
            topic: "t".to_owned(),
            key: Some(key.as_bytes().to_vec()),
            value: value.map(String::into_bytes),
            headers: Vec::new(),
        };
        let answers = wait(self.log.append(records.into_iter().map(append).collect()));
        answers.into_iter().map(|answer| answer.unwrap().offset).next_back().unwrap()
    }

    fn sweep(&mut self, now_ms: i64) {
        let topic = self.core.all_topics().remove(0);
        let (core, deletions) = (self.core.clone(), &mut self.deletions);
        let mut delete = |request, answer: mpsc::Receiver<_>| {
            *deletions += 1;
            core.apply(vec![request]);
            await_deleted(&answer)
        };
        let partition = &topic.partitions[0];
        self.sweeper.sweep(&self.readers, partition, topic.retention, now_ms, &mut delete).unwrap();
    }

    /// What is left: offsets and values.
    fn left(&self) -> Vec<(i64, Option<String>)> {
        let mut batch = Batch::new();
        self.log.follow(&["t".to_owned()], Start::Beginning).unwrap().read_to_end(&mut batch).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        batch.iter().map(|record| (record.offset(), record.value().map(text))).collect()
    }
}

fn value(number: usize) -> Option<String> {
    Some(number.to_string())
}

#[test]
fn records_are_deleted_once_they_are_older_than_their_topic_keeps_them() {
    for (retention, kept) in [(Retention::Default, 7 * DAY), (Retention::For(Duration::from_secs(1)), 1_000)] {
        let mut scene = Scene::new(retention);
        scene.append(0, [("k", value(0)), ("k", value(1))]);
        scene.append(500, [("k", value(2))]);
        scene.sweep(kept - 1);
        assert_eq!(scene.left().len(), 3);
        scene.sweep(kept);
        assert_eq!(scene.left(), [(2, value(2))]);
        scene.sweep(kept + 500);
        assert!(scene.left().is_empty());
    }
}

#[test]
fn a_topic_that_lost_all_its_records_goes_on_counting_also_when_it_is_opened_again() {
    let mut scene = Scene::new(Retention::Default);
    scene.append(0, (0..5).map(|number| ("k", value(number))));
    scene.sweep(8 * DAY);
    assert!(scene.left().is_empty());
    assert_eq!(scene.append(8 * DAY, [("k", value(5))]), 5);
    scene.sweep(16 * DAY);
    let Scene { core, log, readers, folder, .. } = scene;
    drop((core, log, readers));
    let scene = Scene::open(folder);
    assert_eq!(scene.append(16 * DAY, [("k", value(6))]), 6);
    assert_eq!(scene.left(), [(6, value(6))]);
}

#[test]
fn much_is_deleted_in_bites() {
    let mut scene = Scene::new(Retention::Default);
    let records = BITE_RECORDS as usize * 2 + 500;
    scene.append(0, (0..records).map(|number| ("k", value(number))));
    scene.append(DAY, [("k", value(records))]);
    scene.sweep(7 * DAY);
    assert_eq!(scene.left(), [(records as i64, value(records))]);
    assert_eq!(scene.deletions, 3);
}

#[test]
fn a_compacted_topic_keeps_the_newest_record_of_each_key() {
    let mut scene = Scene::new(Retention::Compact);
    scene.append(0, [("a", value(0)), ("b", value(1)), ("a", value(2)), ("c", value(3)), ("a", value(4))]);
    scene.sweep(30 * DAY);
    assert_eq!(scene.left(), [(1, value(1)), (3, value(3)), (4, value(4))]);
    // Nothing came: nothing is looked at.
    let deletions = scene.deletions;
    scene.sweep(60 * DAY);
    assert_eq!(scene.deletions, deletions);
    scene.append(60 * DAY, [("b", value(5))]);
    scene.sweep(60 * DAY);
    assert_eq!(scene.left(), [(3, value(3)), (4, value(4)), (5, value(5))]);
}

#[test]
fn a_tombstone_stays_a_while_and_what_it_buries_goes_first() {
    let mut scene = Scene::new(Retention::Compact);
    scene.append(0, [("a", value(0)), ("b", value(1)), ("a", None)]);
    scene.sweep(DAY - 1);
    assert_eq!(scene.left(), [(1, value(1)), (2, None)]);
    scene.sweep(DAY);
    assert_eq!(scene.left(), [(1, value(1))]);
    assert_eq!(scene.append(DAY, [("c", value(3))]), 3, "the offset of the tombstone is not used again");
}

#[test]
fn a_large_compaction_is_read_and_deleted_in_bites() {
    let mut scene = Scene::new(Retention::Compact);
    let records = BITE_RECORDS as usize * 3;
    scene.append(0, (0..records).map(|number| (if number % 2 == 0 { "even" } else { "odd" }, value(number))));
    scene.sweep(0);
    assert_eq!(scene.left(), [(records as i64 - 2, value(records - 2)), (records as i64 - 1, value(records - 1))]);
    assert_eq!(scene.deletions, 3);
}
