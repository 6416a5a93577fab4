//! What the library has, by digest, and how much of it stays in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashlink::LruCache;
use jobico_event::Digest;

use super::Lookup;
use crate::function::{Fault, Module};

/// A module that was asked for within this time stays, however much there is: the functions of one queue are needed
/// together, and must not push each other out. As long as this, thousands of tenants that all have an event just now may
/// take more than the limit.
const REST: Duration = Duration::from_secs(1);

/// The modules.
pub(super) struct Shelf {
    ready: LruCache<Digest, Ready>,
    /// Of those that are not ready. As many as there are digests in the catalog.
    others: HashMap<Digest, Other>,
    bytes: usize,
    bytes_max: usize,
}

struct Ready {
    module: Arc<Module>,
    asked: Instant,
}

/// A module that is not ready.
#[derive(Debug, Clone)]
pub(super) enum Other {
    /// Somebody sees to it.
    Preparing,
    /// The module itself is at fault: as long as nothing else is put here, this does not change.
    Broken(Fault),
    /// It could not be had; it may be asked for again.
    Missing,
}

impl Shelf {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { ready: LruCache::new_unbounded(), others: HashMap::new(), bytes: 0, bytes_max }
    }

    /// What there is of a module. None: nobody sees to it yet, and who asked has to, now.
    pub(super) fn claim(&mut self, digest: &Digest) -> Option<Lookup> {
        if let Some(ready) = self.ready.get_mut(digest) {
            ready.asked = Instant::now();
            return Some(Lookup::Ready(ready.module.clone()));
        }
        match self.others.get(digest) {
            Some(Other::Broken(fault)) => Some(Lookup::Broken(fault.clone())),
            Some(Other::Preparing) => Some(Lookup::Preparing),
            Some(Other::Missing) | None => {
                self.put(*digest, Other::Preparing);
                None
            }
        }
    }

    pub(super) fn put(&mut self, digest: Digest, other: Other) {
        self.others.insert(digest, other);
    }

    /// Puts a module up, and takes those away that were not asked for the longest time, where there is more than the limit.
    /// Who has one still keeps it.
    pub(super) fn put_ready(&mut self, digest: Digest, module: Module) {
        self.others.remove(&digest);
        self.bytes += module.bytes();
        let ready = Ready { module: Arc::new(module), asked: Instant::now() };
        if let Some(before) = self.ready.insert(digest, ready) {
            self.bytes -= before.module.bytes();
        }
        while self.bytes > self.bytes_max
            && self.ready.iter().next().is_some_and(|(_, oldest)| oldest.asked.elapsed() > REST)
            && let Some((_, ready)) = self.ready.remove_lru()
        {
            self.bytes -= ready.module.bytes();
        }
    }
}
