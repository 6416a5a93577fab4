//! Compiles one tenant's module, in a process of its own.
//!
//! ```text
//! processor ── starts ─► jobico compile-module TIME MEMORY NICE      nothing of the processor's environment
//!           ── wasm ───►   a thread compiles; the main thread looks how long it has been at it
//!           ◄─ sealed ──   or why it is no module; or nothing, and an exit code or a signal that says why
//! ```
//!
//! A compilation cannot be cut short, and nobody counts its memory: 1,000 variables that 1,000 branches carry out of 100 nested
//! blocks take more than 40 seconds, in a function of 20 KB, and others have taken gigabytes. The registry refuses what no
//! compiler puts out (`jobico_event::contract`), but compilers put out functions with more of each. In a process of its own it
//! takes no more than it may, and whatever it dies of, a defect in the compiler included, it dies alone. (Not that it is a cage:
//! a compiler that was taken over could return any code, and would, like the processor, be this user's process.)

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::function::{Fault, module};

/// The first argument of a process that compiles; the others are [`Allowance`]'s.
const COMMAND: &str = "compile-module";
/// Stack of the thread that compiles; it is reserved, not used. The compiler recurses with what it compiles.
const STACK_BYTES: usize = 16 << 20;
/// How often the main thread looks at the time.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After this many times the CPU time that it may take, the process ends also where it had less: the machine has none to give.
const REAL_TIME_FACTOR: u32 = 100;

/// What a compilation may use.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// CPU time.
    pub time: Duration,
    /// Memory of its process, bytes.
    pub memory_bytes: u64,
}

/// How much a process stands back for threads that run functions: `nice`, 0 to 19.
pub(crate) type Nice = u8;

/// How a process that compiled ended, where it said so itself. The codes are such as no other program ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The sealed module is on its standard output.
    Compiled = 0,
    /// It is no module: the reason is on its standard output.
    Refused = 90,
    /// It took more CPU time than it may.
    TooLong = 91,
    /// There is not even memory for the module itself.
    TooLarge = 92,
    /// The machine gave it too little CPU time.
    Starved = 93,
    /// The compiler panicked.
    Panicked = 94,
    /// It was not asked properly, or could not be answered.
    Unheard = 95,
}

impl Verdict {
    pub(crate) fn of(code: i32) -> Option<Self> {
        let told = [Self::Refused, Self::TooLong, Self::TooLarge, Self::Starved, Self::Panicked, Self::Unheard];
        told.into_iter().chain([Self::Compiled]).find(|verdict| *verdict as i32 == code)
    }
}

/// A program that compiles: its `main` calls [`if_asked`].
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

/// This very program, whatever stands at its path by now: only the same compiler's code can be run.
impl Default for Program {
    fn default() -> Self {
        let this = if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() };
        Self(this.unwrap_or_default())
    }
}

impl Program {
    /// The program at a path; it is to be of the same build.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The command that compiles what it is given on its standard input.
    pub(crate) fn command(&self, allowance: Allowance, nice: Nice) -> Command {
        let Allowance { time, memory_bytes } = allowance;
        let mut command = Command::new(&self.0);
        command.arg(COMMAND).args([time.as_millis().to_string(), memory_bytes.to_string(), nice.to_string()]);
        // Nothing of what this process knows: no secret, no setting.
        // But that its allocator, mimalloc, is to take memory as it is needed: a GiB in advance would be all that is allowed.
        command
            .env_clear()
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Compiles a module where this process was started for that. To be called before anything else that `main` does.
#[must_use]
pub fn if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != COMMAND {
        return None;
    }
    let mut number = || args.next()?.to_str()?.parse::<u64>().ok();
    let asked = (|| {
        let allowance = Allowance { time: Duration::from_millis(number()?), memory_bytes: number()? };
        Some((allowance, Nice::try_from(number()?).ok()?))
    })();
    let Some((allowance, nice)) = asked else {
        eprintln!("{COMMAND} is what a processor calls: TIME_MS MEMORY_BYTES NICE, a module on standard input");
        return Some(ExitCode::from(Verdict::Unheard as u8));
    };
    stand_back(nice);
    let verdict = compile(allowance).unwrap_or_else(|error| {
        eprintln!("{error}");
        Verdict::Unheard
    });
    Some(ExitCode::from(verdict as u8))
}

/// Compiles what is on standard input.
fn compile(allowance: Allowance) -> io::Result<Verdict> {
    limit_memory(allowance.memory_bytes)?;
    let mut binary = Vec::new();
    match io::stdin().read_to_end(&mut binary) {
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => return Ok(Verdict::TooLarge),
        read => read?,
    };
    let (done, compiled) = mpsc::channel();
    let started = Instant::now();
    std::thread::Builder::new().name("compile".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        // The main thread is there until it has this.
        let _ = done.send(module::compile_apart(&binary));
    })?;
    loop {
        match compiled.recv_timeout(LOOK_EVERY) {
            Ok(Ok(sealed)) => return say(&sealed).map(|()| Verdict::Compiled),
            Ok(Err(Fault { message, .. })) => return say(message.as_bytes()).map(|()| Verdict::Refused),
            Err(RecvTimeoutError::Disconnected) => return Ok(Verdict::Panicked),
            Err(RecvTimeoutError::Timeout) if cpu_time() > allowance.time => return Ok(Verdict::TooLong),
            Err(RecvTimeoutError::Timeout) if started.elapsed() > allowance.time * REAL_TIME_FACTOR => {
                return Ok(Verdict::Starved);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn say(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Limits what this process may write to, its threads' stacks included; and where it dies of that, it leaves no core.
fn limit_memory(bytes: u64) -> io::Result<()> {
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    let allowed = rustix::process::getrlimit(Resource::Data).maximum.unwrap_or(u64::MAX);
    rustix::process::setrlimit(Resource::Data, limit(bytes.min(allowed)))?;
    rustix::process::setrlimit(Resource::Core, limit(0))?;
    Ok(())
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or(Duration::MAX)
}

/// Makes this process give way to its processor, and end with it. Where it fails, compiling only takes more of the workers'
/// time.
fn stand_back(nice: Nice) {
    let _ = rustix::process::setpriority_process(None, nice.into());
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        // Where the machine has no memory left, it is to take this process, and not the one that started it.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        // A pipe that takes cores asks for no limit.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
}
