use tempfile::TempDir;

use super::*;
use crate::local::{AtOnce, Core, Log, Request};
use crate::{
    Append, Batch, Cause, Class, Membership, Outgoing, Position, Positions, Retention, Start, TopicSpec, Transactor,
};

fn open(fsync: Fsync) -> (Store, Loaded, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.sqlite");
    let (store, loaded) = Store::open(&path, fsync, Lock::take(&path).unwrap()).unwrap();
    (store, loaded, folder)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn append(log: &Log) -> Result<Position, Error> {
    let record = Append { topic: "t".to_owned(), key: None, value: Some(vec![b'x'; 10_000]), headers: Vec::new() };
    wait(log.append(vec![record])).remove(0)
}

#[test]
fn records_reach_the_disk_when_it_was_asked() {
    for (fsync, expected) in [(Fsync::AtCheckpoints, 1), (Fsync::EachCommit, 2)] {
        let (store, _, _folder) = open(fsync);
        let synchronous: i32 = store.writing().pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(synchronous, expected, "{fsync:?}");
    }
}

#[test]
fn a_full_disk_loses_nothing_and_is_got_over() {
    let (store, loaded, _folder) = open(Fsync::AtCheckpoints);
    // SQLite's own limit of pages stands for the disk's.
    store.writing().pragma_update(None, "max_page_count", 100).unwrap();
    let core = Core::new(Box::new(store), loaded, Box::new(|| 0));
    let log = Log::new(core.clone(), Box::new(AtOnce(core.clone())));
    let topic =
        TopicSpec { name: "t".to_owned(), partitions: 1, retention: Retention::Default, record_bytes_max: None };
    wait(log.ensure_topics(&[topic])).unwrap();

    let mut taken = 0;
    let error = loop {
        match append(&log) {
            Ok(position) => assert_eq!(position.offset, taken),
            Err(error) => break error,
        }
        taken += 1;
    };
    assert_eq!((error.class, error.cause), (Class::Retriable, Cause::Unavailable), "{error}");
    let membership = Membership { group: "g".to_owned(), client_id: "c".to_owned(), topics: 1 };
    let mut transactor = log.join_transactional(&membership, "id").unwrap();
    let mut transact = || {
        transactor.begin()?;
        transactor.produce(&Outgoing { topic: "t", key: None, value: Some(&[b'y'; 10_000]), headers: &[] })?;
        let committed = transactor.commit(&Positions::new());
        transactor.abort()?;
        committed
    };
    let error = transact().unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Abortable, Cause::Unavailable), "{error}");
    let kept = || {
        let mut batch = Batch::new();
        log.follow(&["t".to_owned()], Start::Beginning).unwrap().read_to_end(&mut batch).unwrap();
        batch.iter().map(|record| record.offset()).collect::<Vec<_>>()
    };
    assert_eq!(kept(), (0..taken).collect::<Vec<_>>(), "what was acknowledged, and nothing else");

    let partition = core.all_topics()[0].partitions[0].clone();
    let reply = Box::new(|result: Result<(), Error>| result.unwrap());
    core.apply(vec![Request::Delete { partition, offsets: (0..10).collect(), reply }]);
    assert_eq!(append(&log).unwrap().offset, taken, "no offset was lost to the failures");
    transact().unwrap();
    assert_eq!(kept(), (10..taken + 2).collect::<Vec<_>>());
}
