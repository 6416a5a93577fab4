//! The registry's two APIs on one listener: the control plane (`/v1`, problem+json) and Confluent's Schema Registry.
//!
//! ```text
//! /v1/tenants… ─► tenant, upload, job ──┐
//! /v1/artifacts/{sha256} ─► artifact    ├─► Store (state), artifact::Store (modules), Broker (topics)
//! /subjects…, /schemas… ─► confluent ───┘
//! ```

mod artifact;
mod body;
mod confluent;
mod extract;
mod job;
mod problem;
mod range;
mod tenant;
mod upload;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, patch, post, put};
use jobico_broker::Broker;
use jobico_service::Problem;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::{artifact as artifacts, store};

/// The largest schema, bytes of its text.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// The largest body of Confluent's routes, which hold a schema as a JSON string: each byte may be escaped.
const CONFLUENT_BYTES_MAX: usize = 2 * SCHEMA_BYTES_MAX;
/// The largest module, bytes.
pub const MODULE_BYTES_MAX: usize = jobico_event::contract::MODULE_BYTES_MAX;
/// The largest job file, bytes.
pub const JOB_FILE_BYTES_MAX: usize = jobico_event::job::FILE_BYTES_MAX;
/// The largest body of a change of settings, bytes.
const SETTINGS_BYTES_MAX: usize = 4 << 10;
/// Modules that are received at a time; other uploads wait.
const UPLOADS_AT_ONCE: usize = 4;
/// Modules that are read at a time; other readers wait.
const DOWNLOADS_AT_ONCE: usize = 8;

/// What handlers share.
#[derive(Clone)]
pub struct App {
    /// The state, and the way to change it.
    pub store: store::Store,
    /// The modules.
    pub artifacts: artifacts::Store,
    /// The log, for topics.
    pub broker: Arc<dyn Broker>,
    /// Settings.
    pub config: Arc<Config>,
    /// Counters.
    pub metrics: Metrics,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
}

impl App {
    /// What handlers share.
    #[must_use]
    pub fn new(
        store: store::Store,
        artifacts: artifacts::Store,
        broker: Arc<dyn Broker>,
        config: Config,
        metrics: Metrics,
    ) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let (uploads, downloads) = (places(UPLOADS_AT_ONCE), places(DOWNLOADS_AT_ONCE));
        Self { store, artifacts, broker, config: Arc::new(config), metrics, uploads, downloads }
    }
}

/// All routes.
pub fn router(app: App) -> Router {
    let control = Router::new()
        .route("/v1/tenants", get(tenant::list))
        .route("/v1/tenants/{tenant}", get(tenant::show).merge(patch(tenant::change)))
        .route("/v1/tenants/{tenant}/schemas", get(tenant::schemas))
        .route("/v1/tenants/{tenant}/schemas/{name}", put(upload::schema))
        .route("/v1/tenants/{tenant}/functions", get(tenant::functions))
        .route("/v1/tenants/{tenant}/functions/{name}", put(upload::function))
        .route("/v1/tenants/{tenant}/jobs", get(job::list))
        .route("/v1/tenants/{tenant}/jobs/{job}", get(job::show))
        .route("/v1/tenants/{tenant}/jobs/{job}/rollback", post(job::roll_back))
        .route("/v1/jobs", post(job::deploy))
        .route("/v1/artifacts/{digest}", get(artifact::get))
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method; the header Allow lists those it takes",
            )
        });
    control.merge(confluent::router()).layer(middleware::from_fn_with_state(app.clone(), count)).with_state(app)
}

async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = Instant::now();
    let response = next.run(request).await;
    app.metrics.request(route.as_ref().map(MatchedPath::as_str), response.status().as_u16(), started.elapsed());
    response
}
