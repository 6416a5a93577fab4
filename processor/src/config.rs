//! Settings of a processor, and the limits that a function lives in.

use std::time::Duration;

use clap::Args;
use jobico_broker::GatherLimits;
use jobico_event::contract;
use jobico_event::name::POOL_DEFAULT;

use crate::compile::{Allowance, Program};
use crate::turns::OVERRUN_MAX;

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
    #[arg(long, env = "JOBICO_BATCH_RECORDS_MAX", value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_records_max: u32,

    /// Bytes of events in one transaction, at most, but always one event.
    #[arg(long, env = "JOBICO_BATCH_BYTES_MAX", value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1024..=256 << 20))]
    pub batch_bytes_max: u32,

    /// Time of one transaction, milliseconds of functions running: after it, what is gathered and not done waits for the
    /// next. Tenants that have events in a transaction share its time by their weights.
    #[arg(long, env = "JOBICO_BATCH_MS_MAX", value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    pub batch_ms_max: u32,

    /// Longest call of a function, milliseconds, where its job sets none; also the most that a job may set. Kafka ends a
    /// transaction after 30 s (JOBICO_KAFKA_TRANSACTION_TIMEOUT_MS): some 8 s is what fits into that.
    #[arg(long, env = "JOBICO_CALL_MS_MAX", value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub call_ms_max: u32,

    /// Memory of one instance of a function, MiB.
    #[arg(long, env = "JOBICO_MEMORY_MIB_MAX", value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub memory_mib_max: u32,

    /// Bytes of one result, at most; a larger one makes its event a dead letter. The default is what a record has room for.
    #[arg(long, env = "JOBICO_OUTPUT_BYTES_MAX", value_name = "BYTES", default_value_t = OUTPUT_BYTES_MAX, value_parser = clap::value_parser!(u32).range(1024..=i64::from(OUTPUT_BYTES_MAX)))]
    pub output_bytes_max: u32,

    /// Instances of functions that are kept in this process.
    #[arg(long, env = "JOBICO_INSTANCES_MAX", value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub instances_max: u32,

    /// CPU time to compile a module, seconds: one that takes more cannot be used.
    #[arg(long, env = "JOBICO_COMPILE_S_MAX", value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub compile_s_max: u32,

    /// Memory to compile a module, MiB: one that takes more cannot be used. Two are compiled at once, at most.
    #[arg(long, env = "JOBICO_COMPILE_MIB_MAX", value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=65_536))]
    pub compile_mib_max: u32,

    /// What compiles modules, in processes of their own.
    #[arg(skip)]
    pub compiler: Program,

    /// Memory of compiled modules, MiB, beyond which those go that were not asked for within the last second.
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
    /// What compiling a module may use.
    pub compile: Allowance,
    /// Bytes of compiled modules in memory.
    pub modules_bytes: usize,
    /// Bytes of compiled modules on disk.
    pub compiled_bytes: u64,
}

/// See [`Limits::output_bytes`]: what topics take by default (1 MiB), less what [`crate::room`] leaves for the rest of a record. A
/// result that its topic does not take would abort its batch again and again.
const OUTPUT_BYTES_MAX: u32 = 896 << 10;
/// How often the engine's epoch counts on: the resolution of [`Limits::call`].
pub const EPOCH_TICK: Duration = Duration::from_millis(10);
/// See [`Limits::table_elements`]: what the registry lets through when a module is uploaded has room here.
const TABLE_ELEMENTS_MAX: usize = contract::TABLE_ELEMENTS_MAX as usize;
/// See [`Limits::log_bytes`].
const LOG_BYTES_MAX: usize = 64 << 10;
/// See [`Limits::log_lines`].
const LOG_LINES_MAX: usize = 100;

/// Beside functions: what a transaction does before and after them, up to its commit, where the log is slow.
const BESIDE_FUNCTIONS: Duration = Duration::from_secs(5);

/// A transaction could take longer than the log lets it: the log would end it, and its batch be done again, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "with --call-ms-max {call_ms_max} and --batch-ms-max {batch_ms_max} a transaction may take {needs_ms} ms, and Kafka ends it \
     after {timeout_ms}: its events would be run again and again. Choose a smaller --call-ms-max, or let transactions last \
     longer with JOBICO_KAFKA_TRANSACTION_TIMEOUT_MS={needs_ms} (brokers allow transaction.max.timeout.ms, by default 900000)"
)]
pub struct TransactionTooLong {
    call_ms_max: u32,
    batch_ms_max: u32,
    needs_ms: u128,
    timeout_ms: u128,
}

/// Settings with which a processor does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// See [`TransactionTooLong`].
    #[error(transparent)]
    Transaction(#[from] TransactionTooLong),
    /// Each worker keeps an instance at least.
    #[error(
        "--instances-max {instances_max} is less than one instance for each of {workers} workers: raise it, or lower --workers"
    )]
    Instances {
        /// `--instances-max`.
        instances_max: u32,
        /// Workers.
        workers: usize,
    },
}

impl Config {
    /// How long a transaction may take: a batch that is just not over when a function is begun, which fails late on a used
    /// instance, and runs again on one that is made for it.
    #[must_use]
    pub fn transaction_max(&self) -> Duration {
        let call = Duration::from_millis(self.call_ms_max.into()) + EPOCH_TICK;
        Duration::from_millis(self.batch_ms_max.into()) * OVERRUN_MAX + call * 3 + BESIDE_FUNCTIONS
    }

    /// Checks that transactions end before the log ends them, and that each worker has a place for an instance.
    ///
    /// # Errors
    /// [`Unfit`] where it is not so.
    pub fn check(&self, transaction_timeout: Option<Duration>) -> Result<(), Unfit> {
        let (instances_max, workers) = (self.instances_max, self.workers());
        if (instances_max as usize) < workers {
            return Err(Unfit::Instances { instances_max, workers });
        }
        Ok(self.check_transaction(transaction_timeout)?)
    }

    fn check_transaction(&self, transaction_timeout: Option<Duration>) -> Result<(), TransactionTooLong> {
        let needs = self.transaction_max();
        match transaction_timeout.filter(|timeout| *timeout < needs) {
            None => Ok(()),
            Some(timeout) => Err(TransactionTooLong {
                call_ms_max: self.call_ms_max,
                batch_ms_max: self.batch_ms_max,
                needs_ms: needs.as_millis(),
                timeout_ms: timeout.as_millis(),
            }),
        }
    }

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
            compile: Allowance {
                time: Duration::from_secs(self.compile_s_max.into()),
                memory_bytes: u64::from(self.compile_mib_max) << 20,
            },
            modules_bytes: (self.modules_mib_max as usize) << 20,
            compiled_bytes: u64::from(self.compiled_mib_max) << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn each_worker_has_a_place_for_an_instance() {
        let check = |flags: &[&str]| Command::parse_from([&["processor"], flags].concat()).config.check(None);
        assert_eq!(check(&["--workers", "4", "--instances-max", "4"]), Ok(()));
        let refused = check(&["--workers", "4", "--instances-max", "3"]).unwrap_err();
        assert_eq!(refused, Unfit::Instances { instances_max: 3, workers: 4 });
        for part in ["--instances-max 3", "4 workers"] {
            assert!(refused.to_string().contains(part), "{refused}");
        }
    }

    #[test]
    fn a_transaction_must_end_before_the_log_ends_it() {
        let check = |flags: &[&str], timeout_s: Option<u64>| {
            let command = Command::parse_from([&["processor"], flags].concat());
            command.config.check(timeout_s.map(Duration::from_secs))
        };
        for (flags, timeout_s, fits) in [
            (&[][..], Some(30), true),
            (&[], Some(9), true),
            (&[], Some(8), false),
            (&["--call-ms-max", "8000"], Some(30), true),
            (&["--call-ms-max", "9000"], Some(30), false),
            (&["--call-ms-max", "60000"], Some(30), false),
            (&["--call-ms-max", "60000"], Some(190), true),
            (&["--batch-ms-max", "10000"], Some(30), true),
            (&["--batch-ms-max", "10000", "--call-ms-max", "5000"], Some(30), false),
            (&["--call-ms-max", "60000"], None, true),
        ] {
            assert_eq!(check(flags, timeout_s).is_ok(), fits, "{flags:?} {timeout_s:?}");
        }
        let refused = check(&["--call-ms-max", "60000"], Some(30)).unwrap_err().to_string();
        for part in ["--call-ms-max 60000", "30000", "TRANSACTION_TIMEOUT_MS=185230"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
}
