//! Processes of the built binary: started, watched, and ended by their own id.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{WAIT_MAX, eventually};

/// How long a process may take to end after SIGTERM: more than the longest drain in these tests.
const END_MAX: Duration = Duration::from_secs(30);
/// How long a process that is no longer needed may take to end by itself before it is killed.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// The number of the signal of `abort`.
const SIGABRT: i32 = 6;
/// Bytes of standard error that a failing test shows of each process.
const SHOWN_BYTES_MAX: usize = 8 << 10;

/// A process of the binary.
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// What a command that has ended did.
#[derive(Debug)]
pub struct Run {
    #[expect(dead_code, reason = "failing tests show it")]
    command: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

fn command(arguments: &[&str], environment: &[(String, String)], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobico"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    // Whatever the person who runs the tests has set is not a part of them.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("JOBICO_") || name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.env("JOBICO_LOG_FORMAT", "text").env("RUST_BACKTRACE", "1");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str], environment: &[(String, String)], folder: &Path) -> Run {
    run_with_input(arguments, environment, folder, None)
}

/// Runs a command to its end, with a file as its standard input.
pub fn run_with_input(
    arguments: &[&str],
    environment: &[(String, String)],
    folder: &Path,
    input: Option<&Path>,
) -> Run {
    let mut command = command(arguments, environment, folder);
    if let Some(input) = input {
        command.stdin(File::open(input).expect("the input is there"));
    }
    let output = command.output().expect("the binary can be started");
    let run = Run {
        command: format!("jobico {}", arguments.join(" ")),
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
    };
    assert!(!run.stderr.contains("panicked"), "{run:?}");
    run
}

impl Run {
    /// Its standard output, where it succeeded.
    #[track_caller]
    pub fn expect_ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:#?}");
        &self.stdout
    }

    /// Its standard error, where it failed with `code`.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:#?}");
        &self.stderr
    }

    /// Its standard output as JSON, where it succeeded.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.expect_ok()).unwrap_or_else(|error| panic!("no JSON ({error}): {self:#?}"))
    }
}

impl Process {
    /// Starts a process whose output goes to files in `folder`.
    pub fn start(name: &str, arguments: &[&str], environment: &[(String, String)], folder: &Path) -> Self {
        let unique = rand::random::<u32>();
        let (stdout, stderr) =
            (folder.join(format!("{name}-{unique}.out")), folder.join(format!("{name}-{unique}.err")));
        let create = |path: &Path| File::create(path).expect("the scratch folder can be written");
        let mut command = command(arguments, environment, folder);
        let child = command.stdout(create(&stdout)).stderr(create(&stderr)).spawn().expect("the binary can be started");
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// The addresses it announces on standard output, by service; `admin` is the last one.
    pub fn addresses(&self) -> BTreeMap<String, String> {
        eventually(&format!("{} says where it listens", self.name), || {
            self.assert_running();
            let stdout = self.stdout();
            let addresses: BTreeMap<String, String> = stdout
                .lines()
                .filter_map(|line| line.trim().split_once(char::is_whitespace))
                .filter_map(|(name, url)| Some((name, url.trim())).filter(|(_, url)| url.starts_with("http://")))
                .map(|(name, url)| (name.to_owned(), url.to_owned()))
                .collect();
            addresses.contains_key("admin").then_some(addresses)
        })
    }

    #[track_caller]
    pub fn assert_running(&self) {
        // `Child::try_wait` wants it mutable; the process table says it as well.
        let state = state(&PathBuf::from(format!("/proc/{}", self.child.id())));
        assert!(
            state.is_some_and(|state| state != 'Z'),
            "{} has ended by itself:\n{}",
            self.name,
            tail(&self.stderr())
        );
    }

    /// Waits until it is stopped (SIGSTOP).
    #[track_caller]
    pub fn await_stopped(&self) {
        eventually(&format!("{} is stopped", self.name), || {
            self.assert_running();
            is_stopped(self.child.id()).then_some(())
        });
    }

    /// Whether Linux gives it pages of 2 MiB where it asks for some; none where the kernel does not say (before 5.0).
    pub fn has_huge_pages(&self) -> Option<bool> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        status.lines().find_map(|line| line.strip_prefix("THP_enabled:")).map(|value| value.trim() == "1")
    }

    #[track_caller]
    pub fn assert_no_panic(&self) {
        let stderr = self.stderr();
        assert!(!stderr.contains("panicked"), "{} panicked:\n{}", self.name, tail(&stderr));
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it can be waited for");
    }

    /// Sends a signal by its name.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([format!("-{signal}"), pid]).status().expect("kill can be started");
        assert!(sent.success(), "{} could not be signalled", self.name);
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.end()
    }

    /// Waits for its end: the exit code.
    pub fn end(&mut self) -> Option<i32> {
        let ended = self.ended_within(END_MAX);
        ended.unwrap_or_else(|| panic!("{} has not ended within {END_MAX:?}", self.name)).code()
    }

    /// Waits until it has aborted (SIGABRT), which nobody but itself does to it.
    #[track_caller]
    pub fn await_abort(mut self) {
        let ended = self.ended_within(WAIT_MAX);
        let ended = ended.unwrap_or_else(|| panic!("{} has not come to the place where it was to die", self.name));
        assert_eq!(ended.signal(), Some(SIGABRT), "{}: {ended}", self.name);
    }

    /// How it ended, once it has.
    fn ended_within(&mut self, time: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return Some(status);
            }
            if begun.elapsed() > time {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // Gracefully first: on Kafka, members that leave spare the other tests a session timeout.
            self.signal("TERM");
            if self.ended_within(LEAVE_MAX).is_none() {
                let _ = self.child.kill(); // it has just ended by itself, which is as well
                let _ = self.child.wait();
            }
        }
        if std::thread::panicking() {
            eprintln!("--- standard error of {}:\n{}", self.name, tail(&self.stderr()));
        } else {
            self.assert_no_panic();
        }
    }
}

/// Whether a process is stopped (SIGSTOP), every thread of it: one takes the signal, the others follow.
pub fn is_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let states: Vec<_> = threads.map(|thread| state(&thread.path())).collect();
    !states.is_empty() && states.iter().all(|state| *state == Some('T'))
}

/// A thread's or a process' state, by its letter in the process table.
fn state(entry: &Path) -> Option<char> {
    let status = std::fs::read_to_string(entry.join("stat")).ok()?;
    status.rsplit(") ").next()?.chars().next()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

fn tail(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(SHOWN_BYTES_MAX))..]
}
