//! What follows from an outcome. Pure: no clock, no network, no broker.
//!
//! | outcome | actions |
//! |---|---|
//! | answered 0 | a result with status ok, and the `result.ok` event where the job names one |
//! | answered another code | a result with status error, and the `result.error` event where the job names one |
//! | an output too large (for a next event, too), not UTF-8, or against the next event's schema | a dead letter, stage `output`, and nothing else |
//! | failed, and the job's attempts are not used up | a record in a retry tier, or a wait in place (`ordering: key`) |
//! | failed for good | a dead letter, stage `function` |
//! | refused | a dead letter, stage `validate` |

use std::borrow::Cow;

use jobico_event::dead_letter::{Cause, Stage};
use jobico_event::key::record_key;
use jobico_event::result::{Status, output_json};
use jobico_event::retry::{Ordering, Tier};
use jobico_event::snapshot::{EventView, Onward};

use crate::outcome::{Outcome, Output, Prospect};

/// What is done because of an event: one of [`Action::DeadLetter`], [`Action::Retry`] and [`Action::WaitInPlace`] alone, or
/// a result and perhaps an event.
#[derive(Debug)]
pub enum Action<'a> {
    /// A record in the tenant's results topic.
    Result {
        /// How the function answered.
        status: Status,
        /// Its code.
        code: u64,
        /// Its output as it is; none where there was none.
        value: Option<&'a [u8]>,
    },
    /// A record in the queue of the job's next event.
    Event {
        /// Which event.
        onward: &'a Onward,
        /// Its data: the output where that is JSON, else the output as a JSON string.
        data: Cow<'a, [u8]>,
        /// The key of its record.
        key: Option<Vec<u8>>,
    },
    /// The event as it came, in the tenant's dead-letter topic.
    DeadLetter(Cause),
    /// The event as it came, in a tier of the pool, to be run again when it is due.
    Retry {
        /// Which.
        tier: Tier,
        /// Why it failed this time.
        cause: Cause,
    },
    /// Nothing follows yet: the event and all behind it in its partition stay where they are for this long. What its function
    /// logged is written all the same.
    WaitInPlace {
        /// How long.
        tier: Tier,
        /// Why it failed this time.
        cause: Cause,
    },
}

/// What follows from `outcome`, given to `act` in order. `attempts` is how often the function was run on the event, this
/// time among them; `ordering` how it may wait for the next; `event_bytes_max` how many bytes a next event and its key may have.
///
/// # Errors
/// What `act` gave; the actions after it are not given.
pub fn decide<'a, E>(
    outcome: Outcome,
    attempts: u32,
    ordering: Ordering,
    event: &'a EventView,
    output: Output<'a>,
    event_bytes_max: usize,
    mut act: impl FnMut(Action<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let code = match outcome {
        Outcome::Refused(cause) | Outcome::Failed { cause, prospect: Prospect::None } => {
            return act(Action::DeadLetter(cause));
        }
        Outcome::Failed { cause, prospect: Prospect::Open } => {
            return act(match (event.retry.after(attempts), ordering) {
                (None, _) => Action::DeadLetter(cause),
                (Some(tier), Ordering::None) => Action::Retry { tier, cause },
                (Some(tier), Ordering::Key) => Action::WaitInPlace { tier, cause },
            });
        }
        Outcome::Answered { code } => code,
    };
    let value = match text(output) {
        Ok(value) => value,
        Err(cause) => return act(Action::DeadLetter(cause)),
    };
    let (status, onward) = if code == 0 { (Status::Ok, &event.ok) } else { (Status::Error, &event.error) };
    let Some(onward) = onward else { return act(Action::Result { status, code, value }) };
    let data = event_data(value);
    let key = onward.key.as_deref().and_then(|pointer| record_key(pointer, &data));
    let bytes = data.len() + key.as_ref().map_or(0, Vec::len);
    if bytes > event_bytes_max {
        let message = format!(
            "as the event '{}' the output has {bytes} bytes with its key, more than the {event_bytes_max} there is room for",
            onward.event
        );
        return act(Action::DeadLetter(Cause { stage: Stage::Output, code: "too_large", message: message.into() }));
    }
    match onward.schema.check(&data) {
        Ok(_) => {
            act(Action::Result { status, code, value })?;
            act(Action::Event { onward, data, key })
        }
        Err(violations) => {
            let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
            let message = format!("the output is no valid '{}': {}", onward.event, list.join("; "));
            act(Action::DeadLetter(Cause { stage: Stage::Output, code: "schema", message: message.into() }))
        }
    }
}

/// The output, where it can be passed on: within the limit and UTF-8.
fn text(output: Output<'_>) -> Result<Option<&[u8]>, Cause> {
    let cause = |code, message: String| Cause { stage: Stage::Output, code, message: message.into() };
    match output {
        Output::Nothing => Ok(None),
        Output::TooLarge { bytes } => {
            Err(cause("too_large", format!("the output has {bytes} bytes, more than is allowed")))
        }
        Output::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) => Err(cause("utf8", format!("the output is not UTF-8 from byte {} on", error.valid_up_to()))),
        },
    }
}

/// The data of a chained event. Functions of the seed answer plain text as often as JSON, and an event is always JSON.
fn event_data(output: Option<&[u8]>) -> Cow<'_, [u8]> {
    match output {
        Some(bytes) if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() => Cow::Borrowed(bytes),
        other => Cow::Owned(output_json(other).get().as_bytes().to_vec()),
    }
}
