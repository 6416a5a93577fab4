//! The instances of functions that a worker keeps from event to event, and how an event's function is run on one of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use hashlink::LruCache;
use jobico_broker::{Cause, Class, Error};
use jobico_event::Digest;
use jobico_event::snapshot::{EventView, QueueView};

use crate::config::Limits;
use crate::function::fault::Kind;
use crate::function::{Answer, Fault, Instance, LogLine, Module};
use crate::library::{Library, Lookup};

/// See the module.
pub struct Instances {
    library: Library,
    limits: Limits,
    /// What they are made of, as long as a batch needs it.
    modules: HashMap<Digest, Result<Arc<Module>, Fault>>,
    kept: LruCache<Key, Instance>,
    /// Of the last call: the next one is most often of the same function.
    last: Option<Key>,
    /// Made since this was asked last.
    made: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    digest: Digest,
    main: String,
}

impl Instances {
    /// None yet; later at most as many as the library has room for on each worker.
    #[must_use]
    pub fn new(library: Library, limits: Limits) -> Self {
        let instances_max = library.instances_max_per_worker();
        Self { library, limits, modules: HashMap::new(), kept: LruCache::new(instances_max), last: None, made: 0 }
    }

    /// Sees to the modules of a queue's functions. False: one is not there yet, and the queue has to wait.
    pub fn prepare(&mut self, queue: &QueueView) -> bool {
        queue.events.values().all(|event| {
            let digest = event.function.digest;
            match self.modules.entry(digest) {
                Entry::Occupied(_) => true,
                Entry::Vacant(place) => match self.library.look_up(&event.tenant, &digest) {
                    Lookup::Ready(module) => {
                        place.insert(Ok(module));
                        true
                    }
                    Lookup::Broken(fault) => {
                        place.insert(Err(fault));
                        true
                    }
                    Lookup::Preparing => false,
                },
            }
        })
    }

    /// Lets go of the modules that [`Instances::prepare`] took; instances stay.
    pub fn release_modules(&mut self) {
        self.modules.clear();
    }

    /// How many are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    /// How many were made since this was asked last.
    pub fn take_made(&mut self) -> u64 {
        std::mem::take(&mut self.made)
    }

    /// Runs an event's function on `data`, which fills `output`. Each line that it logs is given to `log` with its number.
    ///
    /// # Errors
    /// That of `log`, or the machine has no room for an instance. What the function does wrong is a [`Fault`].
    ///
    /// # Panics
    /// [`Instances::prepare`] did not say yes to the event's queue.
    pub fn call(
        &mut self,
        event: &EventView,
        data: &[u8],
        output: &mut Vec<u8>,
        log: impl FnMut(usize, &LogLine) -> Result<(), Error>,
    ) -> Result<Result<Answer, Fault>, Error> {
        let (function, longest) = (&event.function, self.limits.call);
        let deadline = function.timeout_ms.map_or(longest, |ms| Duration::from_millis(ms.into()).min(longest));
        let is_same = |key: &Key| key.digest == function.digest && key.main == function.main;
        let key = self.last.take().filter(is_same);
        let key = key.unwrap_or_else(|| Key { digest: function.digest, main: function.main.clone() });
        let called = self.call_keyed(&key, deadline, data, output, log);
        self.last = Some(key);
        Ok(called?.map_err(|fault| fault.within(deadline)))
    }

    fn call_keyed(
        &mut self,
        key: &Key,
        deadline: Duration,
        data: &[u8],
        output: &mut Vec<u8>,
        mut log: impl FnMut(usize, &LogLine) -> Result<(), Error>,
    ) -> Result<Result<Answer, Fault>, Error> {
        let mut instance = match self.instance(key, deadline)? {
            Ok(instance) => instance,
            Err(fault) => return Ok(Err(fault)),
        };
        let is_used = instance.has_answered();
        let mut answer = instance.call(data, deadline, output);
        if is_used && answer.as_ref().is_err_and(|fault| fault.kind != Kind::Timeout) {
            // What earlier events left in the instance may be the reason, such as memory that it does not give back: only a
            // failure of a new one is this event's.
            self.kept.remove(key);
            instance = match self.instance(key, deadline)? {
                Ok(instance) => instance,
                Err(fault) => return Ok(Err(fault)),
            };
            answer = instance.call(data, deadline, output);
        }
        let logged: Result<(), Error> =
            instance.log().iter().enumerate().try_for_each(|(index, line)| log(index, line));
        if instance.is_broken() {
            self.kept.remove(key);
        }
        logged?;
        Ok(answer)
    }

    /// The instance that is kept, or a new one. Where the machine has no room for it, the batch has failed and not the event.
    fn instance(&mut self, key: &Key, deadline: Duration) -> Result<Result<&mut Instance, Fault>, Error> {
        if !self.kept.contains_key(key) {
            let module = match self.modules.get(&key.digest).expect("prepare() said yes to this event's queue") {
                Ok(module) => module,
                Err(fault) => return Ok(Err(fault.clone())),
            };
            // Room is made first, since the pool behind has a place for each that is kept and no more.
            if self.kept.len() >= self.kept.capacity() {
                self.kept.remove_lru();
            }
            let instance = match Instance::new(module, &key.main, &self.limits, deadline) {
                Ok(instance) => instance,
                Err(fault) if fault.kind == Kind::Machine => {
                    // Room for the next try, which is the same batch again.
                    self.kept.clear();
                    return Err(Error::new(Class::Abortable, Cause::Other, "make an instance", fault.message));
                }
                Err(fault) => return Ok(Err(fault)),
            };
            self.made += 1;
            self.kept.insert(key.clone(), instance);
        }
        Ok(Ok(self.kept.get_mut(key).expect("it was there or has just been put there")))
    }
}
