//! Results and logs: from their topics to the store, to read and to tail.
//!
//! ```text
//! {tenant}.results ─► recording ─► decode ─► row ─► store (cql | sqlite) ─► api: lists ──► people, programs
//! jobico.log ───────► recording ─► decode ─► row ─► store                ─► api: lists ──►
//!        └──────────── a Follower a reader ─────────────────────────────── ─► api: streams ►
//! {tenant}.dead ─────── a Follower a request ─────────────────────────────── ─► api: dead letters ►
//! ```
//!
//! The topics are the truth and the store a view of them: it is written only from committed records, by keys made of the
//! source event's coordinates, and offsets are committed only after the write is acknowledged. So a store that is away delays
//! what is read and loses nothing, and a record that is delivered twice is one row.

pub mod config;
pub mod duration;
pub mod metrics;

pub mod recording;

pub mod decode;
pub mod row;

pub mod store;

pub mod dead;
pub mod pools;

pub mod api;

pub mod lag;
pub mod readiness;

use std::net::SocketAddr;
use std::sync::Arc;

use jobico_broker::{Broker, Retention, TopicSpec};
use jobico_catalog::Handle;
use jobico_event::name;
use jobico_service::{BoxError, Frame, http};

pub use config::{Config, StoreConfig};

use api::Api;
use metrics::Metrics;
use readiness::StoreHealth;
use recording::Recording;
use recording::kind::{Kind, Logs, Results};
use store::Store;
use store::cql::CqlStore;
use store::sqlite::SqliteStore;

/// Starts a recorder; returns where its API listens. A CQL store may be away: readiness says so until it answers.
///
/// # Errors
/// The address is taken, the SQLite file cannot be opened, files of TLS to the CQL store are wrong, metrics are registered twice, or the log does not answer.
pub async fn start(
    frame: &Frame,
    config: Config,
    store: StoreConfig,
    broker: Arc<dyn Broker>,
    catalog: Handle,
) -> Result<SocketAddr, BoxError> {
    let store: Arc<dyn Store> = match &store.cql {
        Some(contact_points) => Arc::new(CqlStore::new(contact_points, config.cql.clone())?),
        None => {
            let path = store.sqlite_path();
            Arc::new(tokio::task::spawn_blocking(move || SqliteStore::open(&path)).await??)
        }
    };
    start_with(frame, config, store, broker, catalog).await
}

/// Starts a recorder with a store of its caller's.
///
/// # Errors
/// Those of [`start`].
pub async fn start_with(
    frame: &Frame,
    config: Config,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    catalog: Handle,
) -> Result<SocketAddr, BoxError> {
    let server = http::Bound::new("recorder", config.recorder_addr).await?;
    let address = server.address();
    // One partition is enough to be read; processors add as many as they are told.
    let log =
        TopicSpec { name: name::LOG.to_owned(), partitions: 1, retention: Retention::Default, record_bytes_max: None };
    broker.ensure_topics(&[log, dead::marks_topic()]).await?;
    let metrics = Metrics::register(&frame.metrics)?;
    let (tasks, stop) = (&frame.tasks, frame.tasks.stop_token());
    let store_health = StoreHealth::new(frame.health.component("store"));

    let parts = Parts { frame, store: &store, broker: &broker, catalog: &catalog, metrics: &metrics };
    parts.record(Results { ttl: config.results_ttl }, &store_health)?;
    parts.record(Logs { ttl: config.logs_ttl }, &store_health)?;
    let checks = readiness::watch(store.clone(), store_health.source("check"), stop.clone());
    tasks.spawn("store-check", checks);
    tasks.spawn("lag", lag::watch(broker.clone(), catalog.clone(), metrics.clone(), stop.clone()));

    let api = Api::new(store, broker, catalog, metrics, tasks.clone(), config.streams_max);
    tasks.spawn("recorder", server.serve(api::router(api), stop));
    Ok(address)
}

struct Parts<'a> {
    frame: &'a Frame,
    store: &'a Arc<dyn Store>,
    broker: &'a Arc<dyn Broker>,
    catalog: &'a Handle,
    metrics: &'a Metrics,
}

impl Parts<'_> {
    fn record<K: Kind>(&self, kind: K, store_health: &StoreHealth) -> std::io::Result<()> {
        let recording = Recording {
            kind,
            broker: self.broker.clone(),
            catalog: self.catalog.clone(),
            store: self.store.clone(),
            runtime: tokio::runtime::Handle::current(),
            metrics: self.metrics.clone(),
            health: self.frame.health.component(K::NAME),
            store_health: store_health.source(K::NAME),
            stop: self.frame.tasks.stop_token(),
        };
        self.frame.tasks.spawn_thread(&format!("record-{}", K::NAME), move || recording.run())
    }
}
