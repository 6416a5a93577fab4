//! Tenants: who they are, and what they have uploaded.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jobico_event::TenantId;
use jobico_event::catalog::{QUOTA_MS_PER_S_MAX, WEIGHT_MAX};
use jobico_service::Problem;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::body::Body;
use super::extract::Path;
use super::{App, SETTINGS_BYTES_MAX, problem};
use crate::decide::{Answer, Command, Refusal, TenantChange};
use crate::state;
use crate::store::Mode;

/// The longest time that results stay in the result store, seconds: 20 years, which is CQL's own limit.
const RESULTS_TTL_S_MAX: u32 = 20 * 365 * 24 * 3600;

/// `GET /v1/tenants`
pub async fn list(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let tenants = app.store.read(|state| state.catalog.tenants.values().cloned().collect::<Vec<_>>()).await;
    Ok(items(&tenants.map_err(|error| problem::of(&error))?))
}

/// `GET /v1/tenants/{tenant}`
pub async fn show(State(app): State<App>, Path(tenant): Path<TenantId>) -> Result<Json<Value>, Problem> {
    let found = of_tenant(&app, &tenant, |state| state.tenant(&tenant).cloned()).await?;
    Ok(Json(json!(found)))
}

/// What can be changed of a tenant. What is not there stays; null goes back to the default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default, deserialize_with = "given")]
    results_ttl_s: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    weight: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    quota_ms_per_s: Option<Option<u32>>,
}

/// Null is something else than nothing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Change {
    /// The change, where each value is within its limits.
    fn checked(self) -> Result<TenantChange, String> {
        let change = TenantChange {
            results_ttl_s: self.results_ttl_s,
            weight: self.weight,
            quota_ms_per_s: self.quota_ms_per_s,
        };
        if change == TenantChange::default() {
            return Err(
                "the body must be an object with some of results_ttl_s, weight and quota_ms_per_s, each a number \
                        or null for its default"
                    .to_owned(),
            );
        }
        let limits = [
            ("results_ttl_s", change.results_ttl_s, RESULTS_TTL_S_MAX, "seconds "),
            ("weight", change.weight, WEIGHT_MAX, ""),
            ("quota_ms_per_s", change.quota_ms_per_s, QUOTA_MS_PER_S_MAX, "milliseconds a second "),
        ];
        let faults: Vec<String> = limits
            .into_iter()
            .filter_map(|(name, value, most, unit)| {
                let value = value.flatten().filter(|value| !(1..=most).contains(value))?;
                Some(format!("{name} is {value}; 1 to {most} {unit}are allowed, or null"))
            })
            .collect();
        if faults.is_empty() { Ok(change) } else { Err(faults.join("; ")) }
    }
}

/// `PATCH /v1/tenants/{tenant}`
pub async fn change(
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
    Body(body): Body<SETTINGS_BYTES_MAX>,
) -> Result<Json<Value>, Problem> {
    let refused = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let change: Change = serde_json::from_slice(&body).map_err(|error| refused(format!("the body: {error}")))?;
    let command = Command::ChangeTenant(tenant, change.checked().map_err(refused)?);
    match app.store.run(command, Mode::Write).await.map_err(|error| problem::of(&error))? {
        Answer::Tenant(tenant) => Ok(Json(json!(tenant))),
        other => Err(problem::unexpected(&other)),
    }
}

/// `GET /v1/tenants/{tenant}/schemas`: the newest version of each.
pub async fn schemas(State(app): State<App>, Path(tenant): Path<TenantId>) -> Result<Json<Value>, Problem> {
    let prefix = format!("{tenant}.");
    let list = |state: &state::State| {
        let subjects = state.schemas.subjects(&prefix).filter(|(_, live)| *live);
        let newest = subjects.filter_map(|(subject, _)| Some((subject, state.schemas.latest(subject)?)));
        newest
            .map(|(subject, newest)| {
                let name = subject.strip_prefix(&prefix).unwrap_or(subject);
                json!({
                    "name": name, "version": newest.version, "id": newest.id, "subject": subject,
                    "type": newest.text.kind(),
                })
            })
            .collect::<Vec<_>>()
    };
    Ok(items(&of_tenant(&app, &tenant, |state| state.tenant(&tenant).map(|_| list(state))).await?))
}

/// `GET /v1/tenants/{tenant}/functions`: the newest version of each.
pub async fn functions(State(app): State<App>, Path(tenant): Path<TenantId>) -> Result<Json<Value>, Problem> {
    let list = |state: &state::State| {
        let functions = state.functions(&tenant).map(|function| {
            json!({
                "tenant": function.tenant, "name": function.name, "version": function.version,
                "digest": function.digest, "size": function.size, "contract": function.contract,
                "callable": function.exports.callable().collect::<Vec<_>>(), "uploaded_at": function.uploaded_at,
            })
        });
        functions.collect::<Vec<_>>()
    };
    Ok(items(&of_tenant(&app, &tenant, |state| state.tenant(&tenant).map(|_| list(state))).await?))
}

/// Asks about a tenant; none = there is no such tenant.
pub async fn of_tenant<T>(
    app: &App,
    tenant: &TenantId,
    question: impl FnOnce(&state::State) -> Option<T>,
) -> Result<T, Problem> {
    let answer = app.store.read(question).await.map_err(|error| problem::of(&error))?;
    answer.ok_or_else(|| problem::refused(&Refusal::NoTenant(tenant.clone())))
}

/// A list, as all lists of this API are.
pub fn items<T: serde::Serialize>(items: &[T]) -> Json<Value> {
    Json(json!({ "items": items }))
}
