//! Settings of a processor, and the limits that a function lives in.

use std::time::Duration;

use clap::Args;
use jobico_broker::GatherLimits;
use jobico_event::contract;
use jobico_event::name::POOL_DEFAULT;

/// Settings of a processor.
#[derive(Debug, Clone, Args)]
#[group(skip)] // all roles of a process have one; their ids would meet
pub struct Config {
    /// Pool of queues that this processor reads.
    #[arg(long, env = "JOBICO_POOL", value_name = "NAME", default_value = POOL_DEFAULT)]
    pub pool: String,

    /// Threads that run functions; without it one for each core.
    #[arg(long, env = "JOBICO_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,

    /// Events in one transaction, at most.
    #[arg(long, env = "JOBICO_BATCH_RECORDS_MAX", value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_records_max: u32,

    /// Bytes of events in one transaction, at most, but always one event.
    #[arg(long, env = "JOBICO_BATCH_BYTES_MAX", value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1024..=256 << 20))]
    pub batch_bytes_max: u32,

    /// Time of one transaction, milliseconds of functions running: after it, what is gathered and not done waits for the
    /// next. Tenants that have events in a transaction share its time equally.
    #[arg(long, env = "JOBICO_BATCH_MS_MAX", value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    pub batch_ms_max: u32,

    /// Longest call of a function, milliseconds, where its job sets none; also the most that a job may set.
    #[arg(long, env = "JOBICO_CALL_MS_MAX", value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub call_ms_max: u32,

    /// Memory of one instance of a function, MiB.
    #[arg(long, env = "JOBICO_MEMORY_MIB_MAX", value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub memory_mib_max: u32,

    /// Bytes of one result, at most; a larger one makes its event a dead letter.
    #[arg(long, env = "JOBICO_OUTPUT_BYTES_MAX", value_name = "BYTES", default_value_t = 896 << 10, value_parser = clap::value_parser!(u32).range(1024..=16 << 20))]
    pub output_bytes_max: u32,

    /// Instances of functions that are kept in this process.
    #[arg(long, env = "JOBICO_INSTANCES_MAX", value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub instances_max: u32,

    /// Longest time to compile a module, seconds: events of one that takes longer fail until it is compiled.
    #[arg(long, env = "JOBICO_COMPILE_S_MAX", value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub compile_s_max: u32,

    /// Memory of compiled modules, MiB, beyond which those go that were not asked for within the last seconds.
    #[arg(long, env = "JOBICO_MODULES_MIB_MAX", value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    pub modules_mib_max: u32,

    /// Compiled modules on disk, MiB, beyond which those go that were not used for the longest time.
    #[arg(long, env = "JOBICO_COMPILED_MIB_MAX", value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub compiled_mib_max: u32,

    /// Partitions of each topic in which failed events of the pool wait to be run again, where it is made here.
    #[arg(long, env = "JOBICO_RETRY_PARTITIONS", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub retry_partitions: u32,

    /// Partitions of the topic of what functions log, where it is made here.
    #[arg(long, env = "JOBICO_LOG_PARTITIONS", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub log_partitions: u32,
}

/// What one call of a function may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest call. The epoch ticks every [`EPOCH_TICK`], so that a call ends at most one tick later.
    pub call: Duration,
    /// Bytes of linear memory of an instance.
    pub memory_bytes: usize,
    /// Elements of an instance's tables.
    pub table_elements: usize,
    /// Bytes of one output.
    pub output_bytes: usize,
    /// Bytes that one call may log; what is over is left out, and said so.
    pub log_bytes: usize,
    /// Lines that one call may log; one more says that others were left out.
    pub log_lines: usize,
    /// Instances kept in the process.
    pub instances: usize,
    /// Longest time to compile a module.
    pub compile: Duration,
    /// Bytes of compiled modules in memory.
    pub modules_bytes: usize,
    /// Bytes of compiled modules on disk.
    pub compiled_bytes: u64,
}

/// How often the engine's epoch counts on: the resolution of [`Limits::call`].
pub const EPOCH_TICK: Duration = Duration::from_millis(10);
/// See [`Limits::table_elements`]: what the registry lets through when a module is uploaded has room here.
const TABLE_ELEMENTS_MAX: usize = contract::TABLE_ELEMENTS_MAX as usize;
/// See [`Limits::log_bytes`].
const LOG_BYTES_MAX: usize = 64 << 10;
/// See [`Limits::log_lines`].
const LOG_LINES_MAX: usize = 100;

impl Config {
    /// How many workers run.
    #[must_use]
    pub fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.workers.map_or_else(cores, usize::from)
    }

    /// How much one batch takes.
    #[must_use]
    pub fn gather_limits(&self) -> GatherLimits {
        GatherLimits { records_max: self.batch_records_max as usize, bytes_max: self.batch_bytes_max as usize }
    }

    /// What one call may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            call: Duration::from_millis(u64::from(self.call_ms_max)),
            memory_bytes: (self.memory_mib_max as usize) << 20,
            table_elements: TABLE_ELEMENTS_MAX,
            output_bytes: self.output_bytes_max as usize,
            log_bytes: LOG_BYTES_MAX,
            log_lines: LOG_LINES_MAX,
            instances: self.instances_max as usize,
            compile: Duration::from_secs(self.compile_s_max.into()),
            modules_bytes: (self.modules_mib_max as usize) << 20,
            compiled_bytes: u64::from(self.compiled_mib_max) << 20,
        }
    }
}
