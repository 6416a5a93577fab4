//! Tenants' functions. Nothing outside of this module touches wasmtime's stores.
//!
//! ```text
//! engine: one a process ─► module: compiled, linked ─► instance: one store, `init` done ─► call ─► code, output, log
//!                            │      ▲
//!                            └─ cache: on disk, sealed as an artifact
//! ```
//!
//! An instance is used again for the next event until it fails; then it is gone, and the next event gets a new one. It is
//! granted nothing: no files, sockets, environment or arguments.

mod artifact;
pub mod cache;
pub mod engine;
pub mod fault;
mod host;
pub mod instance;
pub mod module;
mod wasi;

pub use cache::Cache;
pub use engine::Engine;
pub use fault::Fault;
pub use host::LogLine;
pub use instance::{Answer, Instance};
pub use module::Module;
