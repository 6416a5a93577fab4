//! Records on their way into the log, in one buffer.

use std::ops::Range;
use std::sync::Arc;

use super::index::{Partition, Topic};
use crate::{Cause, Class, Error, Position, Retention};

pub(crate) mod headers;

/// Memory that is kept for the next records: enough for the batches of a processor.
const RECYCLED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Records, each with its partition, in order. They get their offsets when they are written.
#[derive(Debug, Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    partition: Arc<Partition>,
    offset: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

/// A record with its place, as a storage keeps it.
pub(crate) struct Placed<'a> {
    pub(crate) partition: &'a Arc<Partition>,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// Encoded by [`headers::encode`].
    pub(crate) headers: &'a [u8],
}

impl Records {
    /// Adds a record, if the log takes such a one.
    pub(super) fn push<'a>(
        &mut self,
        operation: &'static str,
        topic: &Topic,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
    ) -> Result<(), Error> {
        let parts = [key, value].into_iter().flatten().map(<[u8]>::len);
        let bytes: usize = parts.chain(headers.clone().map(|(name, value)| name.len() + value.len())).sum();
        let bytes_max = topic.record_bytes_max;
        if bytes > bytes_max as usize {
            let message = format!("a record for {} has {bytes} bytes, at most {bytes_max} are taken", topic.name);
            return Err(Error::new(Class::Abortable, Cause::TooLarge, operation, message));
        }
        if key.is_none() && topic.retention == Retention::Compact {
            let message =
                format!("a record for {} has no key, and the topic keeps the newest record of each", topic.name);
            return Err(Error::new(Class::Abortable, Cause::Other, operation, message));
        }
        let partition = topic.place(key).clone();
        let key = key.map(|key| self.copy(key));
        let value = value.map(|value| self.copy(value));
        let start = self.bytes.len();
        headers::encode(headers, &mut self.bytes);
        let headers = start..self.bytes.len();
        self.slots.push(Slot { partition, offset: -1, key, value, headers });
        Ok(())
    }

    /// An empty one in the memory of this; none of it stays where it was much.
    pub(super) fn recycled(mut self) -> Self {
        if self.bytes.capacity() > RECYCLED_BYTES_MAX {
            return Self::default();
        }
        self.bytes.clear();
        self.slots.clear();
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// The records with the offsets they were given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Placed<'_>> {
        self.slots.iter().map(|slot| Placed {
            partition: &slot.partition,
            offset: slot.offset,
            key: slot.key.clone().map(|range| &self.bytes[range]),
            value: slot.value.clone().map(|range| &self.bytes[range]),
            headers: &self.bytes[slot.headers.clone()],
        })
    }

    /// Gives each record the offset that `next` says for its partition.
    pub(super) fn place(&mut self, mut next: impl FnMut(&Arc<Partition>) -> i64) {
        for slot in &mut self.slots {
            slot.offset = next(&slot.partition);
        }
    }

    /// Where the records stand.
    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.slots.iter().map(|slot| Position { partition: slot.partition.number, offset: slot.offset })
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}
