//! Logs to standard error, traces to an OpenTelemetry collector where one is named.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::BoxError;
use crate::config::LogFormat;

/// Filter of logs, in the syntax of `tracing_subscriber::EnvFilter`.
pub const LOG_FILTER: &str = "JOBICO_LOG";
/// Where traces go (OpenTelemetry's own variable); none = nowhere.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const LOG_FILTER_DEFAULT: &str = "info";
/// Comes before each filter: wasmtime makes a span of each call that a function makes of WASI, as often as the function likes.
const LOG_FILTER_FIRST: &str = "wasmtime_wasi=warn";
/// Of whose spans traces are made: those of crates with this prefix.
const TRACED: &str = "jobico";

/// Keeps the exporter alive; dropping it sends what is still held back.
#[must_use = "traces end when this is dropped"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Starts logging, and tracing where [`OTLP_ENDPOINT`] is set. Once a process.
///
/// # Errors
/// A filter that does not parse, or an exporter that cannot be made.
pub fn start(format: LogFormat) -> Result<Telemetry, BoxError> {
    let filter = std::env::var(LOG_FILTER).unwrap_or_else(|_| LOG_FILTER_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(format!("{LOG_FILTER_FIRST},{filter}"))
        .map_err(|error| format!("{LOG_FILTER}={filter}: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let json = format == LogFormat::Json || (format == LogFormat::Auto && !terminal);
    let output = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    let output = if json { output.json().flatten_event(true).boxed() } else { output.boxed() };

    let provider = is_exporting().then(exporter).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("jobico"));
        layer.with_filter(filter_fn(|metadata| metadata.target().starts_with(TRACED)))
    });
    tracing_subscriber::registry().with(traces).with(output.with_filter(filter)).try_init()?;
    Ok(Telemetry { provider })
}

/// Whether traces go anywhere. Asked once, at the start.
#[must_use]
pub fn is_exporting() -> bool {
    std::env::var(OTLP_ENDPOINT).is_ok()
}

fn exporter() -> Result<SdkTracerProvider, BoxError> {
    opentelemetry::global::set_text_map_propagator(opentelemetry_sdk::propagation::TraceContextPropagator::new());
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("jobico").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}
