//! The routes, and the way of a request through the modules.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jobico_broker::{Append, Broker, Cause, Class};
use jobico_event::snapshot::EventView;
use jobico_service::{Frame, Problem};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::answer;
use crate::config::Config;
use crate::error::Refused;
use crate::metrics::{Metrics, Outcome, Verdict};
use crate::record::{Stamp, record};
use crate::request::{self, Reading};
use crate::verdict::{self, Refusal, judge};

/// Bodies from this size on, in bytes, are judged on a thread for blocking work: a large one takes milliseconds, in which
/// other requests would wait.
const JUDGE_INLINE_BYTES_MAX: usize = 64 * 1024;
/// How often the log says that requests are turned away.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// What all requests share.
pub struct Ingest {
    config: Config,
    broker: Arc<dyn Broker>,
    catalog: jobico_catalog::Handle,
    metrics: Metrics,
    reading: Reading,
    /// A place for each request whose body is there.
    places: Semaphore,
    turned_away: TurnedAway,
    traces: bool,
}

impl Ingest {
    /// What all requests share.
    ///
    /// # Errors
    /// The frame has an ingest already.
    pub fn new(
        frame: &Frame,
        config: Config,
        broker: Arc<dyn Broker>,
        catalog: jobico_catalog::Handle,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Metrics::register(&frame.metrics)?;
        let (reading, places) = (Reading::new(&config), Semaphore::new(config.requests_max as usize));
        let turned_away = TurnedAway::default();
        Ok(Arc::new(Self { config, broker, catalog, metrics, reading, places, turned_away, traces: frame.traces }))
    }
}

/// The routes of ingest.
pub fn router(ingest: Arc<Ingest>) -> Router {
    Router::new()
        .route("/events/{tenant}/{event}", post(take))
        .route("/", get(|| async { "jobico ingest is up\n" }))
        .method_not_allowed_fallback(|method: Method| async move {
            // The router adds `Allow`.
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed at this path"))
        })
        .with_state(ingest)
}

async fn take(
    State(ingest): State<Arc<Ingest>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let _in_flight = in_flight(&ingest.metrics);
    let taken = ingest.take(path, request).await;
    let outcome = taken.as_ref().map_or_else(Refused::outcome, |_| Outcome::Accepted);
    ingest.metrics.request(outcome);
    if outcome == Outcome::Overloaded {
        ingest.turned_away.report(ingest.config.requests_max);
    }
    match taken {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Puts the request on the gauge, and takes it off again, also when the client goes away and the handler is dropped.
fn in_flight(metrics: &Metrics) -> impl Drop {
    struct InFlight(prometheus::IntGauge);
    impl Drop for InFlight {
        fn drop(&mut self) {
            self.0.dec();
        }
    }
    metrics.in_flight.inc();
    InFlight(metrics.in_flight.clone())
}

impl Ingest {
    async fn take(
        &self,
        path: Result<Path<(String, String)>, PathRejection>,
        request: Request,
    ) -> Result<Bytes, Refused> {
        let overloaded = || Refused::Overloaded { limit: self.config.requests_max };
        // Before anything is read of it: that only makes the load greater.
        if self.places.available_permits() == 0 {
            return Err(overloaded());
        }
        let admitted = self.reading.admit()?;
        let (parts, body) = request.into_parts();
        let route = path
            .map_err(|rejection| Refused::Path(rejection.body_text()))
            .and_then(|Path((tenant, event))| self.route(tenant, event))
            .and_then(|event| request::check_media_type(&parts.headers).map(|()| event));
        let event = match route {
            Ok(event) => event,
            Err(refused) => {
                self.reading.discard(&parts.headers, body).await;
                return Err(refused);
            }
        };
        let trace = request::trace(&parts.headers);
        let span = self.span(&event);
        trace.adopt(&span);
        async {
            let body = self.reading.read(&parts.headers, body).await?;
            drop(admitted);
            let _place = self.places.try_acquire().map_err(|_| overloaded())?;
            let stamp = Stamp::new(&event, OffsetDateTime::now_utc(), trace.onward(&Span::current()));
            let records = self.records(body, &event, stamp).await?;
            self.append(&event, records).await
        }
        .instrument(span)
        .await
    }

    /// The request's span; none where traces are not exported, and the client's context goes on as it came.
    fn span(&self, event: &EventView) -> Span {
        if !self.traces {
            return Span::none();
        }
        let (tenant, event) = (event.tenant.as_str(), event.event.as_str());
        tracing::info_span!("ingest", otel.kind = "server", tenant, event)
    }

    /// What the catalog knows of the event.
    fn route(&self, tenant: String, event: String) -> Result<Arc<EventView>, Refused> {
        let snapshot = self.catalog.load();
        let Some(view) = snapshot.tenant(&tenant) else { return Err(Refused::UnknownTenant(tenant)) };
        view.events.get(event.as_str()).cloned().ok_or(Refused::UnknownEvent { tenant, event })
    }

    /// The records of a body's events, where all of them are valid.
    async fn records(&self, body: Bytes, event: &Arc<EventView>, stamp: Stamp) -> Result<Records, Refused> {
        let limits = verdict::Limits {
            events_max: self.config.events_max as usize,
            event_bytes_max: self.config.event_bytes_max as usize,
        };
        let records = if body.len() < JUDGE_INLINE_BYTES_MAX {
            Records::of(&body, event, &stamp, &limits)
        } else {
            let (event, span) = (event.clone(), Span::current());
            let judged =
                tokio::task::spawn_blocking(move || span.in_scope(|| Records::of(&body, &event, &stamp, &limits)));
            // A panic in there is answered as a panic here would be.
            judged.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        };
        records.map_err(|refusal| {
            if let Refusal::Invalid { invalid, .. } = &refusal {
                self.metrics.events(event.tenant.as_str(), Verdict::Refused, *invalid);
            }
            Refused::Body(refusal)
        })
    }

    /// Hands the records to the log, and tells what it answers.
    async fn append(&self, event: &EventView, records: Records) -> Result<Bytes, Refused> {
        let Records { ids, records, bytes } = records;
        let started = Instant::now();
        let ack_max = Duration::from_millis(self.config.ack_ms_max.into());
        // In time or not at all: without answers, every event is uncertain.
        let positions = tokio::time::timeout(ack_max, self.broker.append(records)).await.unwrap_or_default();
        self.metrics.ack.observe(started.elapsed().as_secs_f64());
        let stored = positions.iter().filter(|position| position.is_ok()).count();
        self.metrics.events(event.tenant.as_str(), Verdict::Accepted, stored);
        if stored == ids.len() {
            self.metrics.event_bytes.inc_by(bytes as u64);
        } else {
            self.metrics.events(event.tenant.as_str(), Verdict::Unacknowledged, ids.len() - stored);
            report(&event.topic, &positions);
        }
        answer::answer(&event.topic, &ids, &positions)
    }
}

/// Tells an operator, now and then, that requests are turned away for load.
#[derive(Default)]
struct TurnedAway(Mutex<Option<Instant>>);

impl TurnedAway {
    fn report(&self, limit: u32) {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.is_none_or(|before| before.elapsed() >= REPORT_EVERY) {
            *reported = Some(Instant::now());
            tracing::warn!(
                limit,
                "requests are turned away: as many as are allowed are under way, or as many bytes of bodies"
            );
        }
    }
}

/// Logs the first error of each request that the log did not take whole.
fn report(topic: &str, positions: &[Result<jobico_broker::Position, jobico_broker::Error>]) {
    match positions.iter().find_map(|position| position.as_ref().err()) {
        Some(error) if error.cause == Cause::TooLarge => {
            tracing::debug!(topic, %error, "an event is larger than its topic takes");
        }
        // Nobody but an operator can mend these.
        Some(error) if error.class == Class::Fatal || matches!(error.cause, Cause::Denied | Cause::UnknownTopic) => {
            tracing::error!(topic, %error, "events are not taken");
        }
        Some(error) => tracing::warn!(topic, %error, "events were not acknowledged"),
        None => tracing::warn!(topic, "events were not acknowledged in time"),
    }
}

/// A request's events on their way to the log.
struct Records {
    ids: Vec<Uuid>,
    records: Vec<Append>,
    /// Bytes of the events.
    bytes: usize,
}

impl Records {
    fn of(body: &[u8], event: &EventView, stamp: &Stamp, limits: &verdict::Limits) -> Result<Self, Refusal> {
        let valid = judge(body, &event.schema, limits)?;
        let ids: Vec<Uuid> = valid.iter().map(|_| Uuid::now_v7()).collect();
        let records = valid.iter().zip(&ids).map(|(valid, id)| record(event, valid, *id, stamp)).collect();
        Ok(Self { ids, records, bytes: valid.iter().map(|valid| valid.bytes().len()).sum() })
    }
}
