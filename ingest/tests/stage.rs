//! A running ingest, a catalog to write to, and a log to read back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use jobico_broker::{Append, Batch, Broker, Retention, Start, TopicSpec};
use jobico_event::catalog::{Active, Document, FunctionPin, JobVersion, Queue, Route, SchemaPin, Tenant};
use jobico_event::snapshot::Catalog;
use jobico_event::{Digest, EventId, FileName, JobId, QueueId, RuntimeId, TenantId, name};
use jobico_service::Frame;
use serde_json::{Value, json};

/// Names the Kafka that tests use.
const KAFKA: &str = "JOBICO_TEST_KAFKA";
/// How long anything awaited may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Partitions of every queue here.
pub const PARTITIONS: u32 = 4;

/// The schema of most tests: a customer with a name, of age.
pub const CUSTOMER: &str = r#"{"type":"object","required":["name"],
    "properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":18}}}"#;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: jobico_ingest::Config,
}

/// What to start.
pub struct Setup {
    broker: Arc<dyn Broker>,
    folder: Option<tempfile::TempDir>,
    flags: Vec<String>,
}

/// A running ingest; it stops when this is dropped.
pub struct Stage {
    pub frame: Frame,
    pub broker: Arc<dyn Broker>,
    pub address: SocketAddr,
    pub tenant: TenantId,
    pub client: reqwest::Client,
    catalog: jobico_catalog::Handle,
    _folder: Option<tempfile::TempDir>,
}

/// A record read back.
#[derive(Debug)]
pub struct Read {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, String>,
}

impl Stage {
    /// On an embedded log in a folder of its own.
    pub fn embedded() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let broker =
            jobico_broker::embedded::Embedded::open(&folder.path().join("log.sqlite"), Default::default()).unwrap();
        Setup { broker, folder: Some(folder), flags: Vec::new() }
    }

    /// On a simulated log that has the topic of the tenant `t`.
    pub async fn simulated(log: Arc<jobico_broker::simulated::Simulated>) -> Setup {
        let topic = TopicSpec {
            name: "t.q".to_owned(),
            partitions: PARTITIONS,
            retention: Retention::Default,
            record_bytes_max: None,
        };
        log.ensure_topics(&[topic]).await.unwrap();
        Setup { broker: log, folder: None, flags: Vec::new() }
    }

    /// On a Kafka that is not there.
    pub fn no_kafka() -> Setup {
        let mut settings = jobico_broker::kafka::Settings::new("127.0.0.1:1");
        settings.delivery_timeout = Duration::from_millis(500);
        Setup { broker: jobico_broker::kafka::Kafka::connect(settings).unwrap(), folder: None, flags: Vec::new() }
    }

    /// On the Kafka that the environment names.
    pub fn kafka() -> Setup {
        let bootstrap = std::env::var(KAFKA).unwrap_or_else(|_| {
            panic!("this test needs a Kafka: run `make test`, or set {KAFKA}=host:port (scripts/services start kafka)")
        });
        let broker = jobico_broker::kafka::Kafka::connect(jobico_broker::kafka::Settings::new(bootstrap)).unwrap();
        Setup { broker, folder: None, flags: Vec::new() }
    }
}

impl Setup {
    /// With a flag of ingest set.
    pub fn flag(mut self, name: &str, value: u32) -> Self {
        self.flags.push(format!("--ingest-{name}={value}"));
        self
    }

    /// With the log behind something else.
    pub fn behind<B: Broker>(mut self, wrap: impl FnOnce(Arc<dyn Broker>) -> Arc<B>) -> (Self, Arc<B>) {
        let wrapped = wrap(self.broker.clone());
        self.broker = wrapped.clone();
        (self, wrapped)
    }

    /// Starts catalog and ingest, for a tenant that no other test has.
    pub async fn start(self) -> Stage {
        let frame = Frame::new(Duration::from_secs(10));
        let catalog = jobico_catalog::start(&frame, self.broker.clone()).await.unwrap();
        let tenant = TenantId::new(&format!("t{}", uuid::Uuid::new_v4().simple())).unwrap();
        self.serve(frame, catalog, tenant).await
    }

    /// Starts ingest with a catalog that holds one event of the tenant `t` and never changes.
    pub async fn start_with_fixed_catalog(self, event: &str) -> Stage {
        let (mut catalog, tenant) = (Catalog::default(), TenantId::new("t").unwrap());
        for document in documents(&tenant, event, 1, None, None) {
            catalog.insert(document);
        }
        let catalog = jobico_catalog::Handle::fixed(catalog.snapshot());
        self.serve(Frame::new(Duration::from_secs(10)), catalog, tenant).await
    }

    async fn serve(self, frame: Frame, catalog: jobico_catalog::Handle, tenant: TenantId) -> Stage {
        let flags = ["ingest".to_owned(), "--ingest-addr=127.0.0.1:0".to_owned()];
        let config = Flags::parse_from(flags.into_iter().chain(self.flags)).config;
        let address = jobico_ingest::start(&frame, config, self.broker.clone(), catalog.clone()).await.unwrap();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Stage { frame, broker: self.broker, address, tenant, client, catalog, _folder: self.folder }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.frame.tasks.stop();
    }
}

impl Stage {
    /// Deploys version `version` of a job with one event on the queue `q`, and waits until ingest knows it.
    pub async fn deploy(&mut self, event: &str, version: u32, schema: Option<&str>, key: Option<&str>) {
        let queue = TopicSpec {
            name: self.topic(),
            partitions: PARTITIONS,
            retention: Retention::Default,
            record_bytes_max: None,
        };
        self.broker.ensure_topics(&[queue]).await.unwrap();
        self.deploy_without_topic(event, version, schema, key).await;
    }

    /// The same where the queue's topic is not made.
    pub async fn deploy_without_topic(&mut self, event: &str, version: u32, schema: Option<&str>, key: Option<&str>) {
        let mut records = Vec::new();
        let pin = schema.map(|text| {
            // Ids are the registry's, which is not here: one that no other test has.
            let id = (uuid::Uuid::new_v4().as_u128() as u32) >> 1;
            let subject = format!("{}.s.json", self.tenant);
            let key = json!({"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1});
            let value = json!({"subject": subject, "version": version, "id": id, "schema": text, "schemaType": "JSON"});
            records.push(append(name::SCHEMAS, key.to_string(), value.to_string().into_bytes()));
            SchemaPin { subject, version, id }
        });
        let documents = documents(&self.tenant, event, version, pin, key);
        records.extend(documents.iter().map(|document| append(name::CATALOG, document.key(), document.to_json())));
        for stored in self.broker.append(records).await {
            stored.unwrap();
        }
        let (tenant, mut catalog) = (self.tenant.clone(), self.catalog.clone());
        let known = async {
            loop {
                let snapshot = catalog.load();
                let found = snapshot.tenant(tenant.as_str()).and_then(|tenant| tenant.events.get(event));
                if found.is_some_and(|found| found.version == version) {
                    return;
                }
                assert!(catalog.changed().await, "the catalog is no longer followed");
            }
        };
        tokio::time::timeout(PATIENCE, known).await.expect("the deployment reaches ingest");
    }

    /// The topic of the queue that all events here are on.
    pub fn topic(&self) -> String {
        name::queue(&self.tenant, &QueueId::new("q").unwrap())
    }

    /// The URL of an event of this test's tenant.
    pub fn url(&self, event: &str) -> String {
        format!("http://{}/events/{}/{event}", self.address, self.tenant)
    }

    /// Posts a body as JSON.
    pub async fn post(&self, event: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.client.post(self.url(event)).header("content-type", "application/json").body(body)).await
    }

    /// Sends a request.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer { status, headers, json: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }

    /// Every record on the queue.
    pub async fn read(&self) -> Vec<Read> {
        let (broker, topic) = (self.broker.clone(), self.topic());
        tokio::task::spawn_blocking(move || {
            let mut batch = Batch::new();
            broker.follow(&[topic], Start::Beginning).unwrap().read_to_end(&mut batch).unwrap();
            batch.iter().map(Read::of).collect()
        })
        .await
        .unwrap()
    }

    /// What a metric counts, over all labels that hold `labels`.
    pub fn count(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.frame.metrics.gather();
        let family = families.iter().find(|family| family.name() == metric).unwrap_or_else(|| panic!("no {metric}"));
        let matching = family.get_metric().iter().filter(|metric| {
            labels.iter().all(|(name, value)| {
                metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
            })
        });
        matching.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
    }
}

/// What the registry writes when a job with one event on the queue `q` is deployed.
pub fn documents(
    tenant: &TenantId,
    event: &str,
    version: u32,
    schema: Option<SchemaPin>,
    key: Option<&str>,
) -> [Document; 3] {
    let (tenant, now) = (tenant.clone(), "2025-01-01T00:00:00Z".to_owned());
    let (queue, job) = (QueueId::new("q").unwrap(), JobId::new(&format!("job-{event}")).unwrap());
    let function = FunctionPin {
        runtime: RuntimeId::new("r").unwrap(),
        name: FileName::new("f.wasm").unwrap(),
        digest: Digest::of(b"f"),
        main: "event".to_owned(),
    };
    let route = Route {
        event: EventId::new(event).unwrap(),
        queue: queue.clone(),
        schema,
        function,
        ok: None,
        error: None,
        key: key.map(str::to_owned),
        timeout_ms: None,
    };
    let version_of_job = JobVersion {
        tenant: tenant.clone(),
        job: job.clone(),
        version,
        replaces: None,
        name: None,
        deployed_at: now.clone(),
        queues: vec![Queue { queue, pool: "default".to_owned(), pools: Vec::new(), partitions: None }],
        routes: vec![route],
        retry: jobico_event::retry::Retry::default(),
        source: String::new(),
    };
    [
        Document::Tenant(Tenant::new(tenant.clone(), now.clone())),
        Document::Job(version_of_job),
        Document::Active(Active { tenant, job, version, since: now }),
    ]
}

fn append(topic: &str, key: String, value: Vec<u8>) -> Append {
    Append { topic: topic.to_owned(), key: Some(key.into_bytes()), value: Some(value), headers: Vec::new() }
}

impl Read {
    fn of(record: jobico_broker::Record<'_>) -> Self {
        Self {
            partition: record.partition(),
            offset: record.offset(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().unwrap_or_default().to_vec(),
            headers: record
                .headers()
                .map(|(name, value)| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap()))
                .collect(),
        }
    }
}

/// An answer of ingest.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub json: Value,
    pub text: String,
}

impl Answer {
    /// The answer is a problem with this status whose detail holds `words`.
    #[track_caller]
    pub fn is_problem(&self, status: u16, words: &str) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.json["status"], status);
        let detail = self.json["detail"].as_str().unwrap();
        assert!(detail.contains(words), "'{words}' is not in: {detail}");
        self
    }

    /// The answer's `events`, all stored.
    #[track_caller]
    pub fn events(&self) -> &[Value] {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json["events"].as_array().unwrap()
    }
}
