//! Compiles modules where it holds nobody up: in processes of their own, whose memory, time and death are nobody else's.
//!
//! ```text
//! the tenant's turn ─► the place ─► a process ─► soon: the module                                      ─► kept in the cache on disk
//!                                      └► not soon: the place for slow ones, and least priority ─► the module, or why not
//! ```
//!
//! What the process does is in [`crate::compile`]. A tenant has one at a time, and all together have two: one that takes long
//! does not hold up the next.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jobico_event::{Digest, TenantId};
use jobico_service::BoxError;
use rustix::process::{Pid, Signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::compile::{Allowance, Program, Verdict};
use crate::function::fault::{Kind, Phase};
use crate::function::{Cache, Engine, Fault, Module};
use crate::metrics::Metrics;

/// How many modules are compiled at once, not counting slow ones: compiling uses a core, which events need more.
const PLACES: usize = 1;
/// How many slow ones besides.
const SLOW_PLACES: usize = 1;
/// After this long a compilation is a slow one.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// How much a slow one stands back for everything else (`nice`): it has what nobody wants.
const NICE_WHEN_SLOW: i32 = 19;

/// The compiler of a process.
pub(super) struct Compiler {
    task: Task,
    places: Semaphore,
    slow_places: Semaphore,
    /// One permit for each tenant that compiles.
    tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

/// What each compilation needs to know.
#[derive(Clone)]
struct Task {
    program: Program,
    allowance: Allowance,
    engine: Engine,
    cache: Option<Arc<Cache>>,
    metrics: Metrics,
}

/// What came of a compilation: a module or what is wrong with it; or why neither can be said, which is no fault of its.
pub(super) type Compiled = Result<Result<Module, Fault>, BoxError>;

/// A compilation in its process.
struct Running {
    process: Pid,
    compiled: oneshot::Receiver<Compiled>,
}

impl Compiler {
    pub(super) fn new(
        engine: Engine,
        cache: Option<Arc<Cache>>,
        program: Program,
        allowance: Allowance,
        metrics: Metrics,
    ) -> Self {
        let task = Task { program, allowance, engine, cache, metrics };
        let (places, slow_places) = (Semaphore::new(PLACES), Semaphore::new(SLOW_PLACES));
        Self { task, places, slow_places, tenants: Mutex::default() }
    }

    /// Waits for a tenant's turn to compile. To be had before anything else that others wait for: a tenant may have a long
    /// queue of its own.
    pub(super) async fn turn(&self, tenant: &TenantId) -> OwnedSemaphorePermit {
        self.turn_of(tenant).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// The tenant's semaphore; those of tenants that do not compile are forgotten.
    fn turn_of(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|_, turn| Arc::strong_count(turn) > 1);
        tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }

    /// Compiles a module, and keeps it in the cache.
    pub(super) async fn compile(&self, digest: Digest, binary: Vec<u8>) -> Compiled {
        let place = self.places.acquire().await.expect("the semaphore is never closed");
        let Running { process, mut compiled } = self.task.clone().start(digest, binary).await?;
        if let Ok(compiled) = tokio::time::timeout(SOON, &mut compiled).await {
            return over(compiled);
        }
        tokio::select! {
            compiled = &mut compiled => over(compiled),
            slow_place = self.slow_places.acquire() => {
                drop(place);
                // All of its threads, which are one group. Where it fails it only takes more of the workers' time.
                let _ = rustix::process::setpriority_pgrp(Some(process), NICE_WHEN_SLOW);
                let compiled = over(compiled.await);
                drop(slow_place);
                compiled
            }
        }
    }
}

/// What the thread said that waited for a compilation.
fn over(said: Result<Compiled, oneshot::error::RecvError>) -> Compiled {
    said.unwrap_or_else(|_| Err("the thread that waited for the compiler panicked".into()))
}

impl Task {
    /// Starts a process, and a thread that waits for it.
    async fn start(self, digest: Digest, binary: Vec<u8>) -> Result<Running, BoxError> {
        let ((tell, process), (done, compiled)) = (oneshot::channel(), oneshot::channel());
        let wait = move || {
            // By this thread, since the process ends with who started it.
            let child = match self.program.command(self.allowance).process_group(0).spawn() {
                Ok(child) => child,
                // Whoever waits for either may be gone: the processor stops.
                Err(error) => return drop(tell.send(Err(error))),
            };
            let _ = tell.send(Ok(Pid::from_child(&child)));
            let started = Instant::now();
            let compiled = self.result_of(child, &digest, &binary);
            self.metrics.compile_seconds.observe(started.elapsed().as_secs_f64());
            drop(binary);
            let module = compiled.as_ref().ok().and_then(|compiled| compiled.as_ref().ok()).cloned();
            let _ = done.send(compiled);
            if let (Some(cache), Some(module)) = (&self.cache, module)
                && let Err(error) = cache.keep(&digest, &module)
            {
                tracing::warn!(%digest, %error, "a compiled module cannot be kept; the next start compiles it again");
            }
        };
        std::thread::Builder::new().name("compile".to_owned()).spawn(wait)?;
        Ok(Running { process: process.await??, compiled })
    }

    /// Gives a process what it is to compile, and waits until it ends.
    fn result_of(&self, mut child: Child, digest: &Digest, binary: &[u8]) -> Compiled {
        let mut input = child.stdin.take().expect("it is piped");
        // One that ends early says why, by how it ends.
        let _ = input.write_all(binary);
        drop(input);
        let output = child.wait_with_output()?;
        if !output.stderr.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr);
            tracing::warn!(%digest, said = said.trim_end(), "a process that compiled a module complained");
        }
        let said = output.status.code().and_then(Verdict::of);
        let fault = match said {
            Some(Verdict::Compiled) => {
                let module = Module::open(&self.engine, digest, &output.stdout);
                return module.ok_or_else(|| "what compiles is not of this program's build".into());
            }
            Some(Verdict::Refused) => failed(String::from_utf8_lossy(&output.stdout).into_owned()),
            Some(Verdict::Panicked) => failed("the compiler cannot handle it".to_owned()),
            Some(Verdict::TooLong) => too_expensive(format!("more than {:?} of CPU time", self.allowance.time)),
            Some(Verdict::Starved) => return Err("the machine has no CPU time for it".into()),
            Some(Verdict::Unheard) | None if is_own_death(output.status) => {
                let mib = self.allowance.memory_bytes >> 20;
                too_expensive(format!("more than {mib} MiB of memory, or more stack than there is ({})", output.status))
            }
            Some(Verdict::Unheard) | None => return Err(format!("its compiler ended: {}", output.status).into()),
        };
        Ok(Err(fault))
    }
}

/// Whether a process died of what it did, and not because somebody, or the machine, wanted its end.
fn is_own_death(status: ExitStatus) -> bool {
    let own = [Signal::ABORT, Signal::SEGV, Signal::BUS, Signal::ILL, Signal::FPE, Signal::SYS, Signal::TRAP];
    status.signal().is_some_and(|signal| own.iter().any(|own| own.as_raw() == signal))
}

fn failed(message: String) -> Fault {
    Fault { phase: Phase::Module, kind: Kind::Module, message }
}

fn too_expensive(takes: String) -> Fault {
    let message = format!("it is too expensive to compile: that takes {takes}");
    Fault { phase: Phase::Module, kind: Kind::Expensive, message }
}
