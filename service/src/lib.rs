//! The frame of a process: configuration, telemetry, tasks, shutdown, admin endpoints.
