//! An event as it arrives: from its queue, or from a tier in which it waited to be run again.
//!
//! A record of a tier is the event's own record, its value, key and headers untouched, with headers beside them that say
//! where it first stood and how often it was run.

use std::collections::HashMap;
use std::sync::Arc;

use jobico_broker::{Batch, Record};
use jobico_event::retry::Tier;
use jobico_event::snapshot::{QueueView, Snapshot, TenantView};
use jobico_event::{header, name};

/// What a topic of the pool is to its processors.
#[derive(Debug, Clone, Copy)]
pub enum Lane<'s> {
    /// A queue, with jobs in force.
    Queue(&'s QueueView),
    /// A queue of which no job is in force (any more).
    Idle,
    /// A tier.
    Tier(Tier),
}

/// The lanes of a batch's topics, by [`Record::topic_index`].
#[derive(Debug)]
pub struct Lanes<'s> {
    lanes: Vec<Lane<'s>>,
    snapshot: &'s Snapshot,
}

/// Where an event first stood. It names the event: whatever is written because of it carries these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The topic of its queue.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record, and what it is an arrival of.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The record.
    pub record: Record<'a>,
    /// Where its event first stood.
    pub origin: Origin<'a>,
    /// How often the event's function was run so far.
    pub attempts: u32,
    /// Whether it comes from a tier: there it cannot wait in place, where others wait behind it.
    pub in_tier: bool,
}

/// A record of a tier that does not say where it comes from. Nothing but a processor writes to tiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a record of a retry tier lacks its headers '{}…', or they name no queue: something else than a processor wrote it",
    header::JOBICO
)]
pub struct Foreign;

impl<'s> Lanes<'s> {
    /// The lanes of `batch`.
    #[must_use]
    pub fn of(batch: &Batch, snapshot: &'s Snapshot, pool: &str) -> Self {
        let lane = |topic: &Arc<str>| match snapshot.queue(topic) {
            Some(queue) => Lane::Queue(queue),
            None => name::tier_of(pool, topic).map_or(Lane::Idle, Lane::Tier),
        };
        Self { lanes: batch.topics().iter().map(lane).collect(), snapshot }
    }

    /// The lane that a record came in.
    #[must_use]
    pub fn lane(&self, record: &Record<'_>) -> Lane<'s> {
        self.lanes[record.topic_index()]
    }

    /// A tenant, where it is known.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> Option<&'s TenantView> {
        self.snapshot.tenant(tenant)
    }

    /// The queue behind a topic: that of an event's origin.
    #[must_use]
    pub fn queue(&self, topic: &str) -> Option<&'s QueueView> {
        self.snapshot.queue(topic).map(Arc::as_ref)
    }
}

impl<'a> Origin<'a> {
    /// Of a record in its queue.
    #[must_use]
    pub fn here(record: &Record<'a>) -> Self {
        Self { topic: record.topic(), partition: record.partition(), offset: record.offset() }
    }

    /// Of a record in a tier, and how often its function was run so far.
    ///
    /// # Errors
    /// [`Foreign`] where the record's headers do not say it.
    pub fn of_tier(record: &Record<'a>) -> Result<(Self, u32), Foreign> {
        fn number<T: std::str::FromStr>(text: Option<&&str>) -> Result<T, Foreign> {
            text.and_then(|text| text.parse().ok()).ok_or(Foreign)
        }
        let ours: HashMap<&str, &str> = record
            .headers()
            .filter(|(name, _)| name.starts_with(header::JOBICO))
            .filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?)))
            .collect();
        let origin = Self {
            topic: ours.get(header::ORIGIN_TOPIC).copied().ok_or(Foreign)?,
            partition: number(ours.get(header::ORIGIN_PARTITION))?,
            offset: number(ours.get(header::ORIGIN_OFFSET))?,
        };
        Ok((origin, number(ours.get(header::ATTEMPTS))?))
    }
}

/// When a record of a tier is to be run, milliseconds since 1970.
#[must_use]
pub fn due_ms(record: &Record<'_>, tier: Tier) -> i64 {
    let delay_ms = i64::try_from(tier.delay().as_millis()).unwrap_or(i64::MAX);
    record.timestamp_ms().saturating_add(delay_ms)
}
