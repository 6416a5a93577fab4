//! The one wasm engine of a process: compiler settings, the pool of instances, and the clock that ends long calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::config::{EPOCH_TICK, Limits};

/// Address space kept for one linear memory. With 4 GiB every 32-bit address is in it, and compiled code needs no bounds
/// checks; it is reserved, not used.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
/// What of a memory stays resident when its instance goes: zeroing this much is cheaper than giving it back.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// Stack of one call.
const STACK_BYTES_MAX: usize = 512 << 10;
/// A module's initial memory is kept as one image up to this size, however little of it is data; a larger one where at least
/// half of it is. With wasmtime's 16 MiB, a module of a hundred bytes could take that much in memory and on disk.
const DENSE_IMAGE_BYTES: u64 = 1 << 20;
/// Room for an instance's own structures (globals, imports, tables of functions).
const INSTANCE_BYTES_MAX: usize = 4 << 20;

/// The engine.
#[derive(Clone)]
pub struct Engine {
    pub(super) wasm: wasmtime::Engine,
    _clock: Arc<Clock>,
}

/// Stops the ticking when the last engine handle goes.
struct Clock(Arc<AtomicBool>);

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// An engine whose pool has a place for each of `limits.instances`.
    ///
    /// # Errors
    /// The machine lacks the address space for the pool, or has no thread left.
    pub fn new(limits: &Limits) -> wasmtime::Result<Self> {
        let instances = u32::try_from(limits.instances).unwrap_or(u32::MAX);
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(instances)
            .total_memories(instances)
            .total_tables(instances)
            .max_memories_per_module(1)
            .max_tables_per_module(1)
            .max_core_instance_size(INSTANCE_BYTES_MAX)
            .max_memory_size(limits.memory_bytes)
            .table_elements(limits.table_elements)
            .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
            .max_unused_warm_slots(instances.min(64));
        let mut config = settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let wasm = wasmtime::Engine::new(&config)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (weak, stop) = (wasm.weak(), stopped.clone());
        std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(EPOCH_TICK);
                let Some(engine) = weak.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { wasm, _clock: Arc::new(Clock(stopped)) })
    }
}

/// An engine that compiles what [`Engine`]s run, and runs nothing.
///
/// # Errors
/// The processor's instruction set is not one that wasmtime compiles for.
pub(super) fn for_compiling() -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(&settings())
}

/// What decides how a module is compiled, and more that all engines have in common.
fn settings() -> Config {
    let mut config = Config::new();
    config
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .max_wasm_stack(STACK_BYTES_MAX)
        .memory_guaranteed_dense_image_size(DENSE_IMAGE_BYTES)
        .epoch_interruption(true)
        // A module is compiled on one thread: one that takes long has one core, and not all of them.
        .parallel_compilation(false)
        // As the registry has it (`jobico_event::contract::FEATURES`): pointers of the contract are 32 bits wide and into
        // the one memory.
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        // A function's failure is told by its kind: what only backtraces and debuggers need is left out of compiled code,
        // of which there is much where there are thousands of functions.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false);
    config
}
