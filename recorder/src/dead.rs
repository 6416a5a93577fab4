//! Dead letters: listed, shown, redriven, dropped.
//!
//! ```text
//! {tenant}.dead ───── page: a Follower from where the page before ended ─► letter ─┬─► lists
//! jobico.dead.marks ─ marks: what became of each, followed and kept ───────────────┘
//!                                  ▲
//!             settle: become the tenant's writer ─► read the marks to the end ─► decide ─► one transaction:
//!                                                          its event in its queue again, and its mark
//! ```
//!
//! The topics are read as they are asked for: a dead letter is rare, and its topic has one partition and no index. Whoever
//! redrives or drops holds the tenant's transactional id, so that of two recorders one is fenced before it writes, and the
//! other's marks are read before anything is decided ([`settle`]; docs/decisions/0008).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobico_broker::{Broker, Cause, Error, Retention, TopicPartition, TopicSpec};
use jobico_event::dead_letter::Place;
use jobico_event::{TenantId, name};

pub mod letter;
pub mod marks;
pub mod page;
pub mod settle;

use letter::Letter;
use marks::Marks;
use page::{Cursor, Filter, Limits, Page};

/// How long reading may wait for what another wrote.
const READ_BACK_WAIT: Duration = Duration::from_secs(5);

/// The dead letters of all tenants. Its methods block.
pub struct DeadLetters {
    broker: Arc<dyn Broker>,
    runtime: tokio::runtime::Handle,
    marks: Mutex<Marks>,
    /// Held by whoever settles: two of one process would only fence each other.
    settling: Mutex<()>,
}

/// The topic of what became of dead letters.
#[must_use]
pub fn marks_topic() -> TopicSpec {
    TopicSpec {
        name: name::DEAD_MARKS.to_owned(),
        partitions: 1,
        retention: Retention::Compact,
        record_bytes_max: None,
    }
}

impl DeadLetters {
    /// Dead letters of `broker`. Blocking calls are made on threads that know `runtime`.
    pub fn new(broker: Arc<dyn Broker>, runtime: tokio::runtime::Handle) -> Self {
        let marks = Mutex::new(Marks::new(broker.clone()));
        Self { broker, runtime, marks, settling: Mutex::default() }
    }

    /// A page of a tenant's dead letters, oldest first in each partition.
    ///
    /// # Errors
    /// The log's.
    pub fn page(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        limits: &Limits,
        cursor: Option<Cursor>,
    ) -> Result<Page, Error> {
        let topic = name::dead(tenant);
        let Some(cursor) = cursor.map_or_else(|| self.whole(&topic), |cursor| Ok(Some(cursor)))? else {
            return Ok(Page::default());
        };
        let marks = self.marks().read(&topic)?;
        page::read(&*self.broker, &topic, &marks, filter, limits, cursor)
    }

    /// One of a tenant's dead letters; none where there is no such one (any more).
    ///
    /// # Errors
    /// The log's.
    pub fn one(&self, tenant: &TenantId, place: Place) -> Result<Option<Letter>, Error> {
        let topic = name::dead(tenant);
        let at = TopicPartition { topic: topic.as_str().into(), partition: place.partition };
        let exists = self.whole(&topic)?.is_some_and(|whole| whole.has(&at, place.offset));
        if !exists {
            return Ok(None);
        }
        let letter = page::read_one(&*self.broker, at, place.offset)?;
        let marks = self.marks().read(&topic)?;
        Ok(letter.map(|letter| letter.marked(marks.get(&place))))
    }

    /// All that a topic has now; none where there is no such topic.
    fn whole(&self, topic: &str) -> Result<Option<Cursor>, Error> {
        // The group does not matter: it is asked where the topic ends.
        let lag = self.runtime.block_on(self.broker.lag(name::RECORDER_GROUP, &[topic.to_owned()]));
        match lag {
            Ok(partitions) => Ok(Some(Cursor::whole(partitions))),
            Err(error) if error.cause == Cause::UnknownTopic => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, Marks> {
        // What a panic left behind is whole: records are applied one by one.
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
