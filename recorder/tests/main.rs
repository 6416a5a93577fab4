//! What the recorder promises: the stores by themselves (`contract`), the way from the topics to them, and the API.
//!
//! On the embedded log and SQLite, and on real Kafka and Cassandra: `make test` starts those, or `JOBICO_TEST_KAFKA` and
//! `JOBICO_TEST_CQL` (`host:port`) name them. Tenants, keyspaces and transactional ids have names of their own in each run.
#![allow(clippy::unwrap_used, reason = "a test ends with its first error, in its fixtures as well")]

mod authority;
mod job;
mod proxy;
mod rows;
mod stage;

mod contract;

mod outage;
mod recording;
mod tls;

mod api;
mod dead;
mod pools;
mod streams;
