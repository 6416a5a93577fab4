//! Compiles modules where it holds nobody up: in processes of their own, whose memory, time and death are nobody else's.
//!
//! ```text
//! the tenant's turn ─► the quick lane ─► a process ─► the module                ─► kept in the cache on disk
//!                                          └► not soon: the slow lane ─► a process ─► the module, or why there is none
//! ```
//!
//! What the process does is in [`crate::compile`]. Each lane has one at a time, and a tenant has one in all: a slow module costs
//! those behind it in the quick lane a part of its time, and no more.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jobico_event::{Digest, TenantId, text};
use jobico_service::BoxError;
use rustix::process::Signal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, oneshot};

use crate::compile::{Allowance, Nice, Program, Verdict};
use crate::function::fault::{Kind, Phase};
use crate::function::{Cache, Engine, Fault, Module};
use crate::metrics::Metrics;

/// Which part of the CPU time that a module may take a quick one takes at most: 5 s by default. A small function takes 0.1 s, one in
/// Go 2 s.
const QUICK_PART: u32 = 12;
/// How often a module's process may be killed from outside before that is taken for what the module costs.
const KILLS_MAX: u32 = 3;
/// How much a quick one stands back for threads that run functions: it has a quarter of a core where they want all of it.
const QUICK_NICE: Nice = 5;
/// The same of a slow one, which then has a tenth.
const SLOW_NICE: Nice = 10;

/// The compiler of a process.
pub(super) struct Compiler {
    program: Program,
    engine: Engine,
    cache: Option<Arc<Cache>>,
    /// For every module first.
    pub(super) quick: Lane,
    /// For those that are not compiled soon.
    pub(super) slow: Lane,
    /// One permit for each tenant that compiles.
    tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
    /// How often the processes of modules were killed that have no result yet.
    kills: Mutex<HashMap<Digest, u32>>,
    metrics: Metrics,
}

/// Where one module is compiled after the other.
pub(super) struct Lane {
    place: Semaphore,
    allowance: Allowance,
    nice: Nice,
}

impl Lane {
    fn new(allowance: Allowance, nice: Nice) -> Self {
        Self { place: Semaphore::new(1), allowance, nice }
    }

    /// Waits for the place.
    pub(super) async fn place(&self) -> SemaphorePermit<'_> {
        self.place.acquire().await.expect("the semaphore is never closed")
    }
}

/// What came of a compilation.
pub(super) enum Compiled {
    /// A module, or what is wrong with it.
    Over(Result<Module, Fault>),
    /// It takes longer than it may in its lane.
    TooLong,
    /// Neither can be said, which is no fault of the module's; and how long it took to find out.
    NotNow(BoxError, Duration),
}

impl Compiler {
    pub(super) fn new(
        engine: Engine,
        cache: Option<Arc<Cache>>,
        program: Program,
        allowance: Allowance,
        metrics: Metrics,
    ) -> Self {
        let quick = Lane::new(Allowance { time: allowance.time / QUICK_PART, ..allowance }, QUICK_NICE);
        let slow = Lane::new(allowance, SLOW_NICE);
        Self { program, engine, cache, quick, slow, tenants: Mutex::default(), kills: Mutex::default(), metrics }
    }

    /// What is wrong with a module that takes longer than it may in the slow lane.
    pub(super) fn too_long(&self) -> Fault {
        too_expensive(format!("more than {:?} of CPU time", self.slow.allowance.time))
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

    /// Compiles a module in the lane whose place the caller has, and keeps it in the cache.
    pub(super) async fn compile(self: &Arc<Self>, lane: &Lane, digest: Digest, binary: Vec<u8>) -> Compiled {
        let (done, compiled) = oneshot::channel();
        let (this, allowance, command) =
            (self.clone(), lane.allowance, self.program.command(lane.allowance, lane.nice));
        // A thread that waits for it and for nothing else, since the process ends with who started it.
        let wait = move || {
            let started = Instant::now();
            let ended = run(command, &binary);
            let took = started.elapsed();
            this.metrics.compile_seconds.observe(took.as_secs_f64());
            drop(binary);
            let (compiled, sealed) = match ended {
                Ok(output) => (this.judge(&output, took, allowance, &digest), output.stdout),
                Err(error) => (not_now(error), Vec::new()),
            };
            let is_to_be_kept = matches!(compiled, Compiled::Over(Ok(_)));
            // Whoever waited for it may be gone: the processor stops.
            let _ = done.send(compiled);
            if let Some(cache) = this.cache.as_ref().filter(|_| is_to_be_kept)
                && let Err(error) = cache.keep(&digest, &sealed)
            {
                tracing::warn!(%digest, %error, "a compiled module cannot be kept; the next start compiles it again");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("compile".to_owned()).spawn(wait) {
            return not_now(error);
        }
        compiled.await.unwrap_or_else(|_| not_now("the thread that waited for the compiler panicked"))
    }

    /// What a process that compiled says by how it ended.
    fn judge(&self, output: &Output, took: Duration, allowance: Allowance, digest: &Digest) -> Compiled {
        let Output { status, stdout, stderr } = output;
        if !stderr.is_empty() {
            let said = text::brief(String::from_utf8_lossy(stderr).trim_end());
            tracing::warn!(%digest, said, "a process that compiled a module complained");
        }
        let broken = |fault| Compiled::Over(Err(fault));
        let mib = allowance.memory_bytes >> 20;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            if self.was_killed(digest) < KILLS_MAX {
                return Compiled::NotNow("its compiler was killed".into(), took);
            }
            let takes = format!("so much that its process was killed {KILLS_MAX} times, most likely for its memory");
            return broken(too_expensive(takes));
        }
        self.kills().remove(digest);
        match status.code().and_then(Verdict::of) {
            Some(Verdict::Compiled) => match Module::open(&self.engine, digest, stdout) {
                Some(module) => Compiled::Over(module),
                None => not_now("what compiles is not of this program's build"),
            },
            Some(Verdict::Refused) => broken(failed(String::from_utf8_lossy(stdout).into_owned())),
            Some(Verdict::Panicked) => broken(failed("the compiler cannot handle it".to_owned())),
            Some(Verdict::TooLong) => Compiled::TooLong,
            Some(Verdict::Starved) => Compiled::NotNow("the machine has no CPU time for it".into(), took),
            Some(Verdict::TooLarge) => broken(too_expensive(format!("more than {mib} MiB of memory"))),
            None if is_own_death(*status) => {
                let takes = format!("more than {mib} MiB of memory, or more stack than there is ({status})");
                broken(too_expensive(takes))
            }
            Some(Verdict::Unheard) | None => Compiled::NotNow(format!("its compiler ended: {status}").into(), took),
        }
    }

    /// Counts a kill; the last one of a module is forgotten with those before it.
    fn was_killed(&self, digest: &Digest) -> u32 {
        let mut kills = self.kills();
        let so_far = kills.remove(digest).unwrap_or_default() + 1;
        if so_far < KILLS_MAX {
            kills.insert(*digest, so_far);
        }
        so_far
    }

    fn kills(&self) -> MutexGuard<'_, HashMap<Digest, u32>> {
        self.kills.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a process that compiles, and waits until it ends.
fn run(mut command: Command, binary: &[u8]) -> io::Result<Output> {
    let mut process = command.spawn()?;
    let mut input = process.stdin.take().expect("it is piped");
    // One that ends early says why, by how it ends.
    let _ = input.write_all(binary);
    drop(input);
    process.wait_with_output()
}

/// What failed for no reason that lasts.
pub(super) fn not_now(error: impl Into<BoxError>) -> Compiled {
    Compiled::NotNow(error.into(), Duration::ZERO)
}

/// Whether a process died of what it did, and not because somebody, or the machine, wanted its end.
fn is_own_death(status: ExitStatus) -> bool {
    let own = [Signal::ABORT, Signal::SEGV, Signal::ILL, Signal::FPE, Signal::TRAP];
    status.signal().is_some_and(|signal| own.iter().any(|own| own.as_raw() == signal))
}

fn failed(message: String) -> Fault {
    Fault { phase: Phase::Module, kind: Kind::Module, message }
}

fn too_expensive(takes: String) -> Fault {
    let message = format!("it is too expensive to compile: that takes {takes}");
    Fault { phase: Phase::Module, kind: Kind::Expensive, message }
}
