//! A member of a consumer group: gathers batches, and meets rebalances nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::breadth::Breadth;
use super::error::{retriable, unusable};
use super::rebalance::{Change, Rebalances};
use super::retire::retire;
use super::settings::Settings;
use super::{native, offsets};
use crate::{
    Batch, Cause, Class, Consumer, Error, GatherLimits, Membership, Positions, Standing, TopicPartition, crash_point,
};

mod intake;
mod judge;
mod ready;
mod subscriber;
mod subscription;

use intake::Intake;
use subscriber::{SUBSCRIBE, Subscriber};

/// While it waits for records, a member looks this often for rebalances and errors.
const CONTROL_STEP: Duration = Duration::from_millis(20);
/// Control events served in a row before records have their turn.
const CONTROL_EVENTS_MAX: usize = 64;
/// How long a member whose subscription changed waits for what its group makes of that. The group's next generation is most often
/// there by then, and a batch that was begun in the one before could not be committed any more.
const SETTLING_MAX: Duration = Duration::from_millis(100);
/// How long a seek may take in librdkafka, which answers it without the broker.
const SEEK_MAX: Duration = Duration::from_secs(5);
/// See [`Consumer::standing`].
const STANDING_MAX: Duration = Duration::from_secs(1);
/// The same of a member that subscribes to nothing: it is made to ask, and has to connect first.
const STRANGERS_STANDING_MAX: Duration = Duration::from_secs(10);

/// A member of a group.
pub(super) struct Member {
    intake: Intake,
    /// None only while it is dropped.
    consumer: Option<Arc<BaseConsumer<Rebalances>>>,
    breadth: Breadth,
    subscriber: Subscriber,
    /// Until then no records are given out, unless the group has a new generation before.
    settles_until: Option<Instant>,
    /// Partitions that are to go back but could not yet: librdkafka seeks only where it has begun to fetch. Nothing of them
    /// is returned before they did.
    rewinds: Positions,
}

impl Member {
    /// Makes the client; it joins with its first subscription.
    pub(super) fn join(settings: &Settings, membership: &Membership) -> Result<Self, Error> {
        const OPERATION: &str = "join the group";
        let breadth = Breadth::of(membership.topics);
        let consumer: BaseConsumer<Rebalances> = settings
            .member(&membership.client_id, &membership.group, breadth)
            .create_with_context(Rebalances::new(settings.servers()))
            .map_err(unusable(OPERATION))?;
        Ok(Self {
            intake: Intake::new(consumer.context().bells()),
            consumer: Some(Arc::new(consumer)),
            breadth,
            subscriber: Subscriber::new(settings.is_classic()),
            settles_until: None,
            rewinds: Positions::new(),
        })
    }

    /// The librdkafka client, to speak for this member.
    pub(super) fn consumer(&self) -> &BaseConsumer<Rebalances> {
        self.consumer.as_ref().expect("it is taken by drop alone")
    }

    /// Serves what is not a record: rebalances, errors, log lines.
    fn serve(&mut self, batch: &mut Batch, wait: Duration) -> Result<(), Error> {
        let mut wait = wait;
        for _ in 0..CONTROL_EVENTS_MAX {
            let failure = match self.consumer().poll(wait) {
                None => None,
                // Each partition has a queue of its own: a record beside it would pass what waits there.
                Some(Ok(message)) => {
                    let message = format!("{} [{}] has no queue of its own", message.topic(), message.partition());
                    return Err(Error::new(Class::Fatal, Cause::Other, "gather", message));
                }
                Some(Err(error)) => Some(error),
            };
            for change in self.consumer().context().take() {
                let place = change.crash_point();
                self.apply(change, batch);
                place.map_or(Ok(()), crash_point::reach)?;
            }
            if let Some(error) = failure
                && judge::client(error)? == judge::Passing::TopicUnknown
            {
                self.subscriber.want_again();
            }
            if native::events_waiting(self.consumer().client()) == 0 {
                break;
            }
            wait = Duration::ZERO;
        }
        self.consumer().context().lifeline().mend(self.consumer().client());
        Ok(())
    }

    fn apply(&mut self, change: Change, batch: &mut Batch) {
        match change {
            Change::Assigned(partitions) => {
                self.settles_until = None;
                self.subscriber.is_answered();
                partitions.into_iter().for_each(|assigned| self.intake.add(assigned));
            }
            Change::Revoked(partitions) => {
                for partition in &partitions {
                    self.rewinds.remove(partition);
                    self.intake.remove(partition);
                }
                batch.retain(|topic, partition| {
                    !partitions.iter().any(|lost| lost.partition == partition && *lost.topic == *topic)
                });
            }
        }
    }

    /// Whether all of `positions` are of partitions that this member has. The broker checks the generation alone: to it, a
    /// member of the newest one may commit for any partition, also for one that it just gave to another.
    pub(super) fn check_owner(&self, operation: &'static str, positions: &Positions) -> Result<(), Error> {
        let Some(moved) = positions.keys().find(|partition| !self.intake.has(partition)) else {
            return Ok(());
        };
        let message = format!("{} [{}] is not this member's (any more)", moved.topic, moved.partition);
        Err(Error::new(Class::Abortable, Cause::Fenced, operation, message))
    }

    /// Subscribes to what is to be subscribed to, as soon as that may be.
    fn change_subscription(&mut self) -> Result<(), Error> {
        let consumer = self.consumer.as_ref().expect("it is taken by drop alone");
        if self.subscriber.advance(consumer, Instant::now())? {
            self.settles_until = Some(Instant::now() + SETTLING_MAX);
        }
        Ok(())
    }

    /// Tries again to go back where it was not possible yet.
    fn retry_rewinds(&mut self) -> Result<(), Error> {
        if self.rewinds.is_empty() {
            return Ok(());
        }
        let positions = std::mem::take(&mut self.rewinds);
        self.seek(&positions)
    }

    fn seek(&mut self, positions: &Positions) -> Result<(), Error> {
        const OPERATION: &str = "rewind";
        // Until librdkafka says so, none went back.
        self.rewinds.extend(positions.iter().map(|(partition, offset)| (partition.clone(), *offset)));
        let list = self.consumer().seek_partitions(list(positions)?, SEEK_MAX).map_err(retriable(OPERATION))?;
        for element in list.elements() {
            let partition = TopicPartition { topic: element.topic().into(), partition: element.partition() };
            match element.error() {
                Ok(()) => {
                    self.rewinds.remove(&partition);
                    self.intake.rewound(&partition);
                }
                Err(error) => {
                    tracing::debug!(%error, topic = element.topic(), partition = element.partition(), "seek later");
                }
            }
        }
        Ok(())
    }
}

impl Consumer for Member {
    fn subscribe(&mut self, topics: &BTreeSet<String>) -> Result<(), Error> {
        if topics == self.subscriber.latest() {
            return Ok(());
        }
        if self.breadth.is_outgrown_by(topics.len()) {
            let message = format!("a member made for few topics would fetch too much of {} ahead", topics.len());
            return Err(Error::new(Class::Fatal, Cause::Other, SUBSCRIBE, message));
        }
        self.subscriber.want(topics);
        self.change_subscription()
    }

    fn gather_more(&mut self, batch: &mut Batch, limits: &GatherLimits, wait: Duration) -> Result<(), Error> {
        self.change_subscription()?;
        self.retry_rewinds()?;
        let deadline = Instant::now() + wait;
        self.serve(batch, Duration::ZERO)?;
        loop {
            self.settles_until = self.settles_until.filter(|until| Instant::now() < *until);
            if self.settles_until.is_none() {
                self.intake.fill(batch, limits);
            }
            if batch.is_empty()
                && let Some((code, text)) = self.intake.take_failure()
            {
                judge::partition(code, text)?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !batch.is_empty() || left.is_zero() || limits.records_max == 0 {
                return Ok(());
            }
            let step = left.min(CONTROL_STEP);
            if self.intake.is_empty() || self.settles_until.is_some() {
                self.serve(batch, step)?;
            } else {
                self.intake.wait(step);
                self.serve(batch, Duration::ZERO)?;
            }
        }
    }

    fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.intake.assignment()
    }

    fn assigned(&self) -> usize {
        self.intake.assigned()
    }

    fn take_assigned(&mut self) -> Vec<TopicPartition> {
        self.intake.take_assigned()
    }

    fn standing(&mut self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Standing>, Error> {
        let is_stranger = self.subscriber.latest().is_empty();
        let wait = if is_stranger { STRANGERS_STANDING_MAX } else { STANDING_MAX };
        let standings = offsets::standing(self.consumer(), partitions, MOVED, wait)?;
        for (at, standing) in &standings {
            if let Standing::At(offset) | Standing::Moved(offset) = standing {
                self.intake.begins_at(at, *offset);
            }
        }
        Ok(standings)
    }

    fn backlog(&mut self, counts: &dyn Fn(&str) -> bool) -> u64 {
        let client = self.consumer.as_ref().expect("it is taken by drop alone").client();
        self.intake.backlog(counts, |at| native::known_end(client, &at.topic, at.partition))
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        partitions.iter().for_each(|partition| self.intake.pause(partition));
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        partitions.iter().for_each(|partition| self.intake.resume(partition));
        Ok(())
    }

    fn rewind(&mut self, positions: &Positions) -> Result<(), Error> {
        let owned: Positions = positions
            .iter()
            .filter(|(partition, _)| self.intake.has(partition))
            .map(|(partition, offset)| (partition.clone(), *offset))
            .collect();
        if owned.is_empty() {
            return Ok(());
        }
        for (partition, offset) in &owned {
            self.intake.rewinding(partition, *offset);
            self.rewinds.remove(partition);
        }
        self.seek(&owned)
    }

    fn give_back(&mut self, batch: &mut Batch, from: &Positions) -> Result<(), Error> {
        if !self.intake.take_back(batch, from) {
            self.rewind(from)?;
        }
        batch.cut(from);
        Ok(())
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), Error> {
        if positions.is_empty() {
            return Ok(());
        }
        self.check_owner("commit offsets", positions)?;
        self.consumer().commit(&list(positions)?, CommitMode::Sync).map_err(retriable("commit offsets"))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        // Messages and queues hold on to their client.
        self.intake = Intake::new(consumer.context().bells());
        drop(consumer.context().take());
        // It has the client too, but not for long.
        let asking = self.subscriber.take_asking();
        retire("group member", (asking, consumer));
    }
}

/// What a group's commit says of a partition that the group has handed over: the text that Kafka keeps beside an offset. Empty
/// for all others.
const MOVED: &str = "jobico: moved to another group";

/// librdkafka's form of positions at which partitions are handed over.
pub(super) fn moved(positions: &Positions) -> Result<TopicPartitionList, Error> {
    const OPERATION: &str = "name positions";
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (TopicPartition { topic, partition }, offset) in positions {
        let mut element = list.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(*offset)).map_err(retriable(OPERATION))?;
        element.set_metadata(MOVED);
    }
    Ok(list)
}

/// librdkafka's form of positions.
pub(super) fn list(positions: &Positions) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (TopicPartition { topic, partition }, offset) in positions {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(retriable("name positions"))?;
    }
    Ok(list)
}
