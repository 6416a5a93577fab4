//! A module, compiled and linked: all that its instances share.

use wasmtime::{InstancePre, Linker};

use super::engine::Engine;
use super::fault::{Fault, Phase};
use super::host::{self, Host};
use super::wasi;

/// A module that instances can be made of.
#[derive(Clone)]
pub struct Module {
    pub(super) engine: Engine,
    pub(super) linked: InstancePre<Host>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Module")
    }
}

impl Module {
    /// Compiles and links a module. It takes milliseconds: keep it off the path of events.
    ///
    /// # Errors
    /// [`Fault`] of phase `module` where the binary is none, is over the engine's limits, or imports what is not there.
    pub fn compile(engine: &Engine, binary: &[u8]) -> Result<Self, Fault> {
        let fault = |error: wasmtime::Error| Fault::from_wasm(Phase::Module, &error, false);
        let module = wasmtime::Module::from_binary(&engine.wasm, binary).map_err(fault)?;
        let mut linker = Linker::new(&engine.wasm);
        host::add_to_linker(&mut linker).map_err(fault)?;
        wasi::add_to_linker(&mut linker).map_err(fault)?;
        let linked = linker.instantiate_pre(&module).map_err(fault)?;
        Ok(Self { engine: engine.clone(), linked })
    }
}
