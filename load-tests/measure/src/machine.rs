//! What the figures were measured on. They mean nothing without it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// A machine, and what ran on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// The model of the processor.
    pub cpu: String,
    /// Memory, GiB.
    pub memory_gib: f64,
    /// The kernel's version.
    pub kernel: String,
    /// Load average of the last minute when the run began.
    pub load: f64,
    /// Versions of what was measured and measured with.
    pub versions: BTreeMap<String, String>,
}

impl Machine {
    /// Reads them from `/proc`.
    pub fn read(versions: &[(String, String)]) -> Result<Self, Failure> {
        let mut versions: BTreeMap<String, String> = versions.iter().cloned().collect();
        versions.insert("librdkafka".to_owned(), rdkafka::util::get_rdkafka_version().1);
        let cpu = field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let memory_kib: f64 = field(&read("/proc/meminfo")?, "MemTotal")
            .and_then(|total| total.split_whitespace().next()?.parse().ok())
            .ok_or("/proc/meminfo names no MemTotal")?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            cpu,
            memory_gib: (memory_kib / 1024.0 / 102.4).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load: read("/proc/loadavg")?.split(' ').next().unwrap_or_default().parse()?,
            versions,
        })
    }

    /// Whether ratios measured on `other` may be compared with those of this one.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.cores, &self.cpu) == (other.cores, &other.cpu)
    }
}

/// The value of the first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

fn read(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}; the benchmark needs Linux").into())
}
