//! Settings of a recorder, and its limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::duration;

/// Settings of a recorder.
#[derive(Debug, Clone, Args)]
#[group(skip)] // all roles of a process have one; their ids would meet
pub struct Config {
    /// Address of the API of results and logs.
    #[arg(long, env = "JOBICO_RECORDER_ADDR", value_name = "ADDR", default_value = "127.0.0.1:8082")]
    pub recorder_addr: SocketAddr,

    /// How long results are kept in the store, where their tenant sets nothing else: 12h, 30d, at most 5 years. It counts
    /// from when a result was written to its topic.
    #[arg(long, env = "JOBICO_RESULTS_TTL", value_name = "DURATION", default_value = "30d", value_parser = duration::parse)]
    pub results_ttl: Duration,

    /// How long what functions log is kept in the store.
    #[arg(long, env = "JOBICO_LOGS_TTL", value_name = "DURATION", default_value = "7d", value_parser = duration::parse)]
    pub logs_ttl: Duration,

    /// Live streams (results and logs together) at a time; more are answered 503. Each has a thread and reads its topic.
    #[arg(long, env = "JOBICO_STREAMS_MAX", value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub streams_max: u16,

    /// Settings of the CQL store.
    #[command(flatten)]
    pub cql: CqlConfig,
}

/// Settings of the CQL store; where it is, is `--cql`.
#[derive(Debug, Clone, Args)]
pub struct CqlConfig {
    /// Keyspace of results and logs; made where it is missing.
    #[arg(long = "cql-keyspace", id = "cql-keyspace", env = "JOBICO_CQL_KEYSPACE", value_name = "NAME", default_value = "jobico", value_parser = keyspace)]
    pub keyspace: String,

    /// Replication of the keyspace where it is made here: a number (SimpleStrategy), or one for each datacenter, such as
    /// dc1=3,dc2=3 (NetworkTopologyStrategy).
    #[arg(long = "cql-replication", id = "cql-replication", env = "JOBICO_CQL_REPLICATION", value_name = "N|DC=N,…", default_value = "1", value_parser = replication)]
    pub replication: Replication,

    /// How many replicas must have a write before it counts, and answer a read.
    #[arg(
        long = "cql-consistency",
        id = "cql-consistency",
        env = "JOBICO_CQL_CONSISTENCY",
        value_enum,
        default_value_t
    )]
    pub consistency: Consistency,

    /// User of the CQL store.
    #[arg(long = "cql-user", id = "cql-user", env = "JOBICO_CQL_USER", value_name = "NAME", requires = "cql-password")]
    pub user: Option<String>,

    /// Password of the CQL store; better given by the variable, which other users of the machine do not see.
    #[arg(
        long = "cql-password",
        id = "cql-password",
        env = "JOBICO_CQL_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true,
        requires = "cql-user"
    )]
    pub password: Option<Password>,

    /// TLS to the CQL store.
    #[command(flatten)]
    pub tls: CqlTlsConfig,
}

/// TLS to the CQL store: whom to trust there, and who this process is.
#[derive(Debug, Clone, Args)]
pub struct CqlTlsConfig {
    /// TLS to the CQL store, whose certificates are signed by authorities that this system trusts. Each node's has to name
    /// the IP address at which the node is reached.
    #[arg(long = "cql-tls", id = "cql-tls", env = "JOBICO_CQL_TLS")]
    pub on: bool,

    /// TLS to the CQL store, whose certificates are signed by an authority in this file, PEM, and by no other.
    #[arg(long = "cql-tls-ca", id = "cql-tls-ca", env = "JOBICO_CQL_TLS_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Certificate of this process, for a CQL store that asks for one: PEM, followed by authorities in between.
    #[arg(
        long = "cql-tls-cert",
        id = "cql-tls-cert",
        env = "JOBICO_CQL_TLS_CERT",
        value_name = "FILE",
        requires_all = ["cql-tls-ca", "cql-tls-key"]
    )]
    pub cert: Option<PathBuf>,

    /// Private key of that certificate: PEM, without a passphrase.
    #[arg(
        long = "cql-tls-key",
        id = "cql-tls-key",
        env = "JOBICO_CQL_TLS_KEY",
        value_name = "FILE",
        requires = "cql-tls-cert"
    )]
    pub key: Option<PathBuf>,
}

/// Where results and logs are kept.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Contact points of ScyllaDB or Cassandra, `HOST:PORT[,HOST:PORT…]`; none = SQLite in the data folder.
    pub cql: Option<String>,
    /// The folder for all state on this machine.
    pub data_dir: PathBuf,
}

impl StoreConfig {
    /// What it is, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.cql {
            Some(contact_points) => format!("CQL at {contact_points}"),
            None => format!("SQLite in {}", self.sqlite_path().display()),
        }
    }

    /// The file of the SQLite store.
    #[must_use]
    pub fn sqlite_path(&self) -> PathBuf {
        self.data_dir.join("results.sqlite")
    }
}

/// A password, which is never shown.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The password itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Password {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// How a keyspace is replicated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replication {
    /// So many replicas, wherever (SimpleStrategy): one datacenter.
    Simple(u8),
    /// So many replicas in each datacenter (NetworkTopologyStrategy).
    PerDatacenter(Vec<(String, u8)>),
}

/// How many replicas must agree (CQL's consistency levels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Consistency {
    /// One, anywhere.
    One,
    /// One in this datacenter.
    LocalOne,
    /// Most of this datacenter's.
    #[default]
    LocalQuorum,
    /// Most of all.
    Quorum,
    /// All.
    All,
}

/// An unquoted identifier of CQL in lower case, so that nobody has to quote it.
fn keyspace(text: &str) -> Result<String, String> {
    /// Cassandra's limit for names, in characters.
    const NAME_MAX: usize = 48;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if first && text.len() <= NAME_MAX && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(format!("a keyspace's name is 1 to {NAME_MAX} of a-z, 0-9 and '_', and begins with a letter"))
}

fn replication(text: &str) -> Result<Replication, String> {
    let factor = |text: &str| {
        let factor = text.parse::<u8>().ok().filter(|factor| *factor > 0);
        factor.ok_or_else(|| format!("'{text}' is no replication factor (1 to 255)"))
    };
    if !text.contains('=') {
        return factor(text).map(Replication::Simple);
    }
    let datacenter = |part: &str| {
        let (name, replicas) = part.split_once('=').ok_or_else(|| format!("'{part}' is not of the form DC=N"))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(format!("'{name}' is no name of a datacenter"));
        }
        Ok((name.to_owned(), factor(replicas)?))
    };
    text.split(',').map(datacenter).collect::<Result<_, _>>().map(Replication::PerDatacenter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_is_a_number_or_one_for_each_datacenter() {
        assert_eq!(replication("3"), Ok(Replication::Simple(3)));
        let two = vec![("dc1".to_owned(), 3), ("dc-2".to_owned(), 2)];
        assert_eq!(replication("dc1=3,dc-2=2"), Ok(Replication::PerDatacenter(two)));
        for bad in ["", "0", "x", "dc1=", "=3", "dc1=3,", "dc'1=3"] {
            assert!(replication(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_keyspace_needs_no_quotes() {
        assert!(keyspace("jobico_2").is_ok());
        for bad in ["", "2x", "Jobico", "a-b", "a\"b", &"a".repeat(49)] {
            assert!(keyspace(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let password: Password = "secret".parse().unwrap();
        assert_eq!(format!("{password:?}"), "***");
    }
}
