//! The thread that answers questions and carries commands out, one after the other.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jobico_broker::{Broker, Cause, Class, Outgoing, Writer};
use jobico_event::name;
use jobico_service::health::Component;
use rand::Rng;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use super::reader::Reader;
use super::{Error, Mode, Request};
use crate::decide::{Answer, Command, Decision, Record, Refusal, decide};
use crate::metrics::Metrics;

/// How many requests one reading to the end serves.
const REQUESTS_AT_ONCE: usize = 64;
/// How often the end is read when nobody asks: so that the first question after a while finds little to read, and a log
/// that went away is seen.
const IDLE_REFRESH: Duration = Duration::from_secs(2);
/// How often a command is decided again because another registry became the writer meanwhile.
const ATTEMPTS_MAX: u32 = 12;
/// The longest wait before the next attempt: attempts times a random part of this, so that registries that fence each
/// other fall out of step.
const BACKOFF_STEP: Duration = Duration::from_millis(20);

pub(super) struct Worker {
    broker: Arc<dyn Broker>,
    reader: Reader,
    /// None = this registry is not the writer, as far as it knows.
    writer: Option<Box<dyn Writer>>,
    /// False = something was committed that could not be read back: nothing is decided or answered before it is there.
    /// Becoming the writer waits for it.
    settled: bool,
    metrics: Metrics,
    health: Component,
}

/// What came of a decision.
enum Written {
    /// It stands in the topics.
    Done,
    /// It does not, or that is not known: it is seen once this registry is the writer again, and all is decided anew on what
    /// stands there then. Why, where that was the last time.
    Lost(Error),
}

impl Worker {
    pub(super) fn new(broker: Arc<dyn Broker>, reader: Reader, metrics: Metrics, health: Component) -> Self {
        Self { broker, reader, writer: None, settled: true, metrics, health }
    }

    /// Answers until all senders are gone.
    pub(super) fn run(mut self, queue: &Receiver<Request>, stop: &CancellationToken) {
        // The first look is at once: the registry is ready when the log has answered, not when somebody has asked.
        let mut wait = Duration::ZERO;
        loop {
            let first = match queue.recv_timeout(std::mem::replace(&mut wait, IDLE_REFRESH)) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let requests: Vec<Request> = first.into_iter().chain(queue.try_iter().take(REQUESTS_AT_ONCE - 1)).collect();
            if requests.is_empty() && stop.is_cancelled() {
                continue; // no looks of our own any more; the server answers what it has, and drops the queue
            }
            match self.catch_up() {
                Ok(()) => self.health.ready(),
                Err(error) => {
                    self.health.failing(&error);
                    requests.into_iter().for_each(|request| request.fail(&error));
                    continue;
                }
            }
            for request in requests {
                self.serve(request);
            }
            if self.reader.take_changed() {
                self.reader.state(|state| self.metrics.observe(state));
            }
        }
    }

    fn catch_up(&mut self) -> Result<(), jobico_broker::Error> {
        if self.settled { self.reader.catch_up(&mut Vec::new()) } else { self.become_writer(&mut Vec::new()) }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::CatchUp(reply) => drop(reply.send(Ok(()))),
            Request::Run(command, mode, reply) => {
                // A receiver that is gone was a client that went away, or waited too long.
                let answer = self.carry_out(&command, mode, || reply.is_closed());
                drop(reply.send(answer));
            }
        }
    }

    /// Decides and writes, again where that is of use, until `is_given_up`.
    fn carry_out(&mut self, command: &Command, mode: Mode, is_given_up: impl Fn() -> bool) -> Result<Answer, Error> {
        let mut failed = Error::Contended(ATTEMPTS_MAX);
        for attempt in 1..=ATTEMPTS_MAX {
            if is_given_up() {
                break;
            }
            let mut decision = self.decide(command)?;
            if decision.records.is_empty() || mode == Mode::Check {
                return Ok(decision.answer);
            }
            if self.writer.is_none() {
                self.become_writer(&mut Vec::new()).map_err(Error::Unavailable)?;
                decision = self.decide(command)?;
                if decision.records.is_empty() {
                    return Ok(decision.answer);
                }
            }
            match self.write(&decision)? {
                Written::Done => return Ok(decision.answer),
                Written::Lost(why) => failed = why,
            }
            back_off(attempt);
            // Being the writer again, whatever was in doubt has ended: it stands in the topics, or never will.
            let mut awaited = decision.records;
            self.become_writer(&mut awaited).map_err(|_| Error::Uncertain)?;
            if awaited.is_empty() {
                return Ok(decision.answer);
            }
        }
        Err(failed)
    }

    fn decide(&self, command: &Command) -> Result<Decision, Error> {
        let now = OffsetDateTime::now_utc().format(&Rfc3339).expect("this century's times have an RFC 3339 form");
        Ok(self.reader.state(|state| decide(state, command, &now))?)
    }

    /// Fences all other registries, and reads what they wrote. Those of `awaited` that come by are taken out of it.
    fn become_writer(&mut self, awaited: &mut Vec<Record>) -> Result<(), jobico_broker::Error> {
        self.writer = None;
        let mut writer = self.broker.writer(name::REGISTRY_TRANSACTIONAL_ID)?;
        let mut attempt = 1;
        while let Err(error) = writer.acquire() {
            if error.cause != Cause::Fenced || attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            // Two became the writer at once.
            back_off(attempt);
            attempt += 1;
        }
        self.reader.catch_up(awaited)?;
        self.writer = Some(writer);
        self.settled = true;
        Ok(())
    }

    /// Writes a decision, unless it can be seen that doing so again would be of no use.
    fn write(&mut self, decision: &Decision) -> Result<Written, Error> {
        let contended = Ok(Written::Lost(Error::Contended(ATTEMPTS_MAX)));
        let Some(writer) = &mut self.writer else { return contended };
        let outgoing: Vec<Outgoing<'_>> = decision.records.iter().map(outgoing).collect();
        let started = Instant::now();
        let written = writer.write(&outgoing);
        self.metrics.write_seconds.observe(started.elapsed().as_secs_f64());
        match written {
            Ok(()) => {
                if !matches!(self.reader.read_back(decision.records.clone()), Ok(true)) {
                    tracing::warn!("what was committed cannot be read back yet");
                    self.settled = false;
                }
                Ok(Written::Done)
            }
            Err(error) if error.cause == Cause::TooLarge => {
                let bytes = decision.records.iter().map(Record::bytes).max().unwrap_or_default();
                Err(Refusal::TooLarge { bytes, limit: bytes.saturating_sub(1) }.into())
            }
            Err(error) if error.cause == Cause::Fenced => {
                self.metrics.fenced.inc();
                self.writer = None;
                contended
            }
            // Where a broker cannot say why it refused a commit, another registry may just be taking the transactional id over.
            Err(error) if error.class != Class::Retriable => {
                tracing::warn!(%error, "a transaction did not end well; it is looked for");
                self.writer = None;
                Ok(Written::Lost(Error::Unavailable(error)))
            }
            // Nothing was begun.
            Err(error) => Err(Error::Unavailable(error)),
        }
    }
}

impl Request {
    fn fail(self, error: &jobico_broker::Error) {
        let error = Error::Unavailable(error.clone());
        match self {
            Self::CatchUp(reply) => drop(reply.send(Err(error))),
            Self::Run(_, _, reply) => drop(reply.send(Err(error))),
        }
    }
}

fn outgoing(record: &Record) -> Outgoing<'_> {
    Outgoing { topic: record.topic, key: Some(&record.key), value: record.value.as_deref(), headers: &[] }
}

fn back_off(attempt: u32) {
    std::thread::sleep((BACKOFF_STEP * attempt).mul_f64(rand::rng().random_range(0.0..1.0)));
}
