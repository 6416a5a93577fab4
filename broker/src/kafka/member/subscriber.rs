//! Subscribes a member's client to the topics that are wanted, and sees that its group answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::super::error::retriable;
use super::super::native;
use super::super::rebalance::Rebalances;
use super::super::retire::Joined;
use super::subscription::Subscription;
use crate::{Cause, Class, Error};

/// How long a change may wait for the group to take the member in. A member none of whose topics exists (any more) is in no
/// group; one whose broker is away comes back sooner than this, once it can.
const OUTSIDE_MAX: Duration = Duration::from_secs(15);
/// How long topics may take to be looked up before they are subscribed to.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);
/// See [`crate::Consumer::subscribe`].
pub(super) const SUBSCRIBE: &str = "subscribe";

/// See the module.
pub(super) struct Subscriber {
    /// What is wanted and in force.
    subscription: Subscription,
    /// Asks for the topics of the next change of it.
    asking: Option<Joined>,
    /// Whether the group is of the protocol that Kafka always had.
    is_classic: bool,
}

impl Subscriber {
    /// Of a member that has subscribed to nothing.
    pub(super) fn new(is_classic: bool) -> Self {
        Self { subscription: Subscription::default(), asking: None, is_classic }
    }

    /// Subscribes to what is to be subscribed to, as soon as that may be. Whether that was now.
    ///
    /// # Errors
    /// librdkafka's own; [`Class::Fatal`] where the group leaves the member out, which only another member can mend.
    pub(super) fn advance(&mut self, consumer: &Arc<BaseConsumer<Rebalances>>, now: Instant) -> Result<bool, Error> {
        if self.subscription.is_ignored(now) {
            // In groups of KIP-848's protocol, librdkafka does not tell a member that it has nothing.
            if self.is_classic || !is_in_group(consumer) {
                return Err(left_out("the group has not answered since this member asked to join"));
            }
            self.subscription.is_answered();
        }
        if let Some(topics) = self.subscription.at_once().cloned() {
            return self.subscribe(consumer, topics, now);
        }
        if self.asking.as_ref().is_some_and(|asking| !asking.is_finished()) {
            return Ok(false);
        }
        if let Some(topics) = self.subscription.begin_look_up(now).filter(|topics| !topics.is_empty()) {
            self.asking = ask_for(topics, consumer);
            return Ok(false);
        }
        let Some(topics) = self.subscription.looked_up().cloned() else { return Ok(false) };
        // Asked last: librdkafka's main thread answers it, which may be at work.
        if is_in_group(consumer) {
            return self.subscribe(consumer, topics, now);
        }
        if self.subscription.overdue(now).is_some_and(|overdue| overdue > OUTSIDE_MAX) {
            return Err(left_out(&format!("the group has not taken this member in for {} s", OUTSIDE_MAX.as_secs())));
        }
        Ok(false)
    }

    fn subscribe(
        &mut self,
        consumer: &BaseConsumer<Rebalances>,
        topics: BTreeSet<String>,
        now: Instant,
    ) -> Result<bool, Error> {
        if topics.is_empty() {
            consumer.unsubscribe();
        } else {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            consumer.subscribe(&names).map_err(retriable(SUBSCRIBE))?;
        }
        self.subscription.is_done(topics, now);
        Ok(true)
    }

    /// What was asked for last.
    pub(super) fn latest(&self) -> &BTreeSet<String> {
        self.subscription.latest()
    }

    /// Asks for topics, which [`Subscriber::advance`] subscribes to.
    pub(super) fn want(&mut self, topics: &BTreeSet<String>) {
        self.subscription.want(topics);
    }

    /// One of the topics was not known, and may be by now.
    pub(super) fn want_again(&mut self) {
        self.subscription.want_again();
    }

    /// The group has given the member partitions, or none.
    pub(super) fn is_answered(&mut self) {
        self.subscription.is_answered();
    }

    /// What is under way, and has the client meanwhile.
    pub(super) fn take_asking(&mut self) -> Option<Joined> {
        self.asking.take()
    }
}

/// Whether the group has taken this member in, and has not thrown it out since.
fn is_in_group(consumer: &BaseConsumer<Rebalances>) -> bool {
    native::group::Membership::of(consumer.client()).is_ok()
}

/// Looks topics up meanwhile. None where no thread can be started: librdkafka looks them up then, later.
fn ask_for(topics: Vec<String>, consumer: &Arc<BaseConsumer<Rebalances>>) -> Option<Joined> {
    let consumer = consumer.clone();
    let ask = move || native::topic::look_up(consumer.client(), &topics, LOOK_UP_MAX);
    thread::Builder::new().name("topics".to_owned()).spawn(ask).ok().map(Joined::new)
}

fn left_out(message: &str) -> Error {
    Error::new(Class::Fatal, Cause::Other, SUBSCRIBE, message)
}
