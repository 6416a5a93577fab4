//! Functions by themselves: each module of `modules/` against what the host must answer.

use std::path::Path;
use std::time::Duration;

use jobico_event::function_log::Level;
use jobico_processor::compile::{Allowance, Program};
use jobico_processor::config::Limits;
use jobico_processor::function::fault::Kind;
use jobico_processor::function::{Answer, Engine, Fault, Instance, Module};

/// Short, so that modules that loop do not hold the tests up; the engine's tick is 10 ms.
pub const DEADLINE: Duration = Duration::from_millis(100);

pub fn limits() -> Limits {
    Limits {
        call: DEADLINE,
        memory_bytes: 16 << 20,
        table_elements: 1_000,
        output_bytes: 1 << 20,
        log_bytes: 4_096,
        log_lines: 20,
        instances: 4,
        compile: Allowance { time: Duration::from_secs(60), memory_bytes: 1 << 30 },
        modules_bytes: 64 << 20,
        compiled_bytes: 64 << 20,
    }
}

/// What compiles: what a processor of the binary has itself for.
pub fn compiler() -> Program {
    Program::at(Path::new(env!("CARGO_BIN_EXE_jobico-compile-module")))
}

/// A function under test.
struct Function {
    module: Module,
    limits: Limits,
}

impl Function {
    fn new(name: &str) -> Self {
        Self::with_limits(name, limits())
    }

    fn with_limits(name: &str, limits: Limits) -> Self {
        let engine = Engine::new(&limits).unwrap();
        Self { module: Module::compile(&engine, &binary(name)).unwrap(), limits }
    }

    fn instance(&self) -> Result<Instance, Fault> {
        Instance::new(&self.module, "event", &self.limits, DEADLINE)
    }

    fn call(&self, event: &str) -> Result<(u64, Option<String>), Fault> {
        called(&mut self.instance()?, event)
    }
}

/// A module of `modules/`.
pub fn binary(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules").join(name);
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn called(instance: &mut Instance, event: &str) -> Result<(u64, Option<String>), Fault> {
    let mut output = Vec::new();
    let Answer { code, has_output, .. } = instance.call(event.as_bytes(), DEADLINE, &mut output)?;
    Ok((code, has_output.then(|| String::from_utf8(output).unwrap())))
}

fn ok(text: &str) -> Result<(u64, Option<String>), Fault> {
    Ok((0, Some(text.to_owned())))
}

#[test]
fn both_versions_of_the_contract_echo() {
    let event = r#"{"name":"Ada","note":"ünïcödé"}"#;
    for name in [
        "echo.wat",
        "echo_v1.wat",
        "overlap.wat",
        "initialize_first.wat",
        "start_command.wat",
        "start_exit.wat",
        "dangling_malloc.wat",
        "sleep.wat",
        "data_sparse.wat",
    ] {
        assert_eq!(Function::new(name).call(event), ok(event), "{name}");
    }
}

#[test]
fn events_of_many_sizes_echo_on_one_instance() {
    for name in ["echo.wat", "echo_v1.wat"] {
        let mut instance = Function::new(name).instance().unwrap();
        for size in [0, 1, 15, 16, 17, 4_095, 65_536, 1_000_000, 3] {
            let event = "x".repeat(size);
            assert_eq!(called(&mut instance, &event).unwrap().1.unwrap_or_default(), event, "{name}, {size} bytes");
        }
    }
}

#[test]
fn an_instance_whose_free_traps_goes_on_as_with_the_seeds_rust_sdk() {
    let mut instance = Function::new("dangling_malloc.wat").instance().unwrap();
    for _ in 0..3 {
        assert_eq!(called(&mut instance, "{\"a\":1}"), ok("{\"a\":1}"));
    }
    assert!(!instance.is_broken());
}

#[test]
fn a_function_answers_its_own_error() {
    assert_eq!(Function::new("reject.wat").call("{}"), Ok((7, Some("no thanks".to_owned()))));
}

#[test]
fn a_function_may_answer_nothing() {
    assert_eq!(Function::new("empty.wat").call("{}"), Ok((0, None)));
}

#[test]
fn an_instance_is_used_again_and_init_runs_once() {
    let mut instance = Function::new("counter.wat").instance().unwrap();
    assert_eq!((called(&mut instance, "{}"), called(&mut instance, "{}")), (ok("1"), ok("2")));
}

#[test]
fn an_instance_that_failed_is_broken_and_a_new_one_works() {
    let function = Function::new("trap_when.wat");
    let mut instance = function.instance().unwrap();
    assert_eq!(called(&mut instance, "fine"), ok("fine"));
    assert_eq!(called(&mut instance, "bang!").unwrap_err().kind, Kind::Trap);
    assert!(instance.is_broken());
    assert_eq!(function.call("fine"), ok("fine"));
}

#[test]
fn where_the_pool_is_full_it_is_the_machine_that_lacks_room() {
    let function = Function::with_limits("echo.wat", Limits { instances: 1, ..limits() });
    let first = function.instance().unwrap();
    assert_eq!(function.instance().unwrap_err().kind, Kind::Machine);
    drop(first);
    assert_eq!(function.call("fine"), ok("fine"));
}

#[test]
fn an_output_over_the_limit_is_not_copied() {
    let mut output = Vec::new();
    let mut instance = Function::new("big_output.wat").instance().unwrap();
    let answer = instance.call(b"{}", DEADLINE, &mut output).unwrap();
    assert_eq!((answer.output_bytes, output.capacity()), (2 << 20, 0));
    let mut wide = limits();
    wide.output_bytes = 2 << 20;
    assert_eq!(Function::with_limits("big_output.wat", wide).call("{}").unwrap().1.unwrap().len(), 2 << 20);
}

#[test]
fn bytes_that_are_no_text_are_handed_on_to_be_judged() {
    let mut output = Vec::new();
    Function::new("bad_utf8.wat").instance().unwrap().call(b"{}", DEADLINE, &mut output).unwrap();
    assert!(std::str::from_utf8(&output).is_err());
}

#[test]
fn wasi_grants_nothing() {
    assert_eq!(Function::new("wasi_probe.wat").call("{}"), ok("fd_write=00 path_open=08 environ=00:00 args=00:00"));
}

#[test]
fn what_a_function_logs_is_kept_by_level() {
    let mut instance = Function::new("log.wat").instance().unwrap();
    assert_eq!(called(&mut instance, "{}"), ok("{}"));
    let lines: Vec<_> = instance.log().iter().map(|line| (line.level, line.message.as_str())).collect();
    assert_eq!(
        lines,
        [
            (Level::Debug, "level 0"),
            (Level::Info, "level 1"),
            (Level::Warning, "level 2"),
            (Level::Error, "level 3"),
            (Level::Fatal, "level 4"),
            (Level::Panic, "level 5"),
            (Level::Unleveled, "level 6"),
        ]
    );
    assert_eq!(called(&mut instance, "{}"), ok("{}"));
    assert_eq!(instance.log().len(), 7, "each call has a log of its own");
}

#[test]
fn a_missing_main_function_is_named() {
    let function = Function::new("echo.wat");
    let fault = Instance::new(&function.module, "nope", &function.limits, DEADLINE).unwrap_err();
    assert_eq!((fault.kind, fault.message.as_str()), (Kind::Abi, "the module does not export nope(i32, i32, i32)"));
}

#[test]
fn a_module_that_cannot_be_linked_is_refused() {
    let engine = Engine::new(&limits()).unwrap();
    let fault = Module::compile(&engine, b"\0asm").unwrap_err();
    assert_eq!(fault.kind, Kind::Module);
    let unknown = wat::parse_str(r#"(module (import "env" "nope" (func)))"#).unwrap();
    let fault = Module::compile(&engine, &unknown).unwrap_err();
    assert!(fault.message.contains("nope"), "{}", fault.message);
}
