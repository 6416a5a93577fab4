//! A process that is measured: started, waited for, looked at from outside, and stopped, also where a measurement fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// How long a process may take until it is ready: the peer warms up first.
const START_MAX: Duration = Duration::from_secs(120);
/// How long it may take to stop before it is killed; its own deadline is 20 s.
const STOP_MAX: Duration = Duration::from_secs(25);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What of its log is shown where it failed.
const LOG_BYTES_SHOWN: usize = 4 << 10;
/// The unit of CPU time in `/proc/*/stat`: USER_HZ, 100 on every Linux.
pub const TICK: Duration = Duration::from_millis(10);

/// A process, stopped when it is dropped.
pub struct Process {
    name: String,
    child: Child,
    folder: PathBuf,
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time of all its threads, since it began.
    pub cpu: Duration,
    /// Resident memory now.
    pub resident_bytes: u64,
}

impl Process {
    /// Starts a process in `folder`, where its output goes, and returns once it has said the line that begins with `last`.
    pub fn start(mut command: Command, name: &str, last: &str, folder: &Path) -> Result<Self, Failure> {
        shelter(&mut command, folder);
        command.stdout(File::create(folder.join("out"))?).stderr(File::create(folder.join("log"))?);
        let child = command.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let mut process = Self { name: name.to_owned(), child, folder: folder.to_owned() };
        // load-tests/bench ends whoever is named so, should this program be killed.
        std::fs::write(folder.join("pid"), process.child.id().to_string())?;
        let deadline = Instant::now() + START_MAX;
        while process.url(last).is_err() {
            process.check()?;
            if Instant::now() > deadline {
                return Err(process.failed("was not ready in time"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(process)
    }

    /// Where one of its servers listens.
    pub fn url(&self, server: &str) -> Result<String, Failure> {
        let out = std::fs::read_to_string(self.folder.join("out"))?;
        // A line without its end is still being written.
        let whole = out.rfind('\n').map_or("", |end| &out[..end]);
        // `jobico dev` says it to people, in columns.
        let url = whole.lines().find_map(|line| {
            let (name, url) = line.trim_start().split_once(' ')?;
            (name == server).then(|| url.trim_start())
        });
        Ok(url.ok_or_else(|| format!("{} says no address for {server}", self.name))?.to_owned())
    }

    /// What it has used.
    pub fn usage(&self) -> Result<Usage, Failure> {
        Usage::of_process(self.child.id())
    }

    /// Checks that it runs.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failed(&format!("ended: {status}"))),
        }
    }

    /// A failure of it, with the end of its log.
    pub fn failed(&self, how: &str) -> Failure {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let end = &log[log.ceil_char_boundary(log.len().saturating_sub(LOG_BYTES_SHOWN))..];
        format!("{} {how}; the end of its log:\n{end}", self.name).into()
    }

    fn stop(&mut self) -> std::io::Result<()> {
        if self.child.try_wait()?.is_none() {
            Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
            let deadline = Instant::now() + STOP_MAX;
            while self.child.try_wait()?.is_none() {
                if Instant::now() > deadline {
                    self.child.kill()?;
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        std::fs::remove_file(self.folder.join("pid"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            crate::say(&format!("{} could not be stopped: {error}", self.name));
        }
    }
}

impl Usage {
    /// Of this very process.
    pub fn of_this_process() -> Result<Self, Failure> {
        Self::of("/proc/self")
    }

    /// Of a process of this machine.
    pub fn of_process(pid: u32) -> Result<Self, Failure> {
        Self::of(&format!("/proc/{pid}"))
    }

    /// Of the process whose folder this is (proc(5)).
    fn of(folder: &str) -> Result<Self, Failure> {
        let stat = std::fs::read_to_string(format!("{folder}/stat"))?;
        let statm = std::fs::read_to_string(format!("{folder}/statm"))?;
        let usage = || {
            // The name, in parentheses, may hold spaces. Of what follows, the 12th and 13th are utime and stime.
            let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::parse::<u32>);
            let ticks = times.next()?.ok()? + times.next()?.ok()?;
            let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
            Some(Self { cpu: TICK * ticks, resident_bytes: pages * PAGE_BYTES })
        };
        usage().ok_or_else(|| format!("{folder}/stat cannot be understood").into())
    }
}

/// The unit of `/proc/*/statm`.
const PAGE_BYTES: u64 = 4096;

/// Keeps a command from the settings of whoever runs the benchmark: from variables, and from `.env` files.
pub fn shelter(command: &mut Command, folder: &Path) {
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("JOBICO_")) {
        command.env_remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_process_is_there_when_it_says_where_it_listens_and_gone_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let script = "printf 'up.\\n  ingest   http://a:1\\nadmin http://a:2\\n'; exec sleep 600";
        let process = Process::start(shell(script), "ingest", "admin", folder.path()).unwrap();
        assert_eq!(process.url("ingest").unwrap(), "http://a:1");
        assert!(process.usage().unwrap().resident_bytes > 0);
        let proc = PathBuf::from(format!("/proc/{}", process.child.id()));
        assert!(proc.exists());
        drop(process);
        assert!(!proc.exists());
        assert!(!folder.path().join("pid").exists());
    }

    #[test]
    fn a_process_that_ends_at_once_is_told_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let failed = Process::start(shell("echo 'no such broker' >&2; exit 3"), "ingest", "admin", folder.path());
        let message = failed.err().unwrap().to_string();
        assert!(message.contains("exit status: 3") && message.contains("no such broker"), "{message}");
    }

    #[test]
    fn cpu_time_is_counted() {
        let before = Usage::of_this_process().unwrap();
        let begun = Instant::now();
        let mut number = 1_u64;
        while Usage::of_this_process().unwrap().cpu < before.cpu + TICK * 2 {
            number = std::hint::black_box(number.wrapping_mul(3));
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
        assert!(before.resident_bytes > PAGE_BYTES);
    }
}
