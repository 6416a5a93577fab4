//! A producer whose records are waited for all at once: what is sent and acknowledged below a transaction.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};

use super::context;
use super::error::{Failure, passes, unusable};
use super::lifeline::Lifeline;
use super::native::{self, sender::Sender};
use super::retire::retire;
use super::settings::Settings;
use crate::{Cause, Class, Error, Outgoing};

/// How long a call waits inside librdkafka before failed deliveries and log lines are served. Nothing that goes well waits
/// for the end of a step.
pub(super) const STEP: Duration = Duration::from_millis(50);
/// How often a record that waits for room in the buffer is tried.
const ROOM_STEP: Duration = Duration::from_micros(500);
/// How long records that are on their way may take to be answered for before an abort.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// Events served in a row: a report of failures holds as many as there are.
const EVENTS_MAX: usize = 1_000;

/// The facility of librdkafka's log lines of connections that broke, which are no errors to it (`rd_kafka_broker_conn_closed`).
const FAILED: &str = "FAIL";
/// What such a line has where the connection had come about. Others do not while a node is away, and nothing was sent on those.
const WAS_UP: &str = "in state UP";
/// What fails where a record is not taken or not delivered.
const PRODUCE: &str = "produce";

/// A producer, and the records that are on their way.
pub(super) struct Outbox {
    /// None only while it is dropped.
    client: Option<Client>,
    /// How long records may take.
    timeout: Duration,
}

/// Fields are dropped in their order: topic handles before their client.
struct Client {
    sender: Sender,
    producer: Arc<BaseProducer<Deliveries>>,
}

/// Deliveries since [`Outbox::begin`] that failed. Those that go well are not reported.
pub(super) struct Deliveries {
    /// Why the first of them did.
    failed: Mutex<Option<Failure>>,
    /// Whether the broker may have stored one of them all the same, its answer lost.
    in_doubt: AtomicBool,
    /// Connections that broke since the client was made.
    broken: AtomicU32,
    lifeline: Lifeline,
}

impl Deliveries {
    fn failed(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == FAILED && message.contains(WAS_UP) {
            self.broken.fetch_add(1, Ordering::Relaxed);
        }
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
        if let Err((error, record)) = result {
            if native::may_be_stored(record) {
                self.in_doubt.store(true, Ordering::Relaxed);
            }
            let mut failed = self.failed();
            // One failure makes librdkafka purge the rest; what is purged says nothing of the cause.
            if failed.as_ref().is_none_or(|first| matches!(first.code, Code::PurgeQueue | Code::PurgeInflight)) {
                *failed = Some(Failure::from(error.clone()).of(record.topic()));
            }
        }
    }
}

impl Outbox {
    /// Makes the producer; it connects by itself.
    pub(super) fn new(operation: &'static str, settings: &Settings, config: &ClientConfig) -> Result<Self, Error> {
        let context = Deliveries {
            failed: Mutex::default(),
            in_doubt: AtomicBool::new(false),
            broken: AtomicU32::new(0),
            lifeline: Lifeline::new(settings.servers()),
        };
        let producer = config.create_with_context(context).map_err(unusable(operation))?;
        let client = Client { sender: Sender::default(), producer: Arc::new(producer) };
        Ok(Self { client: Some(client), timeout: settings.transaction_timeout() })
    }

    /// Forgets what failed: it says nothing of the records that follow.
    pub(super) fn begin(&self) {
        *self.producer().context().failed() = None;
        self.producer().context().in_doubt.store(false, Ordering::Relaxed);
    }

    /// Whether a record was given up that the broker may have stored, or may store yet. librdkafka gives its sequence number to
    /// another record after an abort, which the broker would then take for the one that it has: this client must not go on.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.producer().context().in_doubt.load(Ordering::Relaxed)
    }

    /// How many connections have broken so far, as far as the client has said by now. A request that was on its way on one is sent
    /// again, and may arrive twice.
    pub(super) fn broken_connections(&self) -> u32 {
        self.serve();
        self.producer().context().broken.load(Ordering::Relaxed)
    }

    /// Sends a record. Waits where the buffer is full, at most for as long as a record in it may: it empties by itself, unless the
    /// broker is away.
    pub(super) fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        let mut full_since = None;
        loop {
            let client = self.client.as_mut().expect("it is taken by drop alone");
            let Err(failure) = client.sender.send(client.producer.client(), record, ()) else { return Ok(()) };
            if failure.code != Code::QueueFull || full_since.get_or_insert_with(Instant::now).elapsed() > self.timeout {
                return Err(self.reason(failure.of(record.topic)).class(PRODUCE, Class::Abortable));
            }
            // Failed deliveries hold their room until they are served. (Given a wait, rust-rdkafka's `poll` asks again and again
            // through the last millisecond of it.)
            client.producer.poll(Duration::ZERO);
            std::thread::sleep(ROOM_STEP);
        }
    }

    /// Waits until all records are with the broker, or one was refused, or `is_lost` says that nothing comes of them any more.
    pub(super) fn drain(&mut self, mut is_lost: impl FnMut() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let drained = native::flush(self.producer().client(), STEP);
            self.serve();
            if let Some(failure) = self.first_failure() {
                return Err(self.reason(failure).class(PRODUCE, Class::Abortable));
            }
            if drained {
                return Ok(());
            }
            if Instant::now() >= deadline || is_lost() {
                return Err(Error::new(Class::Abortable, Cause::Unavailable, PRODUCE, "records wait for the broker"));
            }
        }
    }

    /// Why something failed. A client that met a fatal error (it was fenced …) purges its records and refuses new ones, and
    /// those errors say nothing of the cause; nor does the refusal of a record after another could not be delivered.
    fn reason(&self, failure: Failure) -> Failure {
        self.serve();
        match self.producer().client().fatal_error() {
            Some((code, message)) => Failure { fatal: true, ..Failure::new(code, message) },
            None => self.first_failure().unwrap_or(failure),
        }
    }

    fn first_failure(&self) -> Option<Failure> {
        self.producer().context().failed().clone()
    }

    /// Waits until no record is on its way. False: of some it is not known what became of them.
    pub(super) fn settle(&self) -> bool {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let settled = native::flush(self.producer().client(), STEP);
            self.serve();
            match self.producer().context().failed().as_ref() {
                // The broker answers, and has refused one. What was not sent by then is not sent any more, and what was, librdkafka
                // waits for, unless its connection is lost: see `is_in_doubt`. It also lets go of what it had not sent where it
                // needs a new epoch.
                Some(failure) if failure.code == Code::PurgeQueue || !passes(failure.code) => return true,
                Some(_) => return false,
                None if settled => return true,
                None if Instant::now() >= deadline => return false,
                None => {}
            }
        }
    }

    /// Serves failed deliveries and log lines.
    pub(super) fn serve(&self) {
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

    /// The librdkafka client.
    pub(super) fn producer(&self) -> &Arc<BaseProducer<Deliveries>> {
        &self.client().producer
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            retire("producer of batches", client);
        }
    }
}
