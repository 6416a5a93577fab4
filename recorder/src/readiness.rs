//! What the process says of its store: each who uses it has its own word, and the store is ready when all are content.
//!
//! One word for all would flap: a check that reads well says nothing of writes that fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobico_service::health::Component;
use jobico_service::{BoxError, chain};
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often the store is asked whether it answers.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The component `store` of the process.
#[derive(Debug, Clone)]
pub struct StoreHealth {
    component: Component,
    complaints: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

/// One who uses the store.
#[derive(Debug, Clone)]
pub struct Source {
    health: StoreHealth,
    name: &'static str,
}

impl StoreHealth {
    /// The component; it is starting until the first word.
    #[must_use]
    pub fn new(component: Component) -> Self {
        Self { component, complaints: Arc::default() }
    }

    /// A user of the store.
    #[must_use]
    pub fn source(&self, name: &'static str) -> Source {
        Source { health: self.clone(), name }
    }
}

impl Source {
    /// It did what was asked.
    pub fn ready(&self) {
        self.say(None);
    }

    /// It did not.
    pub fn failing(&self, why: &str) {
        self.say(Some(why.to_owned()));
    }

    fn say(&self, complaint: Option<String>) {
        let mut complaints = self.health.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        match complaint {
            Some(why) => complaints.insert(self.name, why),
            None => complaints.remove(self.name),
        };
        // Under the lock, so that the component hears words in their order.
        match complaints.values().next() {
            Some(why) => self.health.component.failing(why),
            None => self.health.component.ready(),
        }
    }
}

/// Asks the store from time to time, so that readiness is right also while nothing is recorded.
///
/// # Errors
/// None today; the signature is that of a task.
pub async fn watch(store: Arc<dyn Store>, source: Source, stop: CancellationToken) -> Result<(), BoxError> {
    loop {
        match store.check().await {
            Ok(()) => source.ready(),
            Err(error) => source.failing(&chain(&error)),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use jobico_service::Health;

    use super::*;

    #[test]
    fn a_store_is_ready_when_all_who_use_it_are_content() {
        let health = Health::default();
        let store = StoreHealth::new(health.component("store"));
        let (reads, writes) = (store.source("check"), store.source("results"));
        writes.failing("disk full");
        reads.ready();
        assert_eq!(health.report().components["store"], "disk full");
        writes.ready();
        assert!(health.is_ready());
    }
}
