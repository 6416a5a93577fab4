//! Kafka to wasm to Kafka, exactly once.
