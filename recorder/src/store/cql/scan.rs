//! A tenant's rows by time, newest first, across buckets and their shards.

use std::ops::ControlFlow;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use jobico_event::TenantId;
use scylla::client::pager::TypedRowStream;
use scylla::deserialize::row::DeserializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;

use super::connect::Connection;
use super::place::{Place, bucket, bucket_start_ms};
use crate::row::Key;
use crate::store::collect::Collect;
use crate::store::{Page, PageRequest};

/// Buckets opened ahead of the one being read: a tenant with few results has few in each.
const BUCKETS_AHEAD: usize = 4;
/// What looking into one partition costs of a request's bound, in rows.
const PARTITION_ROWS: usize = 8;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A row as it comes from a table by time.
pub(super) trait TimedRow: for<'f, 'm> DeserializeRow<'f, 'm> + Send + 'static {
    /// Its place.
    fn key(&self) -> Key;
}

/// Which list, of whom, from where.
pub(super) struct Scan<'a> {
    pub(super) connection: &'a Connection,
    pub(super) statement: &'a PreparedStatement,
    pub(super) kind: &'static str,
    pub(super) tenant: &'a TenantId,
    pub(super) since_ms: i64,
    pub(super) page: &'a PageRequest,
}

impl Scan<'_> {
    /// Reads a page. `read` turns a row into what the page holds, with its size and whether it is wanted.
    ///
    /// # Errors
    /// A query failed.
    pub(super) async fn run<R: TimedRow, T>(
        &self,
        read: impl Fn(R, &Key) -> Result<(T, usize, bool), BoxError>,
    ) -> Result<Page<T>, BoxError> {
        let mut collect = Collect::new(self.page.limit);
        let buckets = self.buckets().await?;
        let opened = buckets.map_ok(|places| self.open::<R>(places)).try_buffered(BUCKETS_AHEAD);
        let mut opened = std::pin::pin!(opened);
        let mut passed: Option<(Key, usize)> = None;
        while let Some(mut merge) = opened.try_next().await? {
            // A bucket that was read whole is counted when there is another: the last page must not promise a next.
            if let Some((end, rows)) = passed
                && let ControlFlow::Break(()) = collect.charge(end, rows)
            {
                return Ok(collect.page());
            }
            while let Some((key, row)) = merge.next().await? {
                if key.at_ms < self.since_ms {
                    return Ok(collect.last_page());
                }
                let (item, bytes, wanted) = read(row, &key)?;
                if collect.push(key, item, bytes, wanted).is_break() {
                    return Ok(collect.page());
                }
            }
            passed = Some((end_of(merge.bucket), merge.opened * PARTITION_ROWS));
        }
        Ok(collect.last_page())
    }

    /// The tenant's buckets with their partitions, newest first, from where the page begins.
    async fn buckets(&self) -> Result<impl Stream<Item = Result<Vec<Place>, BoxError>> + use<>, BoxError> {
        let from = self.page.after.as_ref().map_or(i32::MAX, |after| bucket(after.at_ms));
        let values = (self.tenant.as_str(), self.kind, from, bucket(self.since_ms));
        let pager = self.connection.session.execute_iter(self.connection.buckets.clone(), values).await?;
        let rows = pager.rows_stream::<(i32, i16)>()?.map(|row| {
            let (bucket, shard) = row?;
            Ok::<_, BoxError>(Place { bucket, shard })
        });
        Ok(grouped(rows))
    }

    /// Begins to read the partitions of one bucket.
    async fn open<R: TimedRow>(&self, places: Vec<Place>) -> Result<Merge<R>, BoxError> {
        let bucket = places.first().map_or(0, |place| place.bucket);
        let before = before(self.page.after.as_ref(), bucket);
        let session = &self.connection.session;
        let open = |place: Place| {
            let values = (
                self.tenant.as_str(),
                place.bucket,
                place.shard,
                CqlTimestamp(before.at_ms),
                before.topic.as_str(),
                before.partition,
                before.offset,
                before.index,
            );
            async move {
                let pager = session.execute_iter(self.statement.clone(), values).await?;
                Shard::<R>::new(pager.rows_stream::<R>()?).await
            }
        };
        let opened = places.len();
        let shards = futures::future::try_join_all(places.into_iter().map(open)).await?;
        Ok(Merge { bucket, opened, shards: shards.into_iter().flatten().collect() })
    }
}

/// The place before which rows of a bucket are read: the cursor, or the end of the bucket where that comes first.
fn before(after: Option<&Key>, bucket: i32) -> Key {
    let end = end_of(bucket.saturating_add(1));
    match after {
        Some(after) if *after < end => after.clone(),
        _ => end,
    }
}

/// The place after all rows of a bucket and before those of older ones. No topic's name is empty.
fn end_of(bucket: i32) -> Key {
    // Whatever is later than the last bucket is in it.
    let at_ms = if bucket == i32::MAX { i64::MAX } else { bucket_start_ms(bucket) };
    Key { at_ms, topic: String::new(), partition: 0, offset: 0, index: 0 }
}

/// Puts partitions that follow each other and are of one bucket together.
fn grouped(places: impl Stream<Item = Result<Place, BoxError>>) -> impl Stream<Item = Result<Vec<Place>, BoxError>> {
    let places = places.map(Some).chain(futures::stream::iter([None]));
    places
        .scan(Vec::<Place>::new(), |open, place| {
            let done = match place {
                None => Some(Ok(std::mem::take(open))),
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(place)) if open.first().is_none_or(|first| first.bucket == place.bucket) => {
                    open.push(place);
                    None
                }
                Some(Ok(place)) => Some(Ok(std::mem::replace(open, vec![place]))),
            };
            futures::future::ready(Some(done))
        })
        .filter_map(|done| futures::future::ready(done.filter(|done| !matches!(done, Ok(places) if places.is_empty()))))
}

/// The rows of the shards of one bucket, merged by key.
struct Merge<R> {
    bucket: i32,
    opened: usize,
    shards: Vec<Shard<R>>,
}

/// The rows of one shard: the next one, and those after it.
struct Shard<R> {
    key: Key,
    head: R,
    rest: TypedRowStream<R>,
}

impl<R: TimedRow> Shard<R> {
    /// None where there is no row.
    async fn new(mut rest: TypedRowStream<R>) -> Result<Option<Self>, BoxError> {
        let head = rest.try_next().await?;
        Ok(head.map(|head| Self { key: head.key(), head, rest }))
    }
}

impl<R: TimedRow> Merge<R> {
    /// The newest row that is left.
    async fn next(&mut self) -> Result<Option<(Key, R)>, BoxError> {
        let newest = self.shards.iter().enumerate().max_by(|(_, one), (_, other)| one.key.cmp(&other.key));
        let Some((index, _)) = newest else { return Ok(None) };
        match self.shards[index].rest.try_next().await? {
            Some(next) => {
                let shard = &mut self.shards[index];
                let key = std::mem::replace(&mut shard.key, next.key());
                Ok(Some((key, std::mem::replace(&mut shard.head, next))))
            }
            None => {
                let Shard { key, head, .. } = self.shards.swap_remove(index);
                Ok(Some((key, head)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_read_from_the_cursor_or_from_its_end() {
        let cursor = Key { at_ms: bucket_start_ms(7) + 5, topic: "t".into(), partition: 1, offset: 2, index: 3 };
        assert_eq!(before(Some(&cursor), 7), cursor);
        assert_eq!(before(Some(&cursor), 6), end_of(7));
        assert_eq!(before(None, 7), end_of(8));
        assert_eq!(before(None, i32::MAX).at_ms, i64::MAX);
    }

    #[tokio::test]
    async fn partitions_of_one_bucket_are_put_together() {
        let place = |bucket, shard| Place { bucket, shard };
        let places = [place(9, 0), place(9, 3), place(7, 1), place(6, 2)];
        let grouped = grouped(futures::stream::iter(places).map(Ok));
        let grouped: Vec<Vec<Place>> = grouped.try_collect().await.unwrap();
        assert_eq!(grouped, [vec![place(9, 0), place(9, 3)], vec![place(7, 1)], vec![place(6, 2)]]);
    }
}
