//! Redrives and drops: what becomes of a dead letter, once.
//!
//! Each time, the recorder becomes the tenant's writer, which ends whatever another had open and fences it, reads the marks to
//! their end, decides, and writes events and marks in one transaction. Whoever was fenced meanwhile begins again, and finds
//! the other's marks.

use std::sync::PoisonError;
use std::time::Duration;

use jobico_broker::{Cause, Class, Outgoing, TopicPartition, Writer};
use jobico_event::dead_letter::view::mark_key;
use jobico_event::dead_letter::{Mark, Place, State};
use jobico_event::{TenantId, name};

use super::letter::Letter;
use super::marks::{Marks, OfTopic};
use super::{DeadLetters, READ_BACK_WAIT, page};
use crate::row::{now_ms, rfc3339};

/// Letters that one transaction settles.
pub const LETTERS_MAX: usize = 100;
/// How often a letter is decided on again because another recorder became the writer meanwhile, or no answer came.
const ATTEMPTS_MAX: u32 = 8;
/// The longest wait before the next attempt: attempts times a random part of this, so that recorders which fence each other
/// fall out of step.
const BACKOFF_STEP: Duration = Duration::from_millis(50);
/// Marks of letters long gone that one transaction takes out.
const STALE_MAX: usize = 1_000;

/// What is to become of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Its event goes to its queue again.
    Redrive,
    /// Nothing.
    Drop,
}

/// Whether what was done before is done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It is refused.
    Refuse,
    /// It is done.
    Force,
}

/// Why a letter stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its event is in its queue again already.
    #[error("it was redriven at {at}; force=true (jobico dead … --force) does it all the same")]
    Redriven {
        /// When.
        at: String,
    },
    /// Somebody dropped it.
    #[error("it was dropped at {at}; force=true (jobico dead … --force) redrives it all the same")]
    Dropped {
        /// When.
        at: String,
    },
    /// Its value is not here.
    #[error(
        "its value was too large for a dead letter and stands at {topic} [{partition}] offset {offset} alone: write it to \
         that topic again from there"
    )]
    Left {
        /// Topic of the event.
        topic: String,
        /// Partition of the event.
        partition: i32,
        /// Offset of the event.
        offset: i64,
    },
    /// Its headers do not say where it comes from, or something that cannot be.
    #[error("it does not say which queue of its tenant it comes from ('{0}'): no processor wrote it")]
    NoOrigin(String),
    /// Its queue is gone.
    #[error("its queue {0} is not there any more: deploy a job that has it, then redrive again")]
    NoQueue(String),
    /// Its queue does not take it.
    #[error("its queue {0} takes no records of this size: raise its max.message.bytes")]
    TooLarge(String),
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Those that are as was asked for.
    pub done: Vec<Place>,
    /// Those that stay as they are.
    pub refused: Vec<(Place, Refusal)>,
}

/// Why nothing came of it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The log does not answer.
    #[error("the log does not answer; nothing was changed")]
    Unavailable(#[source] jobico_broker::Error),
    /// The log did not say how a transaction ended.
    #[error("the log did not say how it ended; look at the letters, or do it again: what was done is not done twice")]
    Uncertain,
    /// Other recorders wrote each time.
    #[error("other recorders settled letters of the tenant at the same time, {0} times in a row; nothing was changed")]
    Contended(u32),
}

/// What to do about one letter. True: it is to be written; false: it is as was asked for.
///
/// # Errors
/// [`Refusal`].
pub fn decide(
    letter: &Letter,
    mark: Option<&Mark>,
    tenant: &TenantId,
    action: Action,
    again: Again,
) -> Result<bool, Refusal> {
    let at = |mark: &Mark| mark.at.clone();
    match (action, mark.map(|mark| (mark.state, mark)), again) {
        (Action::Drop, Some((State::Dropped, _)), _) => return Ok(false),
        (Action::Redrive | Action::Drop, Some((State::Redriven, mark)), Again::Refuse) => {
            return Err(Refusal::Redriven { at: at(mark) });
        }
        (Action::Redrive, Some((State::Dropped, mark)), Again::Refuse) => {
            return Err(Refusal::Dropped { at: at(mark) });
        }
        (Action::Drop, None | Some(_), _) => return Ok(true),
        (Action::Redrive, None | Some(_), _) => {}
    }
    let view = &letter.view;
    if !letter.is_from(tenant) {
        return Err(Refusal::NoOrigin(view.topic.clone()));
    }
    if view.left {
        let (topic, partition, offset) = (view.topic.clone(), view.partition, view.offset);
        return Err(Refusal::Left { topic, partition, offset });
    }
    Ok(true)
}

impl DeadLetters {
    /// Settles letters of a tenant, at most [`LETTERS_MAX`] of them, in one transaction; where a queue refuses one of them,
    /// each in its own.
    ///
    /// # Errors
    /// [`Error`].
    pub fn settle(
        &self,
        tenant: &TenantId,
        letters: &[Letter],
        action: Action,
        again: Again,
    ) -> Result<Settled, Error> {
        let _alone = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle_alone(tenant, letters, action, again)
    }

    fn settle_alone(
        &self,
        tenant: &TenantId,
        letters: &[Letter],
        action: Action,
        again: Again,
    ) -> Result<Settled, Error> {
        let task = Task { tenant, topic: name::dead(tenant), action, again, by: rand::random() };
        let stale_before = self.first_offsets(&task.topic, letters).map_err(Error::Unavailable)?;
        let mut in_doubt = false;
        for attempt in 1..=ATTEMPTS_MAX {
            let unanswered = |error| if in_doubt { Error::Uncertain } else { Error::Unavailable(error) };
            let mut writer = match self.become_writer(tenant) {
                Ok(writer) => writer,
                Err(error) if error.cause == Cause::Fenced => {
                    back_off(attempt);
                    continue;
                }
                Err(error) => return Err(unanswered(error)),
            };
            // Being the writer, whatever was in doubt has ended: its marks are there, or never will be.
            let marks = self.marks().read(&task.topic).map_err(unanswered)?;
            let (settled, writes) = task.plan(letters, &marks);
            if writes.is_empty() {
                return Ok(settled);
            }
            match task.write(&mut *writer, &writes, &marks, &stale_before) {
                Ok(()) => {
                    let places: Vec<Place> = writes.iter().map(|letter| letter.view.id).collect();
                    if !self.marks().await_written(&task.topic, &places, task.by, READ_BACK_WAIT) {
                        tracing::warn!(topic = task.topic, "marks that were committed cannot be read back yet");
                    }
                    return Ok(settled);
                }
                Err(error) if matches!(error.cause, Cause::TooLarge | Cause::UnknownTopic) => {
                    return self.one_by_one(&task, &writes, settled, &error);
                }
                Err(error) if error.cause == Cause::Fenced => {}
                Err(error) if error.class == Class::Fatal => {
                    tracing::warn!(%error, "how a transaction ended is not known; it is looked for");
                    in_doubt = true;
                }
                Err(error) => return Err(Error::Unavailable(error)),
            }
            back_off(attempt);
        }
        Err(if in_doubt { Error::Uncertain } else { Error::Contended(ATTEMPTS_MAX) })
    }

    /// Settles what was not written because one of it was refused by its queue.
    fn one_by_one(
        &self,
        task: &Task<'_>,
        writes: &[&Letter],
        mut settled: Settled,
        error: &jobico_broker::Error,
    ) -> Result<Settled, Error> {
        settled.done.retain(|place| writes.iter().all(|letter| letter.view.id != *place));
        if let [letter] = writes {
            let topic = letter.view.topic.clone();
            let refusal = match error.cause {
                Cause::TooLarge => Refusal::TooLarge(topic),
                _ => Refusal::NoQueue(topic),
            };
            settled.refused.push((letter.view.id, refusal));
            return Ok(settled);
        }
        for letter in writes {
            let one = self.settle_alone(task.tenant, std::slice::from_ref(*letter), task.action, task.again)?;
            settled.done.extend(one.done);
            settled.refused.extend(one.refused);
        }
        Ok(settled)
    }

    fn become_writer(&self, tenant: &TenantId) -> Result<Box<dyn Writer>, jobico_broker::Error> {
        let mut writer = self.broker.writer(&name::dead_transactional_id(tenant))?;
        writer.acquire()?;
        Ok(writer)
    }

    /// The first letter that each of the letters' partitions still has: marks before it are of no more use.
    fn first_offsets(&self, topic: &str, letters: &[Letter]) -> Result<Vec<Place>, jobico_broker::Error> {
        let mut partitions: Vec<i32> = letters.iter().map(|letter| letter.view.id.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let first = |partition| page::first(&*self.broker, TopicPartition { topic: topic.into(), partition }, 0);
        let firsts = partitions.into_iter().map(|partition| Ok(first(partition)?.map(|letter| letter.view.id)));
        Ok(firsts.collect::<Result<Vec<_>, jobico_broker::Error>>()?.into_iter().flatten().collect())
    }
}

/// What is asked for.
struct Task<'a> {
    tenant: &'a TenantId,
    topic: String,
    action: Action,
    again: Again,
    /// Tells this attempt's marks from all others.
    by: u64,
}

impl Task<'_> {
    /// What is so already or will be once it is written, and what is to be written for it.
    fn plan<'l>(&self, letters: &'l [Letter], marks: &OfTopic) -> (Settled, Vec<&'l Letter>) {
        let (mut settled, mut writes) = (Settled::default(), Vec::new());
        for letter in letters {
            let place = letter.view.id;
            let mark = marks.get(&place);
            let is_ours = mark.is_some_and(|mark| mark.by == self.by);
            match if is_ours { Ok(false) } else { decide(letter, mark, self.tenant, self.action, self.again) } {
                Ok(write) => {
                    settled.done.push(place);
                    writes.extend(write.then_some(letter));
                }
                Err(refusal) => settled.refused.push((place, refusal)),
            }
        }
        (settled, writes)
    }

    /// Writes events and marks in one transaction, and takes out marks that are of no more use.
    fn write(
        &self,
        writer: &mut dyn Writer,
        letters: &[&Letter],
        marks: &OfTopic,
        firsts: &[Place],
    ) -> Result<(), jobico_broker::Error> {
        let (headers, new): (Vec<_>, Vec<_>) =
            letters.iter().map(|letter| (letter.event_headers(), self.mark(letter, marks))).unzip();
        let stale = firsts.iter().flat_map(|first| Marks::stale(marks, first.partition, first.offset, STALE_MAX));
        let gone: Vec<String> = stale.map(|place| mark_key(&self.topic, place)).collect();
        let events = letters.iter().zip(&headers).map(|(letter, headers)| letter.event(headers));
        let mut records: Vec<Outgoing<'_>> = match self.action {
            Action::Redrive => events.collect(),
            Action::Drop => Vec::new(),
        };
        let mark = |key, value| Outgoing { topic: name::DEAD_MARKS, key: Some(key), value, headers: &[] };
        records.extend(new.iter().map(|(key, value)| mark(key.as_bytes(), Some(value.as_slice()))));
        records.extend(gone.iter().map(|key| mark(key.as_bytes(), None)));
        writer.write(&records)
    }

    fn mark(&self, letter: &Letter, marks: &OfTopic) -> (String, Vec<u8>) {
        let place = letter.view.id;
        let before = marks.get(&place).map_or(0, |mark| mark.times);
        let (state, times) = match self.action {
            Action::Redrive => (State::Redriven, before + 1),
            Action::Drop => (State::Dropped, before),
        };
        let mark = Mark { state, at: rfc3339(now_ms()), times, by: self.by };
        let value = serde_json::to_vec(&mark).expect("a mark holds strings and numbers alone, which JSON can write");
        (mark_key(&self.topic, place), value)
    }
}

fn back_off(attempt: u32) {
    std::thread::sleep((BACKOFF_STEP * attempt).mul_f64(rand::random_range(0.0..1.0)));
}
