//! Why a function did not answer.

use std::fmt;
use std::time::Duration;

use jobico_event::dead_letter::{Cause, Stage};
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::outcome::Prospect;

/// Where in a function's life it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The module does not compile or link.
    Module,
    /// While it was made ready: its start function, `_initialize`, `_start` or `init`.
    Init,
    /// In `malloc`.
    Malloc,
    /// In the function itself.
    Call,
    /// In `free`, after it had answered.
    Free,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Module => "module",
            Self::Init => "init",
            Self::Malloc => "malloc",
            Self::Call => "call",
            Self::Free => "free",
        })
    }
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A wasm trap, an exit, or a host call that was refused.
    Trap,
    /// The call took longer than it may.
    Timeout,
    /// It trapped after it was refused memory.
    Memory,
    /// It used up its stack.
    Stack,
    /// It broke the contract: a pointer outside its memory, an export that is missing.
    Abi,
    /// The module cannot be used at all.
    Module,
    /// The module takes more to compile than it may.
    Expensive,
    /// The machine has no room for an instance, or for a thread: no fault of the function's, and nothing that its events
    /// are charged with.
    Machine,
}

impl Kind {
    /// As the header `jobico-error-code` and the metric's label have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Abi => "abi",
            Self::Module => "module",
            Self::Expensive => "expensive",
            Self::Machine => "machine",
        }
    }
}

/// A function's failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{phase}: {message}")]
pub struct Fault {
    /// Where.
    pub phase: Phase,
    /// What.
    pub kind: Kind,
    /// In words.
    pub message: String,
}

impl Fault {
    pub(super) fn abi(phase: Phase, message: impl Into<String>) -> Self {
        Self { phase, kind: Kind::Abi, message: message.into() }
    }

    /// Of the machine.
    pub(crate) fn machine(phase: Phase, message: impl Into<String>) -> Self {
        Self { phase, kind: Kind::Machine, message: message.into() }
    }

    /// Classes an error of making an instance in the engine's pool, before any of the function's code has run.
    pub(super) fn from_pool(error: &wasmtime::Error) -> Option<Self> {
        let is_machines = error.is::<wasmtime::PoolConcurrencyLimitError>()
            || error.is::<rustix::io::Errno>()
            || error.is::<std::io::Error>();
        is_machines.then(|| Self::machine(Phase::Init, format!("there is no room for an instance: {error:#}")))
    }

    /// Classes an error of wasmtime; `refused_memory` says whether the instance was refused memory before it.
    pub(super) fn from_wasm(phase: Phase, error: &wasmtime::Error, refused_memory: bool) -> Self {
        let (kind, message) = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => (Kind::Timeout, "it ran longer than it may".to_owned()),
            Some(Trap::StackOverflow) => (Kind::Stack, "it used up its stack".to_owned()),
            Some(trap) if refused_memory => {
                (Kind::Memory, format!("it was refused memory over its limit, and then: {trap}"))
            }
            Some(trap) => (Kind::Trap, trap.to_string()),
            None if phase == Phase::Module => (Kind::Module, format!("{error:#}")),
            None if refused_memory => (Kind::Memory, format!("it was refused memory over its limit: {error:#}")),
            None if let Some(I32Exit(code)) = error.downcast_ref() => {
                (Kind::Trap, format!("it ended itself with proc_exit({code}), where an answer was due"))
            }
            None => (Kind::Trap, format!("{error:#}")),
        };
        Self { phase, kind, message }
    }

    /// The same, with the time that it ran out of: a job's own, or the processor's where that is less.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        if self.kind == Kind::Timeout {
            self.message = format!("it ran longer than the {} ms that it may here", deadline.as_millis());
        }
        self
    }

    /// Whether another instance, or another time, may do better. A module that lacks what the contract asks for, or is too
    /// expensive, will not.
    #[must_use]
    pub fn prospect(&self) -> Prospect {
        match (self.phase, self.kind) {
            (_, Kind::Machine) => Prospect::Open,
            (Phase::Module, _) | (Phase::Init, Kind::Abi) | (_, Kind::Module | Kind::Expensive) => Prospect::None,
            (Phase::Init, Kind::Trap | Kind::Timeout | Kind::Memory | Kind::Stack)
            | (Phase::Malloc | Phase::Call | Phase::Free, _) => Prospect::Open,
        }
    }

    /// As a dead letter tells it.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause { stage: Stage::Function, code: self.kind.as_str(), message: self.to_string().into() }
    }
}
