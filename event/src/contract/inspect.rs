//! Reads a module's binary and holds it against the contract, reporting everything that is wrong at once.

use std::collections::BTreeMap;

use wasmparser::FuncType;
use wasmparser::types::{EntityType, TypesRef};

use crate::text;

use super::{
    Contract, EXPORT_NAME_BYTES_MAX, EXPORTS_MAX, FAULTS_MAX, FUNCTIONS_MAX, Fault, Free, GLOBALS_MAX,
    MEMORY_PAGES_MAX, MODULE_BYTES_MAX, Module, PARAMETERS_MAX, RESULTS_MAX, Start, TABLE_ELEMENTS_MAX, TABLES_MAX,
    expense, import,
};

/// Checks that `module` is a valid core module which keeps to the jobicolet v1 contract and the limits above.
///
/// Never panics, whatever the bytes. Costs one pass over the binary; nothing is compiled.
///
/// # Errors
/// All faults, up to [`FAULTS_MAX`]. A binary that is not valid has that fault alone: nothing read from it would mean
/// anything.
pub fn inspect(module: &[u8]) -> Result<Module, Vec<Fault>> {
    if module.len() > MODULE_BYTES_MAX {
        return Err(vec![Fault::Size(module.len())]);
    }
    match module {
        [0, b'a', b's', b'm', _, _, layer, _, ..] if *layer != 0 => return Err(vec![Fault::Component]),
        [0, b'a', b's', b'm', _, _, _, _, ..] => {}
        other => return Err(vec![Fault::NotWasm(what_else(other).to_owned())]),
    }
    let (types, too_expensive) = expense::validate(module)
        .map_err(|error| vec![Fault::Invalid { offset: error.offset(), message: error.message().to_owned() }])?;
    let mut check = Check { types: types.as_ref(), faults: too_expensive };
    check.limits();
    check.imports();
    let found = check.exports();
    let mut faults = check.faults;
    match found {
        Some(module) if faults.is_empty() => Ok(module),
        _ => {
            faults.truncate(FAULTS_MAX);
            Err(faults)
        }
    }
}

/// What bytes that are not WebAssembly may be instead.
fn what_else(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "the file is empty",
        [0, b'a', b's', b'm', ..] => "the file ends within its first 8 bytes",
        [b'(', ..] => "it looks like WebAssembly text; convert it with wat2wasm or wasm-tools parse",
        [0x7f, b'E', b'L', b'F', ..] => "it is a program for this machine; build it for a wasm32 target",
        _ => "it does not begin with the bytes \\0asm",
    }
}

/// The text of a function's type.
fn signature(function: &FuncType) -> String {
    let list = |types: &[wasmparser::ValType]| {
        let names: Vec<String> = types.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let (parameters, results) = (list(function.params()), list(function.results()));
    if function.results().len() == 1 {
        format!("({parameters}) -> {results}")
    } else {
        format!("({parameters}) -> ({results})")
    }
}

/// The text of what is imported or exported.
fn describe(types: &TypesRef<'_>, entity: &EntityType) -> String {
    match entity {
        EntityType::Func(id) | EntityType::FuncExact(id) => signature(types[*id].unwrap_func()),
        EntityType::Table(_) => "a table".to_owned(),
        EntityType::Memory(_) => "a memory".to_owned(),
        EntityType::Global(_) => "a global".to_owned(),
        EntityType::Tag(_) => "a tag".to_owned(),
    }
}

/// A valid module, on its way through the rules.
struct Check<'a> {
    types: TypesRef<'a>,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn limit(&mut self, what: &'static str, found: u64, limit: u64) {
        if found > limit {
            self.faults.push(Fault::Limit { what, found, limit });
        }
    }

    fn limits(&mut self) {
        self.limit("functions", self.types.function_count().into(), FUNCTIONS_MAX.into());
        self.limit("tables", self.types.table_count().into(), TABLES_MAX.into());
        for index in 0..self.types.table_count().min(TABLES_MAX) {
            let elements = self.types.table_at(index).initial;
            self.limit("elements of a table at its start", elements, TABLE_ELEMENTS_MAX);
        }
        self.limit("globals", self.types.global_count().into(), GLOBALS_MAX.into());
        let (parameters, results) = self.longest_types();
        self.limit("parameters of a function type", parameters, PARAMETERS_MAX.into());
        self.limit("results of a function type", results, RESULTS_MAX.into());
        // One at most: without the multi-memory proposal a second is not valid.
        for index in 0..self.types.memory_count() {
            let pages = self.types.memory_at(index).initial;
            self.limit("pages of memory (64 KiB each) at its start", pages, MEMORY_PAGES_MAX);
        }
    }

    /// The most parameters and the most results of a function type.
    fn longest_types(&self) -> (u64, u64) {
        let count = self.types.core_type_count_in_module();
        let types = (0..count).map(|index| self.types[self.types.core_type_at_in_module(index)].unwrap_func());
        types.fold((0, 0), |(parameters, results), function| {
            (parameters.max(function.params().len() as u64), results.max(function.results().len() as u64))
        })
    }

    fn imports(&mut self) {
        for (module, name, entity) in self.types.core_imports().into_iter().flatten() {
            let Some(expected) = import::provided(module, name) else {
                self.faults.push(Fault::Import { module: text::brief(module), name: text::brief(name) });
                continue;
            };
            let found = describe(&self.types, &entity);
            if found != expected {
                let (module, name, expected) = (text::brief(module), text::brief(name), expected.to_owned());
                self.faults.push(Fault::ImportType { module, name, found, expected });
            }
        }
    }

    /// Checks what the contract asks for. None where an export is missing; the fault is noted.
    fn exports(&mut self) -> Option<Module> {
        let exports: BTreeMap<&str, EntityType> = self.types.core_exports().into_iter().flatten().collect();
        self.limit("exports", exports.len() as u64, EXPORTS_MAX as u64);
        let memory_pages = match exports.get("memory") {
            Some(EntityType::Memory(memory)) => Some(memory.initial),
            Some(other) => {
                let found = describe(&self.types, other);
                self.faults.push(Fault::ExportType {
                    name: "memory".to_owned(),
                    found,
                    expected: "a memory".to_owned(),
                });
                None
            }
            None => {
                self.faults.push(Fault::Export { what: "a memory named 'memory'", hint: "" });
                None
            }
        };
        let functions = self.functions(&exports);
        let hint = command_hint(&functions);
        self.function(&functions, "malloc", &["(i32) -> i32"], Some(("a function 'malloc', (i32) -> i32", hint)));
        let free = self.function(
            &functions,
            "free",
            &["(i32) -> ()", "(i32, i32) -> ()"],
            Some(("a function 'free', (i32) -> () or (i32, i32) -> ()", hint)),
        );
        let init = self.function(&functions, "init", &["() -> ()"], None).is_some();
        let ver = self.function(&functions, "ver", &["() -> i32"], None).is_some();
        let initialize = self.function(&functions, "_initialize", &["() -> ()"], None);
        let command = self.function(&functions, "_start", &["() -> ()"], None);
        Some(Module {
            contract: Contract::JobicoletV1,
            start: initialize.map(|_| Start::Initialize).or(command.map(|_| Start::Command)),
            free: if free? == 0 { Free::Pointer } else { Free::PointerAndSize },
            init,
            ver,
            memory_pages: memory_pages?,
            exports: functions.into_iter().collect(),
        })
    }

    /// The exported functions whose names are not too long for a `mainfuncname`, with the text of their types.
    fn functions(&self, exports: &BTreeMap<&str, EntityType>) -> BTreeMap<String, String> {
        exports
            .iter()
            .filter(|(name, entity)| {
                matches!(entity, EntityType::Func(_) | EntityType::FuncExact(_)) && name.len() <= EXPORT_NAME_BYTES_MAX
            })
            .map(|(name, entity)| ((*name).to_owned(), describe(&self.types, entity)))
            .collect()
    }

    /// Which of the `allowed` types the function has; none where it is not there or has another, which is noted.
    fn function(
        &mut self,
        functions: &BTreeMap<String, String>,
        name: &str,
        allowed: &'static [&'static str],
        required: Option<(&'static str, &'static str)>,
    ) -> Option<usize> {
        match functions.get(name) {
            Some(found) => {
                let place = allowed.iter().position(|allowed| allowed == found);
                if place.is_none() {
                    let (name, found, expected) = (name.to_owned(), found.clone(), allowed.join(" or "));
                    self.faults.push(Fault::ExportType { name, found, expected });
                }
                place
            }
            None => {
                if let Some((what, hint)) = required {
                    self.faults.push(Fault::Export { what, hint });
                }
                None
            }
        }
    }
}

/// Where a module exports what a WASI command does and nothing of the contract, that is likely what it is.
fn command_hint(functions: &BTreeMap<String, String>) -> &'static str {
    if functions.contains_key("_start") && !functions.contains_key("malloc") && !functions.contains_key("free") {
        " (it looks like a WASI command, which reads events from stdin; Jobico does not run those yet)"
    } else {
        ""
    }
}
