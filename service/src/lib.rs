//! The frame of a process: how it is configured, how it reports, how it starts and how it stops.
//!
//! ```text
//! environment, .env files, flags ─► config ─► telemetry ─► Frame ─► roles
//!                                                            │
//!                    tasks (named; one failing stops all) ◄──┼──► health (/livez, /readyz), metrics (/metrics)
//!                    SIGTERM ─► stop taking ─► drain ─► exit ┘
//! ```
//!
//! Every service is set up in the same way: it gets a [`Frame`], registers its metrics and its health components, spawns
//! its tasks, and stops when the frame says so.

pub mod config;
pub mod telemetry;
pub mod trace;

pub mod backoff;
pub mod frame;
pub mod health;
mod metrics;
pub mod task;

pub mod admin;
pub mod http;
pub mod problem;

pub use frame::Frame;
pub use health::Health;
pub use problem::Problem;
pub use task::Tasks;

/// An error of any layer, on its way to the edge that prints its chain.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error and its causes, in one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        // Some libraries repeat the cause in their own message.
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
