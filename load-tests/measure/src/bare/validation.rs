//! The bare verdict on an event: `serde_json` and `jsonschema`, as anybody would call them.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::system::Lab;
use crate::system::process::Usage;
use crate::{Failure, events};

/// How long a part that needs nothing but a core is measured.
pub const MEASURED: Duration = Duration::from_secs(2);
/// Different events that take turns.
pub const EVENTS: u64 = 10_000;

/// What a part costs per event.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Time, ns.
    pub ns: f64,
    /// CPU time, µs; the same, but where others share the core.
    pub cpu_us: f64,
}

/// Measures it.
pub fn measure(lab: &Lab) -> Result<Cost, Failure> {
    let validator = jsonschema::validator_for(&serde_json::from_str::<Value>(&lab.schema)?)
        .map_err(|error| format!("customer.json: {error}"))?;
    time_each(&events::customers(EVENTS), |event| {
        let value: Value = serde_json::from_slice(event)?;
        if validator.is_valid(&value) { Ok(()) } else { Err("an event of the benchmark is not valid".into()) }
    })
}

/// What `work` costs per event, after one round that is not counted.
pub fn time_each(events: &[Vec<u8>], mut work: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<Cost, Failure> {
    events.iter().try_for_each(|event| work(event))?;
    let (begun, cpu_before, mut count) = (Instant::now(), Usage::of_this_process()?.cpu, 0);
    while begun.elapsed() < MEASURED {
        events.iter().try_for_each(|event| work(event))?;
        count += events.len();
    }
    let (time, cpu) = (begun.elapsed(), Usage::of_this_process()?.cpu - cpu_before);
    Ok(Cost { ns: time.as_secs_f64() * 1e9 / count as f64, cpu_us: cpu.as_secs_f64() * 1e6 / count as f64 })
}
