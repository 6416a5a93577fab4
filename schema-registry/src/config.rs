//! Settings of the registry: where it listens, and what topics are made with.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, value_parser};
use jobico_broker::Retention;

/// Settings of the registry.
#[derive(Debug, Clone, Args)]
#[group(skip)] // all roles of a process have one; their ids would meet
pub struct Config {
    /// Address of the registry: the control plane and the Confluent-compatible Schema Registry.
    #[arg(
        id = "registry-addr",
        long,
        env = "JOBICO_REGISTRY_ADDR",
        value_name = "ADDR",
        default_value = "127.0.0.1:8081"
    )]
    pub addr: SocketAddr,

    /// Partitions of a queue whose job file names none. For topics made from now on. A tenant's results have as many as the
    /// largest queue of the job that is its first.
    #[arg(long, env = "JOBICO_PARTITIONS", value_name = "N", default_value_t = 4, value_parser = value_parser!(u32).range(1..=1000))]
    pub partitions: u32,

    /// Partitions of a tenant's dead letters.
    #[arg(long, env = "JOBICO_DEAD_PARTITIONS", value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1000))]
    pub dead_partitions: u32,

    /// Hours that events stay in their queue; 0 = as long as the log keeps records by default.
    #[arg(long, env = "JOBICO_QUEUE_RETENTION_HOURS", value_name = "HOURS", default_value_t = 168)]
    pub queue_retention_hours: u32,

    /// Hours that results stay in their topic, which is not their time in the result store; 0 = the log's default.
    #[arg(long, env = "JOBICO_RESULTS_RETENTION_HOURS", value_name = "HOURS", default_value_t = 168)]
    pub results_retention_hours: u32,

    /// Hours that dead letters stay; 0 = the log's default.
    #[arg(long, env = "JOBICO_DEAD_RETENTION_HOURS", value_name = "HOURS", default_value_t = 720)]
    pub dead_retention_hours: u32,

    /// Hours that what functions log stays in its topic; 0 = the log's default.
    #[arg(long, env = "JOBICO_LOG_RETENTION_HOURS", value_name = "HOURS", default_value_t = 72)]
    pub log_retention_hours: u32,
}

/// What a number of hours means to a topic.
#[must_use]
pub fn retention(hours: u32) -> Retention {
    match hours {
        0 => Retention::Default,
        hours => Retention::For(Duration::from_secs(u64::from(hours) * 3600)),
    }
}
