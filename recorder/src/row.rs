//! What is written to the store: a result or a logged line, under the coordinates of the event it comes from.

use std::time::{SystemTime, UNIX_EPOCH};

use jobico_event::function_log::Level;
use jobico_event::result::{Status, View};
use jobico_event::{JobId, TenantId, function_log};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::macros::format_description;

/// Where a row stands in the order of its tenant's rows: by time, then by the coordinates of the source event. The same
/// record has the same key however often it is delivered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The record's timestamp, milliseconds since 1970.
    pub at_ms: i64,
    /// Topic of the source event.
    pub topic: String,
    /// Partition of the source event.
    pub partition: i32,
    /// Offset of the source event.
    pub offset: i64,
    /// Which of the event's results or lines it is, from 0.
    pub index: i32,
}

/// A result.
#[derive(Debug, Clone)]
pub struct ResultRow {
    /// Whose.
    pub tenant: TenantId,
    /// Its place.
    pub key: Key,
    /// When it goes, seconds since 1970.
    pub expires_at_s: i64,
    /// The `ce_id` of the source event.
    pub event: String,
    /// The job.
    pub job: JobId,
    /// `name@digest`.
    pub function: String,
    /// How it went.
    pub status: Status,
    /// The function's code.
    pub code: u64,
    /// The output as JSON.
    pub data: Box<RawValue>,
    /// How often the function ran.
    pub attempts: u32,
}

/// A line that a function logged.
#[derive(Debug, Clone)]
pub struct LogRow {
    /// Whose.
    pub tenant: TenantId,
    /// Its place.
    pub key: Key,
    /// When it goes, seconds since 1970.
    pub expires_at_s: i64,
    /// The `ce_id` of the event it ran on.
    pub event: String,
    /// The job.
    pub job: JobId,
    /// `name@digest`.
    pub function: String,
    /// The level it gave.
    pub level: Level,
    /// What it said.
    pub message: String,
}

/// What both have.
pub trait Row: Send + Sync + 'static {
    /// Whose.
    fn tenant(&self) -> &TenantId;
    /// Its place.
    fn key(&self) -> &Key;
    /// When it goes, seconds since 1970.
    fn expires_at_s(&self) -> i64;
    /// About how many bytes it takes.
    fn bytes(&self) -> usize;
}

impl Row for ResultRow {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
    fn key(&self) -> &Key {
        &self.key
    }
    fn expires_at_s(&self) -> i64 {
        self.expires_at_s
    }
    fn bytes(&self) -> usize {
        self.event.len() + self.function.len() + self.key.topic.len() + self.data.get().len()
    }
}

impl Row for LogRow {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
    fn key(&self) -> &Key {
        &self.key
    }
    fn expires_at_s(&self) -> i64 {
        self.expires_at_s
    }
    fn bytes(&self) -> usize {
        self.event.len() + self.function.len() + self.key.topic.len() + self.message.len()
    }
}

impl ResultRow {
    /// As the API gives it.
    #[must_use]
    pub fn into_view(self) -> View {
        View {
            event: self.event,
            job: self.job,
            function: self.function,
            status: self.status,
            code: self.code,
            data: self.data,
            topic: self.key.topic,
            partition: self.key.partition,
            offset: self.key.offset,
            at: rfc3339(self.key.at_ms),
            attempts: self.attempts,
        }
    }
}

impl LogRow {
    /// As the API gives it.
    #[must_use]
    pub fn into_line(self) -> function_log::Line {
        function_log::Line {
            tenant: self.tenant,
            job: self.job,
            function: self.function,
            event: self.event,
            level: self.level,
            message: self.message,
            line: self.key.index.unsigned_abs(),
            topic: self.key.topic,
            partition: self.key.partition,
            offset: self.key.offset,
            at: rfc3339(self.key.at_ms),
        }
    }
}

/// About how many bytes a result takes in a page.
#[must_use]
pub fn view_bytes(view: &View) -> usize {
    view.event.len() + view.function.len() + view.topic.len() + view.data.get().len()
}

/// About how many bytes a line takes in a page.
#[must_use]
pub fn line_bytes(line: &function_log::Line) -> usize {
    line.event.len() + line.function.len() + line.topic.len() + line.message.len()
}

/// A level as the API and the store have it.
#[must_use]
pub fn level_name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
        Level::Fatal => "fatal",
        Level::Panic => "panic",
        Level::Unleveled => "none",
    }
}

/// The level of a name.
#[must_use]
pub fn level_named(name: &str) -> Option<Level> {
    use Level::{Debug, Error, Fatal, Info, Panic, Unleveled, Warning};
    [Debug, Info, Warning, Error, Fatal, Panic, Unleveled].into_iter().find(|level| level_name(*level) == name)
}

/// A time as RFC 3339 in UTC, to the millisecond; one that no calendar has becomes the nearest that it has.
#[must_use]
pub fn rfc3339(at_ms: i64) -> String {
    /// The last millisecond of the year 9999, RFC 3339's last.
    const LAST_MS: i64 = 253_402_300_799_999;
    let nanos = i128::from(at_ms.clamp(0, LAST_MS)) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at.format(&form).expect("a time between 1970 and 9999 has all parts of the form")
}

/// Milliseconds since 1970; 0 on a machine whose clock is before that.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_to_the_millisecond() {
        assert_eq!(rfc3339(1_795_517_919_413), "2026-11-24T10:58:39.413Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn levels_read_back_by_their_names_and_are_those_of_the_json_form() {
        for code in 0..7 {
            let level = Level::from_code(code);
            assert_eq!(level_named(level_name(level)), Some(level));
            assert_eq!(serde_json::to_value(level).unwrap(), level_name(level));
        }
        assert_eq!(level_named("loud"), None);
    }
}
