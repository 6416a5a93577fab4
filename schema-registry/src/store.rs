//! The store of the control plane: its state, and the one way to change it.
//!
//! ```text
//! handlers ─► Store ─► queue ─► one thread:  read to the end ─► decide ─► write in a transaction ─► read it back ─► answer
//!                                                ▲                            │ fenced, or in doubt
//!                                                └── become the writer ◄──────┘
//! ```
//!
//! Any number of registries may do this at a time, without a leader of their own. Whoever writes holds the transactional id
//! [`name::REGISTRY_TRANSACTIONAL_ID`]; becoming the writer ends what the former one left open, and fences it, so that a
//! decision is written only while nobody else wrote since the state it was made on. Every answer, of reads too, is given
//! on a state that was read to the end after its question came: linearizable.

mod reader;
mod worker;

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jobico_broker::{Broker, TopicSpec};
use jobico_event::name;
use jobico_service::{BoxError, Frame};
use tokio::sync::oneshot;

use crate::decide::{Answer, Command, Refusal};
use crate::metrics::Metrics;
use crate::state::State;

/// Questions and commands that wait for the thread; more are turned away.
const QUEUE_MAX: usize = 1_024;
/// How long a question or a command may take. What is not begun by then is dropped.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// The store. Clones are the same; when the last one is dropped, its thread ends.
#[derive(Clone)]
pub struct Store {
    requests: SyncSender<Request>,
    state: Arc<RwLock<State>>,
}

/// Why a question or a command got no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log does not answer. Nothing was changed.
    #[error("the log does not answer; nothing was changed")]
    Unavailable(#[source] jobico_broker::Error),
    /// The log did not answer in time, or ended a transaction in a way that cannot be seen. What was asked may be done.
    #[error("the log did not answer in time; it is not certain whether this was done: ask, or do it again")]
    Uncertain,
    /// Other registries wrote each time.
    #[error("other registries wrote at the same time, {0} times in a row; nothing was changed")]
    Contended(u32),
    /// Too many wait.
    #[error("{QUEUE_MAX} requests wait for the log already; nothing was changed")]
    Busy,
    /// The process stops.
    #[error("the registry stops; nothing was changed")]
    Stopping,
}

/// Whether a command is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Write,
    /// It is only seen what would come of it.
    Check,
}

enum Request {
    CatchUp(oneshot::Sender<Result<(), Error>>),
    Run(Box<Command>, Mode, oneshot::Sender<Result<Answer, Error>>),
}

/// Starts the store's thread. It makes the topics and reads them; until that is done, and whenever the log is away, its
/// health says so and every answer is [`Error::Unavailable`].
///
/// # Errors
/// The system has no thread left.
pub fn start(
    frame: &Frame,
    broker: Arc<dyn Broker>,
    topics: Vec<TopicSpec>,
    log_topic: TopicSpec,
    metrics: Metrics,
) -> Result<Store, BoxError> {
    let (requests, queue) = sync_channel(QUEUE_MAX);
    let state = Arc::<RwLock<State>>::default();
    let reader =
        reader::Reader::new(broker.clone(), topics, log_topic, state.clone(), tokio::runtime::Handle::current());
    let worker = worker::Worker::new(broker, reader, metrics, frame.health.component("registry"));
    let stop = frame.tasks.stop_token();
    frame.tasks.spawn_thread("registry-store", move || {
        worker.run(&queue, &stop);
        Ok(())
    })?;
    Ok(Store { requests, state })
}

impl Store {
    /// Carries a command out, or checks it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn run(&self, command: Command, mode: Mode) -> Result<Answer, Error> {
        self.ask(|reply| Request::Run(Box::new(command), mode, reply)).await
    }

    /// Asks the state as it is now.
    ///
    /// # Errors
    /// [`Error`], but never a refusal.
    pub async fn read<T>(&self, question: impl FnOnce(&State) -> T) -> Result<T, Error> {
        self.ask(Request::CatchUp).await?;
        Ok(self.peek(question))
    }

    /// Asks the state as this process last saw it: for what never changes its meaning once it is there.
    pub fn peek<T>(&self, question: impl FnOnce(&State) -> T) -> T {
        question(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(request(reply)).map_err(|error| match error {
            TrySendError::Full(_) => Error::Busy,
            TrySendError::Disconnected(_) => Error::Stopping,
        })?;
        match tokio::time::timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Stopping),
            Err(_) => Err(Error::Uncertain),
        }
    }
}

/// The topics that the state is read from.
fn followed() -> [String; 2] {
    [name::SCHEMAS, name::CATALOG].map(str::to_owned)
}
