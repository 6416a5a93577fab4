//! A transactional producer, as the processor and the control plane's writer use it.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer as _};

use super::errand::{Errand, Underway};
use super::error::Failure;
use super::native;
use super::native::group::Membership;
use super::outbox::{Deliveries, Outbox, STEP};
use super::settings::Settings;
use crate::{Cause, Class, Error, Outgoing};

/// How long a transaction's offsets may take: longer than a group's coordinator takes to move to another broker. As long as
/// they do, the group waits for this member with its next rebalance.
const OFFSETS_WAIT_MAX: Duration = Duration::from_secs(10);
/// How much longer than it was told a call of librdkafka may take before it is left behind.
const GRACE: Duration = Duration::from_secs(1);

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
}

/// Offsets on their way.
struct Sending {
    underway: Underway<Result<(), Failure>>,
    /// When the call must have returned.
    until: Instant,
}

impl TransactionalProducer {
    /// Takes the transactional id over: whatever an earlier holder left open has ended when this returns, and that holder
    /// writes no more.
    pub(super) fn acquire(settings: &Settings, client_id: &str, transactional_id: &str) -> Result<Self, Error> {
        const OPERATION: &str = "take over the transactional id";
        let outbox = Outbox::new(OPERATION, settings, &settings.transactional(client_id, transactional_id))?;
        let timeout = settings.transaction_timeout();
        let this = Self { outbox, timeout, errand: Errand::default(), sending: None, open: false };
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
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.outbox.begin();
        self.outbox
            .producer()
            .begin_transaction()
            .map_err(|error| Failure::from(error).class("begin a transaction", Class::Fatal))?;
        self.open = true;
        Ok(())
    }

    /// Adds a record to the transaction. Waits where the buffer is full.
    pub(super) fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        self.outbox.produce(record)
    }

    /// Waits until all records are with the broker.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        self.outbox.drain()
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
        let deadline = Instant::now() + self.timeout.min(OFFSETS_WAIT_MAX);
        let (producer, offsets) = (self.outbox.producer().clone(), offsets.clone());
        let send = move || loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match native::group::send_offsets(producer.client(), &membership, &offsets, left) {
                Err(failure) if failure.retriable && !failure.abortable && !failure.fatal && !left.is_zero() => {
                    std::thread::sleep(AGAIN);
                }
                sent => return sent,
            }
        };
        self.sending = Some(Sending { underway: self.errand.begin(send), until: deadline + GRACE });
        Ok(())
    }

    /// Waits until the offsets that were sent are with the broker. Where none were, it does nothing.
    ///
    /// # Errors
    /// [`Class::Fatal`] with [`Cause::Unavailable`] where the coordinator has not answered: the request may reach it yet, and
    /// must not be taken for one of this producer's next transaction. (librdkafka may not even return: then nothing can be
    /// done with this client any more, not even close it.)
    pub(super) fn await_offsets(&mut self) -> Result<(), Error> {
        let Some(Sending { underway, until }) = self.sending.take() else { return Ok(()) };
        let Some(sent) = self.errand.end(&underway, until.saturating_duration_since(Instant::now())) else {
            return Err(Error::new(Class::Fatal, Cause::Unavailable, SEND_OFFSETS, "the coordinator does not answer"));
        };
        sent.map_err(|failure| {
            let error = failure.class(SEND_OFFSETS, Class::Abortable);
            let class = if error.cause == Cause::Unavailable { Class::Fatal } else { error.class };
            Error { class, ..error }
        })
    }

    /// Commits the transaction. All records must have been drained.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        self.until("commit", self.timeout, |producer, step| producer.commit_transaction(step)).map_err(in_doubt)?;
        self.open = false;
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
