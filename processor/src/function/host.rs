//! What a function finds of the host: its limits, and a log.

use jobico_event::function_log::Level;
use wasmtime::{Caller, Linker, ResourceLimiter};
use wasmtime_wasi::p1::WasiP1Ctx;

use crate::config::Limits;

/// What stands at the end of a line that was cut.
const CUT: &str = " … (cut: the call's log is full)";
/// The line that stands for those that were left out.
const LEFT_OUT: &str = "the call's log is full; what it logs beyond this is left out";

/// A line that a function logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The level it gave.
    pub level: Level,
    /// What it said.
    pub message: String,
}

/// The host's side of one instance.
pub(super) struct Host {
    pub(super) wasi: WasiP1Ctx,
    pub(super) log: Vec<LogLine>,
    pub(super) refused_memory: bool,
    log_bytes: usize,
    log_is_full: bool,
    log_bytes_max: usize,
    log_lines_max: usize,
    memory_bytes_max: usize,
    table_elements_max: usize,
}

impl Host {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            wasi: super::wasi::nothing_granted(),
            log: Vec::new(),
            refused_memory: false,
            log_bytes: 0,
            log_is_full: false,
            log_bytes_max: limits.log_bytes,
            log_lines_max: limits.log_lines,
            memory_bytes_max: limits.memory_bytes,
            table_elements_max: limits.table_elements,
        }
    }

    /// Forgets what the last call logged and was refused.
    pub(super) fn begin_call(&mut self) {
        self.log.clear();
        self.log_bytes = 0;
        self.log_is_full = false;
        self.refused_memory = false;
    }

    /// Keeps a line, or as much of it as there is room for. Once there is none, the log says so at its end.
    fn push_line(&mut self, level: Level, bytes: &[u8]) {
        if self.log_is_full {
            return;
        }
        let room = self.log_bytes_max - self.log_bytes;
        if self.log.len() == self.log_lines_max || (room == 0 && !bytes.is_empty()) {
            self.log_is_full = true;
            self.log.push(LogLine { level: Level::Warning, message: LEFT_OUT.to_owned() });
            return;
        }
        let kept = &bytes[..bytes.len().min(room)];
        self.log_bytes += kept.len();
        self.log_is_full = kept.len() < bytes.len();
        let mut message = String::from_utf8_lossy(kept).into_owned();
        if self.log_is_full {
            message.push_str(CUT);
        }
        self.log.push(LogLine { level, message });
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= self.memory_bytes_max;
        self.refused_memory |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.table_elements_max)
    }
}

/// Adds `env.log(level, ptr, len)`.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "log",
        |mut caller: Caller<'_, Host>, level: u32, start: u32, length: u32| -> wasmtime::Result<()> {
            let Some(memory) = caller.get_export("memory").and_then(wasmtime::Extern::into_memory) else {
                wasmtime::bail!("log: the module exports no memory");
            };
            let (data, host) = memory.data_and_store_mut(&mut caller);
            // Checked before anything else: a wild pointer is the function's fault whether or not the line is kept.
            let Some(bytes) = data.get(start as usize..).and_then(|rest| rest.get(..length as usize)) else {
                wasmtime::bail!("log: {length} bytes at {start} are not in the module's memory");
            };
            host.push_line(Level::from_code(level), bytes);
            Ok(())
        },
    )?;
    Ok(())
}
