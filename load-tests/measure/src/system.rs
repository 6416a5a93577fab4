//! What is measured, set up as far as a measurement needs it: events in the queue, the registry with the job deployed,
//! and the roles that are started for one measurement and stopped after it.

pub mod process;

use std::cell::{Cell, OnceCell};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use jobico_event::{QueueId, TenantId, name};

use crate::kafka::{Cluster, Place, Topics};
use crate::role::{self, Guarantee};
use crate::settings::{Extent, Settings};
use crate::{Failure, say};
use process::Process;

/// What the example's job file names: tenant, queue and event are used as they are.
pub const TENANT: &str = "my-tenant-1";
const QUEUE: &str = "queue-default";
const EVENT: &str = "customer-registration";
const SCHEMA: &str = "customer.json";
/// Where a process of Jobico keeps its state, below its folder.
pub const DATA: &str = "data";

/// The place where all is measured.
pub struct Lab {
    /// Kafka.
    pub cluster: Cluster,
    /// How much is measured.
    pub extent: Extent,
    /// Topic of the queue.
    pub queue: Topics,
    /// Topic of the results.
    pub results: Topics,
    /// Topic that the bare copies go to.
    pub copies: Topics,
    /// Where ingest takes the events.
    pub path: String,
    /// The group of the processors.
    pub group: String,
    /// The text of the event's schema.
    pub schema: String,
    /// The function.
    pub wasm: Vec<u8>,
    /// Topic of the dead letters.
    pub dead: Topics,
    streams: PathBuf,
    streams_options: PathBuf,
    jobico: PathBuf,
    wasm_file: PathBuf,
    example: PathBuf,
    scratch: PathBuf,
    topics: OnceCell<()>,
    filled: OnceCell<()>,
    warmed: OnceCell<()>,
    registry: OnceCell<Process>,
    names: Cell<u32>,
}

/// One of a measurement's turns.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    what: &'a str,
    index: u32,
    of: u32,
}

impl Lab {
    /// Checks that everything is there.
    pub fn set_up(settings: &Settings) -> Result<Self, Failure> {
        let (tenant, queue) = (TenantId::new(TENANT)?, QueueId::new(QUEUE)?);
        let readable = |file: &Path| std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()));
        std::fs::create_dir_all(&settings.scratch)?;
        Ok(Self {
            cluster: Cluster::connect(&settings.kafka, settings.kafka_pid)?,
            extent: settings.extent.clone(),
            queue: name::queue(&tenant, &queue).as_str().into(),
            results: name::results(&tenant).as_str().into(),
            copies: "bench.copies".into(),
            path: format!("/events/{tenant}/{EVENT}"),
            group: name::processor_group(name::POOL_DEFAULT),
            schema: String::from_utf8(readable(&settings.example.join(SCHEMA))?)?,
            wasm: readable(&settings.wasm)?,
            dead: name::dead(&tenant).as_str().into(),
            streams: settings.streams.clone(),
            streams_options: settings.streams_options.clone(),
            jobico: settings.jobico.clone(),
            wasm_file: settings.wasm.clone(),
            example: settings.example.clone(),
            scratch: settings.scratch.clone(),
            topics: OnceCell::new(),
            filled: OnceCell::new(),
            warmed: OnceCell::new(),
            registry: OnceCell::new(),
            names: Cell::new(0),
        })
    }

    /// The turns of a measurement.
    pub fn pairs<'a>(&self, what: &'a str) -> impl Iterator<Item = Pair<'a>> + use<'a> {
        let of = self.extent.pairs;
        (1..=of).map(move |index| Pair { what, index, of })
    }

    /// How many events the queue is filled with.
    pub fn events(&self) -> u64 {
        self.extent.events
    }

    /// A name that nothing else has in this run.
    pub fn unused_name(&self, beginning: &str) -> String {
        self.names.set(self.names.get() + 1);
        format!("{beginning}.{}", self.names.get())
    }

    /// Makes the topics, all of one layout, before the registry would make them of another.
    pub fn make_topics(&self) -> Result<(), Failure> {
        once(&self.topics, || {
            let topics = [&self.queue, &self.results, &self.dead, &self.copies].map(Topics::name);
            self.cluster.create_topics(&topics.into())
        })?;
        Ok(())
    }

    /// Sees to it that the queue is filled.
    pub fn fill(&self) -> Result<(), Failure> {
        self.make_topics()?;
        once(&self.filled, || {
            say(&format!("filling {} with {} events", self.queue.name(), self.events()));
            self.cluster.preload(&self.queue, self.events())
        })?;
        Ok(())
    }

    /// Warms what is measured with, unless that was done already.
    pub fn warm(&self, warm: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        once(&self.warmed, warm)?;
        Ok(())
    }

    /// The registry, started and given the job when it is first asked for.
    pub fn registry(&self) -> Result<&Process, Failure> {
        self.make_topics()?;
        once(&self.registry, || {
            let registry = self.spawn("registry", &[])?;
            self.deploy(&registry.url("registry")?)?;
            Ok(registry)
        })
    }

    /// Starts a role, and returns when it listens.
    pub fn start(&self, role: &str, arguments: &[&str]) -> Result<Process, Failure> {
        let registry = self.registry()?.url("registry")?;
        self.spawn(role, &[&["--registry", &registry], arguments].concat())
    }

    /// Starts a processor of one worker whose log this program chooses, and returns when it works.
    pub fn start_role(&self, guarantee: Guarantee) -> Result<Process, Failure> {
        let registry = self.registry()?.url("registry")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([role::WORD, guarantee.name()]);
        command.args(["--kafka", self.cluster.bootstrap(), "--registry", &registry]);
        command.args(["--data-dir", DATA, "--workers", "1"]);
        Process::start(command, guarantee.name(), role::READY, &self.unused_folder(guarantee.name())?)
    }

    /// The file of the event's schema.
    pub fn schema_file(&self) -> PathBuf {
        self.example.join(SCHEMA)
    }

    /// Starts the peer, and returns when it says that it is ready.
    pub fn start_peer(&self, arguments: &[(&str, &str)]) -> Result<Process, Failure> {
        let folder = self.unused_folder("streams")?;
        let class_path = format!("{0}/classes:{0}/lib/*", self.streams.display());
        let mut command = Command::new("java");
        command.arg(format!("@{}", self.streams_options.display())).args(["-cp", &class_path, "jobico.streams.Peer"]);
        command.args(arguments.iter().flat_map(|(name, value)| [name, value]));
        Process::start(command, "streams", "ready", &folder)
    }

    /// Checks that no event became a dead letter.
    pub fn check_nothing_died(&self) -> Result<(), Failure> {
        match self.cluster.end(&self.dead)? {
            0 => Ok(()),
            _ => Err(format!("events became dead letters, the first one: {}", self.cluster.first(&self.dead)?).into()),
        }
    }

    /// Sets where the processors go on.
    pub fn reset_processors(&self, from: Place) -> Result<(), Failure> {
        self.cluster.reset(&self.group, &self.queue, from)
    }

    fn spawn(&self, role: &str, arguments: &[&str]) -> Result<Process, Failure> {
        let folder = self.unused_folder(role)?;
        let log = ["serve", role, "--kafka", self.cluster.bootstrap()];
        self.spawn_in(&folder, role, &[&log, arguments].concat())
    }

    /// Starts the whole system in one process, on the embedded log where the arguments say no other and SQLite, and returns
    /// when it listens. Its state is in `folder`, below [`DATA`].
    pub fn start_whole(&self, folder: &Path, arguments: &[&str]) -> Result<Process, Failure> {
        self.spawn_in(folder, "dev", &[&["dev"], arguments].concat())
    }

    fn spawn_in(&self, folder: &Path, name: &str, arguments: &[&str]) -> Result<Process, Failure> {
        let mut command = Command::new(&self.jobico);
        command.args(arguments).args(["--data-dir", DATA]);
        for listener in ["--ingest-addr", "--registry-addr", "--recorder-addr", "--admin-addr"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        // The admin listener's line comes last.
        Process::start(command, name, "admin", folder)
    }

    /// A folder that nothing else has in this run.
    pub fn unused_folder(&self, beginning: &str) -> Result<PathBuf, Failure> {
        let folder = self.scratch.join(self.unused_name(beginning));
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// What a person does to bring a job into force.
    fn deploy(&self, registry: &str) -> Result<(), Failure> {
        let schema = self.schema_file();
        let job = self.example.join("job.yaml");
        let steps: [&[&dyn AsRef<OsStr>]; 3] = [
            &[&"upload", &"json", &TENANT, &SCHEMA, &schema],
            &[&"upload", &"wasm", &TENANT, &"customer.wasm", &self.wasm_file],
            &[&"deploy", &job],
        ];
        steps
            .iter()
            .try_for_each(|step| self.tool_at(registry, &step.iter().map(|word| word.as_ref()).collect::<Vec<_>>()))
    }

    /// Runs a tool that changes what the registry has.
    pub fn tool(&self, arguments: &[&OsStr]) -> Result<(), Failure> {
        self.tool_at(&self.registry()?.url("registry")?, arguments)
    }

    fn tool_at(&self, registry: &str, arguments: &[&OsStr]) -> Result<(), Failure> {
        let mut command = Command::new(&self.jobico);
        process::shelter(&mut command, &self.scratch);
        let output = command.args(arguments).args(["--registry", registry]).output()?;
        if !output.status.success() {
            return Err(format!("{arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(())
    }

    /// Writes a file for a tool to read.
    pub fn scratch_file(&self, name: &str, content: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.scratch.join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }
}

impl Pair<'_> {
    /// Says which turn it is.
    pub fn say(&self) {
        say(&format!("{}, {} of {}", self.what, self.index, self.of));
    }
}

/// What a cell holds, made where it is empty.
fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T, Failure>) -> Result<&T, Failure> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}
