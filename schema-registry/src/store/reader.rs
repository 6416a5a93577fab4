//! Keeps the state at the end of its topics.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jobico_broker::{Batch, Broker, Class, Error, Follower, Start, TopicSpec};
use jobico_event::name;

use super::followed;
use crate::decide::Record;
use crate::state::State;

/// How long records that were committed may take to be there to read. Kafka answers a commit before it has written the
/// markers that make it readable; they follow within milliseconds.
const READ_BACK_WAIT: Duration = Duration::from_secs(5);
/// How long one wait for them is.
const STEP: Duration = Duration::from_millis(100);

/// Reads `_schemas` and `jobico.catalog` into the state.
pub(super) struct Reader {
    broker: Arc<dyn Broker>,
    topics: Vec<TopicSpec>,
    log_topic: TopicSpec,
    runtime: tokio::runtime::Handle,
    follower: Option<Box<dyn Follower>>,
    batch: Batch,
    state: Arc<RwLock<State>>,
    /// Whether the state has changed since [`Reader::take_changed`] was asked.
    changed: bool,
}

impl Reader {
    pub(super) fn new(
        broker: Arc<dyn Broker>,
        topics: Vec<TopicSpec>,
        log_topic: TopicSpec,
        state: Arc<RwLock<State>>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self { broker, topics, log_topic, runtime, follower: None, batch: Batch::new(), state, changed: false }
    }

    /// Calls `question` with the state.
    pub(super) fn state<T>(&self, question: impl FnOnce(&State) -> T) -> T {
        question(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the state has changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Reads everything that was committed when this was called. Those of `awaited` that come by are taken out of it.
    pub(super) fn catch_up(&mut self, awaited: &mut Vec<Record>) -> Result<(), Error> {
        let is_first = self.follower.is_none();
        if is_first {
            self.runtime.block_on(make_topics(&*self.broker, &self.topics, &self.log_topic))?;
            self.follower = Some(self.broker.follow(&followed(), Start::Beginning)?);
        }
        let read = match &mut self.follower {
            Some(follower) => follower.read_to_end(&mut self.batch),
            None => Ok(()),
        };
        if let Err(error) = read {
            return Err(self.lost(error, is_first));
        }
        self.apply(is_first, awaited);
        Ok(())
    }

    /// Reads on until records that were committed have come by. False: they have not within their time.
    pub(super) fn read_back(&mut self, mut awaited: Vec<Record>) -> Result<bool, Error> {
        let deadline = Instant::now() + READ_BACK_WAIT;
        while !awaited.is_empty() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            let Some(follower) = &mut self.follower else { return Ok(false) };
            if let Err(error) = follower.poll(&mut self.batch, STEP) {
                return Err(self.lost(error, false));
            }
            self.apply(false, &mut awaited);
        }
        Ok(true)
    }

    /// Drops a follower that is of no more use, or that was to fill a new state and did not: the next one begins anew.
    fn lost(&mut self, error: Error, is_first: bool) -> Error {
        if is_first || error.class != Class::Retriable {
            self.follower = None;
        }
        error
    }

    /// Takes in what was read; a first reading makes a new state, whole.
    fn apply(&mut self, is_first: bool, awaited: &mut Vec<Record>) {
        if self.batch.is_empty() && !is_first {
            return;
        }
        self.changed = true;
        let mut new = is_first.then(State::default);
        // Held for all of the batch: nobody sees half of what was committed together.
        let mut shared = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for record in self.batch.iter() {
            let (topic, key, value) = (&**record.topic(), record.key().unwrap_or_default(), record.value());
            let state = new.as_mut().unwrap_or(&mut shared);
            if let Err(error) = state.apply(topic, key, value) {
                tracing::warn!(%error, offset = record.offset(), "the catalog holds a record that cannot be read");
            }
            awaited.retain(|one| !(one.topic == topic && one.key == key && one.value.as_deref() == value));
        }
        if let Some(new) = new {
            *shared = new;
            if let Some(level) = shared.schemas.level().filter(|level| *level != "NONE") {
                tracing::warn!(topic = name::SCHEMAS, level, "the topic's compatibility level is not enforced");
            }
        }
    }
}

/// Makes the topics that are missing. The log's own is left as it is where it exists: it may have been given more
/// partitions, or fewer, than are asked for here.
async fn make_topics(broker: &dyn Broker, topics: &[TopicSpec], log_topic: &TopicSpec) -> Result<(), Error> {
    let mut wanted = topics.to_vec();
    if !broker.topics().await?.contains(&log_topic.name) {
        wanted.push(log_topic.clone());
    }
    broker.ensure_topics(&wanted).await
}
