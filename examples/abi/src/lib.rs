//! The jobicolet v1 contract, so that a function in Rust is one safe `fn(&[u8]) -> (u64, Vec<u8>)`.
//!
//! [`export!`] makes the exports that Jobico looks for; all `unsafe` of the examples is in this crate. An event:
//!
//! ```text
//! host                                                    guest
//! p = malloc(len), writes the event's JSON at p        ─► malloc: memory of exactly `len` bytes
//! r = malloc(16)
//! event(r, p, len)                                     ─► answer: handle(event), the answer's place at r
//! reads r: code u64, then pointer << 32 | length u64
//! free(p, len), free(r, 16), free(pointer, length)     ─► free: the answer's bytes too, so it is given away whole
//! ```

#[cfg(target_arch = "wasm32")]
mod memory;

#[cfg(target_arch = "wasm32")]
use std::alloc::{Layout, alloc, dealloc};

/// What a function is: the event's JSON in; a code, 0 for success, and the answer's text out.
pub type Handler = fn(&[u8]) -> (u64, Vec<u8>);

/// Exports each handler under its name: `export!(event => handle);`. The job file's `mainfuncname` names one of them.
#[macro_export]
macro_rules! export {
    ($($name:ident => $handler:path),+ $(,)?) => {$(
        // Elsewhere, as in the function's own tests, there is no host to call it.
        #[cfg(not(target_arch = "wasm32"))]
        const _: $crate::Handler = $handler;
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[unsafe(no_mangle)]
            extern "C" fn $name(answer: *mut u8, event: *const u8, len: usize) {
                // SAFETY: the host keeps to the contract.
                unsafe { $crate::answer($handler, answer, event, len) }
            }
        };
    )+};
}

/// Calls `handler` with the event at `event` and writes where its answer stands to the 16 bytes at `answer`.
///
/// # Safety
/// `event` points to `len` readable bytes that nothing writes during the call, `answer` to 16 writable ones.
pub unsafe fn answer(handler: Handler, answer: *mut u8, event: *const u8, len: usize) {
    // SAFETY: the caller's promise.
    let (code, text) = handler(unsafe { std::slice::from_raw_parts(event, len) });
    // An empty answer is pointer 0, for the host frees every other pointer.
    let place = if text.is_empty() { 0 } else { give(text) };
    // SAFETY: the caller's promise; the contract says nothing of alignment.
    unsafe { answer.cast::<[u64; 2]>().write_unaligned([code.to_le(), place.to_le()]) };
}

/// Gives `text` away: whoever has it frees it by its pointer and length, hence without spare capacity.
fn give(text: Vec<u8>) -> u64 {
    let text = Box::leak(text.into_boxed_slice());
    (text.as_ptr() as u64) << 32 | text.len() as u64
}

/// The levels of [`log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Fatal,
    Panic,
}

/// Logs one message under the event's tenant and job. Not for every event: a log is a record that somebody stores.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    // SAFETY: the host only reads, and only during the call.
    unsafe {
        host::log(level as u32, message.as_ptr(), message.len())
    }
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

#[cfg(target_arch = "wasm32")]
mod host {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn log(level: u32, text: *const u8, len: usize);
    }
}

/// The exports that every function has, whatever its handlers.
#[cfg(target_arch = "wasm32")]
mod exports {
    use super::*;

    /// Once an instance, before its first event.
    #[unsafe(no_mangle)]
    extern "C" fn init() {
        std::panic::set_hook(Box::new(|panic| log(Level::Panic, &panic.to_string())));
    }

    /// Says that `free` takes the size.
    #[unsafe(no_mangle)]
    extern "C" fn ver() -> u32 {
        1
    }

    #[unsafe(no_mangle)]
    extern "C" fn malloc(size: usize) -> *mut u8 {
        match layout(size) {
            // SAFETY: the size is not 0. Null, where memory is used up, tells the host.
            Some(layout) => unsafe { alloc(layout) },
            None => std::ptr::dangling_mut(),
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn free(pointer: *mut u8, size: usize) {
        let Some(layout) = layout(size) else { return };
        if !pointer.is_null() {
            // SAFETY: the host gives back what it got, from `malloc` or as an answer, with its size.
            unsafe { dealloc(pointer, layout) };
        }
    }

    /// The layout of a `Box<[u8]>`, which answers are; none for size 0, which takes no memory.
    fn layout(size: usize) -> Option<Layout> {
        Layout::array::<u8>(size).ok().filter(|_| size != 0)
    }
}
