//! The bare call of the function: wasmtime, one instance, the contract of jobicolet v1 with none of its checks.
//!
//! The engine is set up as the processor's: a pool of instances, and an epoch that can end a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::{
    Caller, Config, Engine, InstanceAllocationStrategy, Linker, Memory, Module, PoolingAllocationConfig, Store,
    TypedFunc,
};

use super::validation::{Cost, EVENTS, time_each};
use crate::system::Lab;
use crate::{Failure, events};

/// How often the epoch counts on.
const EPOCH_TICK: Duration = Duration::from_millis(10);
/// Ticks that a call may last.
const CALL_TICKS_MAX: u64 = 101;
/// Memory that an instance may have.
const MEMORY_BYTES_MAX: usize = 64 << 20;
/// Bytes in which the function says where its answer is.
const AREA_BYTES: u32 = 16;

/// An instance of the function.
struct Guest {
    store: Store<()>,
    memory: Memory,
    malloc: TypedFunc<u32, u32>,
    free: TypedFunc<(u32, u32), ()>,
    event: TypedFunc<(u32, u32, u32), ()>,
}

/// Measures the example's function.
pub fn measure(lab: &Lab) -> Result<Cost, Failure> {
    let is_registered = |_: &[u8], output: &[u8]| output.ends_with(br#""registered":true}"#);
    time_calls(&lab.wasm, &events::customers(EVENTS), is_registered)
}

/// What a call of the function in `binary` costs, whose answers must all be `right` for their events.
pub fn time_calls(binary: &[u8], events: &[Vec<u8>], right: fn(&[u8], &[u8]) -> bool) -> Result<Cost, Failure> {
    let engine = engine()?;
    let stop = Arc::new(AtomicBool::new(false));
    let (ticking, stopped) = (engine.clone(), stop.clone());
    let clock = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            std::thread::sleep(EPOCH_TICK);
            ticking.increment_epoch();
        }
    });
    let timed = Guest::new(&engine, binary).and_then(|mut guest| {
        let mut output = Vec::new();
        time_each(events, |event| match guest.call(event, &mut output)? {
            0 if right(event, &output) => Ok(()),
            code => Err(format!("the function answered {code}: {}", String::from_utf8_lossy(&output)).into()),
        })
    });
    stop.store(true, Ordering::Relaxed);
    clock.join().map_err(|_| "the clock of the epoch panicked")?;
    timed
}

fn engine() -> Result<Engine, Failure> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(1).total_memories(1).total_tables(1).max_memory_size(MEMORY_BYTES_MAX);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_reservation(4 << 30)
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(None);
    Ok(Engine::new(&config)?)
}

impl Guest {
    fn new(engine: &Engine, binary: &[u8]) -> Result<Self, Failure> {
        let mut linker = Linker::new(engine);
        linker.func_wrap("env", "log", |_: Caller<'_, ()>, _: u32, _: u32, _: u32| {})?;
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(CALL_TICKS_MAX);
        let instance = linker.instantiate(&mut store, &Module::new(engine, binary)?)?;
        if let Ok(init) = instance.get_typed_func::<(), ()>(&mut store, "init") {
            init.call(&mut store, ())?;
        }
        Ok(Self {
            memory: instance.get_memory(&mut store, "memory").ok_or("the function exports no memory")?,
            malloc: instance.get_typed_func(&mut store, "malloc")?,
            free: instance.get_typed_func(&mut store, "free")?,
            event: instance.get_typed_func(&mut store, "event")?,
            store,
        })
    }

    /// The function's code; its answer is put into `output`.
    fn call(&mut self, event: &[u8], output: &mut Vec<u8>) -> Result<u64, Failure> {
        self.store.set_epoch_deadline(CALL_TICKS_MAX);
        let length = u32::try_from(event.len())?;
        let input = self.malloc.call(&mut self.store, length)?;
        self.memory.write(&mut self.store, input as usize, event)?;
        let area = self.malloc.call(&mut self.store, AREA_BYTES)?;
        self.event.call(&mut self.store, (area, input, length))?;
        let mut bytes = [0; AREA_BYTES as usize];
        self.memory.read(&self.store, area as usize, &mut bytes)?;
        let [code, place] = [0, 64].map(|shift| (u128::from_le_bytes(bytes) >> shift) as u64);
        let (pointer, size) = ((place >> 32) as u32, place as u32);
        output.resize(size as usize, 0);
        self.memory.read(&self.store, pointer as usize, output)?;
        for (pointer, size) in [(input, length), (area, AREA_BYTES), (pointer, size)] {
            self.free.call(&mut self.store, (pointer, size))?;
        }
        Ok(code)
    }
}
