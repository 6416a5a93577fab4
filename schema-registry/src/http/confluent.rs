//! The REST API of Confluent's Schema Registry, for its clients and serializers: schemas registered, looked up and read.
//!
//! Compatibility is not checked yet, and `/config` says so (`NONE`). Nothing is deleted through this API; what an earlier
//! registry deleted in its topic is deleted here too.

mod error;

use axum::Router;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::Body;
use super::{App, CONFLUENT_BYTES_MAX, SCHEMA_BYTES_MAX, extract, upload};
use crate::decide::{Answer, Command, RegisterSchema, Repeats};
use crate::state::{JSON, State as Registered, Text, Version};
use crate::store::Mode;
use error::Error;

/// The media type of answers.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The routes.
pub fn router() -> Router<App> {
    Router::new()
        .route("/", get(|| async { answer(&json!({})) }))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up))
        .route("/subjects/{subject}/versions", get(versions).merge(post(register)))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_text))
        .route("/schemas/types", get(|| async { answer(&json!([JSON])) }))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/schema", get(text_by_id))
        .route("/schemas/ids/{id}/subjects", get(subjects_of_id))
        .route("/schemas/ids/{id}/versions", get(places_of_id))
        .route("/config", get(|| async { answer(&json!({"compatibilityLevel": "NONE"})) }))
        .route("/config/{subject}", get(subject_level))
        .route("/mode", get(|| async { answer(&json!({"mode": "READWRITE"})) }))
        .route("/mode/{subject}", get(subject_mode))
        .method_not_allowed_fallback(|| async { Error::method_not_allowed() })
}

/// A schema as it is sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    schema: Option<String>,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Value>,
}

/// A schema as it is answered; members as Confluent's registry has them, `schemaType` left out for Avro.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Given<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_set: Option<&'a Value>,
    schema: &'a str,
}

/// Which subjects and versions are asked for. What else a client may ask (`normalize`, `format`) changes nothing here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    subject_prefix: String,
    deleted: bool,
    default_to_global: bool,
}

impl<'a> Given<'a> {
    fn text(text: &'a Text) -> Self {
        Self {
            subject: None,
            version: None,
            id: None,
            schema_type: text.schema_type.as_deref(),
            references: text.references.as_ref(),
            metadata: text.metadata.as_ref(),
            rule_set: text.rule_set.as_ref(),
            schema: &text.schema,
        }
    }

    fn version(subject: &'a str, version: &'a Version) -> Self {
        let (number, id) = (Some(version.version), Some(version.id));
        Self { subject: Some(subject), version: number, id, ..Self::text(&version.text) }
    }
}

/// The parameters of a path, percent-decoded.
struct Subject(String);
struct VersionText(String);
struct IdText(String);

macro_rules! parameter {
    ($name:ident, $parameter:literal) => {
        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Error;
            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
                let text = extract::parameter(parts, state, $parameter).await;
                text.map(Self).map_err(|rejection| Error::bad_request(rejection.to_string()))
            }
        }
    };
}
parameter!(Subject, "subject");
parameter!(VersionText, "version");
parameter!(IdText, "id");

type Answered = Result<Response, Error>;
type Parameters = Result<Query<Asked>, axum::extract::rejection::QueryRejection>;

fn asked(parameters: Parameters) -> Result<Asked, Error> {
    parameters.map(|Query(asked)| asked).map_err(|rejection| Error::bad_request(rejection.body_text()))
}

async fn subjects(State(app): State<App>, parameters: Parameters) -> Answered {
    let asked = asked(parameters)?;
    let list = app.store.read(|state| {
        let all = state.schemas.subjects(&asked.subject_prefix).filter(|(_, live)| *live || asked.deleted);
        all.map(|(subject, _)| subject.to_owned()).collect::<Vec<_>>()
    });
    Ok(answer(&list.await?))
}

async fn versions(State(app): State<App>, Subject(subject): Subject, parameters: Parameters) -> Answered {
    let asked = asked(parameters)?;
    let list = app.store.read(|state| {
        let all = state.schemas.all_versions(state.resolve_subject(&subject));
        all.filter(|version| !version.deleted || asked.deleted).map(|version| version.version).collect::<Vec<_>>()
    });
    match list.await? {
        list if list.is_empty() => Err(Error::subject_not_found(&subject)),
        list => Ok(answer(&list)),
    }
}

async fn version(
    State(app): State<App>,
    Subject(subject): Subject,
    VersionText(version): VersionText,
    parameters: Parameters,
) -> Answered {
    let (which, asked) = (which(&version)?, asked(parameters)?);
    app.store
        .read(|state| {
            let (subject, version) = find(state, &subject, which, asked.deleted)?;
            Ok(answer(&Given::version(subject, version)))
        })
        .await?
}

async fn version_text(
    State(app): State<App>,
    Subject(subject): Subject,
    VersionText(version): VersionText,
    parameters: Parameters,
) -> Answered {
    let (which, asked) = (which(&version)?, asked(parameters)?);
    let text = app.store.read(|state| {
        let (_, version) = find(state, &subject, which, asked.deleted)?;
        Ok::<_, Error>(version.text.clone())
    });
    Ok(raw(text.await??.schema.clone()))
}

/// A version, as a path names it.
#[derive(Debug, Clone, Copy)]
enum Which {
    Latest,
    Number(u32),
}

fn which(text: &str) -> Result<Which, Error> {
    // -1 is what `latest` is in Confluent's own clients.
    match text {
        "latest" | "-1" => Ok(Which::Latest),
        number => match number.parse::<u32>() {
            Ok(number) if (1..=crate::state::NUMBER_MAX).contains(&number) => Ok(Which::Number(number)),
            _ => Err(Error::invalid_version(text)),
        },
    }
}

fn find<'a>(
    state: &'a Registered,
    subject: &'a str,
    which: Which,
    deleted: bool,
) -> Result<(&'a str, &'a Version), Error> {
    let target = state.resolve_subject(subject);
    let mut versions = state.schemas.all_versions(target).filter(|version| !version.deleted || deleted).peekable();
    if versions.peek().is_none() {
        return Err(Error::subject_not_found(subject));
    }
    let found = match which {
        Which::Latest => versions.next_back(),
        Which::Number(number) => versions.find(|version| version.version == number),
    };
    match (found, which) {
        (Some(version), _) => Ok((target, version)),
        (None, Which::Number(number)) => Err(Error::version_not_found(number)),
        (None, Which::Latest) => Err(Error::subject_not_found(subject)),
    }
}

async fn register(
    State(app): State<App>,
    Subject(subject): Subject,
    body: Result<Body<CONFLUENT_BYTES_MAX>, jobico_service::Problem>,
) -> Answered {
    let (text, faults) = sent(body).await?;
    let command = RegisterSchema { subject, text, faults, repeats: Repeats::Any };
    match app.store.run(Command::RegisterSchema(command), Mode::Write).await? {
        Answer::Schema { id, .. } => Ok(answer(&json!({"id": id}))),
        other => Err(Error::unexpected(&other)),
    }
}

async fn look_up(
    State(app): State<App>,
    Subject(subject): Subject,
    body: Result<Body<CONFLUENT_BYTES_MAX>, jobico_service::Problem>,
) -> Answered {
    let (text, _) = sent(body).await?;
    app.store
        .read(|state| {
            let target = state.resolve_subject(&subject);
            if !state.schemas.has(target) {
                return Err(Error::subject_not_found(&subject));
            }
            let found = state.schemas.find(target, &text).ok_or_else(Error::schema_not_found)?;
            Ok(answer(&Given::version(target, found)))
        })
        .await?
}

/// The schema of a body, and what is wrong with it as a JSON Schema.
async fn sent(
    body: Result<Body<CONFLUENT_BYTES_MAX>, jobico_service::Problem>,
) -> Result<(Text, Vec<jobico_event::schema::SchemaError>), Error> {
    let Body(body) = body?;
    let sent: Sent = serde_json::from_slice(&body).map_err(|error| {
        Error::unprocessable(format!("the body is not {{\"schema\": TEXT, \"schemaType\": \"JSON\"}}: {error}"))
    })?;
    let schema = sent.schema.filter(|schema| !schema.trim().is_empty()).ok_or_else(Error::empty_schema)?;
    if schema.len() > SCHEMA_BYTES_MAX {
        return Err(Error::too_large(SCHEMA_BYTES_MAX));
    }
    let kind = sent.schema_type.filter(|kind| kind != crate::state::AVRO);
    if kind.as_deref() != Some(JSON) {
        let text = Text { schema, schema_type: kind, references: sent.references, metadata: None, rule_set: None };
        return Ok((text, Vec::new()));
    }
    let (schema, faults) = upload::inspected(schema).await?;
    Ok((Text { references: sent.references, ..Text::json(&schema) }, faults))
}

async fn by_id(State(app): State<App>, IdText(id): IdText) -> Answered {
    let text = text_of(&app, &id).await?;
    Ok(answer(&Given::text(&text)))
}

async fn text_by_id(State(app): State<App>, IdText(id): IdText) -> Answered {
    Ok(raw(text_of(&app, &id).await?.schema.clone()))
}

/// What an id stands for. An id that is known keeps its meaning: then the log is not asked, and may be away.
async fn text_of(app: &App, id: &str) -> Result<std::sync::Arc<Text>, Error> {
    let number = number(id)?;
    let known = |state: &Registered| state.schemas.by_id(number).cloned();
    let found = match app.store.peek(known) {
        Some(text) => Some(text),
        None => app.store.read(known).await?,
    };
    found.ok_or_else(|| Error::id_not_found(id))
}

async fn subjects_of_id(State(app): State<App>, IdText(id): IdText) -> Answered {
    let mut subjects: Vec<String> = places(&app, &id).await?.into_iter().map(|(subject, _)| subject).collect();
    subjects.dedup();
    Ok(answer(&subjects))
}

async fn places_of_id(State(app): State<App>, IdText(id): IdText) -> Answered {
    let places = places(&app, &id).await?.into_iter();
    Ok(answer(&places.map(|(subject, version)| json!({"subject": subject, "version": version})).collect::<Vec<_>>()))
}

/// Subjects and versions of an id, in order.
async fn places(app: &App, id: &str) -> Result<Vec<(String, u32)>, Error> {
    let number = number(id)?;
    let places = app.store.read(|state| {
        state.schemas.by_id(number)?;
        Some(state.schemas.places(number).map(|(subject, version)| (subject.to_owned(), version)).collect::<Vec<_>>())
    });
    places.await?.ok_or_else(|| Error::id_not_found(id))
}

fn number(id: &str) -> Result<u32, Error> {
    id.parse().map_err(|_| Error::not_found())
}

async fn subject_level(Subject(subject): Subject, parameters: Parameters) -> Answered {
    if asked(parameters)?.default_to_global {
        return Ok(answer(&json!({"compatibilityLevel": "NONE"})));
    }
    Err(Error::no_subject_level(&subject))
}

async fn subject_mode(Subject(subject): Subject, parameters: Parameters) -> Answered {
    if asked(parameters)?.default_to_global {
        return Ok(answer(&json!({"mode": "READWRITE"})));
    }
    Err(Error::no_subject_mode(&subject))
}

fn answer(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], bytes).into_response(),
        Err(error) => Error::internal(error.to_string()).into_response(),
    }
}

/// A schema's text alone.
fn raw(text: String) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}
