//! Which contract a module follows, read from its binary, and whether it keeps to it.
//!
//! ```text
//! bytes ─► size ─► valid WebAssembly? ─► imports that Jobico gives? ─► exports that the contract asks for? ─► Module
//!                                                                                     │
//!                        a job's `mainfuncname` ─► Exports::check_main ◄── all exported functions, with their types
//! ```
//!
//! The registry inspects a module when it is uploaded and again checks `mainfuncname` on deploy; a processor may rely
//! on it. The limits here are what a processor provides for, so that what deploys also runs. Those of one function
//! keep down the memory that compiling it takes, and refuse much that takes long; its time they cannot bound, since a hostile
//! function may have less of everything than real ones. docs/functions.md says what was seen in compilers' output.

mod expense;
mod import;
mod inspect;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmparser::WasmFeatures;

use crate::text;

pub use inspect::inspect;

/// The largest module, bytes (32 MiB). Compiling takes time and memory in proportion.
pub const MODULE_BYTES_MAX: usize = 32 << 20;
/// The most memory a module may ask for at its start, pages of 64 KiB (64 MiB): the cap that a processor puts on a
/// function's memory, so a module that asks for more could never be instantiated.
pub const MEMORY_PAGES_MAX: u64 = 1024;
/// The most tables a module may define. Compilers make one, for indirect calls.
pub const TABLES_MAX: u32 = 1;
/// The most elements a table may have: room for them is reserved for every instance, 8 bytes each. A function whose address
/// is taken is one element. Segments have as many at most, all of them together: one that is compiled takes a kilobyte and more.
pub const TABLE_ELEMENTS_MAX: u64 = 20_000;
/// The most segments of elements a module may have; compilers write one.
pub const ELEMENT_SEGMENTS_MAX: u64 = 1_000;
/// The most functions a module may define; large Go modules have some 10,000.
pub const FUNCTIONS_MAX: u32 = 50_000;
/// The most globals a module may define: they lie in every instance, 16 bytes each.
pub const GLOBALS_MAX: u32 = 1_000;
/// The most names a module may export. [`Exports`] of every version is kept in the catalog.
pub const EXPORTS_MAX: usize = 1_000;
/// The longest name of an exported function, bytes; also the longest `mainfuncname`.
pub const EXPORT_NAME_BYTES_MAX: usize = 127;
/// The most parameters of a function type. Compilers' output has at most some 90.
pub const PARAMETERS_MAX: u32 = 200;
/// The most results of a function type, each a value that two bytes of code (a call) make. Compilers' output has at most 4.
pub const RESULTS_MAX: u32 = 8;
/// The most locals of one function, its parameters among them. Compilers' output has up to 1,500, where it is optimized by
/// far less, and Go's 21: it keeps variables in memory.
pub const LOCALS_MAX: u64 = 3_200;
/// The largest body of one function, bytes (2 MiB). Compilers' output has up to 900,000, in one that fills in tables.
pub const BODY_BYTES_MAX: u64 = 2 << 20;
/// The most blocks (`block`, `loop`, `if`) in one function. Compilers' output has up to 9,400.
pub const BLOCKS_MAX: u64 = 20_000;
/// How deep loops may stand in each other: time grows with the depth for each value that they carry. Compilers' output has
/// up to 10.
pub const LOOPS_NESTED_MAX: u64 = 32;
/// The most parameters and results of one function's blocks together: memory grows with their square. Compilers' output has
/// one for some of its blocks.
pub const BLOCKS_VALUES_MAX: u64 = 20_000;
/// The most values on a function's stack at once. Compilers' output has as many as its longest call has parameters.
pub const STACK_VALUES_MAX: u64 = 256;
/// The most targets of one `br_table`, its default not counted: the compiler takes no more (nor do browsers, <https://webassembly.github.io/spec/js-api/#limits>).
pub const TABLE_TARGETS_MAX: u64 = 65_520;
/// The most that a function's locals and values on its stack, times its blocks and branches (each target of a `br_table` is
/// one), may come to. Each is some hundred bytes while the function is compiled: 10 million were 1.1 GiB. Compilers' output
/// has up to 10 million.
pub const CARRIED_VALUES_MAX: u64 = 20_000_000;
/// How many faults of one module are reported; what follows rarely tells more.
pub const FAULTS_MAX: usize = 50;

/// The WebAssembly proposals that a module may use: WebAssembly 2.0 (sign extension, saturating conversions, bulk
/// memory, reference types, multiple values, SIMD) without `externref`, and extended constant expressions of 3.0, which
/// linkers emit.
///
/// All are finished and on by default in a wasmtime that is built without garbage collection (which is what `externref`
/// needs). Threads are out because an event is one call on one thread, 64-bit memories and several memories because the
/// contract's pointers are 32 bits wide and into `memory`, relaxed SIMD because its results differ between machines.
pub const FEATURES: WasmFeatures =
    WasmFeatures::WASM2.difference(WasmFeatures::GC_TYPES).union(WasmFeatures::EXTENDED_CONST);

/// How a module is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// The core-module contract of Jobico-fn.
    JobicoletV1,
}

/// What the binary of a module that keeps to its contract says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// How it is called.
    pub contract: Contract,
    /// What runs once before `init`, where it is exported.
    pub start: Option<Start>,
    /// Whether `free` takes the size after the pointer (Rust) or the pointer alone (`TinyGo`).
    pub free: Free,
    /// Whether it exports `init`, which runs once an instance.
    pub init: bool,
    /// Whether it exports `ver`. Nobody needs to call it: the type of `free` tells the versions apart.
    pub ver: bool,
    /// Memory it starts with, pages of 64 KiB.
    pub memory_pages: u64,
    /// Its exported functions.
    pub exports: Exports,
}

/// What runs once, before `init`, to set up a language's runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// `_initialize`: a WASI reactor.
    Initialize,
    /// `_start`: a WASI command, as `TinyGo` builds them.
    Command,
}

/// The type of the exported `free`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Free {
    /// `free(pointer)`.
    Pointer,
    /// `free(pointer, size)`.
    PointerAndSize,
}

/// The functions a module exports: name and type, the type as `(i32, i32, i32) -> ()`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Exports(BTreeMap<String, String>);

/// The type that a function named by `mainfuncname` has: the answer's place, the event's place, the event's length.
pub const MAIN_TYPE: &str = "(i32, i32, i32) -> ()";

/// Why a name is not that of a function which events can be given to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MainError {
    /// The module exports no such function.
    #[error("the module exports no function '{main}'; {}", offer(.callable))]
    Missing {
        /// The name asked for.
        main: String,
        /// Exported functions of the right type.
        callable: Vec<String>,
    },
    /// The module exports it with another type.
    #[error("the module exports '{main}' as {found}, and it must be {MAIN_TYPE}; {}", offer(.callable))]
    Type {
        /// The name asked for.
        main: String,
        /// The type it has.
        found: String,
        /// Exported functions of the right type.
        callable: Vec<String>,
    },
}

/// How many exports a message names.
const OFFERED_MAX: usize = 20;

fn offer(names: &[String]) -> String {
    match names {
        [] => format!("it exports no function of the type {MAIN_TYPE} at all"),
        [name] => format!("'{}' is exported and has the right type", text::brief(name)),
        names => {
            let shown: Vec<String> = names.iter().take(OFFERED_MAX).map(|name| text::brief(name)).collect();
            let more = if names.len() > OFFERED_MAX { ", …" } else { "" };
            format!("of the right type are: {}{more}", shown.join(", "))
        }
    }
}

impl Exports {
    /// The functions by name, each with the text of its type.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, r#type)| (name.as_str(), r#type.as_str()))
    }

    /// The names of the functions that events can be given to, in order.
    pub fn callable(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|(_, r#type)| *r#type == MAIN_TYPE).map(|(name, _)| name)
    }

    /// Checks that events can be given to the function `main`.
    ///
    /// # Errors
    /// [`MainError`] where it is not exported or not of [`MAIN_TYPE`]; it lists those that are.
    pub fn check_main(&self, main: &str) -> Result<(), MainError> {
        let callable = || self.callable().map(str::to_owned).collect();
        match self.0.get(main) {
            Some(found) if found == MAIN_TYPE => Ok(()),
            Some(found) => Err(MainError::Type { main: main.to_owned(), found: found.clone(), callable: callable() }),
            None => Err(MainError::Missing { main: main.to_owned(), callable: callable() }),
        }
    }
}

impl FromIterator<(String, String)> for Exports {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(functions: I) -> Self {
        Self(functions.into_iter().collect())
    }
}

/// One reason why a module cannot be a function of Jobico.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Larger than [`MODULE_BYTES_MAX`].
    #[error("the module has {0} bytes, {MODULE_BYTES_MAX} are allowed")]
    Size(usize),
    /// The bytes are not WebAssembly.
    #[error("this is not WebAssembly: {0}")]
    NotWasm(String),
    /// A component: another kind of binary than a core module.
    #[error(
        "this is a WebAssembly component, which Jobico does not run yet; build a core module of the jobicolet v1 \
         contract (for Rust: --target wasm32-unknown-unknown or wasm32-wasip1)"
    )]
    Component,
    /// Not valid, or with a proposal outside [`FEATURES`].
    #[error("the module is not valid at byte {offset}: {message}")]
    Invalid {
        /// Bytes from the module's start.
        offset: u64,
        /// What the validator says.
        message: String,
    },
    /// An import that Jobico does not give.
    #[error(
        "the module imports '{module}.{name}', which Jobico does not provide; it provides 'env.log' and the functions \
         of 'wasi_snapshot_preview1'"
    )]
    Import {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// An import that Jobico gives with another type.
    #[error("the module imports '{module}.{name}' as {found}, and it is {expected}")]
    ImportType {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
        /// What the module wants.
        found: String,
        /// What Jobico gives.
        expected: String,
    },
    /// An export that the contract asks for is not there.
    #[error("the module does not export {what}; jobicolet v1 needs it{hint}")]
    Export {
        /// The export and its type.
        what: &'static str,
        /// What may be the reason, or empty.
        hint: &'static str,
    },
    /// An export of the contract with another type.
    #[error("the module exports '{name}' as {found}, and it must be {expected}")]
    ExportType {
        /// The export.
        name: String,
        /// What it is.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// More of something than a processor provides for.
    #[error("{what}: {found}, at most {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// More of something in one function than a processor compiles.
    #[error("{}: {what}: {found}, at most {limit}", called(*.function, .name.as_deref()))]
    Function {
        /// Its index, imported functions counted first.
        function: u32,
        /// What it is exported as, or else what its compiler called it.
        name: Option<String>,
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
}

fn called(function: u32, name: Option<&str>) -> String {
    name.map_or_else(|| format!("function {function}"), |name| format!("function {function}, '{}'", text::brief(name)))
}
