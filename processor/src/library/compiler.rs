//! Compiles modules where it holds nobody up.
//!
//! ```text
//! wait for a place ─► a thread of its own ─► in time: the module          ─► kept in the cache on disk
//!                                          └► late: the place is given up, the thread goes on ─► the module after all
//! ```
//!
//! A compilation cannot be cut short: a hostile module may take minutes on its core. So it has a thread for itself with a
//! lower priority than the workers', waits for it end in time, and how many such threads there can be is bounded. A module
//! that comes late is used and kept all the same, since it costs nothing any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobico_event::Digest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::function::fault::{Kind, Phase};
use crate::function::{Cache, Engine, Fault, Module};
use crate::metrics::Metrics;

/// How many modules are compiled at once, not counting those that are late: compiling uses a core, which events need more.
const COMPILATIONS_MAX: usize = 1;
/// How many threads compile at most, those that are late among them. Where all are late, further modules wait.
const THREADS_MAX: usize = 4;
/// Stack of a thread that compiles; it is reserved, not used. The compiler recurses with what it compiles, and running out
/// of stack would end the process.
const STACK_BYTES: usize = 16 << 20;
/// How much a thread that compiles stands back for those that run functions (`nice`): it has a quarter of a core where they
/// want all of it.
const NICENESS: i32 = 5;

/// The compiler of a process.
pub(super) struct Compiler {
    engine: Engine,
    cache: Option<Arc<Cache>>,
    places: Semaphore,
    threads: Arc<Semaphore>,
    time_max: Duration,
    metrics: Metrics,
}

/// How a compilation went.
pub(super) enum Compiled {
    /// It is over.
    InTime(Result<Module, Fault>),
    /// It took too long, and goes on.
    Late(Fault, oneshot::Receiver<Result<Module, Fault>>),
}

impl Compiler {
    pub(super) fn new(engine: Engine, cache: Option<Arc<Cache>>, time_max: Duration, metrics: Metrics) -> Self {
        let (places, threads) = (Semaphore::new(COMPILATIONS_MAX), Arc::new(Semaphore::new(THREADS_MAX)));
        Self { engine, cache, places, threads, time_max, metrics }
    }

    /// Compiles a module. Waiting for a place counts for nobody's time.
    pub(super) async fn compile(&self, digest: Digest, binary: Vec<u8>) -> Compiled {
        let thread = self.threads.clone().acquire_owned().await.expect("the semaphore is never closed");
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        let mut result = match self.start(digest, binary, thread) {
            Ok(result) => result,
            Err(error) => return Compiled::InTime(Err(failed(format!("there is no thread to compile it: {error}")))),
        };
        match tokio::time::timeout(self.time_max, &mut result).await {
            Ok(compiled) => Compiled::InTime(compiled.unwrap_or_else(|_| Err(panicked()))),
            Err(_) => Compiled::Late(too_expensive(self.time_max), result),
        }
    }

    /// Starts a thread. It ends by itself, or with the process: what it leaves behind then is a partial file, which the
    /// cache removes.
    fn start(
        &self,
        digest: Digest,
        binary: Vec<u8>,
        permit: OwnedSemaphorePermit,
    ) -> std::io::Result<oneshot::Receiver<Result<Module, Fault>>> {
        let (done, result) = oneshot::channel();
        let (engine, cache, metrics) = (self.engine.clone(), self.cache.clone(), self.metrics.clone());
        let compile = move || {
            let _permit = permit;
            stand_back();
            let started = Instant::now();
            let compiled = Module::compile(&engine, &binary);
            metrics.compile_seconds.observe(started.elapsed().as_secs_f64());
            drop(binary);
            let module = compiled.as_ref().ok().cloned();
            // Whoever waited may be gone: the process stops.
            let _ = done.send(compiled);
            if let (Some(cache), Some(module)) = (cache, module)
                && let Err(error) = cache.keep(&digest, &module)
            {
                tracing::warn!(%digest, %error, "a compiled module cannot be kept; the next start compiles it again");
            }
        };
        std::thread::Builder::new().name("compile".to_owned()).stack_size(STACK_BYTES).spawn(compile)?;
        Ok(result)
    }
}

/// Lowers the priority of this thread; without it, compiling only takes more of the workers' time.
fn stand_back() {
    // On Linux this is the calling thread's own; elsewhere it would be the whole process'.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

fn failed(message: String) -> Fault {
    Fault { phase: Phase::Module, kind: Kind::Module, message }
}

pub(super) fn panicked() -> Fault {
    failed("the compiler cannot handle it".to_owned())
}

fn too_expensive(time_max: Duration) -> Fault {
    let message = format!("it is too expensive to compile: that takes longer than {time_max:?}");
    Fault { phase: Phase::Module, kind: Kind::Expensive, message }
}
