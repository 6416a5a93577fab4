//! The producer that all tasks of a process share: records acknowledged one by one.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};
use tokio::sync::oneshot;

use super::context;
use super::error::{Failure, unusable};
use super::lifeline::Lifeline;
use super::native::sender::Sender;
use super::retire::{Joined, let_go};
use super::settings::Settings;
use crate::{Append, Cause, Class, Error, Outgoing, Position};

const OPERATION: &str = "append";

type Answer = Result<Position, Error>;

/// How long one poll serves. The longer, the less is spent on that last millisecond; closing takes so long at most.
const SERVE: Duration = Duration::from_millis(500);

/// An idempotent producer for all tasks.
pub(super) struct Appender {
    /// None only while it is dropped.
    client: Option<Client>,
}

/// Fields are dropped in their order: topic handles before their client.
struct Client {
    sender: Mutex<Sender>,
    producer: Served,
}

/// A producer and the thread that serves its acknowledgements. rust-rdkafka's own (`ThreadedProducer`) polls for 100 ms, the
/// last of which it spends asking again and again: its deadlines are exact, librdkafka's are in whole milliseconds.
struct Served {
    producer: Arc<BaseProducer<Acknowledgements>>,
    stop: Arc<AtomicBool>,
    _thread: Joined,
}

/// One call: it is answered when all its records are.
struct Call {
    state: Mutex<State>,
}

struct State {
    answers: Vec<Option<Answer>>,
    /// Records without an answer, and one for the call itself until it has handed over all of them.
    missing: usize,
    done: Option<oneshot::Sender<Vec<Option<Answer>>>>,
}

/// A record's place in its call.
pub(super) struct Ticket {
    call: Arc<Call>,
    index: usize,
}

pub(super) struct Acknowledgements {
    lifeline: Lifeline,
}

impl Call {
    fn new(records: usize) -> (Arc<Self>, oneshot::Receiver<Vec<Option<Answer>>>) {
        let (done, answered) = oneshot::channel();
        let state = State { answers: vec![None; records], missing: records + 1, done: Some(done) };
        (Arc::new(Self { state: Mutex::new(state) }), answered)
    }

    fn answer(&self, index: Option<usize>, answer: Option<Answer>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = index.and_then(|index| state.answers.get_mut(index)) {
            *slot = answer;
        }
        state.missing -= 1;
        if state.missing == 0
            && let Some(done) = state.done.take()
        {
            // Nobody waits any more where the caller was cancelled.
            let _ = done.send(std::mem::take(&mut state.answers));
        }
    }
}

impl ClientContext for Acknowledgements {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.lifeline.hear(&error);
        context::warn(&error, reason);
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let answer = match result {
            Ok(message) => Ok(Position { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(Failure::from(error.clone()).class(OPERATION, Class::Retriable)),
        };
        ticket.call.answer(Some(ticket.index), Some(answer));
    }
}

impl Appender {
    /// Makes the producer; it connects by itself.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let context = Acknowledgements { lifeline: Lifeline::new(settings.servers()) };
        let producer = settings.appender().create_with_context(context).map_err(unusable("make the producer"))?;
        let producer = Served::new(producer)?;
        Ok(Self { client: Some(Client { sender: Mutex::new(Sender::default()), producer }) })
    }

    /// Appends records; one answer each.
    pub(super) async fn append(&self, records: Vec<Append>) -> Vec<Answer> {
        let count = records.len();
        if count == 0 {
            return Vec::new();
        }
        let (call, answered) = Call::new(count);
        self.hand_over(&records, &call);
        drop(records);
        let answers = answered.await.unwrap_or_else(|_| vec![None; count]);
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(unanswered()))).collect()
    }

    /// Whether librdkafka gave this producer up: an idempotent producer that met a gap writes no more.
    pub(super) fn is_lost(&self) -> bool {
        self.client().producer.client().fatal_error().is_some()
    }

    fn hand_over(&self, records: &[Append], call: &Arc<Call>) {
        let client = self.client();
        client.producer.context().lifeline.mend(client.producer.client());
        // Held for the whole call, so that its records stand together.
        let mut sender = client.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let mut full = false;
        let mut headers: Vec<(&str, &[u8])> = Vec::new();
        for (index, record) in records.iter().enumerate() {
            headers.clear();
            headers.extend(record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
            let outgoing = Outgoing {
                topic: &record.topic,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            };
            // Once the buffer was full, later records are not tried: they would overtake.
            let sent = if full {
                Err(Failure::from(Code::QueueFull))
            } else {
                let ticket = Box::new(Ticket { call: call.clone(), index });
                sender.send(client.producer.client(), &outgoing, ticket)
            };
            if let Err(failure) = sent {
                full |= failure.code == Code::QueueFull;
                call.answer(Some(index), Some(Err(failure.class(OPERATION, Class::Retriable))));
            }
        }
        call.answer(None, None);
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is taken by drop alone")
    }
}

impl Served {
    fn new(producer: BaseProducer<Acknowledgements>) -> Result<Self, Error> {
        let (producer, stop) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let (served, stops) = (producer.clone(), stop.clone());
        let serve = move || {
            while !stops.load(Ordering::Relaxed) {
                served.poll(SERVE);
            }
        };
        let thread = thread::Builder::new().name("acknowledgements".to_owned()).spawn(serve).map_err(|error| {
            Error::new(Class::Retriable, Cause::Other, OPERATION, format!("no thread for the producer: {error}"))
        })?;
        Ok(Self { producer, stop, _thread: Joined::new(thread) })
    }
}

impl Deref for Served {
    type Target = BaseProducer<Acknowledgements>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Tasks of a runtime drop it, which must not wait.
            let _ = let_go("producer", client);
        }
    }
}

fn unanswered() -> Error {
    Error::new(
        Class::Retriable,
        Cause::Unavailable,
        OPERATION,
        "the producer was closed before the record was acknowledged",
    )
}
