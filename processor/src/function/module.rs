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
        let compiled = wasmtime::Module::from_binary(&engine.wasm, binary).map_err(fault)?;
        Self::link(engine, &compiled).map_err(fault)
    }

    /// Links a module that is compiled.
    pub(super) fn link(engine: &Engine, compiled: &wasmtime::Module) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&engine.wasm);
        host::add_to_linker(&mut linker)?;
        wasi::add_to_linker(&mut linker)?;
        Ok(Self { engine: engine.clone(), linked: linker.instantiate_pre(compiled)? })
    }

    /// Bytes of its compiled form, which is in memory for as long as the module or one of its instances is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let image = self.linked.module().image_range();
        (image.end as usize).saturating_sub(image.start as usize)
    }
}
