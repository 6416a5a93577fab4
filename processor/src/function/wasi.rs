//! WASI preview 1 with nothing granted: the calls exist, since compilers' runtimes want them, and give nothing away.

use wasmtime::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::host::Host;

const MODULE: &str = "wasi_snapshot_preview1";
/// `errno` 58, ENOTSUP (WASI preview 1, `$errno`).
const NOT_SUPPORTED: i32 = 58;
/// The most random bytes of one call; asking for more is a trap. A call's deadline does not reach into the host, which makes
/// this much in a few milliseconds.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// No files, sockets, environment or arguments; standard input is empty, what is written goes nowhere.
pub(super) fn nothing_granted() -> WasiP1Ctx {
    WasiCtxBuilder::new().max_random_size(RANDOM_BYTES_MAX).build_p1()
}

/// Adds the calls of preview 1.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_sync(linker, |host: &mut Host| &mut host.wasi)?;
    linker.allow_shadowing(true);
    // Sleeping would hold the worker in host code, where the call's deadline does not reach.
    linker.func_wrap(MODULE, "poll_oneoff", |_: i32, _: i32, _: i32, _: i32| -> i32 { NOT_SUPPORTED })?;
    // There are no sockets. wasmtime-wasi says so in the process' log at each call, which a function could flood.
    linker.func_wrap(MODULE, "sock_accept", |_: i32, _: i32, _: i32| -> i32 { NOT_SUPPORTED })?;
    linker.func_wrap(MODULE, "sock_recv", |_: i32, _: i32, _: i32, _: i32, _: i32, _: i32| -> i32 { NOT_SUPPORTED })?;
    linker.func_wrap(MODULE, "sock_send", |_: i32, _: i32, _: i32, _: i32, _: i32| -> i32 { NOT_SUPPORTED })?;
    linker.func_wrap(MODULE, "sock_shutdown", |_: i32, _: i32| -> i32 { NOT_SUPPORTED })?;
    linker.allow_shadowing(false);
    Ok(())
}
