//! What operators and orchestrators ask a process: `/livez`, `/readyz`, `/metrics`.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Encoder, TextEncoder};

use crate::{Frame, Problem};

/// The routes. `/livez` answers while the process runs; `/readyz` is 200 when each component is ready, else 503, with the
/// components in JSON; `/metrics` is Prometheus' text format 0.0.4.
pub fn router(frame: &Frame) -> Router {
    let (health, metrics) = (frame.health.clone(), frame.metrics.clone());
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                let report = health.report();
                let status = if report.status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                (status, Json(report))
            }),
        )
        .route("/metrics", get(move || async move { exposition(&metrics) }))
}

fn exposition(metrics: &prometheus::Registry) -> Response {
    let (encoder, mut text) = (TextEncoder::new(), Vec::new());
    match encoder.encode(&metrics.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => Problem::internal(format!("the metrics cannot be written: {error}")).into_response(),
    }
}
