//! Why an event became a dead letter.

use std::borrow::Cow;

/// Where it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The event is not what its schema allows, or cannot be read at all. Never retried.
    Validate,
    /// The function did not answer: trap, time, memory, contract.
    Function,
    /// The answer cannot be passed on.
    Output,
}

impl Stage {
    /// As the header `jobico-error-stage` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Function => "function",
            Self::Output => "output",
        }
    }
}

/// The cause of a dead letter, as its headers carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Where it failed.
    pub stage: Stage,
    /// What failed, one word, such as `trap` or `schema`.
    pub code: &'static str,
    /// What failed, for people.
    pub message: Cow<'static, str>,
}
