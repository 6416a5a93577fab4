//! What a scenario needs: a log of one kind, registries on it, and short words for what clients do.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use clap::Parser;
use jobico_broker::embedded::{self, Embedded};
use jobico_broker::kafka::{self, Kafka};
use jobico_broker::{Batch, Broker, Start};
use jobico_schema_registry::Config;
use jobico_service::Frame;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::prefixed::Prefixed;

/// How long anything may take that a scenario waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The logs.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Embedded,
    Kafka,
}

/// A log of one run, and what was started on it.
pub struct World {
    log: Log,
    frames: Mutex<Vec<Frame>>,
    folder: TempDir,
}

enum Log {
    Embedded(Arc<Embedded>),
    Kafka { bootstrap: String, prefix: String },
}

/// A registry, and a client of it.
#[derive(Clone)]
pub struct Registry {
    pub frame: Frame,
    pub artifacts: PathBuf,
    url: String,
    client: reqwest::Client,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub content_type: String,
    pub body: Value,
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// The settings that a registry has by default, on a free port.
pub fn config() -> Config {
    let config = Flags::parse_from(["test"]).config;
    Config { addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..config }
}

impl World {
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = match kind {
            Kind::Embedded => {
                let path = folder.path().join("log.sqlite");
                Log::Embedded(Embedded::open(&path, embedded::Settings::default()).unwrap())
            }
            Kind::Kafka => {
                let bootstrap = std::env::var("JOBICO_TEST_KAFKA").expect(
                    "this test needs a Kafka: `make test` starts one, or name one with JOBICO_TEST_KAFKA=host:port",
                );
                // The folder's name is random.
                let unique = folder.path().file_name().unwrap().to_string_lossy().replace('.', "");
                Log::Kafka { bootstrap, prefix: format!("registry-test.{unique}.") }
            }
        };
        Self { log, frames: Mutex::default(), folder }
    }

    /// The log; each call on Kafka connects anew, as another process does.
    pub fn broker(&self) -> Arc<dyn Broker> {
        match &self.log {
            Log::Embedded(log) => log.clone(),
            Log::Kafka { bootstrap, prefix } => {
                let settings = kafka::Settings { replication: 1, ..kafka::Settings::new(bootstrap) };
                Arc::new(Prefixed::new(Kafka::connect(settings).unwrap(), prefix))
            }
        }
    }

    /// A frame that is stopped with the scenario.
    pub fn frame(&self) -> Frame {
        let frame = Frame::new(PATIENCE);
        self.frames.lock().unwrap().push(frame.clone());
        frame
    }

    /// A registry as another process has it; all keep their modules in one folder.
    pub async fn registry(&self) -> Registry {
        self.registry_with(config()).await
    }

    pub async fn registry_with(&self, config: Config) -> Registry {
        let registry = Registry::start(self.frame(), config, self.folder.path(), self.broker()).await;
        // It answers once it has made the topics and read them.
        registry.get("/subjects").await.expect(200);
        registry
    }

    /// All records of a topic, as (key, value).
    pub fn records(&self, topic: &str) -> Vec<(String, Option<String>)> {
        let mut batch = Batch::new();
        let mut follower = self.broker().follow(&[topic.to_owned()], Start::Beginning).unwrap();
        follower.read_to_end(&mut batch).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        batch.iter().map(|record| (text(record.key().unwrap_or_default()), record.value().map(text))).collect()
    }

    /// Stops what was started, and sees that it ends.
    pub async fn stop(&self) {
        let frames = std::mem::take(&mut *self.frames.lock().unwrap());
        for frame in frames {
            frame.tasks.stop();
            frame.tasks.run().await.unwrap();
        }
    }
}

impl Registry {
    pub async fn start(frame: Frame, config: Config, data_dir: &Path, broker: Arc<dyn Broker>) -> Self {
        let started = jobico_schema_registry::start(&frame, config, data_dir, broker).await.unwrap();
        let url = format!("http://{}", started.address);
        Self { frame, artifacts: started.artifacts, url, client: reqwest::Client::new() }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let header = response.headers().get("content-type");
        let content_type = header.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let (status, text) = (response.status(), response.text().await.unwrap());
        Answer { status, content_type, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.request(Method::PUT, path).body(body)).await
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.request(Method::POST, path).body(body)).await
    }

    /// Uploads what [`job`] names, for a tenant.
    pub async fn upload_parts(&self, tenant: &str) {
        self.put(&format!("/v1/tenants/{tenant}/schemas/customer.json"), CUSTOMER).await.expect(201);
        self.put(&format!("/v1/tenants/{tenant}/functions/customer.wasm"), module("")).await.expect(201);
    }

    pub async fn deploy(&self, file: &str) -> Answer {
        self.post("/v1/jobs", file.to_owned()).await
    }

    pub async fn update(&self, file: &str) -> Answer {
        self.post("/v1/jobs?update=true", file.to_owned()).await
    }
}

impl Answer {
    /// The body, where the status is `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// The detail of a problem with this status.
    #[track_caller]
    pub fn problem(self, status: u16) -> String {
        assert_eq!(self.content_type, "application/problem+json", "{}", self.body);
        let body = self.expect(status);
        assert_eq!(body["status"], status);
        body["detail"].as_str().unwrap().to_owned()
    }

    /// The message of an error of Confluent's routes.
    #[track_caller]
    pub fn confluent(self, status: u16, code: u32) -> String {
        assert_eq!(self.content_type, "application/vnd.schemaregistry.v1+json");
        let body = self.expect(status);
        assert_eq!(body["error_code"], code, "{body}");
        body["message"].as_str().unwrap().to_owned()
    }
}

/// A schema.
pub const CUSTOMER: &str = r#"{ "type": "object", "required": ["name"], "properties": {"name": {"type": "string"}} }"#;

/// A module that keeps to the contract, with `extra` put into it.
pub fn module(extra: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "env" "log" (func (param i32 i32 i32)))
            (memory (export "memory") 1)
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "free") (param i32 i32))
            (func (export "init"))
            (func (export "ver") (result i32) (i32.const 1))
            (func (export "event") (param i32 i32 i32))
            {extra})"#
    );
    wat::parse_str(text).unwrap()
}

/// A job file with one event `event` on one queue `queue`.
pub fn job(tenant: &str, id: &str, event: &str, queue: &str) -> String {
    format!(
        "id: {id}
tenant: {tenant}
queues:
  - id: {queue}
jobs:
  - event:
      id: {event}
      schema: {{id: s1, schemaref: customer.json}}
      supplierqueue: {queue}
      runtime: r1
runtimes:
  - {{id: r1, moduleref: customer.wasm, mainfuncname: event, type: 0}}
"
    )
}
