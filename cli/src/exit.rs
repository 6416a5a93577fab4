//! How a command ends: exit codes that mean something, and one line on standard error that says why.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | it failed: something was not there, or broke |
//! | 2 | the command line is wrong |
//! | 3 | what was sent is refused: the answer names each fault |
//! | 4 | not found: no such tenant, job, event |
//! | 5 | the service does not answer, or not now: the same command may succeed later |

use std::process::ExitCode;

use jobico_event::text::printable;

const REFUSED: u8 = 3;
const NOT_FOUND: u8 = 4;
const UNAVAILABLE: u8 = 5;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: u8,
    message: String,
}

impl Error {
    /// Exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// Exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// Exit code 3.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { code: REFUSED, message: message.into() }
    }

    /// Exit code 4.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { code: NOT_FOUND, message: message.into() }
    }

    /// Exit code 5.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { code: UNAVAILABLE, message: message.into() }
    }

    /// Whether it was refused.
    pub fn is_refused(&self) -> bool {
        self.code == REFUSED
    }

    /// Whether it may succeed later.
    pub fn is_unavailable(&self) -> bool {
        self.code == UNAVAILABLE
    }

    /// Whether there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.code == NOT_FOUND
    }
}

impl From<jobico_service::BoxError> for Error {
    fn from(error: jobico_service::BoxError) -> Self {
        Self::failed(jobico_service::chain(&*error))
    }
}

/// Says on standard error why the command failed.
pub fn report(error: &Error) -> ExitCode {
    // Faults have lines of their own; what is within them may be a tenant's.
    for (index, line) in error.message.split('\n').enumerate() {
        eprintln!("{}{}", if index == 0 { "jobico: " } else { "" }, printable(line));
    }
    ExitCode::from(error.code)
}
