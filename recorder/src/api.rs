//! The HTTP API: results and logs, to read and to tail, and dead letters (docs/http.md).
//!
//! Every route of results, logs and dead letters is below a tenant, and every query of the store is by that tenant: there is
//! none that could return another's.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use jobico_broker::Broker;
use jobico_catalog::Handle;
use jobico_event::TenantId;
use jobico_event::function_log::Line;
use jobico_event::result::View;
use jobico_service::{Problem, Tasks, chain};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::dead::DeadLetters;
use crate::metrics::Metrics;
use crate::store::cursor::{self, List};
use crate::store::{Page, Store, StoreError};

pub mod dead;
pub mod pools;
pub mod query;
pub mod stream;

use query::Query;
use stream::Streams;

/// Reads of the store at a time; more are answered 503.
const READS_MAX: usize = 64;
/// How long a read may take.
const READ_MAX: Duration = Duration::from_secs(15);
/// What `Retry-After` says when there is too much to do, or the store does not answer, seconds.
const RETRY_AFTER_S: u32 = 2;

/// What all requests share.
pub struct Api {
    store: Arc<dyn Store>,
    catalog: Handle,
    metrics: Metrics,
    reads: Semaphore,
    streams: Streams,
    dead: dead::Shared,
    broker: Arc<dyn Broker>,
    pools: Semaphore,
}

/// A page of results.
#[derive(Serialize)]
struct Results {
    results: Vec<View>,
    next: Option<String>,
}

/// A page of logged lines.
#[derive(Serialize)]
struct Logs {
    logs: Vec<Line>,
    next: Option<String>,
}

impl Api {
    /// What all requests share.
    pub fn new(
        store: Arc<dyn Store>,
        broker: Arc<dyn Broker>,
        catalog: Handle,
        metrics: Metrics,
        tasks: Tasks,
        streams_max: u16,
    ) -> Arc<Self> {
        let letters = DeadLetters::new(broker.clone(), tokio::runtime::Handle::current());
        let streams = Streams::new(broker.clone(), tasks, metrics.clone(), streams_max);
        Arc::new(Self {
            store,
            catalog,
            metrics,
            reads: Semaphore::new(READS_MAX),
            streams,
            dead: dead::Shared::new(letters),
            broker,
            pools: Semaphore::new(pools::REQUESTS_MAX),
        })
    }

    /// The tenant of a path.
    fn tenant(&self, text: &str) -> Result<TenantId, Problem> {
        let tenant = TenantId::new(text).map_err(|error| {
            query::refuse(vec![query::Fault { parameter: "tenant".to_owned(), message: error.to_string() }])
        })?;
        if self.catalog.load().tenant(tenant.as_str()).is_none() {
            return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no tenant '{tenant}'")));
        }
        Ok(tenant)
    }

    /// Reads the store, within the limits.
    async fn read<T>(&self, read: impl Future<Output = Result<Page<T>, StoreError>>) -> Result<Page<T>, Problem> {
        let busy = || Problem::unavailable("too many lists are being read; try again", RETRY_AFTER_S);
        let _slot = self.reads.try_acquire().map_err(|_| busy())?;
        let begun = Instant::now();
        let outcome = tokio::time::timeout(READ_MAX, read).await;
        self.metrics.read_seconds.observe(begun.elapsed().as_secs_f64());
        let why = match outcome {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer within {} s", READ_MAX.as_secs()),
        };
        tracing::warn!(why, "the store could not be read");
        Err(Problem::unavailable("the store of results and logs does not answer; they are not lost", RETRY_AFTER_S))
    }
}

/// The routes.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/tenants/{tenant}/events/{event}/results", get(of_event))
        .route("/v1/tenants/{tenant}/results", get(results))
        .route("/v1/tenants/{tenant}/results/stream", get(results_stream))
        .route("/v1/tenants/{tenant}/logs", get(logs))
        .route("/v1/tenants/{tenant}/logs/stream", get(logs_stream))
        .route("/v1/pools", get(pools::list))
        .route("/v1/tenants/{tenant}/dead", get(dead::list).delete(dead::drop_many))
        .route("/v1/tenants/{tenant}/dead/redrive", post(dead::redrive_many))
        .route("/v1/tenants/{tenant}/dead/{id}", get(dead::show).delete(dead::drop_one))
        .route("/v1/tenants/{tenant}/dead/{id}/redrive", post(dead::redrive))
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take that method; 'Allow' says which it takes",
            )
        })
        .with_state(api)
}

type Parts<T> = Result<Path<T>, PathRejection>;

/// A path's variables; they are percent-encoded UTF-8.
fn parts<T>(parts: Parts<T>) -> Result<T, Problem> {
    parts.map(|Path(parts)| parts).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))
}

async fn of_event(
    State(api): State<Arc<Api>>,
    path: Parts<(String, String)>,
    query: Query,
) -> Result<Json<Results>, Problem> {
    let (tenant, event) = parts(path)?;
    let tenant = api.tenant(&tenant)?;
    let page = query.page(List::Event, &[])?;
    // Longer ones are not recorded, and a store may refuse to look for them.
    if event.len() > crate::decode::EVENT_ID_BYTES_MAX {
        return Ok(Json(Results { results: Vec::new(), next: None }));
    }
    let page = api.read(api.store.results_of_event(&tenant, &event, &page)).await?;
    Ok(Json(Results { next: next(List::Event, &page), results: page.rows }))
}

async fn results(State(api): State<Arc<Api>>, path: Parts<String>, query: Query) -> Result<Json<Results>, Problem> {
    let tenant = api.tenant(&parts(path)?)?;
    let (filter, page) = query.results()?;
    let page = api.read(api.store.results(&tenant, &filter, &page)).await?;
    Ok(Json(Results { next: next(List::Results, &page), results: page.rows }))
}

async fn logs(State(api): State<Arc<Api>>, path: Parts<String>, query: Query) -> Result<Json<Logs>, Problem> {
    let tenant = api.tenant(&parts(path)?)?;
    let (filter, page) = query.logs()?;
    let page = api.read(api.store.logs(&tenant, &filter, &page)).await?;
    Ok(Json(Logs { next: next(List::Logs, &page), logs: page.rows }))
}

async fn results_stream(
    State(api): State<Arc<Api>>,
    path: Parts<String>,
    query: Query,
) -> Result<stream::Answer, Problem> {
    let tenant = api.tenant(&parts(path)?)?;
    let filter = query.result_stream()?;
    api.streams.open(stream::Feed::Results { tenant, filter }).await
}

async fn logs_stream(
    State(api): State<Arc<Api>>,
    path: Parts<String>,
    query: Query,
) -> Result<stream::Answer, Problem> {
    let tenant = api.tenant(&parts(path)?)?;
    let filter = query.log_stream()?;
    api.streams.open(stream::Feed::Logs { tenant, filter }).await
}

fn next<T>(list: List, page: &Page<T>) -> Option<String> {
    page.next.as_ref().map(|key| cursor::encode(list, key))
}
