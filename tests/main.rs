//! The whole system, tested as its users have it: the built binary, its HTTP ports, its topics, from outside.
//!
//! ```text
//!  system   starts processes of the binary in a scratch folder, on the embedded log or on Kafka and Cassandra
//!    ▲
//!    ├── readme, jobs, tools, settings     what people do
//!    ├── producers, bad_input, neighbours  what comes in
//!    ├── fairness, pools                   who does it, and has how much of a worker
//!    ├── topics                            what is taken away meanwhile
//!    ├── tracing, telemetry                what goes along, and what is seen
//!    └── stopping, crash                   what goes wrong; checked by outcome, which reads the log from outside
//!         └── windows, rebalances, moves, zombies, brokers, consumer_protocol, at_random: crash after crash (docs/exactly-once.md)
//! ```
//!
//! Tests on Kafka need `JOBICO_TEST_KAFKA` and `JOBICO_TEST_CQL`, and fail without them; `make test` runs both and sets
//! them. Each test has a tenant and a pool of processors of its own, so that all may share one Kafka.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says what it measured")]

/// Makes two tests of a scenario: on the embedded log and SQLite, and on Kafka and Cassandra.
macro_rules! on_each_log {
    ($($(#[$about:meta])* fn $name:ident($on:ident: On) $scenario:block)*) => {$(
        $(#[$about])*
        mod $name {
            use super::*;

            fn scenario($on: On) $scenario

            #[test]
            fn on_the_embedded_log() {
                scenario(On::Embedded);
            }

            #[test]
            fn on_kafka_and_cassandra() {
                scenario(On::Kafka);
            }
        }
    )*};
}

mod system;

mod outcome;

mod jobs;
mod readme;
mod settings;
mod tools;

mod bad_input;
mod dead;
mod fairness;
mod neighbours;
mod pools;
mod producers;
mod topics;

mod telemetry;
mod tracing;

mod crash;
mod stopping;
