//! What a call of a function costs beyond the function's own work: the contract, paid by the host.
//!
//! The function does nothing but what the contract asks of it, in as few instructions as there are; its few nanoseconds
//! are not taken off. The processor's own code calls it, as it does for each event of a batch.

use clap::Parser;
use jobico_processor::function::{Engine, Instance, Module};

use crate::bare::validation::{EVENTS, time_each};
use crate::bare::wasm;
use crate::report::{Better, Ratio, Report};
use crate::system::Lab;
use crate::{Failure, events};

/// Answers with the event. `malloc` has two places: one for the 16 bytes in which the answer is told, one for the event.
const ECHO: &str = r#"
(module
  (memory (export "memory") 1)
  (func (export "malloc") (param $bytes i32) (result i32)
    (select (i32.const 1024) (i32.const 4096) (i32.eq (local.get $bytes) (i32.const 16))))
  (func (export "free") (param i32 i32))
  (func (export "event") (param $answer i32) (param $event i32) (param $bytes i32)
    (i64.store (local.get $answer) (i64.const 0))
    (i64.store offset=8 (local.get $answer)
      (i64.or
        (i64.shl (i64.extend_i32_u (local.get $event)) (i64.const 32))
        (i64.extend_i32_u (local.get $bytes))))))
"#;

/// A processor's settings where nothing is set: they hold what a call may use.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    processor: jobico_processor::Config,
}

/// See [`Defaults`].
pub fn defaults() -> jobico_processor::Config {
    Defaults::parse_from(["processor"]).processor
}

/// Measures it, against the same calls without the processor.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let echo = wat::parse_str(ECHO)?;
    let limits = defaults().limits();
    let module = Module::compile(&Engine::new(&limits)?, &echo)?;
    let mut instance = Instance::new(&module, "event", &limits, limits.call)?;
    let (customers, mut output) = (events::customers(EVENTS), Vec::new());
    let mut pairs = Vec::new();
    for pair in lab.pairs("call") {
        pair.say();
        let ours = time_each(&customers, |event| {
            let answer = instance.call(event, limits.call, &mut output)?;
            if answer.code == 0 && output == event { Ok(()) } else { Err("the echo is not the event".into()) }
        })?;
        let bare = wasm::time_calls(&echo, &customers, |event, output| event == output)?;
        pairs.push((ours.ns, bare.ns));
    }
    let ours = pairs.iter().map(|(ours, _)| *ours).collect();
    report.ratio(Ratio::new("call", "a call but for the function's work", "bare wasmtime", "ns", Better::Lower, pairs));
    report.figure_at_most("call", "a call but for the function's work", "ns", ours, 1_000.0);
    Ok(())
}
