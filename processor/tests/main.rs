//! Tests of the processor: functions by themselves, and the engine on real logs.

mod functions;
