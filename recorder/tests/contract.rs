//! What every store does: one list of scenarios, for SQLite and for CQL.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jobico_event::function_log::Level;
use jobico_event::result::{Status, View};
use jobico_event::{JobId, TenantId};
use jobico_recorder::row::{Key, ResultRow, now_ms};
use jobico_recorder::store::sqlite::SqliteStore;
use jobico_recorder::store::{LogFilter, PageRequest, ResultFilter, Store};

use crate::rows::{log, result};
use crate::stage::{Keyspace, PATIENCE, cql_address};

macro_rules! contract {
    ($($scenario:ident),* $(,)?) => {
        mod of_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                let folder = tempfile::tempdir().unwrap();
                let store = super::SqliteStore::open(&folder.path().join("results.sqlite")).unwrap();
                super::$scenario(&store).await;
            })*
        }
        mod of_cql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                let keyspace = super::Keyspace::new();
                super::$scenario(&keyspace.store(&super::cql_address())).await;
            })*
        }
    };
}

contract!(
    a_result_reads_back_as_it_was_written,
    a_row_written_again_is_one_row,
    rows_are_listed_newest_first_however_they_were_written,
    cursors_walk_2500_rows_once_each_while_new_ones_come,
    rows_far_apart_in_time_are_found,
    results_are_filtered_by_job_status_and_time,
    a_filter_that_finds_little_is_bounded_and_goes_on,
    logs_are_filtered_by_job_level_and_time,
    the_results_of_an_event_stand_in_the_order_of_its_records,
    rows_expire,
    what_has_expired_already_is_written_without_harm,
    tenants_do_not_see_each_other,
);

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

fn page(limit: usize, after: Option<Key>) -> PageRequest {
    PageRequest { limit, after }
}

async fn all(store: &dyn Store, filter: &ResultFilter) -> Vec<View> {
    pages(store, filter, 1000).await
}

/// Walks all pages.
async fn pages(store: &dyn Store, filter: &ResultFilter, limit: usize) -> Vec<View> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = store.results(&tenant(), filter, &page(limit, after)).await.unwrap();
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}

fn offsets(views: &[View]) -> Vec<i64> {
    views.iter().map(|view| view.offset).collect()
}

async fn write(store: &dyn Store, rows: impl IntoIterator<Item = ResultRow>) {
    store.write_results(rows.into_iter().collect()).await.unwrap();
}

async fn a_result_reads_back_as_it_was_written(store: &dyn Store) {
    let mut row = result(&tenant(), 1_795_517_919_413, 7);
    row.expires_at_s += 100;
    (row.status, row.code, row.attempts) = (Status::Error, u64::MAX, 3);
    row.key.index = 2;
    row.data = serde_json::value::to_raw_value("zwölf \"Boxkämpfer\"\n").unwrap();
    write(store, [row.clone()]).await;
    let expected = serde_json::json!({
        "event": "e7", "job": "job", "function": "f.wasm@00", "status": "error", "code": u64::MAX,
        "data": "zwölf \"Boxkämpfer\"\n", "topic": "t.q", "partition": 0, "offset": 7,
        "at": "2026-11-24T10:58:39.413Z", "attempts": 3,
    });
    let listed = all(store, &ResultFilter::default()).await;
    assert_eq!(serde_json::to_value(&listed).unwrap(), serde_json::json!([expected]));
    let of_event = store.results_of_event(&tenant(), "e7", &page(10, None)).await.unwrap();
    assert_eq!(serde_json::to_value(&of_event.rows).unwrap(), serde_json::json!([expected]));
}

async fn a_row_written_again_is_one_row(store: &dyn Store) {
    let rows: Vec<ResultRow> = (0..100).map(|offset| result(&tenant(), now_ms() - offset, offset)).collect();
    for _ in 0..3 {
        write(store, rows.clone()).await;
    }
    assert_eq!(all(store, &ResultFilter::default()).await.len(), 100);
    assert_eq!(store.results_of_event(&tenant(), "e5", &page(10, None)).await.unwrap().rows.len(), 1);
    let line = log(&tenant(), now_ms(), 1);
    for _ in 0..3 {
        store.write_logs([line.clone()].into()).await.unwrap();
    }
    let lines = store.logs(&tenant(), &LogFilter::default(), &page(10, None)).await.unwrap();
    assert_eq!((lines.rows.len(), lines.rows[0].message.as_str()), (1, "line 1"));
}

async fn rows_are_listed_newest_first_however_they_were_written(store: &dyn Store) {
    // Of one millisecond, several topics and partitions; and of others.
    let at = now_ms() - 60_000;
    let mut rows = Vec::new();
    for (at_ms, topic, partition, offset, index) in [
        (at, "t.b", 0, 500, 0),
        (at, "t.a", 1, 2, 0),
        (at, "t.a", 0, 900, 1),
        (at, "t.a", 0, 900, 0),
        (at, "t.a", 0, 64, 0),
        (at + 5, "t.a", 0, 1, 0),
        (at - 5, "t.z", 9, 9, 0),
    ] {
        let mut row = result(&tenant(), at_ms, offset);
        row.key = Key { at_ms, topic: topic.into(), partition, offset, index };
        rows.push(row);
    }
    let mut keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
    keys.sort_by(|one, other| other.cmp(one));
    rows.rotate_left(3);
    write(store, rows).await;
    let expected: Vec<i64> = keys.iter().map(|key| key.offset).collect();
    for limit in [1, 2, 1000] {
        assert_eq!(offsets(&pages(store, &ResultFilter::default(), limit).await), expected, "in pages of {limit}");
    }
}

async fn cursors_walk_2500_rows_once_each_while_new_ones_come(store: &dyn Store) {
    const ROWS: i64 = 2_500;
    // Across several of the CQL store's buckets, many of one time.
    let newest = now_ms() - 1_000;
    let at = |offset: i64| newest - (ROWS - offset) / 10 * 10_000;
    write(store, (0..ROWS).map(|offset| result(&tenant(), at(offset), offset))).await;
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.results(&tenant(), &ResultFilter::default(), &page(100, after)).await.unwrap();
        assert!(page.rows.len() <= 100);
        seen.extend(offsets(&page.rows));
        pages += 1;
        write(store, [result(&tenant(), now_ms(), 100_000 + pages)]).await;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, (0..ROWS).rev().collect::<Vec<_>>());
    // A store that does not look beyond a full page may end with an empty one: `next` promises a place, not rows.
    assert!((25..=26).contains(&pages), "{pages} pages");
}

async fn rows_far_apart_in_time_are_found(store: &dyn Store) {
    const DAY_MS: i64 = 86_400_000;
    let now = now_ms();
    write(store, (0..60).map(|day| result(&tenant(), now - day * DAY_MS, day))).await;
    let expected: Vec<i64> = (0..60).collect();
    for limit in [7, 100] {
        assert_eq!(offsets(&pages(store, &ResultFilter::default(), limit).await), expected);
    }
    let since = ResultFilter { since_ms: Some(now - 10 * DAY_MS), ..ResultFilter::default() };
    assert_eq!(all(store, &since).await.len(), 11);
}

async fn results_are_filtered_by_job_status_and_time(store: &dyn Store) {
    let now = now_ms();
    let rows = (0..100).map(|offset| {
        let mut row = result(&tenant(), now - offset * 1000, offset);
        if offset % 2 == 1 {
            row.job = JobId::new("odd").unwrap();
        }
        if offset % 10 == 3 {
            row.status = Status::Error;
        }
        row
    });
    write(store, rows).await;
    let odd = ResultFilter { job: JobId::new("odd").ok(), ..ResultFilter::default() };
    assert_eq!(all(store, &odd).await.len(), 50);
    let errors = ResultFilter { status: Some(Status::Error), since_ms: Some(now - 33_000), ..odd };
    assert_eq!(offsets(&all(store, &errors).await), [3, 13, 23, 33]);
    let paged = pages(store, &errors, 3).await;
    assert_eq!(offsets(&paged), [3, 13, 23, 33]);
    let none = ResultFilter { job: JobId::new("even").ok(), ..ResultFilter::default() };
    assert!(all(store, &none).await.is_empty());
}

async fn a_filter_that_finds_little_is_bounded_and_goes_on(store: &dyn Store) {
    let now = now_ms();
    let rows = (0..12_000).map(|offset| {
        let mut row = result(&tenant(), now - offset, offset);
        if offset == 11_999 {
            row.status = Status::Error;
        }
        row
    });
    write(store, rows).await;
    let errors = ResultFilter { status: Some(Status::Error), ..ResultFilter::default() };
    let first = store.results(&tenant(), &errors, &page(10, None)).await.unwrap();
    assert!(first.rows.is_empty() && first.next.is_some(), "one request does not look at all rows");
    let second = store.results(&tenant(), &errors, &page(10, first.next)).await.unwrap();
    assert_eq!((offsets(&second.rows), second.next), (vec![11_999], None));
}

async fn logs_are_filtered_by_job_level_and_time(store: &dyn Store) {
    let now = now_ms();
    let rows = (0..40).map(|offset| {
        let mut row = log(&tenant(), now - offset * 1000, offset);
        if offset % 4 == 0 {
            row.level = Level::Error;
        }
        if offset % 8 == 0 {
            row.job = JobId::new("eighth").unwrap();
        }
        row
    });
    store.write_logs(rows.collect()).await.unwrap();
    let filter = LogFilter { level: Some(Level::Error), ..LogFilter::default() };
    let errors = store.logs(&tenant(), &filter, &page(100, None)).await.unwrap();
    assert_eq!((errors.rows.len(), errors.next), (10, None));
    let filter = LogFilter { job: JobId::new("eighth").ok(), since_ms: Some(now - 16_000), ..filter };
    let eighths = store.logs(&tenant(), &filter, &page(100, None)).await.unwrap();
    assert_eq!(eighths.rows.iter().map(|line| line.offset).collect::<Vec<_>>(), [0, 8, 16]);
    let first = store.logs(&tenant(), &filter, &page(2, None)).await.unwrap();
    let second = store.logs(&tenant(), &filter, &page(2, first.next)).await.unwrap();
    assert_eq!((second.rows[0].offset, second.next), (16, None));
}

async fn the_results_of_an_event_stand_in_the_order_of_its_records(store: &dyn Store) {
    let rows = (0..25).map(|offset| {
        let mut row = result(&tenant(), now_ms() - offset, offset / 2);
        row.key.index = i32::try_from(offset % 2).unwrap();
        row.event = "same".into();
        row
    });
    write(store, rows).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.results_of_event(&tenant(), "same", &page(10, after)).await.unwrap();
        seen.extend(offsets(&page.rows));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, (0..25).map(|offset| offset / 2).collect::<Vec<_>>());
    let unknown = store.results_of_event(&tenant(), "unknown", &page(10, None)).await.unwrap();
    assert!(unknown.rows.is_empty() && unknown.next.is_none());
}

async fn rows_expire(store: &dyn Store) {
    // First what lasts: a store that has still to be prepared must not eat up the others' few seconds.
    write(store, [result(&tenant(), now_ms(), 2)]).await;
    let now = now_ms();
    let mut brief = result(&tenant(), now, 1);
    brief.expires_at_s = now / 1000 + 5;
    let mut line = log(&tenant(), now, 1);
    line.expires_at_s = now / 1000 + 5;
    write(store, [brief]).await;
    store.write_logs([line].into()).await.unwrap();
    assert_eq!(all(store, &ResultFilter::default()).await.len(), 2);
    let until = Instant::now() + PATIENCE;
    loop {
        let listed = offsets(&all(store, &ResultFilter::default()).await);
        let of_event = store.results_of_event(&tenant(), "e1", &page(10, None)).await.unwrap().rows;
        let lines = store.logs(&tenant(), &LogFilter::default(), &page(10, None)).await.unwrap().rows;
        if listed == [2] && of_event.is_empty() && lines.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still there: {listed:?}, {} and {}", of_event.len(), lines.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn what_has_expired_already_is_written_without_harm(store: &dyn Store) {
    let mut past = result(&tenant(), 1_000, 1);
    past.expires_at_s = 2;
    write(store, [past, result(&tenant(), now_ms(), 2)]).await;
    let until = Instant::now() + PATIENCE;
    while offsets(&all(store, &ResultFilter::default()).await) != [2] {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn tenants_do_not_see_each_other(store: &dyn Store) {
    let others: BTreeSet<&str> = BTreeSet::from(["t2", "T", "u"]);
    for name in &others {
        let other = TenantId::new(name).unwrap();
        write(store, (0..5).map(|offset| result(&other, now_ms(), offset))).await;
        store.write_logs([log(&other, now_ms(), 1)].into()).await.unwrap();
    }
    assert!(all(store, &ResultFilter::default()).await.is_empty());
    assert!(store.results_of_event(&tenant(), "e1", &page(10, None)).await.unwrap().rows.is_empty());
    assert!(store.logs(&tenant(), &LogFilter::default(), &page(10, None)).await.unwrap().rows.is_empty());
    let theirs = store.results(&TenantId::new("u").unwrap(), &ResultFilter::default(), &page(10, None)).await.unwrap();
    assert!(theirs.rows.iter().all(|view| view.topic == "u.q") && theirs.rows.len() == 5);
}
