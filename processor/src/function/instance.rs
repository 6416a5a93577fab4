//! An instance of a jobicolet v1 module (the core-module contract of Jobico-fn), and how it is called.
//!
//! ```text
//! p = malloc(len); bytes to p; r = malloc(16); event(r, p, len)
//! at r: u64 code, u64 (pointer << 32 | length) of the output
//! free p, r, and the output where its pointer is not 0
//! ```

use std::time::Duration;

use wasmtime::{Memory, Store, TypedFunc};
use wasmtime_wasi::I32Exit;

use super::engine::Engine;
use super::fault::{Fault, Kind, Phase};
use super::host::{Host, LogLine};
use super::module::Module;
use crate::config::{EPOCH_TICK, Limits};

/// Bytes at `r`: two little-endian u64.
const RETURN_AREA_BYTES: u32 = 16;

/// An instance that is ready to be called.
pub struct Instance {
    store: Store<Host>,
    exports: Exports,
    output_bytes_max: usize,
    answered: bool,
    broken: bool,
    /// Keeps the engine's clock ticking, which ends calls that run too long.
    _engine: Engine,
}

struct Exports {
    memory: Memory,
    malloc: TypedFunc<u32, u32>,
    free: Free,
    main: TypedFunc<(u32, u32, u32), ()>,
}

/// `free` in the module's version of the contract. Its type says which; what `ver` answers adds nothing to that.
enum Free {
    /// Version 0 (TinyGo): `free(ptr)`.
    Pointer(TypedFunc<u32, ()>),
    /// Version 1 (Rust): `free(ptr, size)`.
    Sized(TypedFunc<(u32, u32), ()>),
}

/// What a function answered; its output stands in the buffer given to [`Instance::call`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// 0 is success.
    pub code: u64,
    /// Whether there is an output at all: a pointer of 0 says that there is none.
    pub has_output: bool,
    /// Bytes of the output. More than the limit: then it was not copied.
    pub output_bytes: usize,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl Instance {
    /// Makes an instance and runs, in this order, its start function, `_initialize` or `_start`, and `init`, all within
    /// one call's time.
    ///
    /// # Errors
    /// [`Fault`] where one of them fails, or `main` or another export of the contract is missing; [`Kind::Machine`] where
    /// there is no room for it.
    pub fn new(module: &Module, main: &str, limits: &Limits, deadline: Duration) -> Result<Self, Fault> {
        let mut store = Store::new(&module.engine.wasm, Host::new(limits));
        store.limiter(|host| host);
        store.set_epoch_deadline(ticks(deadline));
        match prepare(module, main, &mut store) {
            Ok(exports) => Ok(Self {
                store,
                exports,
                output_bytes_max: limits.output_bytes,
                answered: false,
                broken: false,
                _engine: module.engine.clone(),
            }),
            Err(Failure::Contract(fault)) => Err(fault),
            Err(Failure::Wasm(error)) => {
                let refused_memory = store.data().refused_memory;
                Err(Fault::from_pool(&error).unwrap_or_else(|| Fault::from_wasm(Phase::Init, &error, refused_memory)))
            }
        }
    }

    /// Runs the function on an event. `output` is filled with what it answered.
    ///
    /// # Errors
    /// [`Fault`]; the instance is of no more use then, see [`Instance::is_broken`].
    pub fn call(&mut self, event: &[u8], deadline: Duration, output: &mut Vec<u8>) -> Result<Answer, Fault> {
        output.clear();
        self.store.data_mut().begin_call();
        self.store.set_epoch_deadline(ticks(deadline));
        let result = self.call_unchecked(event, output);
        self.broken |= result.is_err();
        self.answered |= result.is_ok();
        result
    }

    /// Whether it has answered a call.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.answered
    }

    /// Whether it failed: it must not be called again.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// What the last call logged, in order.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.store.data().log
    }

    fn call_unchecked(&mut self, event: &[u8], output: &mut Vec<u8>) -> Result<Answer, Fault> {
        let length =
            u32::try_from(event.len()).map_err(|_| Fault::abi(Phase::Malloc, "the event is larger than 4 GiB"))?;
        let input = self.malloc(length)?;
        self.exports.memory.write(&mut self.store, input as usize, event).map_err(|_| {
            Fault::abi(
                Phase::Malloc,
                format!("malloc({length}) gave {input}, from where {length} bytes are not in memory"),
            )
        })?;
        let area = self.malloc(RETURN_AREA_BYTES)?;
        let called = self.exports.main.call(&mut self.store, (area, input, length));
        called.map_err(|error| self.wasm_fault(Phase::Call, &error))?;
        let (code, pointer, bytes) = self.return_area(area)?;
        let answer = Answer { code, has_output: pointer != 0, output_bytes: bytes as usize };
        if answer.has_output {
            let data = self.exports.memory.data(&self.store);
            let found = data.get(pointer as usize..).and_then(|rest| rest.get(..answer.output_bytes));
            let found = found.ok_or_else(|| {
                Fault::abi(Phase::Call, format!("it answered {bytes} bytes at {pointer}, which are not in its memory"))
            })?;
            if answer.output_bytes <= self.output_bytes_max {
                output.extend_from_slice(found);
            }
        }
        self.release(input, length, area, pointer, bytes);
        Ok(answer)
    }

    fn malloc(&mut self, bytes: u32) -> Result<u32, Fault> {
        // An empty event would ask for nothing, and `malloc(0)` may answer 0.
        let pointer = self.exports.malloc.call(&mut self.store, bytes.max(1));
        match pointer.map_err(|error| self.wasm_fault(Phase::Malloc, &error))? {
            0 => Err(Fault::abi(Phase::Malloc, format!("malloc({bytes}) gave 0"))),
            pointer => Ok(pointer),
        }
    }

    fn return_area(&self, area: u32) -> Result<(u64, u32, u32), Fault> {
        let mut bytes = [0; RETURN_AREA_BYTES as usize];
        self.exports.memory.read(&self.store, area as usize, &mut bytes).map_err(|_| {
            Fault::abi(Phase::Malloc, format!("malloc({RETURN_AREA_BYTES}) gave {area}, which is not in memory"))
        })?;
        let packed = u128::from_le_bytes(bytes);
        let (code, place) = (packed as u64, (packed >> 64) as u64);
        Ok((code, (place >> 32) as u32, place as u32))
    }

    /// Gives back what the call took. The answer stands by now. A `free` that traps is passed over, as Jobico-fn did: in
    /// modules of its Rust SDK every one does. Only what it does not finish in time ends the instance.
    fn release(&mut self, input: u32, input_bytes: u32, area: u32, output: u32, output_bytes: u32) {
        let taken = [(input, input_bytes.max(1)), (area, RETURN_AREA_BYTES), (output, output_bytes)];
        for (pointer, bytes) in taken.into_iter().filter(|(pointer, _)| *pointer != 0) {
            let freed = match &self.exports.free {
                Free::Pointer(free) => free.call(&mut self.store, pointer),
                Free::Sized(free) => free.call(&mut self.store, (pointer, bytes)),
            };
            if let Err(error) = freed {
                let fault = self.wasm_fault(Phase::Free, &error);
                self.broken = fault.kind == Kind::Timeout;
                tracing::debug!(%fault, "memory of a call was not given back");
                if self.broken {
                    return;
                }
            }
        }
    }

    fn wasm_fault(&self, phase: Phase, error: &wasmtime::Error) -> Fault {
        Fault::from_wasm(phase, error, self.store.data().refused_memory)
    }
}

enum Failure {
    Contract(Fault),
    Wasm(wasmtime::Error),
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Wasm(error)
    }
}

fn prepare(module: &Module, main: &str, store: &mut Store<Host>) -> Result<Exports, Failure> {
    let instance = module.linked.instantiate(&mut *store)?;
    let missing = |name: &str, types: &str| {
        Failure::Contract(Fault::abi(Phase::Init, format!("the module does not export {name}{types}")))
    };
    for name in ["_initialize", "_start"] {
        if instance.get_func(&mut *store, name).is_some() {
            let run = instance.get_typed_func::<(), ()>(&mut *store, name).map_err(|_| missing(name, "()"))?;
            run.call(&mut *store, ()).or_else(exited_well)?;
            break;
        }
    }
    let memory = instance.get_memory(&mut *store, "memory").ok_or_else(|| missing("memory", ""))?;
    let malloc = instance.get_typed_func(&mut *store, "malloc").map_err(|_| missing("malloc", "(i32) -> i32"))?;
    let free = if let Ok(free) = instance.get_typed_func(&mut *store, "free") {
        Free::Pointer(free)
    } else {
        Free::Sized(
            instance.get_typed_func(&mut *store, "free").map_err(|_| missing("free", "(i32) or free(i32, i32)"))?,
        )
    };
    if instance.get_func(&mut *store, "init").is_some() {
        let init = instance.get_typed_func::<(), ()>(&mut *store, "init").map_err(|_| missing("init", "()"))?;
        init.call(&mut *store, ())?;
    }
    let main = instance.get_typed_func(&mut *store, main).map_err(|_| missing(main, "(i32, i32, i32)"))?;
    Ok(Exports { memory, malloc, free, main })
}

/// TinyGo's `_start` may end with `proc_exit(0)`, which is no failure.
fn exited_well(error: wasmtime::Error) -> Result<(), wasmtime::Error> {
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(0)) => Ok(()),
        _ => Err(error),
    }
}

/// The epoch's ticks in `deadline`, and one more, since the current tick has begun already.
fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_millis().div_ceil(EPOCH_TICK.as_millis())).unwrap_or(u64::MAX - 1).saturating_add(1)
}
