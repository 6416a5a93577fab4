//! What functions cost a processor: compiling, reading from the cache on disk, and many of them at once.
//!
//! `cargo run --release -p jobico-processor --example modules -- MODULE.wasm [EVENT] [FUNCTIONS]`
//!
//! Each of the FUNCTIONS has code of its own, as that of each tenant would, and one instance that has done EVENT.

use std::time::{Duration, Instant};

use jobico_event::Digest;
use jobico_processor::compile::Allowance;
use jobico_processor::config::Limits;
use jobico_processor::function::cache::Found;
use jobico_processor::function::{Cache, Engine, Instance, Module};

/// How often each thing is measured; the median counts.
const RUNS: usize = 9;
const CALL: Duration = Duration::from_secs(1);

fn median(mut measure: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            measure();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2]
}

/// MiB of this process, by the kernel's name for it.
fn memory(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(": 0 kB");
    let kib: u64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
    format!("{} MiB", kib >> 10)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: modules MODULE.wasm [EVENT] [FUNCTIONS]")?;
    let event = args.next().unwrap_or_else(|| "{}".to_owned());
    let count: usize = args.next().map_or(Ok(100), |text| text.parse())?;
    let binary = std::fs::read(&path)?;
    let limits = Limits {
        call: CALL,
        memory_bytes: 64 << 20,
        table_elements: 20_000,
        output_bytes: 1 << 20,
        log_bytes: 64 << 10,
        log_lines: 100,
        instances: count,
        compile: Allowance { time: Duration::from_secs(30), memory_bytes: 1 << 30 },
        modules_bytes: 1 << 30,
        compiled_bytes: 1 << 30,
    };
    let engine = Engine::new(&limits)?;
    let folder = std::env::temp_dir().join(format!("jobico-modules-{}", std::process::id()));
    let (cache, digest) = (Cache::open(&folder, limits.compiled_bytes, &engine)?, Digest::of(&binary));
    let module = Module::compile(&engine, &binary)?;
    let load = || match cache.load(&digest) {
        Found::Hit(module) => Ok(module),
        other => Err(format!("the cache has {other:?}")),
    };

    eprintln!("module {} KiB, compiled {} KiB", binary.len() >> 10, module.bytes() >> 10);
    eprintln!("compile             {:>10.1?}", median(|| drop(Module::compile(&engine, &binary))));
    eprintln!(
        "keep in the cache   {:>10.1?}",
        median(|| drop(module.seal(&digest).map(|sealed| cache.keep(&digest, &sealed))))
    );
    eprintln!("read from the cache {:>10.1?}", median(|| drop(load())));
    let fresh = || Instance::new(&module, "event", &limits, CALL);
    eprintln!("make an instance    {:>10.1?}", median(|| drop(fresh())));
    let (mut first, mut output) = (fresh()?, Vec::new());
    eprintln!("call it             {:>10.1?}", median(|| drop(first.call(event.as_bytes(), CALL, &mut output))));
    drop(first);

    eprintln!("before: {} resident, {} of addresses", memory("VmRSS"), memory("VmSize"));
    let (started, mut kept) = (Instant::now(), Vec::new());
    for _ in 0..count {
        let module = load()?;
        let mut instance = Instance::new(&module, "event", &limits, CALL)?;
        instance.call(event.as_bytes(), CALL, &mut output)?;
        kept.push((module, instance));
    }
    let maps = std::fs::read_to_string("/proc/self/maps")?.lines().count();
    eprintln!(
        "{count} functions: {:.1?} each, {} resident, {maps} mappings",
        started.elapsed() / count.try_into()?,
        memory("VmRSS")
    );
    drop(kept);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
