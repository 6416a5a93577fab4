//! The compiled form of a module as bytes: out of the process that compiled it, and on disk. Sealed, and opened again.
//!
//! ```text
//! "jobico-compiled 1\n"  SHA-256 of all that follows, "\n"  engine's key, "\n"  module's digest, "\n"  wasmtime's artifact
//! ```
//!
//! **Why `unsafe`, and what it trusts.** `wasmtime::Module::deserialize` runs what it is given as machine code: it is sound
//! only for bytes that wasmtime itself serialized. [`open`] calls it for bytes that
//! - begin with our own header and have the SHA-256 that it states, so that a file which was cut short, mixed up or
//!   damaged on the disk never gets there;
//! - were sealed for this very module by an engine with this key, which covers the processor's instruction set, the
//!   compiler's settings, the wasm features and wasmtime's version (wasmtime looks at these once more itself);
//! - are in this process' own memory: they are read, not mapped, so nothing changes after they were checked.
//!
//! A checksum is no signature: whoever may write to the cache's folder as the processor's own user can forge one. That user
//! can also replace the processor's binary or its memory, and is trusted. Everybody else is kept out by [`super::cache`]:
//! the folder is the user's and has mode 0700, a file that others own or may write to is not read. What compiles
//! ([`crate::compile`]) is the processor's own binary, started by it, with a pipe that nobody else has.

#![allow(unsafe_code, reason = "compiled code is taken from bytes; see above for why that is sound")]

use std::hash::{Hash, Hasher};

use jobico_event::Digest;

use super::engine::Engine;

/// Its number changes with any setting of the engine that decides what is compiled and that the engine's key does not cover.
const MAGIC: &[u8] = b"jobico-compiled 1\n";
/// A digest's text and the end of its line.
const DIGEST_LINE_BYTES: usize = 65;

/// What code must have been compiled by to run on an engine, as a digest: see
/// [`wasmtime::Engine::precompile_compatibility_hash`].
pub(super) fn engine_key(engine: &wasmtime::Engine) -> Digest {
    /// Keeps what it is to hash. The standard library's own hashers may give other values in its next version.
    struct Collector(Vec<u8>);

    impl Hasher for Collector {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }

    let mut collector = Collector(Vec::new());
    engine.precompile_compatibility_hash().hash(&mut collector);
    Digest::of(&collector.0)
}

/// Seals what wasmtime compiled of a module.
pub(super) fn seal(key: &Digest, module: &Digest, artifact: &[u8]) -> Vec<u8> {
    let body = [format!("{key}\n{module}\n").as_bytes(), artifact].concat();
    [MAGIC, format!("{}\n", Digest::of(&body)).as_bytes(), &body].concat()
}

/// The module that [`seal`] made these bytes of, where the engine's limits let it in; none where they are anything else.
pub(super) fn open(
    engine: &Engine,
    key: &Digest,
    module: &Digest,
    bytes: &[u8],
) -> Option<wasmtime::Result<wasmtime::Module>> {
    let (sum, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(DIGEST_LINE_BYTES)?;
    if sum != format!("{}\n", Digest::of(body)).as_bytes() {
        return None;
    }
    let artifact = body.strip_prefix(format!("{key}\n{module}\n").as_bytes())?;
    // SAFETY: these are the bytes that `seal` was given by wasmtime for an engine like this one; see the module's head.
    Some(unsafe { wasmtime::Module::deserialize(&engine.wasm, artifact) })
}
