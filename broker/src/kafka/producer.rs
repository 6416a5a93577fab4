//! A transactional producer, as the processor and the control plane's writer use it.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer as _};

use super::errand::{Errand, Underway};
use super::error::{Failure, is_librdkafkas_own};
use super::native;
use super::native::group::Membership;
use super::outbox::{Deliveries, Outbox, STEP};
use super::settings::Settings;
use crate::{Cause, Class, Error, Outgoing};

/// How long a transaction's offsets may take once its records are with the broker: longer than a group's coordinator takes to move
/// to another. As long as they do, the group waits for this member with its next rebalance.
const OFFSETS_WAIT_MAX: Duration = Duration::from_secs(10);
/// How much longer than it was told a call of librdkafka may take before it is left behind.
const GRACE: Duration = Duration::from_secs(1);
/// After so long librdkafka sends offsets a second time that were not answered for (`rd_kafka_txn_handle_TxnOffsetCommit`).
const SENT_AGAIN: Duration = Duration::from_millis(500);

/// How long what may be tried again waits for that, where it did not take its time.
const AGAIN: Duration = Duration::from_millis(5);

const SEND_OFFSETS: &str = "send offsets";

/// A producer that holds its transactional id, until another takes it.
pub(super) struct TransactionalProducer {
    outbox: Outbox,
    timeout: Duration,
    errand: Errand,
    /// Offsets of which it is not known yet whether the coordinator has them.
    sending: Option<Sending>,
    /// Whether a transaction was begun that has not ended.
    open: bool,
    /// Connections that had broken when it was begun.
    broken_before: u32,
    /// Whether a request of a transaction that was committed may arrive a second time.
    is_suspect: bool,
}

/// Offsets on their way.
struct Sending {
    underway: Underway<Sent>,
    /// What came of them, once that was looked at.
    sent: Option<Sent>,
}

/// What came of offsets.
struct Sent {
    result: Result<(), Failure>,
    /// How long that took.
    took: Duration,
}

impl Sending {
    /// Why they were refused, where they were by now.
    fn refusal(&mut self) -> Option<&Failure> {
        if self.sent.is_none() {
            self.sent = self.underway.look();
        }
        self.sent.as_ref()?.result.as_ref().err()
    }
}

impl Sent {
    fn judge(self) -> Result<(), Error> {
        let Self { result, took } = self;
        result.map_err(|failure| {
            // librdkafka's own refusal to ask again is no answer to what it asked before.
            let is_unanswered = is_librdkafkas_own(failure.code) && took >= SENT_AGAIN;
            let error = failure.class(SEND_OFFSETS, Class::Abortable);
            if is_unanswered || error.cause == Cause::Unavailable {
                Error { class: Class::Fatal, ..error }
            } else {
                error
            }
        })
    }
}

impl TransactionalProducer {
    /// Takes the transactional id over: whatever an earlier holder left open has ended when this returns, and that holder
    /// writes no more.
    pub(super) fn acquire(settings: &Settings, client_id: &str, transactional_id: &str) -> Result<Self, Error> {
        const OPERATION: &str = "take over the transactional id";
        let outbox = Outbox::new(OPERATION, settings, &settings.transactional(client_id, transactional_id))?;
        let timeout = settings.transaction_timeout();
        let errand = Errand::default();
        let this = Self { outbox, timeout, errand, sending: None, open: false, broken_before: 0, is_suspect: false };
        this.until(OPERATION, settings.takeover_timeout, |producer, step| producer.init_transactions(step)).map_err(
            |error| match error.class {
                // There is no transaction to abort; this client is dropped and the call may be made again.
                Class::Abortable => Error { class: Class::Retriable, ..error },
                Class::Retriable | Class::Fatal => error,
            },
        )?;
        Ok(this)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`Class::Fatal`] also where a connection broke in the last one: librdkafka sends its commit and its offsets again then, with
    /// the epoch that the next transaction would have, and what comes late would be taken for its own (KIP-890). Taking the
    /// transactional id over raises the epoch.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        const OPERATION: &str = "begin a transaction";
        if self.is_suspect {
            let message = "a connection broke in the last one, of which requests may come late";
            return Err(Error::new(Class::Fatal, Cause::Unavailable, OPERATION, message));
        }
        self.broken_before = self.outbox.broken_connections();
        self.outbox.begin();
        self.outbox
            .producer()
            .begin_transaction()
            .map_err(|error| Failure::from(error).class(OPERATION, Class::Fatal))?;
        self.open = true;
        Ok(())
    }

    /// Adds a record to the transaction. Waits where the buffer is full.
    pub(super) fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        self.outbox.produce(record)
    }

    /// Waits until all records are with the broker.
    ///
    /// # Errors
    /// Why one was refused; or the offsets were, after which librdkafka gives records up.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        let Self { outbox, sending, .. } = self;
        let mut refusal = || sending.as_mut().and_then(Sending::refusal).map(|failure| failure.code);
        let drained = outbox.drain(|| refusal().is_some());
        // Offsets that came after a refused record are refused for their state, which says nothing.
        match refusal() {
            Some(code) if drained.is_err() && code != Code::State => self.await_offsets().and(drained),
            _ => drained,
        }
    }

    /// Begins to add a consumer's offsets to the transaction, beside records that are on their way:
    /// [`TransactionalProducer::await_offsets`] ends it.
    ///
    /// # Errors
    /// Where the consumer is no member of its group (any more).
    pub(super) fn send_offsets<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        offsets: &TopicPartitionList,
    ) -> Result<(), Error> {
        self.send_offsets_of(Membership::of(consumer.client()), offsets)
    }

    /// The same with offsets of a group in the name of nobody: see [`Membership::of_nobody`].
    ///
    /// # Errors
    /// Where no group can have that name.
    pub(super) fn send_offsets_of_nobody(&mut self, group: &str, offsets: &TopicPartitionList) -> Result<(), Error> {
        self.send_offsets_of(Membership::of_nobody(group), offsets)
    }

    fn send_offsets_of(
        &mut self,
        membership: Result<Membership, Failure>,
        offsets: &TopicPartitionList,
    ) -> Result<(), Error> {
        let membership = membership.map_err(|failure| failure.class(SEND_OFFSETS, Class::Abortable))?;
        let (begun, timeout) = (Instant::now(), self.timeout);
        let (producer, offsets) = (self.outbox.producer().clone(), offsets.clone());
        let send = move || loop {
            let left = timeout.saturating_sub(begun.elapsed());
            match native::group::send_offsets(producer.client(), &membership, &offsets, left) {
                Err(failure) if failure.retriable && !failure.abortable && !failure.fatal && !left.is_zero() => {
                    std::thread::sleep(AGAIN);
                }
                result => return Sent { result, took: begun.elapsed() },
            }
        };
        self.sending = Some(Sending { underway: self.errand.begin(send), sent: None });
        Ok(())
    }

    /// Waits until the offsets that were sent are with the broker. Where none were, it does nothing.
    ///
    /// # Errors
    /// [`Class::Fatal`] where the coordinator has not answered, or not for all that was sent: a request may reach it yet, and
    /// must not be taken for one of this producer's next transaction. (librdkafka may not even return: then nothing can be
    /// done with this client any more, not even close it.)
    pub(super) fn await_offsets(&mut self) -> Result<(), Error> {
        let Some(Sending { underway, sent }) = self.sending.take() else { return Ok(()) };
        let wait = self.timeout.min(OFFSETS_WAIT_MAX) + GRACE;
        let Some(sent) = sent.or_else(|| self.errand.end(&underway, wait)) else {
            return Err(Error::new(Class::Fatal, Cause::Unavailable, SEND_OFFSETS, "the coordinator does not answer"));
        };
        sent.judge()
    }

    /// Commits the transaction. All records must have been drained.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        self.until("commit", self.timeout, |producer, step| producer.commit_transaction(step)).map_err(in_doubt)?;
        self.open = false;
        self.is_suspect = self.outbox.broken_connections() != self.broken_before;
        Ok(())
    }

    /// Aborts the transaction, where one is open.
    ///
    /// Only where the broker has answered for each record. One that is still on its way would come after the abort, with the
    /// epoch of the next transaction, and be committed with it (KIP-890). Taking the transactional id over raises the
    /// epoch, and the late one is refused.
    ///
    /// # Errors
    /// [`Class::Fatal`] with [`Cause::Unavailable`] where records or offsets are on their way, or were and have no answer.
    pub(super) fn abort(&mut self) -> Result<(), Error> {
        if !self.open {
            return Ok(());
        }
        // What became of the offsets does not matter any more, unless nobody knows.
        self.await_offsets().or_else(|error| if error.class == Class::Fatal { Err(error) } else { Ok(()) })?;
        if !self.outbox.settle() {
            let message = "records are on their way, and could arrive later";
            return Err(Error::new(Class::Fatal, Cause::Unavailable, "abort", message));
        }
        self.until("abort", self.timeout, |producer, step| producer.abort_transaction(step)).map_err(in_doubt)?;
        self.open = false;
        // The abort gives up what waited to be sent again, and tells of it.
        self.outbox.serve();
        if self.outbox.is_in_doubt() {
            let message = "it is not known of a record that was given up whether the broker has it";
            return Err(Error::new(Class::Fatal, Cause::Unavailable, "abort", message));
        }
        Ok(())
    }

    /// Makes a call of librdkafka in steps, as its transactional calls go on where they stopped when they are made again;
    /// between them, events are served, for which these calls wait as well.
    fn until(
        &self,
        operation: &'static str,
        timeout: Duration,
        call: impl Fn(&BaseProducer<Deliveries>, Duration) -> Result<(), KafkaError>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        loop {
            let Err(error) = call(self.outbox.producer(), STEP) else { return Ok(()) };
            self.outbox.serve();
            let failure = Failure::from(error);
            let again = (failure.retriable || failure.code == Code::OperationTimedOut) && !failure.abortable;
            if failure.fatal || !again || Instant::now() >= deadline {
                return Err(failure.class(operation, Class::Fatal));
            }
            if failure.code != Code::OperationTimedOut {
                // Only what took its time may be tried again at once.
                std::thread::sleep(AGAIN);
            }
        }
    }
}

/// A commit or an abort that did not end within its time cannot be turned into the other: the client goes, and who takes
/// its transactional id over ends the transaction, one way or the other.
fn in_doubt(error: Error) -> Error {
    match error.class {
        Class::Retriable => Error { class: Class::Fatal, ..error },
        Class::Abortable | Class::Fatal => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_that_librdkafka_gave_up_after_it_may_have_sent_them_twice_leave_the_client_of_no_use() {
        let judge = |code: Code, millis| {
            let failure = Failure { abortable: true, ..code.into() };
            Sent { result: Err(failure), took: Duration::from_millis(millis) }.judge().unwrap_err().class
        };
        assert_eq!(judge(Code::State, 499), Class::Abortable);
        assert_eq!(judge(Code::State, 500), Class::Fatal);
        assert_eq!(judge(Code::IllegalGeneration, 5_000), Class::Abortable, "the broker has answered");
        assert_eq!(judge(Code::OperationTimedOut, 10), Class::Fatal);
        assert_eq!(judge(Code::NotCoordinator, 10), Class::Fatal);
    }
}
