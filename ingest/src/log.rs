//! Whether the log answers: asked from time to time, so that `/readyz` knows before a client does.

use std::sync::Arc;
use std::time::Duration;

use jobico_broker::Broker;
use jobico_service::Frame;

/// How long to wait between two questions.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// How long an answer may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Keeps the health component `log` up to date. Events are taken all the same while it is failing: each request finds out
/// for itself. The task ends with the frame, and cannot fail.
pub fn watch(frame: &Frame, broker: Arc<dyn Broker>) {
    let health = frame.health.component("log");
    let stop = frame.tasks.stop_token();
    frame.tasks.spawn("ingest log check", async move {
        while !stop.is_cancelled() {
            match tokio::time::timeout(CHECK_TIMEOUT, broker.check()).await {
                Ok(Ok(())) => health.ready(),
                Ok(Err(error)) => health.failing(error),
                Err(_) => {
                    health.failing(format!(
                        "{} does not answer within {} s",
                        broker.describe(),
                        CHECK_TIMEOUT.as_secs()
                    ));
                }
            }
            tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(CHECK_INTERVAL) => {} }
        }
        Ok(())
    });
}
