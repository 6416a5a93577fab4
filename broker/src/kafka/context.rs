//! librdkafka's log lines and errors, into ours.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::KafkaError;

use super::lifeline::Lifeline;

/// Logs what librdkafka says. It recovers by itself from whatever it calls an error, so nothing of it is worth more than a
/// warning; what does not pass is returned by the call that met it.
pub(super) struct Logs {
    /// See [`Lifeline`].
    pub(super) lifeline: Lifeline,
}

impl ClientContext for Logs {
    fn log(&self, level: Level, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.lifeline.hear(&error);
        warn(&error, reason);
    }
}

/// One log line.
pub(super) fn log(level: Level, facility: &str, message: &str) {
    match level {
        Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
            tracing::warn!(target: "librdkafka", facility, "{message}");
        }
        Level::Notice | Level::Info => tracing::info!(target: "librdkafka", facility, "{message}"),
        Level::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// One error event.
pub(super) fn warn(error: &KafkaError, reason: &str) {
    tracing::warn!(target: "librdkafka", %error, "{reason}");
}
