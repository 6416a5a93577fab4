//! Calls of librdkafka that may never return, made by a thread that can be left behind.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that is sent on errands, one at a time. It ends when nobody can send it any more, and what it was doing has
/// returned.
#[derive(Default)]
pub(super) struct Errand {
    jobs: Option<Sender<Job>>,
}

/// What an errand is to bring back.
pub(super) struct Underway<T>(Receiver<T>);

impl<T> Underway<T> {
    /// What it has brought back by now.
    pub(super) fn look(&self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

impl Errand {
    /// Has `job` begun. It may still be done when nobody waits for it any more, so that everything it needs has to be its
    /// own.
    pub(super) fn begin<T: Send + 'static>(&mut self, job: impl FnOnce() -> T + Send + 'static) -> Underway<T> {
        let (answer, answered) = mpsc::channel();
        let mut job: Job = Box::new(move || {
            // Nobody listens any more where it took too long.
            let _ = answer.send(job());
        });
        if let Some(jobs) = &self.jobs {
            match jobs.send(job) {
                Ok(()) => return Underway(answered),
                // It has panicked at an earlier job.
                Err(mpsc::SendError(refused)) => job = refused,
            }
        }
        let (jobs, to_do) = mpsc::channel::<Job>();
        let thread = thread::Builder::new().name("kafka errand".to_owned()).spawn(move || {
            for job in to_do {
                job();
            }
        });
        match thread {
            Ok(_) => {
                // It listens for as long as we hold the other end.
                let _ = jobs.send(job);
                self.jobs = Some(jobs);
            }
            Err(error) => {
                tracing::warn!(%error, "no thread could be started: a call of librdkafka is made without a limit");
                job();
            }
        }
        Underway(answered)
    }

    /// What an errand that was begun brings back. None where it has not within `wait`: it may be done at any time.
    pub(super) fn end<T>(&mut self, underway: &Underway<T>, wait: Duration) -> Option<T> {
        let answer = underway.0.recv_timeout(wait).ok();
        if answer.is_none() {
            self.jobs = None;
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn run<T: Send + 'static>(
        errand: &mut Errand,
        job: impl FnOnce() -> T + Send + 'static,
        wait: Duration,
    ) -> Option<T> {
        let underway = errand.begin(job);
        errand.end(&underway, wait)
    }

    #[test]
    fn one_thread_does_one_errand_after_the_other() {
        let mut errand = Errand::default();
        let first = run(&mut errand, || thread::current().id(), LONG);
        assert_ne!(first, Some(thread::current().id()));
        assert_eq!(run(&mut errand, || thread::current().id(), LONG), first);
    }

    #[test]
    fn an_errand_that_never_ends_is_left_behind_and_the_next_is_done_by_another() {
        let mut errand = Errand::default();
        let (hold, held) = mpsc::channel::<()>();
        assert_eq!(run(&mut errand, move || held.recv().is_ok(), Duration::from_millis(10)), None);
        assert_eq!(run(&mut errand, || 7, LONG), Some(7));
        drop(hold);
    }

    #[test]
    fn an_errand_that_panics_has_no_answer_and_the_next_is_done() {
        let mut errand = Errand::default();
        assert_eq!(run(&mut errand, || -> u8 { panic!("as the test wants it") }, LONG), None);
        assert_eq!(run(&mut errand, || 7, LONG), Some(7));
    }
}
