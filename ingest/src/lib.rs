//! HTTP in, validated events to Kafka.
