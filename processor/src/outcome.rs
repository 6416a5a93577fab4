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
    Failed {
        /// Why.
        cause: Cause,
        /// Whether another run may end otherwise.
        prospect: Prospect,
    },
    /// The event never reached a function: it cannot be read, is of no known type, or breaks its schema.
    Refused(Cause),
}

/// What may be expected of another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// It may go well.
    Open,
    /// It would fail for the same reason: the module itself is at fault.
    None,
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
