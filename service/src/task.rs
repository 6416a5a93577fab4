//! Named tasks: one that fails stops the process, and a process stops within its deadline.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{BoxError, chain};

/// The tasks of a process. Clones are the same.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    failed: Arc<Mutex<Option<Failed>>>,
    drain: Duration,
}

/// Why a process ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// A task gave up.
    #[error("{task} failed: {reason}")]
    Task {
        /// Which.
        task: String,
        /// Its error and the causes of it.
        reason: String,
    },
    /// Tasks were still at work when the deadline passed.
    #[error("not everything had ended {} s after the stop", .0.as_secs())]
    Deadline(Duration),
}

impl Tasks {
    /// No tasks yet; `drain` is how long they may take to end.
    #[must_use]
    pub fn new(drain: Duration) -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), failed: Arc::default(), drain }
    }

    /// Cancelled when the process has to stop. Tasks stop taking work, finish or abort what they have, and return.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// How long tasks may take to end.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// Tells all tasks to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Runs a future as a task. An error stops the process.
    pub fn spawn<F>(&self, name: &str, future: F)
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let (tasks, name) = (self.clone(), name.to_owned());
        let handle = self.tracker.spawn(future);
        self.tracker.spawn(async move {
            match handle.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tasks.fail(&name, chain(&*error)),
                Err(panic) => tasks.fail(&name, panic.to_string()),
            }
        });
    }

    /// Runs a function on a thread of its own. An error or a panic stops the process.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn spawn_thread(
        &self,
        name: &str,
        run: impl FnOnce() -> Result<(), BoxError> + Send + 'static,
    ) -> std::io::Result<()> {
        let (done, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            // The receiver lives as long as the tracker's task below.
            let _ = done.send(outcome);
        })?;
        self.spawn(name, async move {
            match ended.await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err("it panicked".into()),
                Err(_) => Err("its thread ended without a word".into()),
            }
        });
        Ok(())
    }

    fn fail(&self, task: &str, reason: String) {
        tracing::error!(task, %reason, "a task failed; the process stops");
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(Failed::Task { task: task.to_owned(), reason });
        self.stop.cancel();
    }

    /// Waits until the process has to stop, and then until all tasks have ended or the deadline has passed.
    ///
    /// # Errors
    /// [`Failed`] where a task failed or the deadline passed.
    pub async fn run(&self) -> Result<(), Failed> {
        self.stop.cancelled().await;
        self.tracker.close();
        let ended = tokio::time::timeout(self.drain, self.tracker.wait()).await;
        if let Some(failed) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failed);
        }
        ended.map_err(|_| Failed::Deadline(self.drain))
    }

    /// Stops the process at SIGTERM or SIGINT; a second signal ends it at once.
    ///
    /// # Errors
    /// The signals cannot be listened to.
    pub fn stop_on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("stopping; a second signal ends the process at once");
            stop.cancel();
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(EXIT_SECOND_SIGNAL);
        });
        Ok(())
    }
}

/// Exit code after a second signal: that of a process ended by SIGINT.
const EXIT_SECOND_SIGNAL: i32 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_task_stops_the_others_and_is_named() {
        let tasks = Tasks::new(Duration::from_secs(5));
        let stop = tasks.stop_token();
        tasks.spawn("waits", async move {
            stop.cancelled().await;
            Ok(())
        });
        tasks.spawn("breaks", async { Err("no disk".into()) });
        assert_eq!(tasks.run().await.unwrap_err().to_string(), "breaks failed: no disk");
    }

    #[tokio::test]
    async fn a_panic_on_a_thread_is_a_failure() {
        let tasks = Tasks::new(Duration::from_secs(5));
        tasks.spawn_thread("worker", || panic!("boom")).unwrap();
        assert_eq!(tasks.run().await.unwrap_err().to_string(), "worker failed: it panicked");
    }

    #[tokio::test]
    async fn what_does_not_end_is_given_up_at_the_deadline() {
        let tasks = Tasks::new(Duration::from_millis(10));
        tasks.spawn("hangs", std::future::pending());
        tasks.stop();
        assert!(matches!(tasks.run().await, Err(Failed::Deadline(_))));
    }
}
