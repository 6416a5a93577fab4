//! What a module's binary says, and what is refused.

use jobico_event::contract::{
    BLOCKS_MAX, BLOCKS_VALUES_MAX, BODY_BYTES_MAX, CARRIED_VALUES_MAX, Contract, ELEMENT_SEGMENTS_MAX, EXPORTS_MAX,
    FAULTS_MAX, FUNCTIONS_MAX, Fault, Free, GLOBALS_MAX, LOCALS_MAX, LOOPS_NESTED_MAX, MEMORY_PAGES_MAX,
    MODULE_BYTES_MAX, MainError, PARAMETERS_MAX, RESULTS_MAX, STACK_VALUES_MAX, Start, TABLE_ELEMENTS_MAX,
    TABLE_TARGETS_MAX, inspect,
};

/// A module that keeps to the contract, as Rust builds them, with `extra` put into it.
fn module(extra: &str) -> Vec<u8> {
    wasm(&module_text(extra))
}

fn module_text(extra: &str) -> String {
    format!(
        r#"(module
            (import "env" "log" (func (param i32 i32 i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 17)
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "free") (param i32 i32))
            (func (export "init"))
            (func (export "ver") (result i32) (i32.const 1))
            (func (export "event") (param i32 i32 i32))
            {extra})"#
    )
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The faults of a module, as the user sees them.
fn faults(module: &[u8]) -> Vec<String> {
    inspect(module).expect_err("the module has a fault").iter().map(Fault::to_string).collect()
}

#[test]
fn a_module_as_rust_builds_it_is_accepted_and_described() {
    let module = inspect(&module(r#"(func (export "other") (param i32 i32 i32))"#)).unwrap();
    assert_eq!(module.contract, Contract::JobicoletV1);
    assert_eq!((module.start, module.free), (None, Free::PointerAndSize));
    assert_eq!((module.init, module.ver), (true, true));
    assert_eq!(module.memory_pages, 17);
    assert_eq!(module.exports.callable().collect::<Vec<_>>(), ["event", "other"]);
    assert_eq!(module.exports.check_main("event"), Ok(()));
}

#[test]
fn a_module_as_tinygo_builds_it_is_accepted_and_described() {
    let text = module_text(r#"(func (export "_start"))"#)
        .replace(r#"(func (export "free") (param i32 i32))"#, r#"(func (export "free") (param i32))"#)
        .replace(r#"(func (export "ver") (result i32) (i32.const 1))"#, "")
        .replace(r#"(func (export "init"))"#, "");
    let module = inspect(&wasm(&text)).unwrap();
    assert_eq!((module.start, module.free), (Some(Start::Command), Free::Pointer));
    assert_eq!((module.init, module.ver), (false, false), "both may be left out");
}

#[test]
fn a_reactor_is_initialized() {
    let module = inspect(&module(r#"(func (export "_initialize"))"#)).unwrap();
    assert_eq!(module.start, Some(Start::Initialize));
}

#[test]
fn what_a_module_says_survives_its_json() {
    let module = inspect(&module("")).unwrap();
    let json = serde_json::to_string(&module).unwrap();
    assert_eq!(serde_json::from_str::<jobico_event::contract::Module>(&json).unwrap(), module);
    assert!(json.contains(r#""event":"(i32, i32, i32) -> ()""#), "{json}");
}

#[test]
fn a_main_function_that_is_missing_or_of_another_type_is_told_apart() {
    let exports = inspect(&module("")).unwrap().exports;
    let callable = vec!["event".to_owned()];
    assert_eq!(
        exports.check_main("main"),
        Err(MainError::Missing { main: "main".to_owned(), callable: callable.clone() })
    );
    let error = exports.check_main("malloc").unwrap_err();
    assert_eq!(error, MainError::Type { main: "malloc".to_owned(), found: "(i32) -> i32".to_owned(), callable });
    assert_eq!(
        error.to_string(),
        "the module exports 'malloc' as (i32) -> i32, and it must be (i32, i32, i32) -> (); 'event' is exported and has the \
         right type"
    );
}

#[test]
fn everything_that_a_module_lacks_is_reported_at_once() {
    assert_eq!(
        faults(&wasm("(module)")),
        [
            "the module does not export a memory named 'memory'; jobicolet v1 needs it",
            "the module does not export a function 'malloc', (i32) -> i32; jobicolet v1 needs it",
            "the module does not export a function 'free', (i32) -> () or (i32, i32) -> (); jobicolet v1 needs it",
        ]
    );
}

#[test]
fn everything_of_another_type_is_reported_at_once() {
    let text = r#"(module
        (global (export "memory") i32 (i32.const 0))
        (func (export "malloc") (param i64) (result i32) (i32.const 0))
        (func (export "free") (param i32 i32) (result i32) (i32.const 0))
        (func (export "init") (param f64))
        (func (export "ver"))
        (func (export "_initialize") (result i32 i32) (i32.const 0) (i32.const 0)))"#;
    assert_eq!(
        faults(&wasm(text)),
        [
            "the module exports 'memory' as a global, and it must be a memory",
            "the module exports 'malloc' as (i64) -> i32, and it must be (i32) -> i32",
            "the module exports 'free' as (i32, i32) -> i32, and it must be (i32) -> () or (i32, i32) -> ()",
            "the module exports 'init' as (f64) -> (), and it must be () -> ()",
            "the module exports 'ver' as () -> (), and it must be () -> i32",
            "the module exports '_initialize' as () -> (i32, i32), and it must be () -> ()",
        ]
    );
}

#[test]
fn every_import_that_jobico_does_not_give_is_named() {
    let text = r#"(module
        (import "env" "abort" (func (param i32 i32 i32 i32)))
        (import "env" "log" (func (param i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32)))
        (import "wasi_snapshot_preview1" "sock_open" (func))
        (import "wasi_unstable" "fd_write" (func))
        (import "env" "memory" (memory 1)))"#;
    let found = faults(&wasm(text));
    let provided = "which Jobico does not provide; it provides 'env.log' and the functions of 'wasi_snapshot_preview1'";
    assert_eq!(
        found[..6],
        [
            format!("the module imports 'env.abort', {provided}"),
            "the module imports 'env.log' as (i32) -> (), and it is (i32, i32, i32) -> ()".to_owned(),
            "the module imports 'wasi_snapshot_preview1.fd_write' as (i32) -> (), and it is (i32, i32, i32, i32) -> i32"
                .to_owned(),
            format!("the module imports 'wasi_snapshot_preview1.sock_open', {provided}"),
            format!("the module imports 'wasi_unstable.fd_write', {provided}"),
            format!("the module imports 'env.memory', {provided}"),
        ]
    );
}

#[test]
fn each_function_of_wasi_preview_1_may_be_imported() {
    let pointers = |count: usize| "i32 ".repeat(count);
    let functions = [
        ("args_get", pointers(2)),
        ("clock_time_get", "i32 i64 i32".to_owned()),
        ("environ_sizes_get", pointers(2)),
        ("fd_prestat_dir_name", pointers(3)),
        ("fd_seek", "i32 i64 i32 i32".to_owned()),
        ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32".to_owned()),
        ("poll_oneoff", pointers(4)),
        ("random_get", pointers(2)),
        ("sched_yield", String::new()),
        ("sock_shutdown", pointers(2)),
    ];
    let mut imports: String = functions
        .iter()
        .map(|(name, parameters)| {
            format!(r#"(import "wasi_snapshot_preview1" "{name}" (func (param {parameters}) (result i32)))"#)
        })
        .collect();
    imports.push_str(r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))"#);
    let text = module_text("").replacen("(module", &format!("(module {imports}"), 1);
    assert!(inspect(&wasm(&text)).is_ok());
}

#[test]
fn what_is_no_core_module_says_what_it_is() {
    assert_eq!(faults(b""), ["this is not WebAssembly: the file is empty"]);
    assert_eq!(faults(b"\0asm\x01"), ["this is not WebAssembly: the file ends within its first 8 bytes"]);
    assert_eq!(faults(b"{}"), ["this is not WebAssembly: it does not begin with the bytes \\0asm"]);
    assert_eq!(
        faults(module_text("").as_bytes()),
        ["this is not WebAssembly: it looks like WebAssembly text; convert it with wat2wasm or wasm-tools parse"]
    );
    assert_eq!(
        faults(b"\x7fELF\x02\x01\x01"),
        ["this is not WebAssembly: it is a program for this machine; build it for a wasm32 target"]
    );
    assert_eq!(
        faults(&wasm("(component)")),
        [
            "this is a WebAssembly component, which Jobico does not run yet; build a core module of the jobicolet v1 contract \
          (for Rust: --target wasm32-unknown-unknown or wasm32-wasip1)"
        ]
    );
}

#[test]
fn a_wasi_command_is_told_that_it_is_one() {
    let text = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
    let hint = "jobicolet v1 needs it (it looks like a WASI command, which reads events from stdin; Jobico does not run \
                those yet)";
    let found = faults(&wasm(text));
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|fault| fault.ends_with(hint)), "{found:#?}");
}

#[test]
fn proposals_that_processors_do_not_run_are_refused() {
    for (what, extra) in [
        ("threads", r#"(memory 1 1 shared)"#),
        ("several memories", "(memory 1)"),
        ("64-bit memory", r#"(memory i64 1)"#),
        ("tail calls", "(func return_call 5)"),
        ("exceptions", "(tag)"),
        ("garbage collection", "(type (struct))"),
        ("externref", "(func (param externref))"),
        ("relaxed SIMD", "(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))"),
    ] {
        let found = inspect(&module(extra)).expect_err(what);
        assert!(matches!(found[..], [Fault::Invalid { .. }]), "{what}: {found:#?}");
    }
}

#[test]
fn proposals_that_compilers_use_are_accepted() {
    inspect(&module(
        r#"(func (param i32) (result i32) (i32.extend8_s (local.get 0)))
           (func (param f32) (result i32) (i32.trunc_sat_f32_s (local.get 0)))
           (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 8)) (memory.copy (i32.const 0) (i32.const 8) (i32.const 8)))
           (func (result i32 i32) (i32.const 1) (i32.const 2))
           (func (result v128) (i32x4.splat (i32.const 1)))
           (global (mut i32) (i32.add (i32.const 1) (i32.const 2)))
           (table 2 funcref)
           (func (drop (ref.null func)))"#,
    ))
    .unwrap();
}

#[test]
fn each_limit_is_named() {
    let functions = "(func)".repeat(FUNCTIONS_MAX as usize);
    let globals = "(global i32 (i32.const 0))".repeat(GLOBALS_MAX as usize + 1);
    let exports: String = (0..EXPORTS_MAX).map(|n| format!(r#"(func (export "f{n}"))"#)).collect();
    for (extra, expected) in [
        (functions, "functions: 50007, at most 50000"),
        (globals, "globals: 1001, at most 1000"),
        (exports, "exports: 1006, at most 1000"),
        ("(table 1 funcref) (table 1 funcref)".to_owned(), "tables: 2, at most 1"),
        (
            format!("(table {} funcref)", TABLE_ELEMENTS_MAX + 1),
            "elements of a table at its start: 20001, at most 20000",
        ),
        (
            format!("(func $f) (elem func {})", repeated("$f ", TABLE_ELEMENTS_MAX + 1)),
            "elements in segments: 20001, at most 20000",
        ),
        (
            format!("(elem funcref {})", repeated("(ref.null func) ", TABLE_ELEMENTS_MAX + 1)),
            "elements in segments: 20001, at most 20000",
        ),
        (repeated("(elem func)", ELEMENT_SEGMENTS_MAX + 1), "segments of elements: 1001, at most 1000"),
    ] {
        assert_eq!(faults(&module(&extra)), [expected]);
    }
    let text = module_text("").replace(r#""memory") 17"#, &format!(r#""memory") {}"#, MEMORY_PAGES_MAX + 1));
    assert_eq!(faults(&wasm(&text)), ["pages of memory (64 KiB each) at its start: 1025, at most 1024"]);
    let large = [&module("")[..], &vec![0; MODULE_BYTES_MAX]].concat();
    assert_eq!(faults(&large), [format!("the module has {} bytes, 33554432 are allowed", large.len())]);
}

/// One after another.
fn repeated(text: &str, count: u64) -> String {
    text.repeat(usize::try_from(count).expect("limits fit into memory"))
}

#[test]
fn each_limit_of_a_function_is_named_with_the_function() {
    // Seven functions are before it, two of them imported.
    let function = |inside: &str| module(&format!(r#"(func $big (export "big") (param i32 i32) {inside})"#));
    let expected = |what: &str, limit: u64| [format!("function 7, 'big': {what}: {}, at most {limit}", limit + 1)];
    let blocks = |count: u64| repeated("(block)", count);
    let br_table = |targets: u64| format!("(block (br_table {} (i32.const 0)))", repeated("0 ", targets));
    let loops = |deep: u64| format!("{}{}", repeated("(loop ", deep), repeated(")", deep));
    let values = |count: u64| format!("{}{}", repeated("local.get 0 ", count), repeated("drop ", count));
    // Two parameters and two results each, where there are four at least.
    let with_values = |count: u64| {
        let pairs = repeated("(block (param i32 i32) (result i32 i32)) ", count / 4);
        format!(
            "i32.const 0 i32.const 0 {pairs} drop drop {}",
            repeated("(block (result i32) i32.const 0) drop ", count % 4)
        )
    };
    // A body's bytes: the list of locals and the end are two of them.
    let nops = |bytes: u64| repeated("nop ", bytes - 2);
    // 997 locals, two parameters and the table's index; a block, and a branch for each target.
    let carried = |places: u64| br_table(places - 1);
    let (all, many) = (CARRIED_VALUES_MAX / 1_000, "(local i32)".repeat(997));
    for (at_most, more, what, limit) in [
        (
            repeated("(local i64)", LOCALS_MAX - 2),
            repeated("(local i64)", LOCALS_MAX - 1),
            "locals, parameters among them",
            LOCALS_MAX,
        ),
        (nops(BODY_BYTES_MAX), nops(BODY_BYTES_MAX + 1), "bytes of its body", BODY_BYTES_MAX),
        (blocks(BLOCKS_MAX), blocks(BLOCKS_MAX + 1), "blocks", BLOCKS_MAX),
        (loops(LOOPS_NESTED_MAX), loops(LOOPS_NESTED_MAX + 1), "loops in each other", LOOPS_NESTED_MAX),
        (
            // And the default.
            br_table(TABLE_TARGETS_MAX + 1),
            br_table(TABLE_TARGETS_MAX + 2),
            "targets of a br_table",
            TABLE_TARGETS_MAX,
        ),
        (values(STACK_VALUES_MAX), values(STACK_VALUES_MAX + 1), "values on the stack", STACK_VALUES_MAX),
        (
            with_values(BLOCKS_VALUES_MAX),
            with_values(BLOCKS_VALUES_MAX + 1),
            "parameters and results of its blocks",
            BLOCKS_VALUES_MAX,
        ),
    ] {
        inspect(&function(&at_most)).unwrap_or_else(|faults| panic!("{what}: {faults:?}"));
        assert_eq!(faults(&function(&more)), expected(what, limit));
    }
    inspect(&function(&format!("{many} {}", carried(all)))).unwrap();
    assert_eq!(
        faults(&function(&format!("{many} {}", carried(all + 1)))),
        [format!(
            "function 7, 'big': locals and values on the stack, times blocks and branches: {}, at most {CARRIED_VALUES_MAX}",
            CARRIED_VALUES_MAX + 1_000
        )]
    );
}

#[test]
fn a_type_with_many_parameters_or_results_is_refused_even_where_only_a_call_has_it() {
    let parameters = |count: u32| format!("(type (func (param {})))", repeated("i32 ", count.into()));
    let results = |count: u32| format!("(type (func (result {})))", repeated("i32 ", count.into()));
    inspect(&module(&(parameters(PARAMETERS_MAX) + &results(RESULTS_MAX)))).unwrap();
    assert_eq!(
        faults(&module(&(parameters(PARAMETERS_MAX + 1) + &results(RESULTS_MAX + 1)))),
        ["parameters of a function type: 201, at most 200", "results of a function type: 9, at most 8"]
    );
}

#[test]
fn a_function_is_called_by_its_export_or_else_as_its_compiler_called_it_or_else_by_its_number() {
    let locals = repeated("(local i32)", LOCALS_MAX + 1);
    let what = format!("locals, parameters among them: {}, at most {LOCALS_MAX}", LOCALS_MAX + 1);
    let text = module_text(&format!(
        r#"(func $inner (export "outer") {locals}) (func $inner_alone {locals}) (func {locals})"#
    ));
    let expected = ["function 7, 'outer'", "function 8, 'inner_alone'", "function 9"];
    assert_eq!(faults(&wasm(&text)), expected.map(|function| format!("{function}: {what}")));
    let long = format!("${}", "n".repeat(10_000));
    let [fault] = &faults(&module(&format!("(func {long} {locals})")))[..] else { panic!("it is one fault") };
    assert!(fault.len() < 250, "a name is shortened: {fault}");
}

#[test]
fn faults_of_many_functions_are_cut_off() {
    let function = format!("(func {})", repeated("(local i32)", LOCALS_MAX + 1));
    assert_eq!(faults(&module(&function.repeat(FAULTS_MAX + 5))).len(), FAULTS_MAX);
}

#[test]
fn whatever_is_cut_off_or_flipped_is_answered() {
    let whole = module(r#"(table 3 funcref) (elem (i32.const 0) func 0 1 2) (data (i32.const 8) "hello") (start 4)"#);
    assert!(inspect(&whole).is_ok());
    for end in 0..whole.len() {
        // Cut off between two sections it may still be a module.
        if let Err(faults) = inspect(&whole[..end]) {
            assert!(!faults.is_empty(), "the first {end} bytes");
        }
    }
    for index in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[index] ^= 1 << bit;
            // Some are modules still; none may panic, and what is refused has a reason.
            if let Err(faults) = inspect(&flipped) {
                assert!(!faults.is_empty(), "byte {index}, bit {bit}");
            }
        }
    }
}

#[test]
fn arbitrary_sections_are_answered() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    for _ in 0..20_000 {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for _ in 0..=random() % 4 {
            let length = random() % 24;
            bytes.extend([random() % 14, length]);
            bytes.extend((0..length).map(|_| if random() % 3 == 0 { random() } else { random() % 8 }));
        }
        if let Err(faults) = inspect(&bytes) {
            assert!(!faults.is_empty(), "{bytes:?}");
        }
    }
}
