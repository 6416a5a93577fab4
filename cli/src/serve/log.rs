//! Which log a process uses: Kafka where it is named, else the embedded one in the data folder.

use std::sync::Arc;

use jobico_broker::{Broker, Error, embedded, kafka};
use jobico_service::config::{Common, kafka_properties};

/// The file of the embedded log in the data folder.
const EMBEDDED_FILE: &str = "log.sqlite";

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
