//! Schemas and modules, under the names that job files give them.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jobico_event::schema::SchemaError;
use jobico_event::{Digest, FileName, Schema, TenantId, contract, name};
use jobico_service::{Problem, chain};
use serde_json::json;

use super::body::{self, Body};
use super::extract::Path;
use super::{App, MODULE_BYTES_MAX, SCHEMA_BYTES_MAX, problem};
use crate::decide::{Answer, Command, Refusal, RegisterSchema, Repeats, UploadFunction};
use crate::state::Text;
use crate::store::Mode;

/// `PUT /v1/tenants/{tenant}/schemas/{name}`
pub async fn schema(
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
    Path(file): Path<FileName>,
    Body(body): Body<SCHEMA_BYTES_MAX>,
) -> Result<Response, Problem> {
    let Ok(text) = String::from_utf8(body.into()) else {
        let fault = SchemaError::Json("it is not UTF-8".to_owned());
        return Err(problem::refused(&Refusal::Schema(vec![fault])));
    };
    let (text, faults) = inspected(text).await?;
    let subject = name::subject(&tenant, &file);
    let command = RegisterSchema { subject, text: Text::json(&text), faults, repeats: Repeats::Newest };
    let answer = app.store.run(Command::RegisterSchema(command), Mode::Write).await;
    match answer.map_err(|error| problem::of(&error))? {
        Answer::Schema { subject, version, id, new } => {
            let body = json!({"tenant": tenant, "name": file, "subject": subject, "version": version, "id": id});
            Ok((created(new), Json(body)).into_response())
        }
        other => Err(problem::unexpected(&other)),
    }
}

/// A schema's text, and what is wrong with it. Compiling a large one takes a while: not on a thread that answers others.
pub async fn inspected(text: String) -> Result<(String, Vec<SchemaError>), Problem> {
    let inspect = move || {
        let faults = Schema::inspect(&text).err().unwrap_or_default();
        (text, faults)
    };
    tokio::task::spawn_blocking(inspect).await.map_err(|_| Problem::internal("the schema could not be inspected"))
}

/// `PUT /v1/tenants/{tenant}/functions/{name}`
pub async fn function(
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
    Path(file): Path<FileName>,
    request: Request,
) -> Result<Response, Problem> {
    // Before the body is read: what waits here waits in the client.
    let _place = app.uploads.acquire().await.map_err(|_| Problem::unavailable("the registry stops", 1))?;
    let bytes = body::read(request, MODULE_BYTES_MAX).await?;
    let inspected = bytes.clone();
    let (module, digest) = tokio::task::spawn_blocking(move || (contract::inspect(&inspected), Digest::of(&inspected)))
        .await
        .map_err(|_| Problem::internal("the module could not be inspected"))?;
    let module = module.map_err(|faults| refused_module(&faults))?;
    let size = bytes.len() as u64;
    // The bytes first: whoever reads of a version finds its module.
    app.artifacts.put(&digest, bytes).await.map_err(|error| {
        tracing::error!(error = chain(&error), "a module could not be kept");
        Problem::internal(chain(&error))
    })?;
    let command = UploadFunction { tenant, name: file, digest, size, module };
    let answer = app.store.run(Command::UploadFunction(command), Mode::Write).await;
    match answer.map_err(|error| problem::of(&error))? {
        Answer::Function { version, new } => {
            let body = json!({
                "tenant": version.tenant, "name": version.name, "version": version.version,
                "digest": version.digest, "size": version.size, "contract": version.contract,
            });
            Ok((created(new), Json(body)).into_response())
        }
        other => Err(problem::unexpected(&other)),
    }
}

fn refused_module(faults: &[contract::Fault]) -> Problem {
    let errors: Vec<_> = faults.iter().map(|fault| json!({"message": fault.to_string()})).collect();
    let detail = match faults {
        [fault] => fault.to_string(),
        faults if faults.len() == contract::FAULTS_MAX => {
            format!("the module cannot be a function, for {} reasons at least", contract::FAULTS_MAX)
        }
        faults => format!("the module cannot be a function, for {} reasons", faults.len()),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with("errors", errors)
}

fn created(new: bool) -> StatusCode {
    if new { StatusCode::CREATED } else { StatusCode::OK }
}
