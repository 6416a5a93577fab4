//! What exactly-once costs: the same processor emptying a full queue with transactions and without.
//!
//! Both sides are processes of this very program ([`crate::role`]) and differ in nothing but how they commit.

use crate::Failure;
use crate::drain::Drains;
use crate::processor::{self, drain_with};
use crate::report::{Better, Ratio, Report};
use crate::role::Guarantee;
use crate::system::Lab;

/// Measures one worker of each.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    processor::warm(lab)?;
    let (mut exactly, mut at_least) = (Drains::default(), Drains::default());
    let drain =
        |guarantee: Guarantee| drain_with(lab, guarantee.name(), &lab.group, &lab.queue, || lab.start_role(guarantee));
    for pair in lab.pairs("guarantee") {
        pair.say();
        exactly.push(drain(Guarantee::ExactlyOnce)?);
        at_least.push(drain(Guarantee::AtLeastOnce)?);
    }
    lab.check_nothing_died()?;
    report.ratio(
        Ratio::new(
            "exactly-once",
            "processor, exactly once, 1 worker",
            "the same, at least once",
            "events/s",
            Better::Higher,
            exactly.rates().into_iter().zip(at_least.rates()).collect(),
        )
        .reaching(0.95),
    );
    exactly.report("guarantee-exactly-once", "processor, exactly once, 1 worker, in the benchmark's program", report);
    at_least.report("guarantee-at-least-once", "the same, at least once", report);
    Ok(())
}
