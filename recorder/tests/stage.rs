//! A running recorder, with a log and a store.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use jobico_broker::{Append, Broker, Membership, Outgoing, Positions, Retention, TopicSpec, embedded, kafka};
use jobico_catalog::Handle;
use jobico_event::snapshot::Catalog;
use jobico_event::{TenantId, name};
use jobico_recorder::store::Store;
use jobico_recorder::store::cql::CqlStore;
use jobico_recorder::store::sqlite::SqliteStore;
use jobico_recorder::{Config, start_with};
use jobico_service::Frame;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::job;

/// Names the Kafka that tests use.
const KAFKA: &str = "JOBICO_TEST_KAFKA";
/// Names the CQL store that tests use.
const CQL: &str = "JOBICO_TEST_CQL";
/// How long anything awaited may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Partitions of a results topic here.
const PARTITIONS: u32 = 2;

/// Recorders are one group: on the one Kafka of the tests, one recorder at a time.
static ONE_GROUP: Mutex<()> = Mutex::const_new(());

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// The settings that flags make.
pub fn config(flags: &[&str]) -> Config {
    let always = ["recorder", "--recorder-addr", "127.0.0.1:0"];
    Flags::parse_from(always.iter().chain(flags)).config
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} (host:port) is not set: run `make test`, which starts one"))
}

/// Where the CQL store of the tests is.
pub fn cql_address() -> String {
    variable(CQL)
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{prefix}{now:x}{:x}", std::process::id())
}

/// A keyspace that goes with the test.
pub struct Keyspace {
    pub name: String,
}

impl Keyspace {
    pub fn new() -> Self {
        Self { name: unique("test_") }
    }

    /// A store in it, reached at `address`.
    pub fn store(&self, address: &str) -> CqlStore {
        self.store_with(address, &[])
    }

    /// The same, with more flags.
    pub fn store_with(&self, address: &str, flags: &[&str]) -> CqlStore {
        let flags = [&["--cql-keyspace", &self.name], flags].concat();
        CqlStore::new(address, config(&flags).cql).unwrap()
    }
}

impl Drop for Keyspace {
    /// Also when the test fails; a runtime of its own, as the test's may not block.
    fn drop(&mut self) {
        let drop = format!("DROP KEYSPACE IF EXISTS {}", self.name);
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let builder = scylla::client::session_builder::SessionBuilder::new().known_node(cql_address());
                builder.build().await.unwrap().query_unpaged(drop, ()).await.map(|_| ()).unwrap();
            });
        });
        if dropped.join().is_err() {
            eprintln!("the keyspace {} could not be dropped", self.name);
        }
    }
}

/// What a stage stands on. What is last goes last.
pub struct Ground {
    pub broker: Arc<dyn Broker>,
    pub store: Arc<dyn Store>,
    pub tenant: TenantId,
    pub other: TenantId,
    _group: Option<MutexGuard<'static, ()>>,
    _keyspace: Option<Keyspace>,
    _folder: tempfile::TempDir,
}

impl Ground {
    /// The embedded log and a SQLite file.
    pub async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("results.sqlite")).unwrap());
        Self::on(embedded_log(folder.path().join("log.sqlite")), store, None, None, folder).await
    }

    /// Kafka and Cassandra.
    pub async fn real() -> Self {
        let keyspace = Keyspace::new();
        let store = Arc::new(keyspace.store(&cql_address()));
        Self::on_kafka(store, Some(keyspace)).await
    }

    /// Kafka and a SQLite file: for what needs no store.
    pub async fn kafka_alone() -> Self {
        let group = ONE_GROUP.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("results.sqlite")).unwrap());
        let broker = kafka::Kafka::connect(kafka::Settings::new(variable(KAFKA))).unwrap();
        Self::on(broker, store, None, Some(group), folder).await
    }

    /// Kafka and a store of the caller's.
    pub async fn on_kafka(store: Arc<dyn Store>, keyspace: Option<Keyspace>) -> Self {
        let group = ONE_GROUP.lock().await;
        let broker = kafka::Kafka::connect(kafka::Settings::new(variable(KAFKA))).unwrap();
        Self::on(broker, store, keyspace, Some(group), tempfile::tempdir().unwrap()).await
    }

    pub async fn on(
        broker: Arc<dyn Broker>,
        store: Arc<dyn Store>,
        keyspace: Option<Keyspace>,
        group: Option<MutexGuard<'static, ()>>,
        folder: tempfile::TempDir,
    ) -> Self {
        let (tenant, other) = (TenantId::new(&unique("a")).unwrap(), TenantId::new(&unique("b")).unwrap());
        let topic = |tenant: &TenantId| TopicSpec {
            name: name::results(tenant),
            partitions: PARTITIONS,
            retention: Retention::Default,
            record_bytes_max: None,
        };
        let log =
            TopicSpec { name: name::LOG.into(), partitions: 1, retention: Retention::Default, record_bytes_max: None };
        broker.ensure_topics(&[topic(&tenant), topic(&other), log]).await.unwrap();
        Self { broker, store, tenant, other, _group: group, _keyspace: keyspace, _folder: folder }
    }

    /// Both tenants.
    pub fn catalog(&self) -> Handle {
        let mut catalog = Catalog::default();
        for tenant in [&self.tenant, &self.other] {
            job::documents(tenant, name::POOL_DEFAULT).into_iter().for_each(|document| catalog.insert(document));
        }
        Handle::fixed(catalog.snapshot())
    }

    /// Starts a recorder on it.
    pub async fn recorder(&self, flags: &[&str]) -> Recorder {
        self.recorder_with(flags, self.store.clone(), self.catalog()).await
    }

    /// Starts a recorder on it, with another store and catalog.
    pub async fn recorder_with(&self, flags: &[&str], store: Arc<dyn Store>, catalog: Handle) -> Recorder {
        let frame = Frame::new(Duration::from_secs(20));
        let address = start_with(&frame, config(flags), store, self.broker.clone(), catalog).await.unwrap();
        Recorder { frame, address, client: reqwest::Client::new() }
    }

    /// Appends records, each for itself.
    pub async fn append(&self, records: Vec<Append>) {
        for answer in self.broker.append(records).await {
            answer.unwrap();
        }
    }

    /// Writes records in one transaction, as processors do.
    pub async fn transact(&self, records: Vec<Append>, end: TransactionEnd) {
        let broker = self.broker.clone();
        tokio::task::spawn_blocking(move || {
            let group = unique("producers");
            let membership = Membership { group: group.clone(), client_id: group.clone(), topics: 1 };
            let mut transactor = broker.join_transactional(&membership, &group).unwrap();
            transactor.begin().unwrap();
            for record in &records {
                let headers: Vec<(&str, &[u8])> =
                    record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                let (key, value) = (record.key.as_deref(), record.value.as_deref());
                transactor.produce(&Outgoing { topic: &record.topic, key, value, headers: &headers }).unwrap();
            }
            match end {
                TransactionEnd::Commit => transactor.commit(&Positions::new()).unwrap(),
                TransactionEnd::Abort => transactor.abort().unwrap(),
            }
        })
        .await
        .unwrap();
    }
}

/// How a transaction ends.
#[derive(Clone, Copy)]
pub enum TransactionEnd {
    Commit,
    Abort,
}

pub fn embedded_log(path: PathBuf) -> Arc<dyn Broker> {
    embedded::Embedded::open(&path, embedded::Settings::default()).unwrap()
}

/// A running recorder; it stops when this is dropped.
pub struct Recorder {
    pub frame: Frame,
    pub address: SocketAddr,
    pub client: reqwest::Client,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.frame.tasks.stop();
    }
}

impl Recorder {
    /// Stops it, and waits until all of it has ended.
    pub async fn end(self) {
        self.frame.tasks.stop();
        self.frame.tasks.run().await.unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(self.client.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str) -> (u16, Value) {
        self.ask(self.client.post(self.url(path))).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.ask(self.client.delete(self.url(path))).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}")))
    }

    /// The newest thousand results of a tenant.
    pub async fn results(&self, tenant: &TenantId) -> Vec<Value> {
        let (status, body) = self.get(&format!("/v1/tenants/{tenant}/results?limit=1000")).await;
        assert_eq!(status, 200, "{body}");
        body["results"].as_array().unwrap().clone()
    }

    /// Waits until a tenant has so many results, and returns them.
    pub async fn await_results(&self, tenant: &TenantId, count: usize) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let results = self.results(tenant).await;
            if results.len() >= count {
                return results;
            }
            assert!(Instant::now() < until, "{} of {count} results after {PATIENCE:?}", results.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a metric of the recorder has a value that is enough.
    pub async fn await_metric(&self, name: &str, label: Option<&str>, enough: impl Fn(f64) -> bool) {
        let value = || metric(&self.frame, name, label);
        eventually(&format!("{name} {label:?}"), || enough(value())).await;
    }

    /// What `/readyz` says of a component.
    pub fn component(&self, name: &str) -> String {
        self.frame.health.report().components.get(name).cloned().unwrap_or_default()
    }
}

/// The value of a counter or gauge, with a label's value where it has one.
pub fn metric(frame: &Frame, name: &str, label: Option<&str>) -> f64 {
    let families = frame.metrics.gather();
    let family = families.iter().find(|family| family.name() == name).into_iter();
    let metrics = family.flat_map(|family| family.get_metric());
    metrics
        .filter(|metric| label.is_none_or(|label| metric.get_label().iter().any(|pair| pair.value() == label)))
        .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
        .sum()
}

/// Waits until something is so.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs each scenario on the embedded log and SQLite, and on Kafka and Cassandra.
macro_rules! on_both {
    ($($scenario:ident),* $(,)?) => {
        mod on_the_embedded_log_and_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::stage::Ground::embedded().await).await;
            })*
        }
        mod on_kafka_and_cassandra {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::stage::Ground::real().await).await;
            })*
        }
    };
}
pub(crate) use on_both;
