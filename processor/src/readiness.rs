//! Partitions that wait: for a module that is being compiled, for a job to come into force, for their time, or for their
//! tenant to be within its quota again.

use std::collections::BTreeMap;
use std::time::Duration;

use jobico_broker::{Batch, Consumer, Error, Positions, Record, TopicPartition};
use jobico_event::TenantId;

use crate::arrival::{Lane, Lanes, Origin, due_ms};
use crate::step::Stepper;

/// When a record can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Now.
    Now,
    /// Once it is this late, milliseconds since 1970.
    At(i64),
    /// Once something has changed: the catalog, or a module is settled.
    AfterChange,
    /// Once it is this late, milliseconds since 1970, or something has changed.
    AtOrAfterChange(i64),
}

/// How often that has changed which partitions wait for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// The catalog's revision.
    pub revision: u64,
    /// How many modules were settled.
    pub settled: u64,
}

/// For so long after its time an event of a tier waits for its function, and all behind it, which are other tenants' too,
/// milliseconds. Then it goes to the end of its tier, and they go on.
const TIER_PATIENCE_MS: i64 = 10_000;
/// For so long after something was held back until a change, changes are looked for more often, milliseconds: a module that
/// is on the disk is there within a few.
const EAGER_MS: i64 = 1_000;
/// How often, then.
const EAGER_STEP: Duration = Duration::from_millis(2);

/// The partitions held back, and until when.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Until when changes are looked for more often, milliseconds since 1970.
    eager_until_ms: i64,
    held: BTreeMap<TopicPartition, Until>,
    /// How often the head of a partition that waits in place was run, by its offset. A member that takes the partition
    /// over begins anew: what was not committed is known to nobody else.
    attempts: BTreeMap<TopicPartition, (i64, u32)>,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    Change(Changes),
    Time(i64),
    Either(i64, Changes),
}

/// An event that waits in place, and all behind it with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Its partition.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// How often it was run.
    pub attempts: u32,
    /// Until when, milliseconds since 1970.
    pub until_ms: i64,
}

impl Waiting {
    /// Takes what cannot be run yet out of the batch, and holds its partitions back. In a partition, all that stands
    /// behind a record waits with it.
    ///
    /// # Errors
    /// The log's; the batch is as it was then.
    pub fn hold_back(
        &mut self,
        batch: &mut Batch,
        member: &mut dyn Consumer,
        changes: Changes,
        now_ms: i64,
        readiness: impl FnMut(&Record<'_>) -> Readiness,
    ) -> Result<(), Error> {
        let late = late(batch, readiness);
        if late.is_empty() {
            return Ok(());
        }
        let heads: Positions = late.iter().map(|(partition, (offset, _))| (partition.clone(), *offset)).collect();
        let partitions: Vec<TopicPartition> = heads.keys().cloned().collect();
        // Noted first: what is paused when a later step fails must be resumed some time.
        for (partition, (_, readiness)) in late {
            let until = match readiness {
                Readiness::Now => continue,
                Readiness::At(ms) => Until::Time(ms),
                Readiness::AtOrAfterChange(ms) => Until::Either(ms, changes),
                Readiness::AfterChange => {
                    self.eager_until_ms = now_ms.saturating_add(EAGER_MS);
                    Until::Change(changes)
                }
            };
            self.held.insert(partition, until);
        }
        member.pause(&partitions)?;
        member.give_back(batch, &heads)
    }

    /// Lets events of a batch wait in place, once what comes before them is committed.
    ///
    /// # Errors
    /// The log's; the member must be made anew then, since it has read past them.
    pub fn wait_in_place(
        &mut self,
        waits: Vec<Wait>,
        batch: &mut Batch,
        member: &mut dyn Consumer,
    ) -> Result<(), Error> {
        if waits.is_empty() {
            return Ok(());
        }
        let heads: Positions = waits.iter().map(|wait| (wait.partition.clone(), wait.offset)).collect();
        let partitions: Vec<TopicPartition> = heads.keys().cloned().collect();
        member.pause(&partitions)?;
        member.give_back(batch, &heads)?;
        for wait in waits {
            self.held.insert(wait.partition.clone(), Until::Time(wait.until_ms));
            self.attempts.insert(wait.partition, (wait.offset, wait.attempts));
        }
        Ok(())
    }

    /// How long may be waited for events before it is looked whether something has changed; at most `usual`.
    #[must_use]
    pub fn patience(&self, usual: Duration, now_ms: i64) -> Duration {
        if now_ms < self.eager_until_ms && !self.held.is_empty() { usual.min(EAGER_STEP) } else { usual }
    }

    /// Whether a partition is held back.
    #[must_use]
    pub fn holds(&self, partition: &TopicPartition) -> bool {
        self.held.contains_key(partition)
    }

    /// Forgets what it knows of partitions that were just assigned: another may have gone on with them meanwhile.
    pub fn begin_anew(&mut self, assigned: &[TopicPartition]) {
        for at in assigned {
            self.held.remove(at);
            self.attempts.remove(at);
        }
    }

    /// Lets partitions go on that were sent back before what is held back: each is looked at again.
    ///
    /// # Errors
    /// The log's.
    pub fn look_again<'p>(
        &mut self,
        sent_back: impl Iterator<Item = &'p TopicPartition>,
        member: &mut dyn Consumer,
    ) -> Result<(), Error> {
        let held: Vec<TopicPartition> = sent_back.filter(|at| self.held.remove(*at).is_some()).cloned().collect();
        if held.is_empty() { Ok(()) } else { member.resume(&held) }
    }

    /// How often an event was run that waited in place.
    #[must_use]
    pub fn attempts(&self, record: &Record<'_>) -> u32 {
        // Nearly always: no event waits.
        if self.attempts.is_empty() {
            return 0;
        }
        let at = TopicPartition { topic: record.topic().clone(), partition: record.partition() };
        self.attempts.get(&at).filter(|(offset, _)| *offset == record.offset()).map_or(0, |(_, attempts)| *attempts)
    }

    /// Forgets the attempts of events that are done.
    pub fn forget_done(&mut self, committed: &Positions) {
        self.attempts.retain(|at, (offset, _)| committed.get(at).is_none_or(|next| next <= offset));
    }

    /// Lets partitions go on whose time has come, or for which something has changed: each is looked at again.
    ///
    /// # Errors
    /// The log's.
    pub fn let_go(&mut self, member: &mut dyn Consumer, changes: Changes, now_ms: i64) -> Result<(), Error> {
        let over = |until: &Until| match until {
            Until::Change(since) => *since != changes,
            Until::Time(ms) => *ms <= now_ms,
            Until::Either(ms, since) => *ms <= now_ms || *since != changes,
        };
        if !self.held.values().any(over) {
            return Ok(());
        }
        let owned = member.assignment();
        let over: Vec<TopicPartition> =
            self.held.iter().filter(|(_, until)| over(until)).map(|(partition, _)| partition.clone()).collect();
        let partitions: Vec<TopicPartition> = over.iter().filter(|at| owned.contains(at)).cloned().collect();
        member.resume(&partitions)?;
        for partition in over {
            self.held.remove(&partition);
        }
        self.attempts.retain(|partition, _| owned.contains(partition));
        Ok(())
    }
}

/// Whether the queues of a batch can be worked on, each asked once.
pub struct Queues(Vec<Option<Readiness>>);

impl Queues {
    /// Of a batch of so many topics.
    #[must_use]
    pub fn new(topics: usize) -> Self {
        Self(vec![None; topics])
    }

    /// When a record can be run; `quota` says until when a tenant has to wait for its own.
    pub fn readiness(
        &mut self,
        record: &Record<'_>,
        lanes: &Lanes<'_>,
        stepper: &mut Stepper,
        quota: impl FnOnce(&TenantId) -> Option<i64>,
        now_ms: i64,
    ) -> Readiness {
        let mut of = |queue| if stepper.instances.prepare(queue) { Readiness::Now } else { Readiness::AfterChange };
        let tier = match lanes.lane(record) {
            Lane::Queue(queue) => {
                return *self.0[record.topic_index()].get_or_insert_with(|| match of(queue) {
                    Readiness::Now => quota(&queue.tenant).map_or(Readiness::Now, Readiness::AtOrAfterChange),
                    other => other,
                });
            }
            Lane::Idle => return Readiness::AfterChange,
            Lane::Tier(tier) => tier,
        };
        let due_ms = due_ms(record, tier);
        if due_ms > now_ms {
            return Readiness::At(due_ms);
        }
        // Its job may be gone, or it says nothing of where it comes from: nothing to wait for.
        let queue = Origin::of_tier(record).ok().and_then(|(origin, _)| lanes.queue(origin.topic));
        match (queue.map_or(Readiness::Now, of), due_ms.saturating_add(TIER_PATIENCE_MS)) {
            (Readiness::Now, _) => Readiness::Now,
            (_, until_ms) if until_ms <= now_ms => Readiness::Now,
            (_, until_ms) => Readiness::AtOrAfterChange(until_ms),
        }
    }
}

/// The first record of each partition that cannot be run yet.
fn late(
    batch: &Batch,
    mut readiness: impl FnMut(&Record<'_>) -> Readiness,
) -> BTreeMap<TopicPartition, (i64, Readiness)> {
    let mut late = BTreeMap::new();
    for record in batch.iter() {
        let ready = readiness(&record);
        if ready == Readiness::Now {
            continue;
        }
        let at = TopicPartition { topic: record.topic().clone(), partition: record.partition() };
        late.entry(at).or_insert((record.offset(), ready));
    }
    late
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_looked_for_often_only_for_a_while_and_only_where_something_waits() {
        let usual = Duration::from_millis(50);
        let at = TopicPartition { topic: "t.q".into(), partition: 0 };
        let mut waiting = Waiting { eager_until_ms: 1_000, ..Waiting::default() };
        assert_eq!(waiting.patience(usual, 999), usual, "nothing waits");
        waiting.held.insert(at, Until::Change(Changes::default()));
        assert_eq!(waiting.patience(usual, 999), EAGER_STEP);
        assert_eq!(waiting.patience(Duration::ZERO, 999), Duration::ZERO);
        assert_eq!(waiting.patience(usual, 1_000), usual);
    }
}
