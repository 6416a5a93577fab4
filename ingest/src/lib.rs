//! HTTP in, validated events to the log.
//!
//! ```text
//! POST /events/{tenant}/{event} ─► request (media type, body within its limits)
//!                                      │
//!         catalog snapshot ─► EventView ▼
//!                                  verdict (all elements, or none: 400 names every fault) ─► ValidEvent
//!                                      │
//!                                      ▼
//!                                  record (CloudEvents headers, key) ─► Broker::append, once a request
//!                                      │
//!         200 id, topic, partition, offset of each, once all are acknowledged ◄── answer ──► 503: what is stored
//! ```
//!
//! It accepts while processors, recorder and registry are down: all it needs is the log, and the catalog as it last was.

mod config;
mod server;

pub mod record;
mod request;
pub mod verdict;

mod answer;
mod error;

mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;

use jobico_broker::Broker;
use jobico_service::http::Bound;
use jobico_service::{BoxError, Frame};

pub use config::Config;

/// Starts the service: binds its listener, and answers until the frame stops. Returns the address it listens on.
///
/// # Errors
/// The address cannot be listened on, or the frame has an ingest already.
pub async fn start(
    frame: &Frame,
    config: Config,
    broker: Arc<dyn Broker>,
    catalog: jobico_catalog::Handle,
) -> Result<SocketAddr, BoxError> {
    let bound = Bound::new("ingest", config.addr).await?;
    let address = bound.address();
    let ingest = server::Ingest::new(frame, config, broker, catalog)?;
    frame.tasks.spawn("ingest", bound.serve(server::router(ingest), frame.tasks.stop_token()));
    Ok(address)
}
