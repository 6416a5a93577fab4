//! A line that a function logged: the record of [`crate::name::LOG`], keyed by tenant.

use serde::{Deserialize, Serialize};

use crate::id::{JobId, TenantId};

/// The levels of a jobicolet's `log` (Jobico-fn: 0 debug … 5 panic, 6 no level).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// 0.
    Debug,
    /// 1, and any number that is no level.
    Info,
    /// 2.
    Warning,
    /// 3.
    Error,
    /// 4.
    Fatal,
    /// 5.
    Panic,
    /// 6: the line has no level.
    #[serde(rename = "none")]
    Unleveled,
}

impl Level {
    /// The level that a function's number means.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Debug,
            2 => Self::Warning,
            3 => Self::Error,
            4 => Self::Fatal,
            5 => Self::Panic,
            6 => Self::Unleveled,
            _ => Self::Info,
        }
    }
}

/// One line, as the log topic and the recorder's API have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Whose function.
    pub tenant: TenantId,
    /// The job it ran for.
    pub job: JobId,
    /// `name@digest`.
    pub function: String,
    /// The `ce_id` of the event it ran on.
    pub event: String,
    /// The level it gave.
    pub level: Level,
    /// What it said; bytes that are no UTF-8 are replaced by U+FFFD.
    pub message: String,
    /// Which line of this event's it is, from 0.
    pub line: u32,
    /// Topic of the event.
    pub topic: String,
    /// Partition of the event.
    pub partition: i32,
    /// Offset of the event.
    pub offset: i64,
    /// When it was logged: RFC 3339, UTC.
    #[serde(default)]
    pub at: String,
}
