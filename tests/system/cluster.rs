//! A Kafka of a test's own, whose nodes it may kill and stop: the one that tests share is not theirs to break.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::process::is_stopped;
use super::{eventually, kafka, keep_where_failing};

/// Tests with a cluster of their own run one after the other: several clusters, and processes on each, are more than a
/// machine of two cores carries without time-outs that say nothing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A cluster on loopback, run by `scripts/services`. It ends with the test.
pub struct Cluster {
    folder: TempDir,
    /// Bootstrap servers.
    pub address: String,
    nodes: u32,
    // Dropped last: the next begins when this has ended.
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts a cluster of one node or three, which keep every record three times and acknowledge it when two have it.
    pub fn start(nodes: u32) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut this = Self { folder, address: String::new(), nodes, _turn: turn };
        this.address = this.run_nodes();
        this
    }

    /// Starts the nodes that do not run, and waits until all are members of the cluster.
    pub fn run_nodes(&self) -> String {
        let nodes = self.nodes.to_string();
        let said = self.services(&["start", "kafka", "--port", "0", "--nodes", &nodes]);
        let address = said.trim().strip_prefix("kafka ").unwrap_or_else(|| panic!("no address: {said}")).to_owned();
        self.await_brokers(&address);
        address
    }

    /// SIGSTOP, and waits until nothing of the node goes on.
    pub fn hang(&self, node: u32) {
        self.signal(node, "STOP");
        eventually("the node is stopped", || is_stopped(self.pid(node).expect("the node runs")).then_some(()));
    }

    /// Ends a node's SIGSTOP, and waits until the cluster has it back.
    pub fn wake(&self, node: u32) {
        self.signal(node, "CONT");
        self.await_brokers(&self.address);
    }

    fn await_brokers(&self, address: &str) {
        eventually("all brokers are there", || kafka::has_brokers(address, self.nodes as usize).then_some(()));
    }

    /// Sends a signal to a node, from 1.
    fn signal(&self, node: u32, signal: &str) {
        let pid = self.pid(node).expect("the node runs").to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("kill can be started");
        assert!(sent.success(), "node {node} could not be signalled");
    }

    /// SIGKILL, and waits until the node has gone.
    pub fn kill(&self, node: u32) {
        self.signal(node, "KILL");
        eventually("the node has gone", || self.pid(node).is_none().then_some(()));
    }

    /// The process of a node that runs. A number alone could be another's by now; what it was started with is not.
    fn pid(&self, node: u32) -> Option<u32> {
        let folder = self.folder.path().join(format!("kafka/node-{node}"));
        let pid = std::fs::read_to_string(folder.with_extension("pid")).ok()?.trim().to_owned();
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        String::from_utf8_lossy(&command).contains(folder.to_str()?).then(|| pid.parse().ok())?
    }

    fn services(&self, arguments: &[&str]) -> String {
        let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services");
        let folder = self.folder.path().to_str().expect("a scratch folder's name is UTF-8");
        let run = Command::new(script).args(arguments).args(["--dir", folder]).stdin(Stdio::null()).output();
        let run = run.expect("scripts/services can be started");
        assert!(run.status.success(), "scripts/services {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).expect("it writes UTF-8")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nothing of it is wanted any more, and a node that is stopped does not hear a polite word.
        for pid in (1..=self.nodes).filter_map(|node| self.pid(node)) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        keep_where_failing(&mut self.folder);
    }
}
