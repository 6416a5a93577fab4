//! Lets clients go within bounded time: closing one leaves its group, which a broker that is away would delay.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a client may take to close before it is left to do so by itself.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// A thread that ends by itself soon, and is waited for where this is dropped.
pub(super) struct Joined(Option<JoinHandle<()>>);

impl Joined {
    pub(super) fn new(thread: JoinHandle<()>) -> Self {
        Self(Some(thread))
    }

    /// Whether it has ended.
    pub(super) fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // What it panicked with has been said.
            let _ = thread.join();
        }
    }
}

/// Drops `client` on a thread of its own, waiting for it a little.
pub(super) fn retire<T: Send + 'static>(name: &'static str, client: T) {
    if let Some(closed) = let_go(name, client)
        && closed.recv_timeout(CLOSE_MAX).is_err()
    {
        tracing::warn!(name, "a Kafka client takes long to close: its group will miss it only after its session");
    }
}

/// Drops `client` on a thread of its own, and tells when that is done.
pub(super) fn let_go<T: Send + 'static>(name: &'static str, client: T) -> Option<mpsc::Receiver<()>> {
    let (done, closed) = mpsc::channel();
    let thread = thread::Builder::new().name(format!("close {name}")).spawn(move || {
        drop(client);
        // Nobody listens any more where it took too long.
        let _ = done.send(());
    });
    match thread {
        Ok(_) => Some(closed),
        Err(error) => {
            // The closure, and the client with it, was dropped here.
            tracing::warn!(%error, name, "a Kafka client was closed in place: no thread could be started");
            None
        }
    }
}
