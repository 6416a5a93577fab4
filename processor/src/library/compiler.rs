//! Compiles modules where it holds nobody up.
//!
//! ```text
//! wait for a place ─► a thread of its own ─► in time: the module          ─► kept in the cache on disk
//!                                          └► late: the place is given up, the thread goes on ─► the module after all
//! ```
//!
//! A compilation cannot be cut short, and time is not linear in size: 1,000 variables that 1,000 branches carry out of 100
//! nested blocks take more than 40 seconds, in a function of 20 KB. The registry refuses what no compiler puts out
//! (`jobico_event::contract`), but compilers put out functions with more of each. So each has a thread of its own, of a lower
//! priority than the workers' and of the lowest once it is late; a tenant has one such thread at a time, and all together have
//! a few. A module that comes late is used and kept all the same, since it costs nothing any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jobico_event::{Digest, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::function::fault::{Kind, Phase};
use crate::function::{Cache, Engine, Fault, Module};
use crate::metrics::Metrics;

/// How many modules are compiled at once, not counting those that are late: compiling uses a core, which events need more.
const COMPILATIONS_MAX: usize = 1;
/// How many threads compile at most, those that are late among them. Where all are late, further modules wait.
const THREADS_MAX: usize = 8;
/// Stack of a thread that compiles; it is reserved, not used. The compiler recurses with what it compiles, and running out
/// of stack would end the process.
const STACK_BYTES: usize = 16 << 20;
/// How much a thread that compiles stands back for those that run functions (`nice`): it has a quarter of a core where they
/// want all of it.
const NICE: i32 = 5;
/// The same for one that is late: it has what nobody else wants.
const NICE_WHEN_LATE: i32 = 19;

/// The compiler of a process.
pub(super) struct Compiler {
    engine: Engine,
    cache: Option<Arc<Cache>>,
    places: Semaphore,
    threads: Arc<Semaphore>,
    /// One permit for each tenant that compiles.
    tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
    time_max: Duration,
    metrics: Metrics,
}

/// A compilation on its thread.
struct Running {
    result: oneshot::Receiver<Result<Module, Fault>>,
    thread: oneshot::Receiver<Option<ThreadId>>,
}

/// What a thread holds until it ends.
pub(super) struct Permits {
    _tenant: OwnedSemaphorePermit,
    _thread: OwnedSemaphorePermit,
}

/// A thread, as the kernel numbers it.
#[derive(Clone, Copy)]
struct ThreadId(rustix::process::Pid);

/// How a compilation went.
pub(super) enum Compiled {
    /// It is over.
    InTime(Result<Module, Fault>),
    /// It took too long, and goes on.
    Late(Fault, oneshot::Receiver<Result<Module, Fault>>),
    /// The machine has no thread for it.
    NotNow(std::io::Error),
}

impl Compiler {
    pub(super) fn new(engine: Engine, cache: Option<Arc<Cache>>, time_max: Duration, metrics: Metrics) -> Self {
        let (places, threads) = (Semaphore::new(COMPILATIONS_MAX), Arc::new(Semaphore::new(THREADS_MAX)));
        Self { engine, cache, places, threads, tenants: Mutex::default(), time_max, metrics }
    }

    /// How long a compilation may take before it is late.
    pub(super) fn time_max(&self) -> Duration {
        self.time_max
    }

    /// Waits for a tenant's turn to compile, which lasts as long as the compilation's thread. To be had before anything else
    /// that others wait for: a tenant may have a long queue of its own.
    pub(super) async fn turn(&self, tenant: &TenantId) -> Permits {
        let turn = self.turn_of(tenant);
        Permits {
            _tenant: turn.acquire_owned().await.expect("the semaphore is never closed"),
            _thread: self.threads.clone().acquire_owned().await.expect("the semaphore is never closed"),
        }
    }

    /// Compiles a module. Waiting for a place counts for nobody's time.
    pub(super) async fn compile(&self, permits: Permits, digest: Digest, binary: Vec<u8>) -> Compiled {
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        let Running { mut result, thread } = match self.start(digest, binary, permits) {
            Ok(running) => running,
            Err(error) => return Compiled::NotNow(error),
        };
        match tokio::time::timeout(self.time_max, &mut result).await {
            Ok(compiled) => Compiled::InTime(compiled.unwrap_or_else(|_| Err(panicked()))),
            Err(_) => {
                if let Ok(Some(thread)) = thread.await {
                    stand_back(Some(thread), NICE_WHEN_LATE);
                }
                Compiled::Late(too_expensive(self.time_max), result)
            }
        }
    }

    /// The tenant's semaphore; those of tenants that do not compile are forgotten.
    fn turn_of(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|_, turn| Arc::strong_count(turn) > 1);
        tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }

    /// Starts a thread. It ends by itself, or with the process: what it leaves behind then is a partial file, which the
    /// cache removes.
    fn start(&self, digest: Digest, binary: Vec<u8>, permits: Permits) -> std::io::Result<Running> {
        let ((done, result), (tell, thread)) = (oneshot::channel(), oneshot::channel());
        let (engine, cache, metrics) = (self.engine.clone(), self.cache.clone(), self.metrics.clone());
        let compile = move || {
            let _permits = permits;
            stand_back(None, NICE);
            // Whoever waited for either may be gone: the process stops.
            let _ = tell.send(this_thread());
            let started = Instant::now();
            let compiled = Module::compile(&engine, &binary);
            metrics.compile_seconds.observe(started.elapsed().as_secs_f64());
            drop(binary);
            let module = compiled.as_ref().ok().cloned();
            let _ = done.send(compiled);
            if let (Some(cache), Some(module)) = (cache, module)
                && let Err(error) = cache.keep(&digest, &module)
            {
                tracing::warn!(%digest, %error, "a compiled module cannot be kept; the next start compiles it again");
            }
        };
        std::thread::Builder::new().name("compile".to_owned()).stack_size(STACK_BYTES).spawn(compile)?;
        Ok(Running { result, thread })
    }
}

/// The calling thread; none where the kernel does not say.
fn this_thread() -> Option<ThreadId> {
    let path = std::fs::read_link("/proc/thread-self").ok()?;
    let number = path.file_name()?.to_str()?.parse().ok()?;
    rustix::process::Pid::from_raw(number).map(ThreadId)
}

/// Lowers the priority of a thread, the calling one where none is given. Where it fails, compiling only takes more of the
/// workers' time.
fn stand_back(thread: Option<ThreadId>, nice: i32) {
    // On Linux a priority is a thread's own; elsewhere it would be the whole process'.
    if cfg!(target_os = "linux") {
        let _ = rustix::process::setpriority_process(thread.map(|thread| thread.0), nice);
    }
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
