//! How far the recorder's groups are behind, from time to time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobico_broker::Broker;
use jobico_catalog::Handle;
use jobico_service::BoxError;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::recording::kind::{Kind, Logs, Results};

/// How often lag is asked for.
const INTERVAL: Duration = Duration::from_secs(15);
/// … or less often: with very many topics a question takes long, and a rest of so many times as long keeps it a small load.
const REST_FACTOR: u32 = 100;

/// Sets the gauges of lag until the stop.
///
/// # Errors
/// None today; the signature is that of a task.
pub async fn watch(
    broker: Arc<dyn Broker>,
    catalog: Handle,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), BoxError> {
    loop {
        let begun = Instant::now();
        let snapshot = catalog.load();
        let groups = [(Results::GROUP, Results::topics(&snapshot)), (Logs::GROUP, Logs::topics(&snapshot))];
        // A tenant without a job has no topic yet, and one topic that is missing would be an error for all.
        let there = broker.topics().await.unwrap_or_default();
        for (group, topics) in groups {
            let topics: Vec<String> = topics.intersection(&there).cloned().collect();
            match broker.lag(group, &topics).await {
                Ok(lags) => {
                    // What was never committed is behind by all that there is.
                    let behind = lags.iter().map(|lag| (lag.end - lag.committed.unwrap_or(0)).max(0)).sum();
                    metrics.lag.with_label_values(&[group]).set(behind);
                }
                // What is wrong with the log is said by those who need it.
                Err(error) => tracing::debug!(group, %error, "lag is not known"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL.max(begun.elapsed() * REST_FACTOR)) => {}
        }
    }
}
