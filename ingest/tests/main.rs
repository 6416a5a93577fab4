//! Ingest as its clients see it: a real server, a catalog followed from its topics, and a real log.
//!
//! What depends on the log runs on the embedded one and on Kafka (`JOBICO_TEST_KAFKA=host:port`; `make test` starts one);
//! what is between client and server alone runs on the embedded one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod stage;

mod answers;
mod failures;
mod limits;
mod records;

/// Makes a test on each log of an `async fn(Stage)`.
macro_rules! on_each_log {
    ($($name:ident),+ $(,)?) => {
        mod on_the_embedded_log {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::stage::Stage::embedded().start().await).await;
            })+
        }
        mod on_kafka {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::stage::Stage::kafka().start().await).await;
            })+
        }
    };
}
pub(crate) use on_each_log;
