//! The modules that the workers of a process share: fetched, checked and compiled off the path of events.
//!
//! ```text
//! digest ─► shelf (in memory, bounded) ─► cache (compiled, on disk) ─► artifacts (wasm: disk, registry) ─► compiler
//! ```
//!
//! A module is asked for with the first event that needs it, or before ([`Library::foresee`]), so that this event waits for
//! no compiler.

mod compiler;
mod shelf;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jobico_catalog::Artifacts;
use jobico_event::{Digest, TenantId};
use jobico_service::{BoxError, chain};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc};

use crate::compile::Program;
use crate::config::Limits;
use crate::function::cache::{self, Cache, Found};
use crate::function::{Engine, Fault, Module};
use crate::metrics::Metrics;
use compiler::{Compiled, Compiler};
use shelf::{Other, Shelf};

/// How many compiled modules are read from the cache at once.
const READS_MAX: usize = 4;
/// How many modules are fetched, or wait to be compiled, at once: each is in memory meanwhile.
const FETCHES_MAX: usize = 8;
/// How long to wait, at least, before a module is asked for again that could not be had.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long at most, where its compiler took long for nothing.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// The library. Clones are the same.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
    /// Modules that will be needed. What takes them ends with the last library.
    foreseen: mpsc::UnboundedSender<(TenantId, Digest)>,
}

struct Inner {
    instances_max_per_worker: usize,
    artifacts: Artifacts,
    cache: Option<Arc<Cache>>,
    compiler: Arc<Compiler>,
    shelf: Mutex<Shelf>,
    settled: AtomicU64,
    reading: Semaphore,
    fetching: Semaphore,
    metrics: Metrics,
    runtime: tokio::runtime::Handle,
}

/// How much is done for a module.
#[derive(Clone, Copy)]
enum Lanes {
    /// It is compiled where that is quick.
    Quick,
    /// It is compiled.
    Both,
}

/// What came of that.
enum Prepared {
    /// The shelf says.
    Settled,
    /// It is not compiled quickly, and has not been otherwise.
    TooLong,
}

/// What the library says of a module.
pub enum Lookup {
    /// Here it is.
    Ready(Arc<Module>),
    /// It is being fetched or compiled, or cannot be fetched for now.
    Preparing,
    /// It cannot be used.
    Broken(Fault),
}

impl Library {
    /// An empty library with an engine of its own. Compiled modules are kept below `data_dir`; where that cannot be, each
    /// start compiles them anew.
    ///
    /// # Errors
    /// The engine cannot be set up: the machine lacks the address space for its pool.
    pub fn new(
        limits: &Limits,
        workers: usize,
        artifacts: Artifacts,
        data_dir: &Path,
        compiler: Program,
        metrics: Metrics,
    ) -> Result<Self, BoxError> {
        let engine = Engine::new(limits)?;
        let folder = data_dir.join(cache::FOLDER);
        let cache = match Cache::open(&folder, limits.compiled_bytes, &engine) {
            Ok(cache) => Some(Arc::new(cache)),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "compiled modules are not kept; each start compiles them");
                None
            }
        };
        let inner = Arc::new(Inner {
            instances_max_per_worker: (limits.instances / workers.max(1)).max(1),
            artifacts,
            compiler: Arc::new(Compiler::new(engine, cache.clone(), compiler, limits.compile, metrics.clone())),
            cache,
            shelf: Mutex::new(Shelf::new(limits.modules_bytes)),
            settled: AtomicU64::new(0),
            reading: Semaphore::new(READS_MAX),
            fetching: Semaphore::new(FETCHES_MAX),
            metrics,
            runtime: tokio::runtime::Handle::current(),
        });
        let (foreseen, modules) = mpsc::unbounded_channel();
        inner.runtime.spawn(inner.clone().prepare_foreseen(modules));
        Ok(Self { inner, foreseen })
    }

    /// How many instances a worker may keep, so that all workers together fit into the engine's pool.
    #[must_use]
    pub fn instances_max_per_worker(&self) -> usize {
        self.inner.instances_max_per_worker
    }

    /// Counts up whenever a module is settled: it is time to ask again.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.inner.settled.load(Ordering::Acquire)
    }

    /// The module of that digest; where it is not there yet, this sees to it.
    #[must_use]
    pub fn look_up(&self, tenant: &TenantId, digest: &Digest) -> Lookup {
        let claimed = self.inner.shelf().claim(digest);
        if let Some(lookup) = claimed {
            return lookup;
        }
        let (inner, tenant, digest) = (self.inner.clone(), tenant.clone(), *digest);
        self.inner.runtime.spawn(async move { inner.prepare(&tenant, digest, Lanes::Both).await });
        Lookup::Preparing
    }

    /// Says that this module will be needed: it is compiled when nothing else is, one after the other, and kept on the disk.
    pub fn foresee(&self, tenant: &TenantId, digest: &Digest) {
        // It is taken for as long as there is a library.
        let _ = self.foreseen.send((tenant.clone(), *digest));
    }
}

impl Inner {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, digest: Digest, outcome: Result<Module, Other>) {
        match outcome {
            Ok(module) => self.shelf().put_ready(digest, module),
            Err(other) => self.shelf().put(digest, other),
        }
        self.settled.fetch_add(1, Ordering::AcqRel);
    }

    /// Prepares one module after the other, so that one that is needed now has at most one of these before it. Slow ones come
    /// last; whoever needs one of them before that has it prepared at once.
    async fn prepare_foreseen(self: Arc<Self>, mut modules: mpsc::UnboundedReceiver<(TenantId, Digest)>) {
        let mut slow = VecDeque::new();
        loop {
            let next = match modules.try_recv() {
                Err(TryRecvError::Empty) if slow.is_empty() => modules.recv().await.ok_or(TryRecvError::Disconnected),
                next => next,
            };
            let ((tenant, digest), lanes) = match next {
                Ok(module) => (module, Lanes::Quick),
                Err(TryRecvError::Empty) => match slow.pop_front() {
                    Some(module) => (module, Lanes::Both),
                    None => continue,
                },
                Err(TryRecvError::Disconnected) => return,
            };
            if self.is_kept(digest).await || self.shelf().claim(&digest).is_some() {
                continue;
            }
            let this = self.clone();
            let of = tenant.clone();
            // A panic was reported where it was.
            if let Ok(Prepared::TooLong) = tokio::spawn(async move { this.prepare(&of, digest, lanes).await }).await {
                slow.push_back((tenant, digest));
            }
        }
    }

    /// Whether the disk has it already.
    async fn is_kept(&self, digest: Digest) -> bool {
        let Some(cache) = self.cache.clone() else { return false };
        tokio::task::spawn_blocking(move || cache.has(&digest)).await.unwrap_or(false)
    }

    async fn prepare(self: &Arc<Self>, tenant: &TenantId, digest: Digest, lanes: Lanes) -> Prepared {
        let started = Instant::now();
        if let Some(module) = self.compiled_before(digest).await {
            tracing::info!(%tenant, %digest, ms = started.elapsed().as_millis(), "a module is ready, as it was compiled before");
            self.settle(digest, Ok(module));
            return Prepared::Settled;
        }
        let turn = self.compiler.turn(tenant).await;
        let compiled = match self.compile_soon(digest).await {
            Compiled::TooLong if matches!(lanes, Lanes::Both) => self.compile_slowly(digest).await,
            compiled => compiled,
        };
        drop(turn);
        match compiled {
            Compiled::Over(compiled) => self.compiled(tenant, digest, started, compiled),
            Compiled::TooLong if matches!(lanes, Lanes::Quick) => {
                self.settle(digest, Err(Other::Missing));
                return Prepared::TooLong;
            }
            Compiled::TooLong => self.compiled(tenant, digest, started, Err(self.compiler.too_long())),
            // What took long and may do so again has as long a pause.
            Compiled::NotNow(error, took) => {
                self.put_off(tenant, digest, error, took.clamp(RETRY_AFTER, RETRY_AFTER_MAX)).await;
            }
        }
        Prepared::Settled
    }

    async fn compile_soon(&self, digest: Digest) -> Compiled {
        // Fetched before it has the place, while others are compiled.
        let _fetch = self.fetching.acquire().await.expect("the semaphore is never closed");
        let binary = match self.artifacts.get(&digest).await {
            Ok(binary) => binary,
            Err(error) => return compiler::not_now(error),
        };
        let lane = &self.compiler.quick;
        let _place = lane.place().await;
        self.compiler.compile(lane, digest, binary).await
    }

    async fn compile_slowly(&self, digest: Digest) -> Compiled {
        let lane = &self.compiler.slow;
        let _place = lane.place().await;
        // Fetched again, since many may have waited for the place.
        match self.artifacts.get(&digest).await {
            Ok(binary) => self.compiler.compile(lane, digest, binary).await,
            Err(error) => compiler::not_now(error),
        }
    }

    /// Leaves a module to whoever asks for it next.
    async fn put_off(&self, tenant: &TenantId, digest: Digest, error: BoxError, pause: Duration) {
        tracing::warn!(%tenant, %digest, reason = %chain(&*error), "a module cannot be had for now; its events wait");
        tokio::time::sleep(pause).await;
        self.settle(digest, Err(Other::Missing));
    }

    fn compiled(&self, tenant: &TenantId, digest: Digest, started: Instant, compiled: Result<Module, Fault>) {
        match &compiled {
            Ok(_) => tracing::info!(%tenant, %digest, ms = started.elapsed().as_millis(), "a module is ready"),
            Err(fault) => {
                tracing::warn!(%tenant, %digest, %fault, "a module cannot be used; its events become dead letters");
            }
        }
        self.settle(digest, compiled.map_err(Other::Broken));
    }

    /// The module, where it was compiled before.
    async fn compiled_before(&self, digest: Digest) -> Option<Module> {
        let cache = self.cache.clone()?;
        let _read = self.reading.acquire().await.expect("the semaphore is never closed");
        // A panic there is as good as a damaged file.
        let found = tokio::task::spawn_blocking(move || cache.load(&digest)).await.unwrap_or(Found::Unusable);
        let (module, outcome) = match found {
            Found::Hit(module) => (Some(module), "hit"),
            Found::Missing => (None, "miss"),
            Found::Unusable => (None, "unusable"),
        };
        self.metrics.module_cache.with_label_values(&[outcome]).inc();
        module
    }
}
