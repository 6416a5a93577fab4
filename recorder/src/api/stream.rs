//! Live streams: server-sent events (WHATWG HTML §9.2), straight from the topic.
//!
//! ```text
//! Follower (a thread a stream, from the end of the topic) ─► decode, filter ─► queue ─► response
//!    └── ends: the reader has gone, or is slow for SLOW_MAX, or the process stops, or the topic cannot be followed
//! ```
//!
//! The answer begins once the follower stands at the end of the topic: whatever is committed after that is in the stream. So
//! who opens the stream first and reads the list then misses nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use jobico_broker::{Batch, Broker, Cause, Class, Follower, Record, Start};
use jobico_event::snapshot::Snapshot;
use jobico_event::{TenantId, name, text};
use jobico_service::{Problem, Tasks};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::RETRY_AFTER_S;
use crate::decode;
use crate::metrics::Metrics;
use crate::row::{Key, now_ms};
use crate::store::{LogFilter, ResultFilter};

/// Events that wait for a reader, at most; then its topic is not read on.
const QUEUE_MAX: usize = 16;
/// How long a reader may take none of them before it is given up.
const SLOW_MAX: Duration = Duration::from_secs(10);
/// How long to wait for records; a reader that has gone and a stop are noticed after it.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// How long to wait after an error of the log that may pass.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// How often a comment is sent where nothing else is, so that proxies keep the connection and dead ones are noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The answer of a stream.
pub type Answer = Sse<KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>>;

/// What a stream is of.
#[derive(Debug)]
pub enum Feed {
    /// A tenant's results.
    Results {
        /// Whose.
        tenant: TenantId,
        /// Which.
        filter: ResultFilter,
    },
    /// What a tenant's functions log.
    Logs {
        /// Whose.
        tenant: TenantId,
        /// Which.
        filter: LogFilter,
    },
}

impl Feed {
    fn topic(&self) -> String {
        match self {
            Self::Results { tenant, .. } => name::results(tenant),
            Self::Logs { .. } => name::LOG.to_owned(),
        }
    }

    /// The event of a record; none where it is not wanted, or cannot be read (the recorder says so).
    fn event(&self, record: &Record<'_>) -> Option<Event> {
        // Times to live are the store's: any will do.
        let (snapshot, ttl) = (Snapshot::default(), decode::TTL_MAX);
        match self {
            Self::Results { filter, .. } => {
                let row = decode::result(record, &snapshot, ttl, now_ms()).ok()?;
                let id = id(&row.key);
                let view = row.into_view();
                filter.takes(&view).then(|| event("result", &id, &view))?
            }
            Self::Logs { tenant, filter } => {
                // Without reading the value: the topic is all tenants'.
                if record.key() != Some(tenant.as_str().as_bytes()) {
                    return None;
                }
                let row = decode::log_line(record, ttl, now_ms()).ok().filter(|row| row.tenant == *tenant)?;
                let id = id(&row.key);
                let line = row.into_line();
                filter.takes(&line).then(|| event("log", &id, &line))?
            }
        }
    }
}

/// Names one result or line among all: the coordinates of its source event, and which of its it is.
fn id(key: &Key) -> String {
    let Key { topic, partition, offset, index, .. } = key;
    format!("{topic}-{partition}-{offset}-{index}")
}

fn event(name: &'static str, id: &str, data: &impl Serialize) -> Option<Event> {
    Some(Event::default().event(name).id(id).data(text::json_line(data).ok()?))
}

/// The live streams of a process.
pub struct Streams {
    broker: Arc<dyn Broker>,
    tasks: Tasks,
    metrics: Metrics,
    slots: Arc<Semaphore>,
}

impl Streams {
    /// None yet; at most `max` at a time.
    pub fn new(broker: Arc<dyn Broker>, tasks: Tasks, metrics: Metrics, max: u16) -> Self {
        Self { broker, tasks, metrics, slots: Arc::new(Semaphore::new(max.into())) }
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// 503 where there are too many, or the log does not answer; 404 where the tenant has no topic yet.
    pub async fn open(&self, feed: Feed) -> Result<Answer, Problem> {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            self.metrics.streams_refused.inc();
            return Err(Problem::unavailable("too many streams are open; try again, or read the list", RETRY_AFTER_S));
        };
        let (events, queue) = mpsc::channel(QUEUE_MAX);
        let (opened, answer) = oneshot::channel();
        let stream = Stream {
            feed,
            events,
            runtime: tokio::runtime::Handle::current(),
            metrics: self.metrics.clone(),
            stop: self.tasks.stop_token(),
            _slot: slot,
        };
        let broker = self.broker.clone();
        let thread = self.tasks.spawn_thread("stream", move || {
            let following = broker.follow(&[stream.feed.topic()], Start::End);
            match following {
                Ok(follower) => {
                    if opened.send(Ok(())).is_ok() {
                        stream.run(follower);
                    }
                }
                // The reader has gone meanwhile: nobody to tell.
                Err(error) => drop(opened.send(Err(error))),
            }
            Ok(())
        });
        thread.map_err(|_| Problem::unavailable("the system has no thread left for a stream", RETRY_AFTER_S))?;
        match answer.await {
            Ok(Ok(())) => {
                let events = ReceiverStream::new(queue);
                Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here")))
            }
            Ok(Err(error)) if error.cause == Cause::UnknownTopic => {
                Err(Problem::new(StatusCode::NOT_FOUND, "there is nothing to follow yet: the tenant has no job"))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a stream could not be opened");
                Err(Problem::unavailable("the log does not answer", RETRY_AFTER_S))
            }
            Err(_) => Err(Problem::internal("the stream ended before it began")),
        }
    }
}

/// One stream, on its thread.
struct Stream {
    feed: Feed,
    events: mpsc::Sender<Result<Event, Infallible>>,
    runtime: tokio::runtime::Handle,
    metrics: Metrics,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

/// Why a stream cannot go on.
enum End {
    Gone,
    Slow,
}

impl Stream {
    fn run(self, mut follower: Box<dyn Follower>) {
        self.metrics.streams.inc();
        let mut batch = Batch::new();
        while !self.stop.is_cancelled() && !self.events.is_closed() {
            match follower.poll(&mut batch, POLL_WAIT) {
                Ok(()) => match self.send_all(&batch) {
                    Ok(()) => {}
                    Err(End::Gone) => break,
                    Err(End::Slow) => {
                        self.metrics.streams_slow.inc();
                        break;
                    }
                },
                Err(error) if error.class == Class::Fatal => {
                    tracing::warn!(%error, topic = self.feed.topic(), "a stream ends: its topic cannot be followed");
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, topic = self.feed.topic(), "a stream waits for the log");
                    std::thread::sleep(RETRY_WAIT);
                }
            }
        }
        self.metrics.streams.dec();
    }

    fn send_all(&self, batch: &Batch) -> Result<(), End> {
        for event in batch.iter().filter_map(|record| self.feed.event(&record)) {
            let sent = self.runtime.block_on(async {
                tokio::select! {
                    sent = tokio::time::timeout(SLOW_MAX, self.events.send(Ok(event))) => sent,
                    () = self.stop.cancelled() => Ok(Ok(())),
                }
            });
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(End::Gone),
                Err(_) => return Err(End::Slow),
            }
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
        Ok(())
    }
}
