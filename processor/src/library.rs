//! The modules that the workers of a process share: fetched, checked and compiled off the path of events.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jobico_catalog::Artifacts;
use jobico_event::{Digest, TenantId};
use jobico_service::{BoxError, chain};
use tokio::sync::Semaphore;

use crate::config::Limits;
use crate::function::fault::{Kind, Phase};
use crate::function::{Engine, Fault, Module};

/// How many modules are compiled at once: compiling uses a core, which events need more.
const COMPILATIONS_MAX: usize = 1;
/// How long to wait before a module is asked for again that could not be fetched.
const FETCH_RETRY: Duration = Duration::from_secs(1);

/// The library. Clones are the same.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

struct Inner {
    engine: Engine,
    instances_max_per_worker: usize,
    artifacts: Artifacts,
    shelf: Mutex<HashMap<Digest, Slot>>,
    settled: AtomicU64,
    compiling: Semaphore,
    runtime: tokio::runtime::Handle,
}

enum Slot {
    Preparing,
    Ready(Arc<Module>),
    /// The module itself is at fault: this does not change.
    Broken(Fault),
    /// It could not be had; to be asked for again after this.
    Missing(Instant),
}

/// What the library says of a module.
pub enum Lookup {
    /// Here it is.
    Ready(Arc<Module>),
    /// It is being fetched or compiled, or cannot be fetched for now.
    Preparing,
    /// It cannot be used, ever.
    Broken(Fault),
}

impl Library {
    /// An empty library with an engine of its own.
    ///
    /// # Errors
    /// The engine cannot be set up: the machine lacks the address space for its pool.
    pub fn new(limits: &Limits, workers: usize, artifacts: Artifacts) -> Result<Self, BoxError> {
        Ok(Self(Arc::new(Inner {
            engine: Engine::new(limits)?,
            instances_max_per_worker: (limits.instances / workers.max(1)).max(1),
            artifacts,
            shelf: Mutex::default(),
            settled: AtomicU64::new(0),
            compiling: Semaphore::new(COMPILATIONS_MAX),
            runtime: tokio::runtime::Handle::current(),
        })))
    }

    /// How many instances a worker may keep, so that all workers together fit into the engine's pool.
    #[must_use]
    pub fn instances_max_per_worker(&self) -> usize {
        self.0.instances_max_per_worker
    }

    /// Counts up whenever a module is settled: it is time to ask again.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.0.settled.load(Ordering::Acquire)
    }

    /// The module of that digest; where it is not there yet, this sees to it.
    #[must_use]
    pub fn look_up(&self, tenant: &TenantId, digest: &Digest) -> Lookup {
        let mut shelf = self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        match shelf.get(digest) {
            Some(Slot::Ready(module)) => return Lookup::Ready(module.clone()),
            Some(Slot::Broken(fault)) => return Lookup::Broken(fault.clone()),
            Some(Slot::Preparing) => return Lookup::Preparing,
            Some(Slot::Missing(again)) if Instant::now() < *again => return Lookup::Preparing,
            Some(Slot::Missing(_)) | None => {}
        }
        shelf.insert(*digest, Slot::Preparing);
        drop(shelf);
        let (inner, tenant, digest) = (self.0.clone(), tenant.clone(), *digest);
        self.0.runtime.spawn(async move {
            let slot = prepare(&inner, &tenant, digest).await;
            inner.shelf.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, slot);
            inner.settled.fetch_add(1, Ordering::AcqRel);
        });
        Lookup::Preparing
    }
}

async fn prepare(inner: &Arc<Inner>, tenant: &TenantId, digest: Digest) -> Slot {
    let binary = match inner.artifacts.get(&digest).await {
        Ok(binary) => binary,
        Err(error) => {
            tracing::warn!(%tenant, %digest, reason = %chain(&error), "a module cannot be had for now; its events wait");
            tokio::time::sleep(FETCH_RETRY).await;
            return Slot::Missing(Instant::now());
        }
    };
    let Ok(_permit) = inner.compiling.acquire().await else { return Slot::Missing(Instant::now()) };
    let engine = inner.engine.clone();
    let started = Instant::now();
    let compiled = tokio::task::spawn_blocking(move || Module::compile(&engine, &binary)).await;
    match compiled {
        Ok(Ok(module)) => {
            tracing::info!(%tenant, %digest, ms = started.elapsed().as_millis(), "a module is ready");
            Slot::Ready(Arc::new(module))
        }
        Ok(Err(fault)) => {
            tracing::warn!(%tenant, %digest, %fault, "a module cannot be used; its events become dead letters");
            Slot::Broken(fault)
        }
        Err(panic) => Slot::Broken(Fault { phase: Phase::Module, kind: Kind::Module, message: panic.to_string() }),
    }
}
