//! What became of an event, before it is decided what follows from it.

use jobico_event::dead_letter::Cause;

/// The outcome of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The function answered; its output stands beside this.
    Answered {
        /// 0 is success, anything else the function's own error.
        code: u64,
    },
    /// The function did not answer, or not by its contract; its instance is gone.
    Failed(Cause),
    /// The event never reached a function: it cannot be read, is of no known type, or breaks its schema.
    Refused(Cause),
}

/// What a function answered beside its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<'a> {
    /// Nothing: its pointer was 0.
    Nothing,
    /// Bytes, within the limit.
    Bytes(&'a [u8]),
    /// More bytes than the limit; they were not taken.
    TooLarge {
        /// How many.
        bytes: usize,
    },
}
