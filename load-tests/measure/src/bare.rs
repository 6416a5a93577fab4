//! What the processor's parts cost without Jobico: the limit of what it can reach.
//!
//! ```text
//! copy_loop    consume, produce with a result's headers, commit both in one transaction, over rust-rdkafka as it is
//! validation   serde_json, and the verdict of jsonschema
//! wasm         the same function, called through wasmtime
//! ```
//!
//! One thread that did nothing else would take the sum of the three for each event: that is the limit.

pub mod copy_loop;
pub mod validation;
pub mod wasm;

use crate::Failure;
use crate::report::Report;
use crate::statistics::Pace;
use crate::system::Lab;
use copy_loop::Headers;
use validation::Cost;

/// What each part was measured at, in turn.
#[derive(Debug, Default)]
pub struct Parts {
    copies: Vec<Pace>,
    plain_copies: Vec<Pace>,
    validations: Vec<Cost>,
    calls: Vec<Cost>,
}

impl Parts {
    /// Measures each part once.
    pub fn measure(&mut self, lab: &Lab) -> Result<(), Failure> {
        self.copies.push(copy_loop::measure(lab, Headers::OfResult)?);
        self.plain_copies.push(copy_loop::measure(lab, Headers::None)?);
        self.validations.push(validation::measure(lab)?);
        self.calls.push(wasm::measure(lab)?);
        Ok(())
    }

    /// Events per second that one thread could do at most, in each turn.
    pub fn limits(&self) -> Vec<f64> {
        self.limits_over(&self.copies)
    }

    /// The same, if results needed no headers.
    pub fn plain_limits(&self) -> Vec<f64> {
        self.limits_over(&self.plain_copies)
    }

    /// CPU time of all three per event, µs, in each turn.
    pub fn cpu_us(&self) -> Vec<f64> {
        let of_work =
            self.validations.iter().zip(&self.calls).map(|(validation, call)| validation.cpu_us + call.cpu_us);
        self.copies.iter().zip(of_work).map(|(copy, work)| copy.cpu_us + work).collect()
    }

    fn limits_over(&self, copies: &[Pace]) -> Vec<f64> {
        let of_work = self.validations.iter().zip(&self.calls).map(|(validation, call)| validation.ns + call.ns);
        copies.iter().zip(of_work).map(|(copy, work)| 1.0 / (1.0 / copy.events_per_s + work / 1e9)).collect()
    }

    /// Reports the figures.
    pub fn report(self, report: &mut Report) {
        let limits = self.limits();
        let ns = |costs: &[Cost]| costs.iter().map(|cost| cost.ns).collect::<Vec<_>>();
        let mut figure = |id: &str, what: &str, unit: &str, values| report.figure(id, what, unit, values);
        let rates = |paces: &[Pace]| paces.iter().map(|pace| pace.events_per_s).collect::<Vec<_>>();
        let cpu = |paces: &[Pace]| paces.iter().map(|pace| pace.cpu_us).collect::<Vec<_>>();
        figure("bare-copy", "bare transactional copy, a result's headers", "events/s", rates(&self.copies));
        figure("bare-copy-cpu", "the same, CPU time", "µs/event", cpu(&self.copies));
        figure("bare-copy-plain", "bare transactional copy, no headers", "events/s", rates(&self.plain_copies));
        figure("bare-validation", "bare parse and jsonschema verdict", "ns/event", ns(&self.validations));
        figure("bare-wasm", "bare call of the function", "ns/event", ns(&self.calls));
        figure("bare-limit", "one thread that does the three, a result's headers", "events/s", limits);
    }
}

/// Measures the parts alone.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    lab.fill()?;
    let mut parts = Parts::default();
    for pair in lab.pairs("bare parts") {
        pair.say();
        parts.measure(lab)?;
    }
    parts.report(report);
    Ok(())
}
