//! Tests of the processor: what is decided, functions by themselves, and the engine on real logs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod decisions;
mod engine;
mod fairness;
mod functions;
mod hostile;
mod library;
mod schedules;
mod world;
