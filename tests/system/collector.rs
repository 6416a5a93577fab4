//! An OpenTelemetry collector of a few lines: takes spans over OTLP/HTTP and keeps them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// A running collector; it ends when it is dropped.
pub struct Collector {
    pub url: String,
    spans: Spans,
    _runtime: tokio::runtime::Runtime,
}

type Spans = Arc<Mutex<Vec<Span>>>;

impl Collector {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let spans = Spans::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(spans.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, spans, _runtime: runtime }
    }

    /// The spans of a trace that have arrived so far.
    pub fn spans(&self, trace_id: &str) -> Vec<Span> {
        let spans = self.spans.lock().expect("no panic");
        spans.iter().filter(|span| hex(&span.trace_id) == trace_id).cloned().collect()
    }
}

async fn take(State(spans): State<Spans>, body: Bytes) -> Vec<u8> {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let arrived = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    spans.lock().expect("no panic").extend(arrived.flat_map(|scope| scope.spans));
    ExportTraceServiceResponse::default().encode_to_vec()
}

/// Bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
