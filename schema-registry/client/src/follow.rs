//! Follows the control plane's topics into a snapshot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jobico_broker::{Batch, Broker, Class, Follower, Retention, Start, TopicSpec};
use jobico_event::name;
use jobico_event::snapshot::{Catalog, Snapshot};
use jobico_service::health::Component;
use jobico_service::{BoxError, Frame};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long one wait for new records takes at most; a stop is noticed after it.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// How long to wait after an error before the topics are made or followed again.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// After this long without a new record a burst is over, and its snapshot is made.
const QUIET: Duration = Duration::from_millis(5);
/// How long a burst may hold a snapshot back. A snapshot costs tens of milliseconds with 10,000 tenants, whatever has
/// changed: a thousand deployments in a row must not make a thousand of them.
const BURST_MAX: Duration = Duration::from_millis(200);

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

    /// A handle on a snapshot, and what changes it: for tests.
    #[must_use]
    pub fn held(snapshot: impl Into<Arc<Snapshot>>) -> (Self, Holder) {
        let (revised, revision) = watch::channel(0);
        let current = Arc::new(ArcSwap::new(snapshot.into()));
        (Self { current: current.clone(), revision }, Holder { current, revised })
    }

    /// A handle on a snapshot that never changes: for tests and tools.
    #[must_use]
    pub fn fixed(snapshot: Snapshot) -> Self {
        // The sender is dropped: `changed` answers false at once, which is true.
        let (_, revision) = watch::channel(0);
        Self { current: Arc::new(ArcSwap::from_pointee(snapshot)), revision }
    }
}

/// Changes the snapshot of its [`Handle::held`].
#[derive(Debug)]
pub struct Holder {
    current: Arc<ArcSwap<Snapshot>>,
    revised: watch::Sender<u64>,
}

impl Holder {
    /// Puts a new snapshot in the place of the last.
    pub fn put(&self, snapshot: impl Into<Arc<Snapshot>>) {
        self.current.store(snapshot.into());
        self.revised.send_modify(|revision| *revision += 1);
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
        record_bytes_max: None,
    })
}

/// Makes sure that the control plane's topics exist, reads them to their end, and goes on following them in a task. While
/// the log is away it tries again, and the component `catalog` says why it is not ready.
///
/// # Errors
/// The process was stopped before the catalog was read, or the log will not be used whatever happens: its settings are
/// wrong.
pub async fn start(frame: &Frame, broker: Arc<dyn Broker>) -> Result<Handle, BoxError> {
    let health = frame.health.component("catalog");
    let stop = frame.tasks.stop_token();
    make_topics(&*broker, &health, &stop).await?;
    let (revised, revision) = watch::channel(0);
    let handle = Handle { current: Arc::new(ArcSwap::from_pointee(Snapshot::default())), revision };
    let current = handle.current.clone();
    let (loaded, first) = tokio::sync::oneshot::channel();
    let mut loaded = Some(loaded);
    frame.tasks.spawn_thread("catalog", move || {
        let mut publish = |catalog: &mut Catalog| {
            current.store(Arc::new(catalog.snapshot()));
            revised.send_modify(|revision| *revision += 1);
            if let Some(loaded) = loaded.take() {
                let _ = loaded.send(()); // the starter has given up: the process stops
            }
        };
        while !stop.is_cancelled() {
            if let Err(error) = follow(&*broker, &mut publish, &health, &stop) {
                health.failing(&error);
                std::thread::sleep(RETRY_WAIT);
            }
        }
        Ok(())
    })?;
    first.await.map_err(|_| "the catalog could not be read before the process was stopped")?;
    Ok(handle)
}

/// Makes the topics that are missing, and tries until the log is there.
async fn make_topics(broker: &dyn Broker, health: &Component, stop: &CancellationToken) -> Result<(), BoxError> {
    let attempts = async {
        loop {
            match broker.ensure_topics(&topics()).await {
                Ok(()) => return Ok(()),
                Err(error) if error.class == Class::Fatal => return Err(error.into()),
                Err(error) => health.failing(&error),
            }
            tokio::time::sleep(RETRY_WAIT).await;
        }
    };
    tokio::select! {
        made = attempts => made,
        () = stop.cancelled() => Err("the process was stopped before the log was there".into()),
    }
}

/// Follows until the process stops, or the follower is of no more use.
fn follow(
    broker: &dyn Broker,
    publish: &mut dyn FnMut(&mut Catalog),
    health: &Component,
    stop: &CancellationToken,
) -> Result<(), jobico_broker::Error> {
    let mut follower = broker.follow(&topics().map(|topic| topic.name), Start::Beginning)?;
    let (mut catalog, mut batch) = (Catalog::default(), Batch::new());
    follower.read_to_end(&mut batch)?;
    apply(&mut catalog, &batch);
    loop {
        // In this order: who waits for the first catalog has one that is ready.
        health.ready();
        publish(&mut catalog);
        while !gather(&mut *follower, &mut catalog, &mut batch, health)? {
            if stop.is_cancelled() {
                return Ok(());
            }
        }
    }
}

/// Takes in what comes within a wait, and the rest of a burst with it. False: nothing came.
fn gather(
    follower: &mut dyn Follower,
    catalog: &mut Catalog,
    batch: &mut Batch,
    health: &Component,
) -> Result<bool, jobico_broker::Error> {
    match follower.poll(batch, POLL_WAIT) {
        Ok(()) => {}
        Err(error) if error.class == Class::Retriable => {
            // What is known stays known: everything that was deployed keeps running.
            health.failing(&error);
            std::thread::sleep(RETRY_WAIT);
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    health.ready();
    if batch.is_empty() {
        return Ok(false);
    }
    let began = Instant::now();
    while !batch.is_empty() {
        apply(catalog, batch);
        batch.clear();
        if began.elapsed() < BURST_MAX {
            // An error comes again with the next wait.
            let _ = follower.poll(batch, QUIET);
        }
    }
    Ok(true)
}

fn apply(catalog: &mut Catalog, batch: &Batch) {
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
}
