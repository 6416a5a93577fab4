//! A transactional producer, as the processor and the control plane's writer use it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};

use super::context;
use super::errand::Errand;
use super::error::{Failure, passes, unusable};
use super::lifeline::Lifeline;
use super::native::group::Membership;
use super::native::{self, sender::Sender};
use super::retire::retire;
use super::settings::Settings;
use crate::{Cause, Class, Error, Outgoing};

/// How long a call waits inside librdkafka before failed deliveries and log lines are served. Nothing that goes well waits
/// for the end of a step.
const STEP: Duration = Duration::from_millis(50);
/// How long a record waits for room in the buffer. It empties by itself, unless the broker is away.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a transaction's offsets may take: longer than a group's coordinator takes to move to another broker. As long as
/// they do, the group waits for this member with its next rebalance.
const OFFSETS_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long records that are on their way may take to be answered for before an abort.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// How much longer than it was told a call of librdkafka may take before it is left behind.
const GRACE: Duration = Duration::from_secs(1);
/// Events served in a row: a report of failures holds as many as there are.
const EVENTS_MAX: usize = 1_000;

/// A producer that holds its transactional id, until another takes it.
pub(super) struct TransactionalProducer {
    /// None only while it is dropped.
    client: Option<Client>,
    timeout: Duration,
    errand: Errand,
    /// Whether a transaction was begun that has not ended.
    open: bool,
}

/// Fields are dropped in their order: topic handles before their client.
struct Client {
    sender: Sender,
    producer: Arc<BaseProducer<Deliveries>>,
}

/// The first delivery of a transaction that failed, and why. Those that go well are not reported.
pub(super) struct Deliveries {
    failed: Mutex<Option<Failure>>,
    lifeline: Lifeline,
}

impl Deliveries {
    fn failed(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.lifeline.hear(&error);
        context::warn(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut failed = self.failed();
            // One failure makes librdkafka purge the rest; what is purged says nothing of the cause.
            if failed.as_ref().is_none_or(|first| matches!(first.code, Code::PurgeQueue | Code::PurgeInflight)) {
                *failed = Some(error.clone().into());
            }
        }
    }
}

impl TransactionalProducer {
    /// Takes the transactional id over: whatever an earlier holder left open has ended when this returns, and that holder
    /// writes no more.
    pub(super) fn acquire(settings: &Settings, client_id: &str, transactional_id: &str) -> Result<Self, Error> {
        const OPERATION: &str = "take over the transactional id";
        let context = Deliveries { failed: Mutex::default(), lifeline: Lifeline::new(settings.servers()) };
        let producer: BaseProducer<Deliveries> = settings
            .transactional(client_id, transactional_id)
            .create_with_context(context)
            .map_err(unusable(OPERATION))?;
        let client = Client { sender: Sender::default(), producer: Arc::new(producer) };
        let timeout = settings.transaction_timeout();
        let this = Self { client: Some(client), timeout, errand: Errand::default(), open: false };
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
        *self.producer().context().failed() = None;
        self.producer()
            .begin_transaction()
            .map_err(|error| Failure::from(error).class("begin a transaction", Class::Fatal))?;
        self.open = true;
        Ok(())
    }

    /// Adds a record to the transaction. Waits where the buffer is full.
    pub(super) fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        let mut full_since = None;
        loop {
            let client = self.client.as_mut().expect("it is taken by drop alone");
            let Err(failure) = client.sender.send(client.producer.client(), record, ()) else { return Ok(()) };
            if failure.code != Code::QueueFull || full_since.get_or_insert_with(Instant::now).elapsed() > ROOM_WAIT_MAX
            {
                return Err(self.reason(failure).class("produce", Class::Abortable));
            }
            // Failed deliveries hold their room until they are served.
            client.producer.poll(Duration::from_millis(1));
        }
    }

    /// Waits until all records are with the broker.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        const OPERATION: &str = "produce";
        let deadline = Instant::now() + self.timeout;
        while !native::flush(self.producer().client(), STEP) {
            self.serve();
            if Instant::now() >= deadline {
                return Err(Error::new(Class::Abortable, Cause::Unavailable, OPERATION, "records wait for the broker"));
            }
        }
        self.serve();
        match self.producer().context().failed().clone() {
            None => Ok(()),
            Some(failure) => Err(self.reason(failure).class(OPERATION, Class::Abortable)),
        }
    }

    /// Why something failed. A client that met a fatal error (it was fenced …) purges its records and refuses new ones, and
    /// those errors say nothing of the cause.
    fn reason(&self, failure: Failure) -> Failure {
        match self.producer().client().fatal_error() {
            Some((code, message)) => Failure { fatal: true, ..Failure::new(code, message) },
            None => failure,
        }
    }

    /// Adds a consumer's offsets to the transaction.
    ///
    /// # Errors
    /// [`Class::Fatal`] with [`Cause::Unavailable`] where the coordinator has not answered: the request may reach it yet, and
    /// must not be taken for one of this producer's next transaction. (librdkafka may not even return: then nothing can be
    /// done with this client any more, not even close it.)
    pub(super) fn send_offsets<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        offsets: &TopicPartitionList,
    ) -> Result<(), Error> {
        self.send_offsets_of(|| Membership::of(consumer.client()), offsets)
    }

    /// Adds offsets of a group to the transaction in the name of nobody: see [`Membership::of_nobody`].
    ///
    /// # Errors
    /// As [`TransactionalProducer::send_offsets`].
    pub(super) fn send_offsets_of_nobody(&mut self, group: &str, offsets: &TopicPartitionList) -> Result<(), Error> {
        self.send_offsets_of(|| Membership::of_nobody(group), offsets)
    }

    fn send_offsets_of(
        &mut self,
        membership: impl Fn() -> Result<Membership, Failure>,
        offsets: &TopicPartitionList,
    ) -> Result<(), Error> {
        const OPERATION: &str = "send offsets";
        let deadline = Instant::now() + self.timeout.min(OFFSETS_WAIT_MAX);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let membership = membership().map_err(|failure| failure.class(OPERATION, Class::Abortable))?;
            let (producer, offsets) = (self.client().producer.clone(), offsets.clone());
            let send = move || native::group::send_offsets(producer.client(), &membership, &offsets, left);
            let Some(sent) = self.errand.run(send, left + GRACE) else {
                return Err(Error::new(Class::Fatal, Cause::Unavailable, OPERATION, "the coordinator does not answer"));
            };
            let Err(failure) = sent else { return Ok(()) };
            let again = failure.retriable && !failure.abortable && !failure.fatal && !left.is_zero();
            if !again {
                let error = failure.class(OPERATION, Class::Abortable);
                let class = if error.cause == Cause::Unavailable { Class::Fatal } else { error.class };
                return Err(Error { class, ..error });
            }
            self.serve();
        }
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
    /// [`Class::Fatal`] with [`Cause::Unavailable`] where records are on their way.
    pub(super) fn abort(&mut self) -> Result<(), Error> {
        if !self.open {
            return Ok(());
        }
        if !self.settle() {
            let message = "records are on their way, and could arrive later";
            return Err(Error::new(Class::Fatal, Cause::Unavailable, "abort", message));
        }
        self.until("abort", self.timeout, |producer, step| producer.abort_transaction(step)).map_err(in_doubt)?;
        self.open = false;
        Ok(())
    }

    /// Waits until no record is on its way. False: of some it is not known what became of them.
    fn settle(&self) -> bool {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let settled = native::flush(self.producer().client(), STEP);
            self.serve();
            match self.producer().context().failed().as_ref() {
                // The broker answers, and has refused one. What was not sent by then is not sent any more, and what was, librdkafka
                // waits for; it also lets go of what it had not sent where it needs a new epoch.
                Some(failure) if failure.code == Code::PurgeQueue || !passes(failure.code) => return true,
                Some(_) => return false,
                None if settled => return true,
                None if Instant::now() >= deadline => return false,
                None => {}
            }
        }
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
            let Err(error) = call(self.producer(), STEP) else { return Ok(()) };
            self.serve();
            let failure = Failure::from(error);
            let again = (failure.retriable || failure.code == Code::OperationTimedOut) && !failure.abortable;
            if failure.fatal || !again || Instant::now() >= deadline {
                return Err(failure.class(operation, Class::Fatal));
            }
            if failure.code != Code::OperationTimedOut {
                // Only what took its time may be tried again at once.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Serves failed deliveries and log lines.
    fn serve(&self) {
        for _ in 0..EVENTS_MAX {
            self.producer().poll(Duration::ZERO);
            if self.producer().in_flight_count() == 0 {
                break;
            }
        }
        self.producer().context().lifeline.mend(self.producer().client());
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is taken by drop alone")
    }

    fn producer(&self) -> &BaseProducer<Deliveries> {
        &self.client().producer
    }
}

impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            retire("transactional producer", client);
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
