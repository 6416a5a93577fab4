//! The integration tests of the contract between services, as one binary.

mod contract;
mod job;
mod schema;
