//! Changes the log: one caller at a time, several requests at once.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::index::{NewTopic, Partition};
use super::request::{Holder, Reply, Request, Write};
use super::{Core, lock};
use crate::coordinator::PartitionId;
use crate::{Cause, Class, Error, TopicSpec};

impl Core {
    /// Carries requests out in their order and answers them. Writes that follow each other become one transaction of the
    /// storage: what that costs is shared by all who wait.
    pub(crate) fn apply(&self, requests: Vec<Request>) {
        let _applying = lock(&self.applying);
        let mut writes = Vec::with_capacity(requests.len());
        for request in requests {
            if let Request::Write(write) = request {
                writes.push(write);
                continue;
            }
            self.write(std::mem::take(&mut writes));
            match request {
                Request::Write(_) => {}
                Request::Ensure { topics, reply } => reply(self.ensure(&topics)),
                Request::Acquire { id, reply } => reply(self.acquire(&id)),
                Request::Delete { partition, offsets, reply } => reply(self.storage.delete(&partition, &offsets)),
            }
        }
        self.write(writes);
    }

    fn write(&self, writes: Vec<Write>) {
        let mut ends = Ends::default();
        let mut admitted = Vec::with_capacity(writes.len());
        for mut write in writes {
            match self.admit(&write) {
                Ok(()) => {
                    write.records.place(|partition| ends.next(partition));
                    admitted.push(write);
                }
                Err(error) => (write.reply)(Err(error)),
            }
        }
        if admitted.iter().all(Write::is_empty) {
            return admitted.into_iter().for_each(succeed);
        }
        if let Err(error) = self.storage.write(&admitted, self.now_ms()) {
            return admitted.into_iter().for_each(|write| (write.reply)(Err(error.clone())));
        }
        self.publish(&admitted, ends);
        admitted.into_iter().for_each(succeed);
    }

    fn admit(&self, write: &Write) -> Result<(), Error> {
        if let Some(holder) = &write.holder {
            holder.check(write.operation)?;
        }
        let Some(offsets) = &write.offsets else { return Ok(()) };
        let partitions = offsets.positions.iter().map(|(partition, _)| *partition);
        let owned = self.groups().coordinator.check_owner(&offsets.group, offsets.member, partitions);
        owned.map_err(|partition| {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let name = partition.and_then(|id| index.partition(id)).map(|partition| partition.name());
            let what = name.map_or_else(|| "anything".to_owned(), |name| format!("{} {}", name.topic, name.partition));
            let message = format!("group {} went on: this member has not {what}", offsets.group);
            Error::new(Class::Abortable, Cause::Fenced, write.operation, message)
        })
    }

    /// Offsets before records: who is woken by a record finds its group's offsets.
    fn publish(&self, writes: &[Write], ends: Ends) {
        if writes.iter().any(|write| write.offsets.is_some()) {
            let mut groups = self.groups();
            for (group, partition, offset) in writes.iter().flat_map(Write::offsets) {
                match groups.committed.get_mut(group) {
                    Some(offsets) => drop(offsets.insert(partition, offset)),
                    None => drop(groups.committed.insert(group.clone(), HashMap::from([(partition, offset)]))),
                }
            }
        }
        for (partition, end) in ends.0.into_values() {
            partition.publish(end);
        }
    }

    fn ensure(&self, specs: &[TopicSpec]) -> Result<(), Error> {
        let planned = self.index.read().unwrap_or_else(PoisonError::into_inner).plan(specs)?;
        if planned.is_empty() {
            return Ok(());
        }
        self.storage.create(&planned)?;
        let names: Vec<_> = planned.iter().map(|new| new.topic.name.clone()).collect();
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for new in &planned {
            index.insert(new.topic.clone());
        }
        drop(index);
        let has_grown = |new: &&NewTopic| (1..new.topic.partitions.len()).contains(&new.first_new);
        for new in planned.iter().filter(has_grown) {
            new.topic.tell_readers();
        }
        let mut groups = self.groups();
        let woken = groups.coordinator.topics_changed(&names);
        groups.wake(&woken);
        Ok(())
    }

    fn acquire(&self, id: &str) -> Result<Holder, Error> {
        let newest = self.epoch(id);
        let epoch = newest.load(Ordering::Acquire) + 1;
        self.storage.set_epoch(id, epoch)?;
        newest.store(epoch, Ordering::Release);
        Ok(Holder::new(id, epoch, newest))
    }
}

fn succeed(write: Write) {
    let reply: Reply<_> = write.reply;
    reply(Ok(write.records));
}

/// The ends of the partitions that are being written.
#[derive(Default)]
struct Ends(HashMap<PartitionId, (Arc<Partition>, i64)>);

impl Ends {
    /// Takes the next offset of `partition`.
    fn next(&mut self, partition: &Arc<Partition>) -> i64 {
        let (_, end) = self.0.entry(partition.id).or_insert_with(|| (partition.clone(), partition.end()));
        *end += 1;
        *end - 1
    }
}
