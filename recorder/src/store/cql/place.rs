//! Which CQL partition of the tables by time a row belongs to. Pure, and fixed: rows are found where this says.
//!
//! A partition is a tenant's rows of one bucket of time and one shard. Buckets bound how a partition grows with time, shards
//! how it grows with a tenant's rate, and spread one tenant's writes over the nodes. Blocks of consecutive offsets stay
//! together, so that a batch of records becomes few writes.

use std::hash::Hasher;

use crate::row::Key;

/// Milliseconds in a bucket: 10 minutes. At 10,000 rows a second of 400 bytes a partition has 300 MB.
pub(super) const BUCKET_MS: i64 = 10 * 60 * 1000;
/// Partitions that the rows of one bucket are spread over.
pub(super) const SHARDS: u64 = 8;
/// Consecutive offsets of a source partition that share a shard: 64.
const BLOCK_BITS: u32 = 6;

/// A place among a tenant's partitions by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which [`BUCKET_MS`] since 1970.
    pub(super) bucket: i32,
    /// Which of [`SHARDS`].
    pub(super) shard: i16,
}

/// The bucket of a time. Times that no 32-bit bucket has (after the year 42000) share the last.
pub(super) fn bucket(at_ms: i64) -> i32 {
    i32::try_from(at_ms.div_euclid(BUCKET_MS)).unwrap_or(i32::MAX)
}

/// The first millisecond of a bucket.
pub(super) fn bucket_start_ms(bucket: i32) -> i64 {
    i64::from(bucket) * BUCKET_MS
}

/// The place of a row.
pub(super) fn place(key: &Key) -> Place {
    let mut hash = Fnv::default();
    hash.write(key.topic.as_bytes());
    hash.write(&key.partition.to_le_bytes());
    hash.write(&(key.offset >> BLOCK_BITS).to_le_bytes());
    // FNV's low bits mix least; the high ones are folded in.
    let mixed = hash.finish() ^ (hash.finish() >> 32);
    let shard = i16::try_from(mixed % SHARDS).expect("SHARDS fits 16 bits");
    Place { bucket: bucket(key.at_ms), shard }
}

/// FNV-1a, 64 bits: the same on every machine and in every version, unlike the standard library's.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at_ms: i64, offset: i64) -> Place {
        place(&Key { at_ms, topic: "t.q".into(), partition: 0, offset, index: 0 })
    }

    #[test]
    fn places_never_change() {
        assert_eq!(at(0, 0), Place { bucket: 0, shard: 3 });
        assert_eq!(at(1_795_517_919_413, 1_000), Place { bucket: 2_992_529, shard: 0 });
    }

    #[test]
    fn a_block_of_offsets_shares_a_place_and_blocks_are_spread_evenly() {
        assert_eq!(at(5, 64), at(5, 127));
        let mut counts = [0; SHARDS as usize];
        for block in 0..8_000 {
            counts[usize::try_from(at(5, block << 6).shard).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn buckets_follow_each_other() {
        assert_eq!((bucket(BUCKET_MS - 1), bucket(BUCKET_MS), bucket(i64::MAX)), (0, 1, i32::MAX));
        assert_eq!(bucket(bucket_start_ms(7)), 7);
    }
}
