//! The API of pools.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jobico_service::Problem;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::query::Query;
use super::{Api, RETRY_AFTER_S};
use crate::pools::{self, Pool};

/// Requests at a time; more are answered 503. Each asks the log for every partition.
pub const REQUESTS_MAX: usize = 2;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// All pools, or one.
#[derive(Serialize)]
pub struct List {
    pools: Vec<Pool>,
}

/// `GET /v1/pools`
pub async fn list(State(api): State<Arc<Api>>, query: Query) -> Result<Json<List>, Problem> {
    let wanted = query.pool()?;
    let Ok(_slot) = Semaphore::try_acquire(&api.pools) else {
        return Err(Problem::unavailable("too many requests for pools; try again", RETRY_AFTER_S));
    };
    let snapshot = api.catalog.load();
    let answer = tokio::time::timeout(ANSWER_MAX, pools::pools(&*api.broker, &snapshot, wanted.as_deref())).await;
    match answer {
        Ok(Ok(pools)) => match wanted.filter(|_| pools.is_empty()) {
            None => Ok(Json(List { pools })),
            Some(wanted) => Err(Problem::new(
                StatusCode::NOT_FOUND,
                format!("no queue of a job in force is or was in a pool '{wanted}'"),
            )),
        },
        Ok(Err(error)) => {
            tracing::warn!(%error, "pools could not be looked at");
            Err(Problem::unavailable("the log does not answer", RETRY_AFTER_S))
        }
        Err(_) => {
            Err(Problem::unavailable("the log does not answer in time; ask for one pool (pool=…)", RETRY_AFTER_S))
        }
    }
}
