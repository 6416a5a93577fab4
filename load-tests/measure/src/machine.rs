//! What the figures were measured on. They mean nothing without it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::system::process::TICK;

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
    /// How many cores others kept busy just before the run. A load average would remember the build.
    pub busy_cores: f64,
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
            busy_cores: busy_cores()?,
            versions,
        })
    }

    /// Whether ratios measured on `other` may be compared with those of this one.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.cores, &self.cpu) == (other.cores, &other.cpu)
    }
}

/// How long the machine is watched before the run.
const WATCHED: Duration = Duration::from_secs(3);

/// How many cores were busy while nothing was measured.
fn busy_cores() -> Result<f64, Failure> {
    let (begun, before) = (Instant::now(), busy_time()?);
    std::thread::sleep(WATCHED);
    let busy = (busy_time()? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    Ok((busy * 100.0).round() / 100.0)
}

/// Time that all cores together were busy since the machine started (proc(5), `/proc/stat`).
fn busy_time() -> Result<Duration, Failure> {
    let stat = read("/proc/stat")?;
    let ticks: Vec<u32> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map_while(|ticks| ticks.parse().ok())
        .collect();
    // user, nice, system; idle and iowait are left out; irq, softirq, steal. What guests used is in user already.
    match ticks[..] {
        [user, nice, system, _, _, irq, softirq, steal, ..] => {
            Ok(TICK * (user + nice + system + irq + softirq + steal))
        }
        _ => Err("/proc/stat cannot be understood".into()),
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
