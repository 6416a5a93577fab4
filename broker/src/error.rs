//! What can go wrong with the log, classed once.

use std::fmt;

/// What the caller has to do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The same call may be made again.
    Retriable,
    /// The transaction must be aborted and its batch done again.
    Abortable,
    /// The client that said it is of no more use: drop it and make a new one.
    Fatal,
}

/// What went wrong, as far as callers tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No broker answers, or none in time. Nothing is certain.
    Unavailable,
    /// The topic or partition does not exist.
    UnknownTopic,
    /// The record is larger than the log takes. It was not written.
    TooLarge,
    /// Another holds the transactional id, or the group went on without this member.
    Fenced,
    /// The broker refuses this client: credentials or ACLs.
    Denied,
    /// The producer's buffer is full. The record was not written.
    Full,
    /// Anything else.
    Other,
}

/// An error of the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct Error {
    /// What to do about it.
    pub class: Class,
    /// What went wrong.
    pub cause: Cause,
    /// What was being done.
    pub operation: &'static str,
    /// The log's own words.
    pub message: String,
}

impl Error {
    /// An error.
    pub fn new(class: Class, cause: Cause, operation: &'static str, message: impl fmt::Display) -> Self {
        Self { class, cause, operation, message: message.to_string() }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retriable => "retriable",
            Self::Abortable => "abortable",
            Self::Fatal => "fatal",
        })
    }
}
