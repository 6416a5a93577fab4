//! What every process shows of itself in `/metrics`, whatever its roles are.

use prometheus::{IntGauge, Opts, Registry};

/// A registry with the version (`jobico_build_info`) and, on Linux, what the process uses (`process_…`: CPU time, memory,
/// open files, threads; names of the Prometheus client libraries' guidelines).
#[must_use]
pub fn registry() -> Registry {
    let registry = Registry::new();
    #[cfg(target_os = "linux")]
    register(&registry, prometheus::process_collector::ProcessCollector::for_self());
    let version = Opts::new("jobico_build_info", "Always 1; the label names the version of this process")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    match IntGauge::with_opts(version) {
        Ok(info) => {
            info.set(1);
            register(&registry, info);
        }
        Err(error) => unregistered(&error),
    }
    registry
}

fn register(registry: &Registry, collector: impl prometheus::core::Collector + 'static) {
    if let Err(error) = registry.register(Box::new(collector)) {
        unregistered(&error);
    }
}

/// A process works as well without them.
fn unregistered(error: &prometheus::Error) {
    tracing::warn!(%error, "a metric of the process is missing");
}
