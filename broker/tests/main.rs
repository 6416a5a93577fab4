//! What every log does, whatever it is made of: each scenario is one function and runs against all three; and what only
//! one of them does.
//!
//! The Kafka ones need a broker: `make test` starts one, or `JOBICO_TEST_KAFKA=host:port` names one. Topics and groups have
//! names of their own in each run, so that runs do not meet.
#![allow(clippy::unwrap_used, reason = "a test ends with its first error, in its fixture as well")]

mod fixture;

mod append;
mod topics;

mod follow;

mod consume;
mod lag;
mod share;

mod hand_over;
mod transact;
mod zombies;

mod writer;

mod conformance;

mod at_least_once;
mod durability;
mod faults;
mod many;
mod only_kafka;
mod refusals;
