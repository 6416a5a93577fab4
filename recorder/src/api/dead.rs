//! The API of dead letters. What it asks of the log blocks, and is bounded: so many requests at a time, one of which writes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jobico_event::TenantId;
use jobico_event::dead_letter::{Letter, Place, View};
use jobico_service::{Problem, chain};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::query::{Query, Settling};
use super::{Api, Parts, RETRY_AFTER_S, parts};
use crate::dead::settle::{Action, Again, Refusal, Settled};
use crate::dead::{DeadLetters, page, settle};

/// Requests at a time; more are answered 503.
const REQUESTS_MAX: usize = 16;
/// How long an answer may take: becoming the writer and a transaction may take 30 s each, where the log is not well.
const ANSWER_MAX: Duration = Duration::from_secs(50);
/// Bytes of the events that one request redrives; one may exceed it.
const BYTES_MAX: usize = 16 << 20;

/// What requests of dead letters share.
pub struct Shared {
    dead: Arc<DeadLetters>,
    requests: Arc<Semaphore>,
}

/// A page of dead letters.
#[derive(Serialize)]
pub struct List {
    letters: Vec<View>,
    next: Option<String>,
}

/// What became of one letter.
#[derive(Serialize)]
pub struct One {
    id: Place,
    state: &'static str,
}

/// What became of many.
#[derive(Serialize)]
pub struct Many {
    redriven: Option<usize>,
    dropped: Option<usize>,
    refused: Vec<Refused>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Refused {
    id: Place,
    message: String,
}

impl Shared {
    /// What requests of `dead` share.
    pub fn new(dead: DeadLetters) -> Self {
        Self { dead: Arc::new(dead), requests: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// Asks the log, where it may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&DeadLetters) -> Result<T, settle::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(slot) = self.requests.clone().try_acquire_owned() else {
            return Err(Problem::unavailable("too many requests for dead letters; try again", RETRY_AFTER_S));
        };
        let dead = self.dead.clone();
        let task = tokio::task::spawn_blocking(move || {
            // Until here, not until the client stops waiting: the thread is busy all that time.
            let _slot = slot;
            question(&dead)
        });
        match tokio::time::timeout(ANSWER_MAX, task).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => {
                tracing::warn!(error = chain(&error), "dead letters");
                Err(Problem::unavailable(error.to_string(), RETRY_AFTER_S))
            }
            Ok(Err(_)) => Err(Problem::internal("the answer was not completed")),
            Err(_) => Err(Problem::unavailable(settle::Error::Uncertain.to_string(), RETRY_AFTER_S)),
        }
    }

    async fn page(
        &self,
        tenant: TenantId,
        filter: page::Filter,
        limits: page::Limits,
        cursor: Option<page::Cursor>,
    ) -> Result<page::Page, Problem> {
        self.ask(move |dead| dead.page(&tenant, &filter, &limits, cursor).map_err(settle::Error::Unavailable)).await
    }

    async fn one(&self, tenant: TenantId, place: Place) -> Result<crate::dead::letter::Letter, Problem> {
        let missing = Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no dead letter {place} of '{tenant}'; the log may have let it go"),
        );
        let letter = self.ask(move |dead| dead.one(&tenant, place).map_err(settle::Error::Unavailable)).await?;
        letter.ok_or(missing)
    }

    async fn settle(
        &self,
        tenant: TenantId,
        letters: Vec<crate::dead::letter::Letter>,
        action: Action,
        again: Again,
    ) -> Result<Settled, Problem> {
        self.ask(move |dead| dead.settle(&tenant, &letters, action, again)).await
    }
}

/// `GET /v1/tenants/{tenant}/dead`
pub async fn list(State(api): State<Arc<Api>>, path: Parts<String>, query: Query) -> Result<Json<List>, Problem> {
    let tenant = api.tenant(&parts(path)?)?;
    let (filter, letters, cursor) = query.dead()?;
    let limits = page::Limits { letters, bytes: usize::MAX, whole: false };
    let page = api.dead.page(tenant, filter, limits, cursor).await?;
    Ok(Json(List { letters: page.views, next: page.next.map(|next| next.to_string()) }))
}

/// `GET /v1/tenants/{tenant}/dead/{id}`
pub async fn show(
    State(api): State<Arc<Api>>,
    path: Parts<(String, String)>,
    query: Query,
) -> Result<Json<Letter>, Problem> {
    let (tenant, place) = named(&api, path)?;
    query.nothing()?;
    Ok(Json(api.dead.one(tenant, place).await?.into_form()))
}

/// `POST /v1/tenants/{tenant}/dead/{id}/redrive`
pub async fn redrive(
    State(api): State<Arc<Api>>,
    path: Parts<(String, String)>,
    query: Query,
) -> Result<Json<One>, Problem> {
    one(&api, path, query, Action::Redrive).await
}

/// `DELETE /v1/tenants/{tenant}/dead/{id}`
pub async fn drop_one(
    State(api): State<Arc<Api>>,
    path: Parts<(String, String)>,
    query: Query,
) -> Result<Json<One>, Problem> {
    one(&api, path, query, Action::Drop).await
}

/// `POST /v1/tenants/{tenant}/dead/redrive`
pub async fn redrive_many(
    State(api): State<Arc<Api>>,
    path: Parts<String>,
    query: Query,
) -> Result<Json<Many>, Problem> {
    many(&api, path, query, Action::Redrive).await
}

/// `DELETE /v1/tenants/{tenant}/dead`
pub async fn drop_many(State(api): State<Arc<Api>>, path: Parts<String>, query: Query) -> Result<Json<Many>, Problem> {
    many(&api, path, query, Action::Drop).await
}

fn named(api: &Api, path: Parts<(String, String)>) -> Result<(TenantId, Place), Problem> {
    let (tenant, id) = parts(path)?;
    let tenant = api.tenant(&tenant)?;
    let place = id.parse().map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}")))?;
    Ok((tenant, place))
}

async fn one(api: &Api, path: Parts<(String, String)>, query: Query, action: Action) -> Result<Json<One>, Problem> {
    let (tenant, id) = named(api, path)?;
    let again = query.force()?;
    let letter = api.dead.one(tenant.clone(), id).await?;
    let settled = api.dead.settle(tenant, vec![letter], action, again).await?;
    api.count(action, &settled);
    match settled.refused.into_iter().next() {
        Some((_, refusal)) => Err(refused(&refusal)),
        None => Ok(Json(One { id, state: state(action) })),
    }
}

async fn many(api: &Api, path: Parts<String>, query: Query, action: Action) -> Result<Json<Many>, Problem> {
    let tenant = api.tenant(&parts(path)?)?;
    let Settling { filter, letters, cursor, again } = query.settling()?;
    let limits = page::Limits { letters, bytes: BYTES_MAX, whole: true };
    let page = api.dead.page(tenant.clone(), filter, limits, cursor).await?;
    let settled = match page.letters.is_empty() {
        true => Settled::default(),
        false => api.dead.settle(tenant, page.letters, action, again).await?,
    };
    api.count(action, &settled);
    let done = |wanted| (action == wanted).then_some(settled.done.len());
    Ok(Json(Many {
        redriven: done(Action::Redrive),
        dropped: done(Action::Drop),
        refused: settled.refused.iter().map(|(id, why)| Refused { id: *id, message: why.to_string() }).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

fn refused(refusal: &Refusal) -> Problem {
    Problem::new(StatusCode::CONFLICT, refusal.to_string())
}

fn state(action: Action) -> &'static str {
    match action {
        Action::Redrive => "redriven",
        Action::Drop => "dropped",
    }
}

impl Api {
    fn count(&self, action: Action, settled: &Settled) {
        self.metrics.dead_settled.with_label_values(&[state(action)]).inc_by(settled.done.len() as u64);
    }
}
