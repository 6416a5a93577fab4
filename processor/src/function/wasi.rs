//! WASI preview 1 with nothing granted: the calls exist, since compilers' runtimes want them, and give nothing away.

use wasmtime::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::host::Host;

const MODULE: &str = "wasi_snapshot_preview1";
/// `errno` 58, ENOTSUP (WASI preview 1, `$errno`).
const NOT_SUPPORTED: i32 = 58;

/// No files, sockets, environment or arguments; standard input is empty, what is written goes nowhere.
pub(super) fn nothing_granted() -> WasiP1Ctx {
    WasiCtxBuilder::new().build_p1()
}

/// Adds the calls of preview 1.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_sync(linker, |host: &mut Host| &mut host.wasi)?;
    linker.allow_shadowing(true);
    // Sleeping would hold the worker in host code, where the call's deadline does not reach.
    linker.func_wrap(MODULE, "poll_oneoff", |_: i32, _: i32, _: i32, _: i32| -> i32 { NOT_SUPPORTED })?;
    linker.allow_shadowing(false);
    Ok(())
}
