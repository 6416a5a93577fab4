//! A running Jobico, and what tests ask of it. What a test starts ends with it, also when it fails; then what the
//! processes wrote to standard error is shown.

pub mod cluster;
pub mod collector;
pub mod embedded;
pub mod example;
pub mod http;
pub mod job;
pub mod kafka;
pub mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use http::{Answer, Client};
pub use job::Job;
pub use process::{Process, Run};

/// The longest wait for anything; what is there is returned at once.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Set to anything, a test that fails leaves its folders: what processes wrote, and the data of a Kafka of its own.
const KEEP: &str = "JOBICO_TEST_KEEP";

/// To be called where a folder is about to go.
fn keep_where_failing(folder: &mut TempDir) {
    if std::thread::panicking() && std::env::var_os(KEEP).is_some() {
        folder.disable_cleanup(true);
        eprintln!("--- kept: {}", folder.path().display());
    }
}

/// What the system stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The embedded log, and SQLite for results.
    Embedded,
    /// Kafka, and Cassandra for results.
    Kafka,
}

/// A record, as a reader outside of Jobico sees it.
#[derive(Debug, Clone)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

impl Record {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The value as JSON; null where there is none.
    pub fn json(&self) -> Value {
        self.value.as_deref().map_or(Value::Null, |value| serde_json::from_slice(value).expect("the value is JSON"))
    }
}

/// A Jobico of one or several processes. Nothing runs before [`System::dev`] or [`System::serve`].
pub struct System {
    pub on: On,
    pub tenant: String,
    /// The pool of this system's processors, no other test's.
    pub pool: String,
    pub client: Client,
    /// Bootstrap servers of its own Kafka, where it has one.
    kafka: Option<String>,
    // Before the folder: processes end before what they write to goes.
    processes: BTreeMap<String, Process>,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Drop for System {
    fn drop(&mut self) {
        keep_where_failing(&mut self.folder);
    }
}

impl System {
    pub fn new(on: On) -> Self {
        let unique = format!("{:08x}", rand::random::<u32>());
        Self::of(on, &format!("t{unique}"), &format!("pool-{unique}"))
    }

    /// A system with a tenant and a pool by name.
    pub fn of(on: On, tenant: &str, pool: &str) -> Self {
        Self {
            on,
            client: Client::new(tenant, Arc::default()),
            tenant: tenant.to_owned(),
            pool: pool.to_owned(),
            kafka: None,
            processes: BTreeMap::new(),
            folder: tempfile::tempdir().expect("a scratch folder"),
            environment: Vec::new(),
        }
    }

    /// A system that is up: everything in one process, `jobico dev`.
    pub fn dev(on: On) -> Self {
        let mut system = Self::new(on);
        system.start_dev(&[]);
        system
    }

    /// A system on a Kafka of its own, with no store.
    pub fn on_own_kafka(address: &str) -> Self {
        let mut system = Self::new(On::Kafka);
        system.kafka = Some(address.to_owned());
        system
    }

    /// The bootstrap servers of its Kafka.
    pub fn kafka(&self) -> String {
        assert_eq!(self.on, On::Kafka);
        self.kafka.clone().unwrap_or_else(kafka::address)
    }

    /// With a variable for the processes that are started from now on.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts `jobico dev`, with what was there before it was stopped or killed.
    pub fn start_dev(&mut self, flags: &[&str]) {
        self.start("dev", &["dev"], flags);
    }

    /// Starts `jobico serve ROLE…` under a name.
    pub fn serve(&mut self, name: &str, roles: &[&str], flags: &[&str]) {
        let command: Vec<&str> = std::iter::once("serve").chain(roles.iter().copied()).collect();
        self.start(name, &command, flags);
    }

    /// Starts a process and waits until it is ready. All of one system share its data folder.
    fn start(&mut self, name: &str, command: &[&str], flags: &[&str]) {
        let process = self.spawn(name, command, flags);
        let addresses = process.addresses();
        self.client.urls.lock().expect("no test panics holding it").extend(addresses.clone());
        let admin = addresses["admin"].clone();
        eventually(&format!("{name} is ready"), || {
            process.assert_running();
            self.client.get_url(&format!("{admin}/readyz")).is_ok().then_some(())
        });
        self.processes.insert(name.to_owned(), process);
    }

    /// Starts `jobico serve ROLE…` that is told by `FAILPOINTS` (broker/src/crash_point.rs) where to die, and waits for
    /// nothing: it may be dead before it is ready.
    pub fn serve_doomed(&mut self, name: &str, roles: &[&str], flags: &[&str], failpoints: &str) {
        let command: Vec<&str> = std::iter::once("serve").chain(roles.iter().copied()).collect();
        self.environment.push(("FAILPOINTS".to_owned(), failpoints.to_owned()));
        let process = self.spawn(name, &command, flags);
        self.environment.pop();
        self.processes.insert(name.to_owned(), process);
    }

    /// Starts a process on this system's log and store, in its folder, on free ports, and waits for nothing.
    pub fn spawn(&self, name: &str, command: &[&str], flags: &[&str]) -> Process {
        let data_dir = self.folder.path().join("data");
        let data_dir = data_dir.to_str().expect("a scratch folder's name is UTF-8");
        let mut arguments: Vec<&str> = command.to_vec();
        arguments.extend(["--data-dir", data_dir, "--pool", &self.pool]);
        let ports = ["--ingest-addr", "--registry-addr", "--recorder-addr", "--admin-addr"];
        for flag in ports.into_iter().filter(|port| !flags.contains(port)) {
            arguments.extend([flag, "127.0.0.1:0"]);
        }
        let (kafka, cql) = match self.on {
            On::Embedded => (String::new(), String::new()),
            On::Kafka if self.kafka.is_some() => (self.kafka(), String::new()),
            On::Kafka => (self.kafka(), kafka::cql_address()),
        };
        for (flag, value) in [("--kafka", &kafka), ("--cql", &cql)].into_iter().filter(|(_, value)| !value.is_empty()) {
            arguments.extend([flag, value]);
        }
        arguments.extend(flags);
        let mut environment = self.environment.clone();
        if let Some(registry) = self.client.urls.lock().expect("no test panics holding it").get("registry") {
            environment.push(("JOBICO_REGISTRY".to_owned(), registry.clone()));
        }
        Process::start(name, &arguments, &environment, self.folder.path())
    }

    /// SIGKILL.
    pub fn kill(&mut self, name: &str) {
        self.processes.remove(name).expect("it was started").kill();
    }

    /// SIGTERM, and the exit code.
    pub fn stop(&mut self, name: &str) -> Option<i32> {
        self.processes.remove(name).expect("it was started").stop()
    }

    /// SIGTERM to all that run, all of which end well.
    #[track_caller]
    pub fn stop_all(&mut self) {
        for process in self.processes.values() {
            process.signal("TERM");
        }
        for (name, mut process) in std::mem::take(&mut self.processes) {
            assert_eq!(process.end(), Some(0), "{name}");
        }
    }

    /// Waits for the end of a process that was signalled: its exit code.
    pub fn end(&mut self, name: &str) -> Option<i32> {
        self.processes.remove(name).expect("it was started").end()
    }

    /// Waits until a doomed process has aborted.
    #[track_caller]
    pub fn await_death(&mut self, name: &str) {
        self.processes.remove(name).expect("it was started").await_abort();
    }

    pub fn process(&self, name: &str) -> &Process {
        &self.processes[name]
    }

    /// Asserts that every process runs still and has not panicked.
    pub fn assert_well(&self) {
        for process in self.processes.values() {
            process.assert_running();
            process.assert_no_panic();
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the system's folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("the scratch folder can be written");
        path
    }

    /// Runs a tool of the binary against this system, in its folder, to its end.
    pub fn jobico(&self, arguments: &[&str]) -> Run {
        process::run(arguments, &self.tool_environment(), self.folder.path())
    }

    /// Starts a tool that goes on until it is dropped.
    pub fn follow(&self, arguments: &[&str]) -> Process {
        Process::start("follower", arguments, &self.tool_environment(), self.folder.path())
    }

    fn tool_environment(&self) -> Vec<(String, String)> {
        let urls = self.client.urls.lock().expect("no test panics holding it");
        urls.iter().map(|(name, url)| (format!("JOBICO_{}", name.to_uppercase()), url.clone())).collect()
    }

    /// Uploads what a job needs and puts it into force.
    pub fn deploy(&self, job: &Job) {
        for (name, text) in &job.schemas {
            let file = self.file(name, text);
            self.jobico(&["upload", "json", &self.tenant, name, file.to_str().unwrap()]).expect_ok();
        }
        for (name, bytes) in &job.modules {
            let file = self.file(name, bytes);
            self.jobico(&["upload", "wasm", &self.tenant, name, file.to_str().unwrap()]).expect_ok();
        }
        let file = self.file("job.yaml", job.yaml(&self.tenant, &self.pool));
        self.jobico(&["deploy", "--update", file.to_str().unwrap()]).expect_ok();
        for event in job.events() {
            self.client.await_event(event);
        }
    }

    /// All records of a topic of this tenant, read from outside. On the embedded log everything must have been stopped:
    /// it belongs to one process.
    pub fn records(&self, queue: &str) -> Vec<Record> {
        let topic = format!("{}.{queue}", self.tenant);
        match self.on {
            On::Embedded => embedded::read(&self.folder.path().join("data/log.sqlite"), &topic),
            On::Kafka => kafka::Reader::new(&self.kafka(), &topic, kafka::Isolation::Committed).read_to_end(),
        }
    }
}

/// Waits until `look` finds something.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    eventually_or(&mut look, WAIT_MAX).unwrap_or_else(|| panic!("not within {} s: {what}", WAIT_MAX.as_secs()))
}

/// Waits until `look` finds something, but not longer than `time`.
pub fn eventually_or<T>(mut look: impl FnMut() -> Option<T>, time: Duration) -> Option<T> {
    let begun = Instant::now();
    loop {
        match look() {
            Some(found) => return Some(found),
            None if begun.elapsed() > time => return None,
            None => std::thread::sleep(LOOK),
        }
    }
}

/// Data of events that are numbers.
pub fn numbers(range: std::ops::Range<usize>) -> Vec<Value> {
    range.map(Value::from).collect()
}

/// The addresses of services, shared with threads that send while processes come and go.
pub type Urls = Arc<Mutex<BTreeMap<String, String>>>;

/// Tells threads to end when a test leaves their scope, also when it fails: a scope waits for its threads.
pub struct Ending<'a>(pub &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
