//! A small world for the engine: a log, tenants with jobs, processors, and a reader who stands outside.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobico_broker::{Append, Batch, Broker, Outgoing, Retention, Start, TopicSpec, embedded, kafka};
use jobico_catalog::{Artifacts, Handle, Holder, artifact};
use jobico_event::catalog::{Active, Document, FunctionPin, JobVersion, Queue, Route, SchemaPin, Tenant};
use jobico_event::retry::Retry;
use jobico_event::snapshot::{Catalog, Snapshot};
use jobico_event::{Digest, EventId, FileName, JobId, QueueId, RuntimeId, TenantId, name};
use jobico_processor::Config;
use jobico_service::Frame;
use tempfile::TempDir;

use crate::functions::compiler;

/// The longest wait for anything; what is there is returned at once.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Partitions of a queue.
pub const PARTITIONS: u32 = 3;

/// Which log the world stands on.
#[derive(Debug, Clone, Copy)]
pub enum On {
    Embedded,
    Kafka,
}

/// The world.
pub struct World {
    pub broker: Arc<dyn Broker>,
    pub tenant: TenantId,
    /// The same for all processors of this world, and for no other's.
    pub pool: String,
    folder: TempDir,
    catalog: Catalog,
    schemas: u32,
    pub routes: Vec<Route>,
    /// How failed events are run again; unless set, not at all.
    pub retry: Retry,
    /// How many instances a processor keeps.
    pub instances_max: u32,
    /// Whether somebody has taken the topic of dead letters away.
    pub lacks_dead: bool,
}

/// A record as an outside reader sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub value: Option<String>,
    pub key: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Where the event came from: topic, partition, offset.
    pub fn origin(&self) -> (String, i32, i64) {
        let number = |name: &str| self.header(name).parse::<i64>().unwrap();
        let partition = i32::try_from(number("jobico-origin-partition")).unwrap();
        (self.header("jobico-origin-topic").to_owned(), partition, number("jobico-origin-offset"))
    }
}

/// A running processor; it stops when it is dropped.
pub struct Processor {
    pub frame: Frame,
    current: Holder,
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.frame.tasks.stop();
    }
}

impl World {
    pub async fn new(on: On) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker: Arc<dyn Broker> = match on {
            On::Embedded => {
                embedded::Embedded::open(&folder.path().join("log.sqlite"), embedded::Settings::default()).unwrap()
            }
            On::Kafka => {
                let address = std::env::var("JOBICO_TEST_KAFKA")
                    .expect("JOBICO_TEST_KAFKA names the Kafka that tests use; `make test` runs one and sets it");
                kafka::Kafka::connect(kafka::Settings::new(address)).unwrap()
            }
        };
        let unique = format!("{:x}", rand_suffix());
        let tenant = TenantId::new(&format!("t{unique}")).unwrap();
        let retry = Retry { attempts: 1, ..Retry::default() };
        let mut catalog = Catalog::default();
        catalog.insert(Document::Tenant(Tenant::new(tenant.clone(), String::new())));
        let pool = format!("pool-{unique}");
        let (routes, instances_max, lacks_dead) = (Vec::new(), 16, false);
        Self { broker, tenant, pool, folder, catalog, schemas: 0, routes, retry, instances_max, lacks_dead }
    }

    /// Binds an event on a queue to a module of `modules/`.
    pub async fn job(&mut self, event: &str, queue: &str, module: &str) -> &mut Route {
        let binary = wat::parse_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules").join(module)).unwrap();
        let digest = Digest::of(&binary);
        artifact::store(&self.artifacts(), &digest, &binary).await.unwrap();
        self.job_of_digest(event, queue, digest)
    }

    /// Binds an event on a queue to a module that may not be there yet.
    pub fn job_of_digest(&mut self, event: &str, queue: &str, digest: Digest) -> &mut Route {
        self.routes.push(Route {
            event: EventId::new(event).unwrap(),
            queue: QueueId::new(queue).unwrap(),
            schema: None,
            function: FunctionPin {
                runtime: RuntimeId::new("r").unwrap(),
                name: FileName::new("f.wasm").unwrap(),
                digest,
                main: "event".to_owned(),
            },
            ok: None,
            error: None,
            key: None,
            timeout_ms: None,
        });
        self.routes.last_mut().unwrap()
    }

    /// A schema, to be pinned by a route.
    pub fn schema(&mut self, text: &str) -> SchemaPin {
        self.schemas += 1;
        let (id, subject) = (self.schemas, format!("{}.s{}", self.tenant, self.schemas));
        let key = format!(r#"{{"keytype":"SCHEMA","subject":"{subject}","version":1,"magic":1}}"#);
        let value =
            serde_json::json!({"subject": subject, "version": 1, "id": id, "schemaType": "JSON", "schema": text});
        self.catalog.apply_schema(key.as_bytes(), Some(value.to_string().as_bytes())).unwrap();
        SchemaPin { subject, version: 1, id }
    }

    pub fn artifacts(&self) -> std::path::PathBuf {
        self.folder.path().join("artifacts")
    }

    pub fn topic(&self, queue: &str) -> String {
        name::queue(&self.tenant, &QueueId::new(queue).unwrap())
    }

    /// Puts the jobs into force and makes their topics.
    async fn catalog(&mut self) -> Snapshot {
        let mut queues: Vec<QueueId> = self.routes.iter().map(|route| route.queue.clone()).collect();
        queues.sort_unstable();
        queues.dedup();
        let topic = |name: String, partitions: u32| TopicSpec {
            name,
            partitions,
            retention: Retention::Default,
            record_bytes_max: None,
        };
        let mut topics: Vec<TopicSpec> =
            queues.iter().map(|queue| topic(name::queue(&self.tenant, queue), PARTITIONS)).collect();
        topics.push(topic(name::results(&self.tenant), PARTITIONS));
        if !self.lacks_dead {
            topics.push(TopicSpec {
                record_bytes_max: Some(jobico_event::dead_letter::RECORD_BYTES_MAX),
                ..topic(name::dead(&self.tenant), 1)
            });
        }
        self.broker.ensure_topics(&topics).await.unwrap();
        let job = JobId::new("job").unwrap();
        let pool = self.pool.clone();
        self.catalog.insert(Document::Job(JobVersion {
            tenant: self.tenant.clone(),
            job: job.clone(),
            version: 1,
            replaces: None,
            name: None,
            deployed_at: String::new(),
            queues: queues
                .into_iter()
                .map(|queue| Queue { queue, pool: pool.clone(), pools: Vec::new(), partitions: None })
                .collect(),
            routes: self.routes.clone(),
            retry: self.retry.clone(),
            source: String::new(),
        }));
        self.catalog.insert(Document::Active(Active {
            tenant: self.tenant.clone(),
            job,
            version: 1,
            since: String::new(),
        }));
        self.catalog.snapshot()
    }

    /// Starts a processor named `instance`.
    pub async fn process(&mut self, instance: &str, workers: u16) -> Processor {
        let (catalog, current) = Handle::held(self.catalog().await);
        let frame = Frame::new(Duration::from_secs(10));
        let config = Config {
            pool: self.pool.clone(),
            workers: Some(workers),
            batch_records_max: 500,
            batch_bytes_max: 1 << 20,
            batch_ms_max: 100,
            call_ms_max: 200,
            memory_mib_max: 16,
            output_bytes_max: 1 << 20,
            instances_max: self.instances_max,
            compile_s_max: 30,
            compile_mib_max: 256,
            compiler: compiler(),
            modules_mib_max: 64,
            compiled_mib_max: 64,
            retry_partitions: 1,
            log_partitions: 1,
        };
        let artifacts = Artifacts::in_folder(self.artifacts());
        jobico_processor::start(&frame, config, instance, self.folder.path(), self.broker.clone(), catalog, artifacts)
            .await
            .unwrap();
        Processor { frame, current }
    }

    /// Has a processor see the jobs that were made since it was started.
    pub async fn show(&mut self, processor: &Processor) {
        processor.current.put(self.catalog().await);
    }

    /// Sends records as a plain Kafka client would.
    pub async fn send<'a>(&self, queue: &str, records: impl IntoIterator<Item = (&'a str, &'a [(&'a str, &'a str)])>) {
        let topic = self.topic(queue);
        let records: Vec<Append> = records
            .into_iter()
            .map(|(value, headers)| Append {
                topic: topic.clone(),
                key: None,
                value: Some(value.as_bytes().to_vec()),
                headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
            })
            .collect();
        for answer in self.broker.append(records).await {
            answer.unwrap();
        }
    }

    /// Lets a queue take records of so many bytes.
    pub async fn enlarge(&self, queue: &str, record_bytes_max: u32) {
        let name = self.topic(queue);
        let record_bytes_max = Some(record_bytes_max);
        let spec = TopicSpec { name, partitions: 1, retention: Retention::Default, record_bytes_max };
        self.broker.ensure_topics(&[spec]).await.unwrap();
    }

    /// Sends a value that ingest would not take: only a producer of one's own does.
    pub async fn send_large(&self, queue: &str, value: &str) {
        let (broker, topic, value) = (self.broker.clone(), self.topic(queue), value.to_owned());
        let id = format!("{}.producer", self.pool);
        tokio::task::spawn_blocking(move || {
            let mut writer = broker.writer(&id).unwrap();
            writer.acquire().unwrap();
            let record = Outgoing { topic: &topic, key: None, value: Some(value.as_bytes()), headers: &[] };
            writer.write(&[record]).unwrap();
        })
        .await
        .unwrap();
    }

    /// Sends plain JSON values of one key, which stand in one partition.
    pub async fn send_keyed(&self, queue: &str, key: &str, values: &[&str]) {
        let record = |value: &&str| Append {
            topic: self.topic(queue),
            key: Some(key.as_bytes().to_vec()),
            value: Some(value.as_bytes().to_vec()),
            headers: Vec::new(),
        };
        for answer in self.broker.append(values.iter().map(record).collect()).await {
            answer.unwrap();
        }
    }

    /// Sends plain JSON values.
    pub async fn send_plain(&self, queue: &str, values: &[String]) {
        self.send(queue, values.iter().map(|value| (value.as_str(), &[][..]))).await;
    }

    /// Reads a topic from its start until `enough` says so.
    pub async fn read(&self, topic: &str, enough: impl Fn(&[Seen]) -> bool + Send + 'static) -> Vec<Seen> {
        let (broker, topic) = (self.broker.clone(), topic.to_owned());
        tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + WAIT_MAX;
            let mut follower = broker.follow(std::slice::from_ref(&topic), Start::Beginning).unwrap();
            let (mut batch, mut seen) = (Batch::new(), Vec::new());
            while !enough(&seen) {
                assert!(Instant::now() < deadline, "{topic} has only {} records: {:?}", seen.len(), seen.last());
                follower.poll(&mut batch, Duration::from_millis(200)).unwrap();
                seen.extend(batch.iter().map(|record| {
                    Seen {
                        value: record.value().map(|value| String::from_utf8(value.to_vec()).unwrap()),
                        key: record.key().map(<[u8]>::to_vec),
                        headers: record
                            .headers()
                            .map(|(name, value)| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap()))
                            .collect(),
                    }
                }));
            }
            seen
        })
        .await
        .unwrap()
    }

    pub async fn results(&self, count: usize) -> Vec<Seen> {
        self.read(&name::results(&self.tenant), move |seen| seen.len() >= count).await
    }

    pub async fn dead(&self, count: usize) -> Vec<Seen> {
        self.read(&name::dead(&self.tenant), move |seen| seen.len() >= count).await
    }
}

/// A number that no other test of this or another run has.
fn rand_suffix() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
