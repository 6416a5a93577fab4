//! The one place where SQLite's errors are classed.

use rusqlite::ErrorCode;

use crate::{Cause, Class, Error};

/// Classes an error. What SQLite could not do it has not done at all, so the call may be made again where that can help.
pub(super) fn classed(operation: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| {
        let class = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::ReadOnly) => Class::Fatal,
            Some(_) | None => Class::Retriable,
        };
        let cause = match error.sqlite_error_code() {
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Cause::Denied,
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::SystemIoFailure) => Cause::Unavailable,
            Some(_) | None => Cause::Other,
        };
        Error::new(class, cause, operation, error)
    }
}

/// An error of opening: nobody has a log yet who could try again.
pub(super) fn fatal(operation: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| Error { class: Class::Fatal, ..classed(operation)(error) }
}
