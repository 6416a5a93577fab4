//! The control plane: schemas, functions, jobs, artifacts.
//!
//! ```text
//! HTTP ─► http (ids, bodies, limits) ─► store ─► decide (pure: state + command ─► records, or a refusal)
//!           │                             │         ▲
//!           │ modules, by digest          │         └─ state ◄── record ◄── _schemas, jobico.catalog ◄─┐
//!           ▼                             └──── one transaction, fenced ───────────────────────────────┘
//!        artifact                                                             │
//!                                                                             └─► every service's snapshot
//! ```
//!
//! Nobody asks a registry on the data path; while it is down, everything that was deployed keeps running. Any number of
//! registries may run, each may write, and together they are linearizable (`store`). Deliberately not here: running or
//! compiling functions (processors do), results and logs (the recorder has them), leader election (Kafka's fencing of
//! transactional ids is enough).

mod config;

mod http;

mod decide;
mod record;
mod state;
mod store;
mod topic;

mod artifact;

mod metrics;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobico_broker::Broker;
use jobico_service::http::Bound;
use jobico_service::{BoxError, Frame};

pub use config::Config;

/// The folder of modules, below the data folder.
const ARTIFACTS: &str = "artifacts";

/// A registry that answers.
#[derive(Debug, Clone)]
pub struct Started {
    /// Where it listens.
    pub address: SocketAddr,
    /// The folder where modules are kept: for processes of this machine.
    pub artifacts: PathBuf,
}

/// Starts the service: binds its listener, and answers until the frame stops. The log need not be there yet: until it is,
/// the component `registry` is not ready, and requests are answered 503.
///
/// # Errors
/// The address cannot be listened on, the folder of modules cannot be made, or the frame has a registry already.
pub async fn start(
    frame: &Frame,
    config: Config,
    data_dir: &Path,
    broker: Arc<dyn Broker>,
) -> Result<Started, BoxError> {
    let metrics = metrics::Metrics::register(&frame.metrics)?;
    let folder = data_dir.join(ARTIFACTS);
    let artifacts = artifact::Store::in_folder(&folder)?;
    let bound = Bound::new("registry", config.addr).await?;
    let address = bound.address();
    let topics = jobico_catalog::follow::topics().to_vec();
    let store = store::start(frame, broker.clone(), topics, topic::log(&config), metrics.clone())?;
    let app = http::App::new(store, artifacts, broker, config, metrics);
    frame.tasks.spawn("registry", bound.serve(http::router(app), frame.tasks.stop_token()));
    Ok(Started { address, artifacts: folder })
}
