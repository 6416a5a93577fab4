//! The thread that looks, from time to time, for what is kept too long.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::readers::Readers;
use super::retention::{Sweeper, await_deleted};
use super::writer_thread::Queue;
use super::{Settings, spawn};
use crate::Error;
use crate::local::Core;

/// The thread; dropping it ends it after its next bite.
pub(super) struct SweepThread {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl SweepThread {
    pub(super) fn start(
        core: Arc<Core>,
        readers: Arc<Readers>,
        queue: Arc<Queue>,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let stop = Arc::<Stop>::default();
        let (own, mut sweeper, interval) = (stop.clone(), Sweeper::new(settings), settings.sweep_interval);
        let thread = spawn("jobico-log-sweep", move || {
            while !own.wait(interval) {
                if let Err(error) = sweep(&core, &readers, &queue, &mut sweeper, &own) {
                    tracing::warn!(%error, "retention was not carried out; it is tried again in {interval:?}");
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn sweep(core: &Core, readers: &Readers, queue: &Queue, sweeper: &mut Sweeper, stop: &Stop) -> Result<(), Error> {
    for topic in core.all_topics() {
        for partition in &topic.partitions {
            if stop.is_stopped() {
                return Ok(());
            }
            sweeper.sweep(readers, partition, topic.retention, core.now_ms(), &mut |request, answer| {
                queue.submit(request);
                await_deleted(&answer)
            })?;
        }
    }
    Ok(())
}

impl Stop {
    fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits; true = it is time to end.
    fn wait(&self, interval: Duration) -> bool {
        let deadline = Instant::now().checked_add(interval);
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            let left = deadline.map_or(interval, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            stopped = self.changed.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for SweepThread {
    fn drop(&mut self) {
        *self.stop.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.changed.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that sweeps the log has panicked");
        }
    }
}
