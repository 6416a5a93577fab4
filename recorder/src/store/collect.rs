//! A page, filled row by row within bounds: rows that a filter passes over cost too. Pure.

use std::ops::ControlFlow;

use super::Page;
use crate::row::Key;

/// Rows that one request looks at, at most, whether or not they are wanted.
pub const SCAN_ROWS_MAX: usize = 10_000;
/// Bytes of one page, about: it ends with the row that goes over.
pub const PAGE_BYTES_MAX: usize = 16 << 20;

/// A page being filled.
#[derive(Debug)]
pub struct Collect<T> {
    rows: Vec<T>,
    limit: usize,
    looked_at: usize,
    bytes: usize,
    last: Option<Key>,
}

impl<T> Collect<T> {
    /// An empty page of at most `limit` rows.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { rows: Vec::with_capacity(limit.min(SCAN_ROWS_MAX)), limit, looked_at: 0, bytes: 0, last: None }
    }

    /// Takes the next row, in order. Break: the page is done, and this row is the next one's.
    pub fn push(&mut self, key: Key, row: T, bytes: usize, wanted: bool) -> ControlFlow<()> {
        if self.is_done() {
            return ControlFlow::Break(());
        }
        self.looked_at += 1;
        self.last = Some(key);
        if wanted {
            self.bytes += bytes;
            self.rows.push(row);
        }
        ControlFlow::Continue(())
    }

    /// Counts a place that was looked at as so many rows: `key` is where it ends. Break: the page is done, before it.
    pub fn charge(&mut self, key: Key, rows: usize) -> ControlFlow<()> {
        if self.is_done() {
            return ControlFlow::Break(());
        }
        self.looked_at += rows;
        self.last = Some(key);
        ControlFlow::Continue(())
    }

    fn is_done(&self) -> bool {
        self.rows.len() >= self.limit || self.looked_at >= SCAN_ROWS_MAX || self.bytes >= PAGE_BYTES_MAX
    }

    /// The page; there is more.
    #[must_use]
    pub fn page(self) -> Page<T> {
        Page { rows: self.rows, next: self.last }
    }

    /// The page, which is the last one.
    #[must_use]
    pub fn last_page(self) -> Page<T> {
        Page { rows: self.rows, next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(offset: i64) -> Key {
        Key { at_ms: 0, topic: "t".into(), partition: 0, offset, index: 0 }
    }

    fn collect(limit: usize, rows: i64, bytes: usize, wanted: fn(i64) -> bool) -> Page<i64> {
        let mut collect = Collect::new(limit);
        for offset in 0..rows {
            if collect.push(key(offset), offset, bytes, wanted(offset)).is_break() {
                return collect.page();
            }
        }
        collect.last_page()
    }

    #[test]
    fn a_full_page_with_more_after_it_says_where_to_go_on() {
        let page = collect(3, 4, 1, |_| true);
        assert_eq!((page.rows, page.next), (vec![0, 1, 2], Some(key(2))));
    }

    #[test]
    fn a_full_page_with_nothing_after_it_is_the_last() {
        let page = collect(3, 3, 1, |_| true);
        assert_eq!((page.rows.len(), page.next), (3, None));
    }

    #[test]
    fn rows_that_are_not_wanted_are_looked_at_within_a_bound() {
        let last = SCAN_ROWS_MAX as i64 - 1;
        let page = collect(3, last + 2, 1, |_| false);
        assert_eq!((page.rows.len(), page.next), (0, Some(key(last))));
    }

    #[test]
    fn a_page_of_large_rows_ends_early() {
        let page = collect(100, 100, PAGE_BYTES_MAX / 2, |_| true);
        assert_eq!((page.rows.len(), page.next), (2, Some(key(1))));
    }
}
