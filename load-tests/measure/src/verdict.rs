//! The verdict that ingest and processor ask of a schema, against the same two calls without Jobico.

use crate::bare::validation::{self, EVENTS, time_each};
use crate::report::{Better, Ratio, Report};
use crate::system::Lab;
use crate::{Failure, events};

/// Measures it.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let schema = jobico_event::Schema::compile(&lab.schema)?;
    let customers = events::customers(EVENTS);
    let mut pairs = Vec::new();
    for pair in lab.pairs("verdict") {
        pair.say();
        let ours = time_each(&customers, |event| match schema.check(event) {
            Ok(_) => Ok(()),
            Err(violations) => Err(format!("an event of the benchmark is not valid: {}", violations[0]).into()),
        })?;
        pairs.push((ours.ns, validation::measure(lab)?.ns));
    }
    report.ratio(
        Ratio::new("verdict", "a schema's verdict", "bare parse + jsonschema", "ns", Better::Lower, pairs)
            .reaching(1.3),
    );
    Ok(())
}
