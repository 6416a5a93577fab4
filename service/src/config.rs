//! Configuration that every role shares. Flags win over the environment, the environment over `.env` files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

/// Names the environment whose `.env.NAME` file is read.
pub const ENVIRONMENT: &str = "JOBICO_ENV";
/// What begins the variables that go to librdkafka.
const KAFKA_PREFIX: &str = "JOBICO_KAFKA_";

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people: JSON when standard error is no terminal.
    #[default]
    Auto,
    /// A line of text each.
    Text,
    /// A JSON object each.
    Json,
}

/// Settings of every long-running process.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Bootstrap servers of Kafka, HOST:PORT[,HOST:PORT…]; without it the embedded log in the data folder is used.
    /// Other settings of librdkafka: JOBICO_KAFKA_<PROPERTY>, such as JOBICO_KAFKA_SECURITY_PROTOCOL=SASL_SSL.
    #[arg(long, env = "JOBICO_KAFKA", value_name = "HOST:PORT")]
    pub kafka: Option<String>,

    /// Replication factor of the topics made here; without it the brokers' default.
    #[arg(long, env = "JOBICO_REPLICATION", value_name = "N")]
    pub replication: Option<i32>,

    /// Contact points of ScyllaDB or Cassandra, HOST:PORT[,HOST:PORT…]; without it results are kept in SQLite.
    #[arg(long, env = "JOBICO_CQL", value_name = "HOST:PORT")]
    pub cql: Option<String>,

    /// Folder for all state on this machine.
    #[arg(long, env = "JOBICO_DATA_DIR", value_name = "DIR", default_value = "jobico-data")]
    pub data_dir: PathBuf,

    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "JOBICO_ADMIN_ADDR", value_name = "ADDR", default_value = "127.0.0.1:8090")]
    pub admin_addr: SocketAddr,

    /// Name of this process among its kind, the same after a restart: part of its transactional ids.
    #[arg(long, env = "JOBICO_INSTANCE", value_name = "NAME", default_value = "0")]
    pub instance: String,

    /// Seconds from SIGTERM until what is not done is given up.
    #[arg(long, env = "JOBICO_DRAIN_SECONDS", value_name = "N", default_value_t = 20)]
    pub drain_seconds: u64,

    /// Form of the logs.
    #[arg(long, env = "JOBICO_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Reads `.env` files of the working folder into the environment: `.env.$JOBICO_ENV`, `.env.local`, `.env`. What is set
/// already stays. To be called first thing, before any thread runs.
///
/// # Errors
/// Which file cannot be read, and why.
pub fn load_env_files(folder: &Path) -> Result<(), String> {
    let named = std::env::var(ENVIRONMENT).ok().map(|name| format!(".env.{name}"));
    for name in named.into_iter().chain([".env.local".to_owned(), ".env".to_owned()]) {
        let path = folder.join(&name);
        match dotenvy::from_path(&path) {
            Ok(()) => {}
            Err(error) if error.not_found() => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Ok(())
}

/// The settings of librdkafka among `variables`: `JOBICO_KAFKA_SASL_USERNAME` is `sasl.username`.
#[must_use]
pub fn kafka_properties(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    variables
        .filter_map(|(name, value)| {
            let property = name.strip_prefix(KAFKA_PREFIX)?;
            Some((property.to_ascii_lowercase().replace('_', "."), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_properties_of_librdkafka() {
        let variables = [("JOBICO_KAFKA_SECURITY_PROTOCOL", "SSL"), ("JOBICO_KAFKA", "localhost:9092"), ("HOME", "/")];
        let found = kafka_properties(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("security.protocol".to_owned(), "SSL".to_owned())]);
    }
}
