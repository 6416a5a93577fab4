//! Hostile modules: what their tenant sees, and that a neighbour on the same engine sees nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jobico_processor::config::Limits;
use jobico_processor::function::fault::Kind::{Abi, Memory, Stack, Timeout, Trap};
use jobico_processor::function::fault::Phase::{Call, Init, Malloc};
use jobico_processor::function::fault::{Kind, Phase};
use jobico_processor::function::{Engine, Fault, Instance, LogLine, Module};

use crate::functions::{DEADLINE, binary, called, limits};

/// What a call may take beyond its deadline: a tick, the longest call of the host, and room for a loaded machine.
const OVERRUN_MAX: Duration = Duration::from_secs(2);

/// The deadline of calls that are not about it.
const PATIENT: Duration = Duration::from_secs(30);

/// Modules that compile, and how each fails.
const FAILING: [(&str, Phase, Kind, &str); 38] = [
    ("data_outside", Init, Trap, "out of bounds"),
    ("deep_recursion", Call, Stack, "stack"),
    ("event_exit", Call, Trap, "proc_exit(0)"),
    ("fill_flood", Call, Timeout, "longer"),
    ("huge_length", Call, Abi, "4294967295 bytes at 16"),
    ("init_exit", Init, Trap, "proc_exit(0)"),
    ("init_loop", Init, Timeout, "longer"),
    ("init_recursion", Init, Stack, "stack"),
    ("init_trap", Init, Trap, "unreachable"),
    ("iovec_flood", Call, Timeout, "longer"),
    ("log_empty_lines", Call, Timeout, "longer"),
    ("log_flood", Call, Timeout, "longer"),
    ("loop", Call, Timeout, "longer"),
    ("malloc_edge", Malloc, Abi, "malloc(16) gave 131064"),
    ("malloc_loop", Malloc, Timeout, "longer"),
    ("malloc_trap", Malloc, Trap, "unreachable"),
    ("memory_bomb", Call, Memory, "refused memory"),
    ("memory_of_no_export", Init, Abi, "memory"),
    ("no_event", Init, Abi, "event(i32, i32, i32)"),
    ("no_memory", Init, Abi, "memory"),
    ("path_flood", Call, Timeout, "longer"),
    ("random_flood", Call, Timeout, "longer"),
    ("random_huge", Call, Trap, "4294967295"),
    ("result_edge", Call, Abi, "2 bytes at 131071"),
    ("result_wrap", Call, Abi, "4294967295 bytes at 4294967295"),
    ("sleep_flood", Call, Timeout, "longer"),
    ("socket_flood", Call, Timeout, "longer"),
    ("start_exit_error", Init, Trap, "proc_exit(3)"),
    ("start_loop", Init, Timeout, "longer"),
    ("start_trap", Init, Trap, "unreachable"),
    ("stdout_flood", Call, Timeout, "longer"),
    ("trap", Call, Trap, "unreachable"),
    ("wild_log", Call, Trap, "65535 bytes at 4294967280"),
    ("wild_malloc", Malloc, Abi, "malloc(2) gave 4294967280"),
    ("wild_pointer", Call, Abi, "16 bytes at 4294901760"),
    ("wrong_signature", Init, Abi, "event(i32, i32, i32)"),
    ("zero_malloc", Malloc, Abi, "malloc(2) gave 0"),
    ("trap_when_cold", Call, Trap, "unreachable"),
];

/// Modules that cannot be used at all, and what the fault says of it. The registry refuses them before.
const UNUSABLE: [(&str, &str); 7] = [
    ("memory_64", "memory64"),
    ("memory_of_2_gib", "memory"),
    ("memory_shared", "threads"),
    ("table_huge", "table"),
    ("two_memories", "memories"),
    ("two_tables", "tables"),
    ("unknown_import", "nope"),
];

/// An engine with room for two instances, as scarce as it can be: a hostile one that left its place behind would be seen.
struct Bench {
    engine: Engine,
    limits: Limits,
    neighbour: Module,
}

impl Bench {
    fn new() -> Self {
        let limits = Limits { instances: 2, ..limits() };
        let engine = Engine::new(&limits).unwrap();
        let neighbour = Module::compile(&engine, &binary("echo.wat")).unwrap();
        Self { engine, limits, neighbour }
    }

    fn module(&self, name: &str) -> Module {
        Module::compile(&self.engine, &binary(&format!("{name}.wat"))).unwrap_or_else(|fault| panic!("{name}: {fault}"))
    }

    /// Calls the function on a new instance; what came of it, its log, and how long it took.
    fn run(&self, module: &Module, event: &str) -> (Result<Vec<u8>, Fault>, Vec<LogLine>, Duration) {
        self.run_within(PATIENT, module, event)
    }

    fn run_within(
        &self,
        deadline: Duration,
        module: &Module,
        event: &str,
    ) -> (Result<Vec<u8>, Fault>, Vec<LogLine>, Duration) {
        let (started, mut output) = (Instant::now(), Vec::new());
        match Instance::new(module, "event", &self.limits, deadline) {
            Err(fault) => (Err(fault), Vec::new(), started.elapsed()),
            Ok(mut instance) => {
                let answer = instance.call(event.as_bytes(), deadline, &mut output);
                let took = started.elapsed();
                assert_eq!(instance.is_broken(), answer.is_err(), "an instance that failed is of no more use");
                (answer.map(|_| output), instance.log().to_vec(), took)
            }
        }
    }

    /// A neighbour's call, which must go well at once.
    fn neighbour_is_well(&self, after: &str) {
        let (started, mut instance) = (Instant::now(), self.instance_of_neighbour());
        assert_eq!(called(&mut instance, "\"well\"").unwrap().1.as_deref(), Some("\"well\""), "after {after}");
        assert!(started.elapsed() < OVERRUN_MAX, "after {after} it took {:?}", started.elapsed());
    }

    fn instance_of_neighbour(&self) -> Instance {
        Instance::new(&self.neighbour, "event", &self.limits, DEADLINE).unwrap()
    }
}

#[test]
fn each_hostile_function_fails_in_its_own_way_and_its_neighbour_is_well() {
    let bench = Bench::new();
    for (name, phase, kind, words) in FAILING {
        let module = bench.module(name);
        let event = if name == "trap_when_cold" { "{!" } else { "{}" };
        // Those that do not take long, more often than there are places for instances.
        let (deadline, times) = if kind == Timeout { (DEADLINE, 1) } else { (PATIENT, 4) };
        for _ in 0..times {
            let (outcome, _, took) = bench.run_within(deadline, &module, event);
            let fault = outcome.expect_err(name);
            assert_eq!((fault.phase, fault.kind), (phase, kind), "{name}: {fault}");
            assert!(fault.message.contains(words), "{name}: {fault}");
            assert_eq!(fault.cause().code, kind.as_str());
            assert!(took < deadline + OVERRUN_MAX, "{name} took {took:?}");
        }
        bench.neighbour_is_well(name);
    }
}

#[test]
fn a_module_over_the_engines_limits_is_refused_with_the_reason() {
    let bench = Bench::new();
    for (name, words) in UNUSABLE {
        match Module::compile(&bench.engine, &binary(&format!("{name}.wat"))) {
            Err(fault) => {
                assert_eq!((fault.phase, fault.kind), (Phase::Module, Kind::Module), "{name}");
                assert!(fault.message.contains(words), "{name}: {fault}");
            }
            Ok(_) => panic!("{name} compiles"),
        }
        bench.neighbour_is_well(name);
    }
}

#[test]
fn blocks_nested_deeply_do_not_use_up_the_compilers_stack() {
    let bench = Bench::new();
    match Module::compile(&bench.engine, &nested(64_000)) {
        Ok(_) => {}
        Err(fault) => assert_eq!(fault.kind, Kind::Module),
    }
    bench.neighbour_is_well("it");
}

/// A function of blocks within blocks.
fn nested(levels: usize) -> Vec<u8> {
    // By hand: the text format's parser recurses, too.
    let mut body = vec![0x00]; // no locals
    body.extend(std::iter::repeat_n([0x02, 0x40], levels).flatten());
    body.extend(std::iter::repeat_n(0x0b, levels + 1));
    let leb = |mut n: usize| {
        let mut bytes = Vec::new();
        while n >= 0x80 {
            bytes.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    };
    let code = [vec![1], leb(body.len()), body].concat();
    [b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a".to_vec(), leb(code.len()), code].concat()
}

#[test]
fn what_looks_wild_and_is_within_the_memory_is_an_answer() {
    let bench = Bench::new();
    let output = |name| bench.run(&bench.module(name), "{\"a\":1}").0.unwrap();
    assert_eq!(output("result_end"), b"");
    let (pointer, length) = (1024 + 7_u32, 16_u32);
    let area: Vec<u8> = [0_u64.to_le_bytes(), (u64::from(pointer) << 32 | u64::from(length)).to_le_bytes()].concat();
    assert_eq!(output("result_in_area"), area);
    assert_eq!(output("one_place").len(), 7);
    assert_eq!(output("random_and_clocks"), b"ok");
    assert_eq!(output("sleep"), b"{\"a\":1}");
}

#[test]
fn memory_and_tables_grow_up_to_their_limits() {
    let bench = Bench::new();
    for _ in 0..4 {
        assert_eq!(bench.run(&bench.module("grow_to_cap"), "{}").0.unwrap().len(), bench.limits.memory_bytes >> 10);
        assert_eq!(bench.run(&bench.module("table_grow"), "{}").0.unwrap().len(), 991, "a step of 10 more is refused");
    }
}

#[test]
fn memory_that_one_instance_wrote_to_is_not_seen_by_the_next() {
    let bench = Bench::new();
    let fill = bench.module("memory_bomb");
    bench.run(&fill, "{}").0.unwrap_err();
    let text = r#"(module (memory (export "memory") 256)
        (func (export "malloc") (param i32) (result i32) i32.const 4096)
        (func (export "free") (param i32))
        (func (export "event") (param $r i32) (param i32 i32)
            (i32.store (local.get $r) (i32.load (i32.const 15728640)))
            (i64.store offset=8 (local.get $r) (i64.const 0))))"#;
    let peek = Module::compile(&bench.engine, &wat::parse_str(text).unwrap()).unwrap();
    for _ in 0..4 {
        let mut instance = Instance::new(&peek, "event", &bench.limits, DEADLINE).unwrap();
        assert_eq!(called(&mut instance, "{}"), Ok((0, None)));
    }
}

#[test]
fn a_free_that_never_returns_costs_the_instance_and_not_the_answer() {
    let bench = Bench::new();
    let mut instance = Instance::new(&bench.module("free_loop"), "event", &bench.limits, PATIENT).unwrap();
    let started = Instant::now();
    assert_eq!(called(&mut instance, "{}"), Ok((0, Some("{}".to_owned()))));
    assert!(instance.is_broken() && started.elapsed() < DEADLINE + OVERRUN_MAX);
}

#[test]
fn a_log_flood_is_cut_and_says_so() {
    let bench = Bench::new();
    let (outcome, log, _) = bench.run_within(DEADLINE, &bench.module("log_flood"), "{}");
    outcome.unwrap_err();
    assert_eq!((log.len(), log[0].message.starts_with("xxx")), (1, true));
    assert!(log[0].message.len() < bench.limits.log_bytes + 100 && log[0].message.ends_with("full)"));

    let (_, log, _) = bench.run_within(DEADLINE, &bench.module("log_empty_lines"), "{}");
    assert_eq!(log.len(), bench.limits.log_lines + 1);
    assert!(log.last().unwrap().message.contains("left out"));

    let (outcome, log, _) = bench.run(&bench.module("log_bytes_of_no_text"), "{}");
    assert!(outcome.is_ok() && log[0].message.len() < 3 * bench.limits.log_bytes + 100);
}

#[test]
fn a_function_cannot_write_to_the_log_of_the_process() {
    /// Counts what is logged at a level that is on by default.
    struct Counter(Arc<AtomicUsize>);

    impl tracing::Subscriber for Counter {
        fn enabled(&self, about: &tracing::Metadata<'_>) -> bool {
            *about.level() <= tracing::Level::INFO
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    let (bench, count) = (Bench::new(), Arc::new(AtomicUsize::new(0)));
    tracing::subscriber::with_default(Counter(count.clone()), || {
        tracing::info!("the counter counts");
        for name in ["socket_flood", "stdout_flood", "log_flood", "path_flood", "sleep_flood"] {
            bench.run_within(DEADLINE, &bench.module(name), "{}").0.unwrap_err();
        }
    });
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn data_far_apart_does_not_blow_up_what_is_kept() {
    let bench = Bench::new();
    assert!(bench.module("data_sparse").bytes() < 1 << 20);
}

#[test]
fn a_module_of_many_functions_or_much_data_runs() {
    let bench = Bench::new();
    let functions: String = (0..1_000).map(|n| format!("(func $f{n} (result i32) i32.const {n})")).collect();
    let data = format!(r#"(data (i32.const 8192) "{}")"#, "x".repeat(8 << 20));
    for extra in [functions, format!("(func $f999 (result i32) i32.const 999) {data}")] {
        let text = format!(
            r#"(module (memory (export "memory") 200) {extra}
            (func (export "malloc") (param i32) (result i32) i32.const 4096)
            (func (export "free") (param i32))
            (func (export "event") (param $r i32) (param i32 i32)
                (i64.store (local.get $r) (i64.extend_i32_u (call $f999)))
                (i64.store offset=8 (local.get $r) (i64.const 0))))"#
        );
        let module = Module::compile(&bench.engine, &wat::parse_str(text).unwrap()).unwrap();
        let mut instance = Instance::new(&module, "event", &bench.limits, DEADLINE).unwrap();
        assert_eq!(called(&mut instance, "{}"), Ok((999, None)));
    }
}
