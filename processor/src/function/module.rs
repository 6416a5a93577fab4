//! A module, compiled and linked: all that its instances share.

use jobico_event::Digest;
use wasmtime::{InstancePre, Linker};

use super::artifact;
use super::engine::{self, Engine};
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
    /// Compiles and links a module in this process, which one made for it ends with: see [`crate::compile`] for those of
    /// tenants.
    ///
    /// # Errors
    /// [`Fault`] of phase `module` where the binary is none, is over the engine's limits, or imports what is not there.
    pub fn compile(engine: &Engine, binary: &[u8]) -> Result<Self, Fault> {
        let compiled = wasmtime::Module::from_binary(&engine.wasm, binary).map_err(fault)?;
        Self::link(engine, &compiled).map_err(fault)
    }

    /// Links a module out of what [`compile_apart`] made of the binary with this digest; none where the bytes are anything
    /// else.
    ///
    /// # Errors
    /// [`Fault`] of phase `module` where it is over the engine's limits, or imports what is not there.
    pub fn open(engine: &Engine, digest: &Digest, sealed: &[u8]) -> Option<Result<Self, Fault>> {
        let opened = artifact::open(engine, &artifact::engine_key(&engine.wasm), digest, sealed)?;
        Some(opened.and_then(|compiled| Self::link(engine, &compiled)).map_err(fault))
    }

    /// Links a module that is compiled.
    pub(super) fn link(engine: &Engine, compiled: &wasmtime::Module) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&engine.wasm);
        host::add_to_linker(&mut linker)?;
        wasi::add_to_linker(&mut linker)?;
        Ok(Self { engine: engine.clone(), linked: linker.instantiate_pre(compiled)? })
    }

    /// Its compiled form as [`super::Cache`] keeps it, as that of the binary with this digest.
    ///
    /// # Errors
    /// wasmtime cannot write it.
    pub fn seal(&self, digest: &Digest) -> wasmtime::Result<Vec<u8>> {
        let key = artifact::engine_key(&self.engine.wasm);
        Ok(artifact::seal(&key, digest, &self.linked.module().serialize()?))
    }

    /// Bytes of its compiled form, which is in memory for as long as the module or one of its instances is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let image = self.linked.module().image_range();
        (image.end as usize).saturating_sub(image.start as usize)
    }
}

/// Compiles a module for the [`Engine`]s of other processes of this very program, which take it with [`Module::open`].
///
/// # Errors
/// [`Fault`] of phase `module` where the binary is none.
pub fn compile_apart(binary: &[u8]) -> Result<Vec<u8>, Fault> {
    let engine = engine::for_compiling().map_err(fault)?;
    let artifact = engine.precompile_module(binary).map_err(fault)?;
    Ok(artifact::seal(&artifact::engine_key(&engine), &Digest::of(binary), &artifact))
}

fn fault(error: wasmtime::Error) -> Fault {
    Fault::from_wasm(Phase::Module, &error, false)
}
