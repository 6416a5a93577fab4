//! Job files into force and back, and what is in force.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jobico_event::catalog::JobVersion;
use jobico_event::job::{self, Fault, JobFile};
use jobico_event::{JobId, TenantId};
use jobico_service::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Body;
use super::extract::Path;
use super::tenant::{items, of_tenant};
use super::{App, JOB_FILE_BYTES_MAX, problem};
use crate::decide::{Answer, Command, Existing, Refusal};
use crate::store::{self, Mode};
use crate::topic;

/// How a job file is deployed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct How {
    #[serde(default)]
    update: bool,
    #[serde(default)]
    dry_run: bool,
}

/// `POST /v1/jobs`: check, make the topics, write. Topics come before the write, so that no service ever knows of a queue
/// that is not there; those of a deployment that is refused after all do no harm.
pub async fn deploy(
    State(app): State<App>,
    how: Result<Query<How>, axum::extract::rejection::QueryRejection>,
    Body(body): Body<JOB_FILE_BYTES_MAX>,
) -> Result<Response, Problem> {
    let Query(how) = how.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let file = parse(&body).map_err(|faults| problem::refused(&Refusal::JobFile(faults)))?;
    let existing = if how.update { Existing::Update } else { Existing::Refuse };
    let command = Command::Deploy(Box::new(file.clone()), existing);
    let checked = app.store.run(command.clone(), Mode::Check).await.map_err(|error| problem::of(&error))?;
    let unavailable = |error| problem::of(&store::Error::Unavailable(error));
    let topics = app.broker.topics().await.map_err(unavailable)?;
    topic::check_names(&file, &topics).map_err(|clash| Problem::new(StatusCode::CONFLICT, clash.to_string()))?;
    if how.dry_run {
        return deployed(&checked, true);
    }
    let wanted = topic::wanted(&file, &app.config, &topics);
    if !wanted.is_empty() {
        app.broker.ensure_topics(&wanted).await.map_err(unavailable)?;
    }
    deployed(&app.store.run(command, Mode::Write).await.map_err(|error| problem::of(&error))?, false)
}

fn parse(body: &[u8]) -> Result<JobFile, Vec<Fault>> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let line = 1 + body[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        let message = format!("byte {} of the file is not UTF-8", error.valid_up_to() + 1);
        vec![Fault { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1, path: String::new(), message }]
    })?;
    job::parse(text)
}

fn deployed(answer: &Answer, dry_run: bool) -> Result<Response, Problem> {
    let Answer::Job { version, new } = answer else { return Err(problem::unexpected(answer)) };
    let events: Vec<_> = version.routes.iter().map(|route| &route.event).collect();
    let mut body = json!({
        "tenant": version.tenant, "job": version.job, "version": version.version,
        "events": events, "topics": topic::names(version),
    });
    if !new {
        body["unchanged"] = true.into();
    }
    if dry_run {
        body["dry_run"] = true.into();
    }
    let status = if *new && !dry_run { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(body)).into_response())
}

/// `POST /v1/tenants/{tenant}/jobs/{job}/rollback`
pub async fn roll_back(
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
    Path(job): Path<JobId>,
) -> Result<Json<Value>, Problem> {
    let answer = app.store.run(Command::RollBack(tenant, job), Mode::Write).await;
    match answer.map_err(|error| problem::of(&error))? {
        Answer::Job { version, .. } => {
            Ok(Json(json!({"tenant": version.tenant, "job": version.job, "version": version.version})))
        }
        other => Err(problem::unexpected(&other)),
    }
}

/// `GET /v1/tenants/{tenant}/jobs`: what is in force.
pub async fn list(State(app): State<App>, Path(tenant): Path<TenantId>) -> Result<Json<Value>, Problem> {
    let jobs = of_tenant(&app, &tenant, |state| {
        state.tenant(&tenant)?;
        let jobs = state.all_in_force(&tenant).map(|(active, version)| {
            json!({
                "job": version.job, "version": version.version, "name": version.name, "since": active.since,
                "events": version.routes.iter().map(|route| &route.event).collect::<Vec<_>>(),
            })
        });
        Some(jobs.collect::<Vec<_>>())
    });
    Ok(items(&jobs.await?))
}

/// `GET /v1/tenants/{tenant}/jobs/{job}`: what is in force in full, and which versions there are.
pub async fn show(
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
    Path(job): Path<JobId>,
) -> Result<Json<Value>, Problem> {
    let found = of_tenant(&app, &tenant, |state| {
        state.tenant(&tenant)?;
        let Some((active, version)) = state.in_force(&tenant, &job) else { return Some(None) };
        let brief = |version: &JobVersion| json!({"version": version.version, "deployed_at": version.deployed_at, "replaces": version.replaces});
        let versions: Vec<_> = state.versions(&tenant, &job).rev().map(|version| brief(version)).collect();
        Some(Some(json!({
            "tenant": tenant, "job": job, "version": version.version, "since": active.since,
            "topics": topic::names(version), "active": version.as_ref(), "versions": versions,
        })))
    });
    found.await?.map(Json).ok_or_else(|| problem::refused(&Refusal::NoJob { tenant, job }))
}
