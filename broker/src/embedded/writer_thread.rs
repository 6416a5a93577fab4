//! The thread that changes the file. Whatever waits when it comes round becomes one transaction (group commit), so that
//! many small appends cost little more than one large.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::spawn;
use crate::Error;
use crate::local::{Core, Request, Submit};

/// Requests in one transaction.
const GROUP_REQUESTS_MAX: usize = 4_096;
/// Bytes in one transaction, beyond its first request.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What waits for the thread. It needs no limit of its own: appends are limited before they come here (by bytes), and of
/// all others a caller has one at a time and waits for it.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    closed: bool,
}

/// The thread; dropping it finishes what was submitted, and ends it.
pub(super) struct WriterThread {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl WriterThread {
    pub(super) fn start(core: Arc<Core>) -> Result<Self, Error> {
        let queue = Arc::<Queue>::default();
        let own = queue.clone();
        let thread = spawn("jobico-log-write", move || {
            // Should it panic, nobody waits for it in vain.
            let closing = Closing(&own);
            while let Some(requests) = closing.0.take() {
                core.apply(requests);
            }
        })?;
        Ok(Self { queue, thread: Some(thread) })
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }
}

impl Submit for WriterThread {
    fn submit(&self, request: Request) {
        self.queue.submit(request);
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.queue.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes the log has panicked");
        }
    }
}

impl Queue {
    /// Takes a request; after the end of the thread it drops it, which its caller takes for an answer.
    pub(super) fn submit(&self, request: Request) {
        let mut state = self.lock();
        if !state.closed {
            state.requests.push_back(request);
            self.filled.notify_one();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// The next requests; none at the end.
    fn take(&self) -> Option<Vec<Request>> {
        let mut state = self.lock();
        while state.requests.is_empty() {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut requests, mut bytes) = (Vec::with_capacity(state.requests.len().min(GROUP_REQUESTS_MAX)), 0);
        while requests.len() < GROUP_REQUESTS_MAX && bytes < GROUP_BYTES_MAX {
            let Some(request) = state.requests.pop_front() else { break };
            bytes += request.bytes_len();
            requests.push(request);
        }
        Some(requests)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.requests.clear();
    }
}
