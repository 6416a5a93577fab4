//! Settings of ingest: where it listens, and what it grants one client.

use std::net::SocketAddr;

use clap::{Args, value_parser};

/// Settings of ingest.
///
/// A request holds its body and its records in memory until the log has acknowledged them, and what has come of its body before:
/// at the most, some 4 × `body_bytes_max` × `requests_max` bytes.
#[derive(Debug, Clone, Args)]
#[group(skip)] // all roles of a process have one; their ids would meet
pub struct Config {
    /// Address on which events are taken.
    #[arg(id = "ingest-addr", long, env = "JOBICO_INGEST_ADDR", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub addr: SocketAddr,

    /// Largest body of a request; larger ones are answered 413.
    #[arg(id = "ingest-body-bytes-max", long, env = "JOBICO_INGEST_BODY_BYTES_MAX", value_name = "BYTES",
        default_value_t = 1 << 20, value_parser = value_parser!(u32).range(1024..=256 << 20))]
    pub body_bytes_max: u32,

    /// Largest event; larger ones are answered 413. With its key and headers an event must stay below what Kafka takes
    /// (message.max.bytes, 1,000,000 by default).
    #[arg(id = "ingest-event-bytes-max", long, env = "JOBICO_INGEST_EVENT_BYTES_MAX", value_name = "BYTES",
        default_value_t = 960 << 10, value_parser = value_parser!(u32).range(1024..=256 << 20))]
    pub event_bytes_max: u32,

    /// Most events in a request; more are answered 413.
    #[arg(id = "ingest-events-max", long, env = "JOBICO_INGEST_EVENTS_MAX", value_name = "N",
        default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub events_max: u32,

    /// Most requests at one time whose body is there; more are answered 503.
    #[arg(id = "ingest-requests-max", long, env = "JOBICO_INGEST_REQUESTS_MAX", value_name = "N",
        default_value_t = 1_024, value_parser = value_parser!(u32).range(1..=100_000))]
    pub requests_max: u32,

    /// Milliseconds a client may take to send a body; then it is answered 408.
    #[arg(id = "ingest-read-ms-max", long, env = "JOBICO_INGEST_READ_MS_MAX", value_name = "MS",
        default_value_t = 30_000, value_parser = value_parser!(u32).range(10..=3_600_000))]
    pub read_ms_max: u32,

    /// Milliseconds the log may take to acknowledge a request's events; then it is answered 503. The log gives up by
    /// itself before (10 s), and then says why.
    #[arg(id = "ingest-ack-ms-max", long, env = "JOBICO_INGEST_ACK_MS_MAX", value_name = "MS",
        default_value_t = 30_000, value_parser = value_parser!(u32).range(10..=3_600_000))]
    pub ack_ms_max: u32,
}
