//! Which log a process uses, Kafka where it is named, else the embedded one in the data folder; and whether it answers.

use std::sync::Arc;
use std::time::Duration;

use jobico_broker::{Broker, Error, embedded, kafka};
use jobico_service::Frame;
use jobico_service::config::{Common, kafka_properties};

/// The file of the embedded log in the data folder.
const EMBEDDED_FILE: &str = "log.sqlite";
/// How long to wait between two questions.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// How long an answer may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens the log.
pub fn open(common: &Common) -> Result<Arc<dyn Broker>, Error> {
    match &common.kafka {
        Some(bootstrap) => {
            let mut settings = kafka::Settings::new(bootstrap);
            settings.properties = kafka_properties(std::env::vars());
            if let Some(replication) = common.replication {
                settings.replication = replication;
            }
            Ok(kafka::Kafka::connect(settings)?)
        }
        None => Ok(embedded::Embedded::open(&common.data_dir.join(EMBEDDED_FILE), embedded::Settings::default())?),
    }
}

/// Keeps the health component `log` up to date: `/readyz` knows of a log that is away before work meets it, and also where
/// there is none to do. Roles go on all the same, each request and each batch finds out for itself. The task ends with the
/// frame, and cannot fail.
pub fn watch(frame: &Frame, broker: Arc<dyn Broker>) {
    let health = frame.health.component("log");
    let stop = frame.tasks.stop_token();
    frame.tasks.spawn("log check", async move {
        while !stop.is_cancelled() {
            match tokio::time::timeout(CHECK_TIMEOUT, broker.check()).await {
                Ok(Ok(())) => health.ready(),
                Ok(Err(error)) => health.failing(error),
                Err(_) => {
                    let (log, seconds) = (broker.describe(), CHECK_TIMEOUT.as_secs());
                    health.failing(format!("{log} does not answer within {seconds} s"));
                }
            }
            tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(CHECK_INTERVAL) => {} }
        }
        Ok(())
    });
}
