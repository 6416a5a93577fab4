//! What became of dead letters: `jobico.dead.marks`, followed and kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobico_broker::{Batch, Broker, Class, Error, Follower, Start};
use jobico_event::dead_letter::{Mark, Place};
use jobico_event::{dead_letter, name};

/// How long one wait for a mark is.
const STEP: Duration = Duration::from_millis(100);

/// The marks of one topic of dead letters.
pub type OfTopic = BTreeMap<Place, Mark>;

/// The marks of all of them. There are as many as letters were redriven or dropped that their topics still have: who writes
/// marks takes those of letters out that have gone ([`Marks::stale`]).
pub struct Marks {
    broker: Arc<dyn Broker>,
    follower: Option<Box<dyn Follower>>,
    batch: Batch,
    by_topic: HashMap<String, Arc<OfTopic>>,
}

impl Marks {
    /// None are read yet.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, follower: None, batch: Batch::new(), by_topic: HashMap::new() }
    }

    /// The marks of a topic, as they were committed when this was called.
    ///
    /// # Errors
    /// The log's.
    pub fn read(&mut self, topic: &str) -> Result<Arc<OfTopic>, Error> {
        let is_first = self.follower.is_none();
        if is_first {
            self.follower = Some(self.broker.follow(&[name::DEAD_MARKS.to_owned()], Start::Beginning)?);
            self.by_topic.clear();
        }
        let read = self.follower.as_mut().map_or(Ok(()), |follower| follower.read_to_end(&mut self.batch));
        if let Err(error) = read {
            // One that was to read all from the beginning and did not, and one of no more use: the next begins anew.
            if is_first || error.class != Class::Retriable {
                self.follower = None;
            }
            return Err(error);
        }
        self.apply();
        Ok(self.of(topic))
    }

    /// Reads on until the marks of `places` are there that `by` wrote. False: they were not within `wait`; they come later.
    pub fn await_written(&mut self, topic: &str, places: &[Place], by: u64, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        loop {
            let marks = self.of(topic);
            if places.iter().all(|place| marks.get(place).is_some_and(|mark| mark.by == by)) {
                return true;
            }
            let Some(follower) = self.follower.as_mut().filter(|_| Instant::now() < deadline) else { return false };
            if follower.poll(&mut self.batch, STEP).is_err() {
                self.follower = None;
                return false;
            }
            self.apply();
        }
    }

    /// Marks of letters that a topic no longer has, `max` of them at most: those before the first that `partition` has.
    pub fn stale(marks: &OfTopic, partition: i32, first: i64, max: usize) -> Vec<Place> {
        let range = Place { partition, offset: 0 }..Place { partition, offset: first };
        marks.range(range).map(|(place, _)| *place).take(max).collect()
    }

    fn of(&self, topic: &str) -> Arc<OfTopic> {
        self.by_topic.get(topic).cloned().unwrap_or_default()
    }

    fn apply(&mut self) {
        for record in self.batch.iter() {
            let key = record.key().and_then(|key| std::str::from_utf8(key).ok());
            let Some((topic, place)) = key.and_then(dead_letter::view::of_mark_key) else {
                tracing::warn!(offset = record.offset(), "{} holds a record that is no mark", name::DEAD_MARKS);
                continue;
            };
            let marks = Arc::make_mut(self.by_topic.entry(topic.to_owned()).or_default());
            match record.value().map(serde_json::from_slice::<Mark>) {
                None => {
                    marks.remove(&place);
                }
                Some(Ok(mark)) => {
                    marks.insert(place, mark);
                }
                Some(Err(error)) => {
                    tracing::warn!(offset = record.offset(), %error, "{} holds a record that is no mark", name::DEAD_MARKS);
                }
            }
        }
        self.batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use jobico_event::dead_letter::State;

    use super::*;

    #[test]
    fn marks_of_letters_that_have_gone_are_stale_in_their_own_partition() {
        let mark = Mark { state: State::Dropped, at: String::new(), times: 0, by: 1 };
        let places = [(0, 3), (0, 4), (0, 5), (1, 3)].map(|(partition, offset)| Place { partition, offset });
        let marks: OfTopic = places.into_iter().map(|place| (place, mark.clone())).collect();
        assert_eq!(Marks::stale(&marks, 0, 5, 10), places[..2]);
        assert_eq!(Marks::stale(&marks, 0, 5, 1), places[..1]);
        assert_eq!(Marks::stale(&marks, 2, 5, 10), []);
    }
}
