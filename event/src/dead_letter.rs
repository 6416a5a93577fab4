//! Dead letters: why an event became one, and what people and programs see of it.

use std::borrow::Cow;

pub mod view;

pub use view::{Bytes, Letter, Mark, Place, State, View};

/// Bytes of the largest record of a topic of dead letters, and of a tier, in which events wait to be run again: twice what
/// a queue takes, so that there is room for the headers that say why.
pub const RECORD_BYTES_MAX: u32 = 2 << 20;

/// What fits into such a record, bytes of key, value, and names and values of headers: Kafka adds a few to each header, and
/// a hundred to a record.
pub const RECORD_CONTENT_BYTES_MAX: usize = RECORD_BYTES_MAX as usize - (16 << 10);

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
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Validate, Self::Function, Self::Output];

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
