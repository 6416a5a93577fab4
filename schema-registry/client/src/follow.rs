//! Follows the control plane's topics into a snapshot.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jobico_broker::{Batch, Broker, Class, Retention, Start, TopicSpec};
use jobico_event::name;
use jobico_event::snapshot::{Catalog, Snapshot};
use jobico_service::{BoxError, Frame};
use tokio::sync::watch;

/// How long one wait for new records takes at most; a stop is noticed after it.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// How long to wait before the topics are followed anew after an error.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// The catalog, as this process knows it. Clones are the same.
#[derive(Clone)]
pub struct Handle {
    current: Arc<ArcSwap<Snapshot>>,
    revision: watch::Receiver<u64>,
}

impl Handle {
    /// The snapshot now.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Counts up with each snapshot, from 0; a cheap way for a loop to see that there is a new one.
    #[must_use]
    pub fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// Waits for the next snapshot after the last one waited for. False: there will be none, the process stops.
    pub async fn changed(&mut self) -> bool {
        self.revision.changed().await.is_ok()
    }

    /// A handle on a snapshot that never changes: for tests and tools.
    #[must_use]
    pub fn fixed(snapshot: Snapshot) -> Self {
        // The sender is dropped: `changed` answers false at once, which is true.
        let (_, revision) = watch::channel(0);
        Self { current: Arc::new(ArcSwap::from_pointee(snapshot)), revision }
    }
}

/// The topics of the control plane.
#[must_use]
pub fn topics() -> [TopicSpec; 2] {
    [name::SCHEMAS, name::CATALOG].map(|topic| TopicSpec {
        name: topic.to_owned(),
        // One partition: the order of all writes is the order in which every service sees them.
        partitions: 1,
        retention: Retention::Compact,
    })
}

/// Makes sure that the control plane's topics exist, reads them to their end, and goes on following them in a task.
///
/// # Errors
/// The topics cannot be made or read: the log does not answer.
pub async fn start(frame: &Frame, broker: Arc<dyn Broker>) -> Result<Handle, BoxError> {
    broker.ensure_topics(&topics()).await?;
    let health = frame.health.component("catalog");
    let (revised, revision) = watch::channel(0);
    let handle = Handle { current: Arc::new(ArcSwap::from_pointee(Snapshot::default())), revision };
    let current = handle.current.clone();
    let stop = frame.tasks.stop_token();
    let (loaded, first) = tokio::sync::oneshot::channel();
    let mut loaded = Some(loaded);
    frame.tasks.spawn_thread("catalog", move || {
        while !stop.is_cancelled() {
            let mut publish = |catalog: &mut Catalog| {
                current.store(Arc::new(catalog.snapshot()));
                revised.send_modify(|revision| *revision += 1);
                health.ready();
                if let Some(loaded) = loaded.take() {
                    let _ = loaded.send(()); // the starter has given up: the process stops
                }
            };
            if let Err(error) = follow(&*broker, &mut publish, &|| stop.is_cancelled()) {
                health.failing(&error);
                std::thread::sleep(RETRY_WAIT);
            }
        }
        Ok(())
    })?;
    first.await.map_err(|_| "the catalog could not be read before the process was stopped")?;
    Ok(handle)
}

fn follow(
    broker: &dyn Broker,
    publish: &mut dyn FnMut(&mut Catalog),
    stopped: &dyn Fn() -> bool,
) -> Result<(), jobico_broker::Error> {
    let mut follower = broker.follow(&topics().map(|topic| topic.name), Start::Beginning)?;
    let (mut catalog, mut batch) = (Catalog::default(), Batch::new());
    follower.read_to_end(&mut batch)?;
    loop {
        for record in batch.iter() {
            let key = record.key().unwrap_or_default();
            let applied = match &**record.topic() {
                name::SCHEMAS => catalog.apply_schema(key, record.value()),
                _ => catalog.apply(key, record.value()),
            };
            if let Err(error) = applied {
                tracing::warn!(%error, offset = record.offset(), "the catalog holds a record that cannot be read");
            }
        }
        publish(&mut catalog);
        loop {
            match follower.poll(&mut batch, POLL_WAIT) {
                Ok(()) if stopped() => return Ok(()),
                Ok(()) if batch.is_empty() => {}
                Ok(()) => break,
                Err(error) if error.class == Class::Retriable => {
                    tracing::warn!(%error, "the catalog is not followed for now")
                }
                Err(error) => return Err(error),
            }
        }
    }
}
