//! Tests of the processor: what is decided, functions by themselves, and the engine on real logs.

mod decisions;
mod engine;
mod functions;
mod world;
