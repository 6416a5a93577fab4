//! What the log said of a request's records, told to the client: never more than what is certain.

use axum::body::Bytes;
use jobico_broker::{Cause, Error, Position};
use serde::Serialize;
use uuid::Uuid;

use crate::error::Refused;

/// An event that the log has taken durably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Its place in `data`, where not all were stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Its `ce_id`.
    pub id: String,
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// An event that the log may have taken or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uncertain {
    /// Its place in `data`.
    pub index: usize,
    /// Its `ce_id`, should it be stored.
    pub id: String,
}

/// The body of a 200 for events that all were stored at `positions`, else why it is none.
///
/// # Errors
/// [`Refused::RecordTooLarge`] where that is all that is wrong, else [`Refused::Unacknowledged`].
pub fn answer(topic: &str, ids: &[Uuid], positions: &[Result<Position, Error>]) -> Result<Bytes, Refused> {
    // A log that answers for fewer records than it was given says nothing of the others.
    if positions.len() == ids.len() && positions.iter().all(Result::is_ok) {
        return Ok(accepted(topic, ids, positions));
    }
    let (mut stored, mut uncertain, mut too_large) = (Vec::new(), Vec::new(), Vec::new());
    let mut first: Option<&Error> = None;
    for (index, id) in ids.iter().enumerate() {
        match positions.get(index) {
            Some(Ok(Position { partition, offset })) => stored.push(Stored {
                index: Some(index),
                id: id.to_string(),
                topic: topic.to_owned(),
                partition: *partition,
                offset: *offset,
            }),
            Some(Err(error)) if error.cause == Cause::TooLarge => too_large.push(index),
            Some(Err(error)) => {
                first.get_or_insert(error);
                if !is_certainly_not_stored(error.cause) {
                    uncertain.push(Uncertain { index, id: id.to_string() });
                }
            }
            None => uncertain.push(Uncertain { index, id: id.to_string() }),
        }
    }
    if !too_large.is_empty() && first.is_none() && uncertain.is_empty() {
        return Err(Refused::RecordTooLarge { topic: topic.to_owned(), too_large, stored });
    }
    let reason = first.map_or_else(|| "it did not answer for every event".to_owned(), ToString::to_string);
    Err(Refused::Unacknowledged { of: ids.len(), reason, stored, uncertain })
}

/// What an error says of the record itself (see [`Cause`]).
fn is_certainly_not_stored(cause: Cause) -> bool {
    match cause {
        Cause::TooLarge | Cause::Full | Cause::UnknownTopic | Cause::Denied => true,
        Cause::Unavailable | Cause::Fenced | Cause::Other => false,
    }
}

fn accepted(topic: &str, ids: &[Uuid], positions: &[Result<Position, Error>]) -> Bytes {
    /// An entry of `events`, borrowed: at full speed these are most of what is written.
    #[derive(Serialize)]
    struct Entry<'a> {
        id: &'a str,
        topic: &'a str,
        partition: i32,
        offset: i64,
    }
    const ENTRY_BYTES: usize = 160;
    let mut body = Vec::with_capacity(ids.len() * ENTRY_BYTES);
    body.extend_from_slice(b"{\"events\":[");
    for (index, (id, position)) in ids.iter().zip(positions.iter().flatten()).enumerate() {
        if index > 0 {
            body.push(b',');
        }
        let mut buffer = Uuid::encode_buffer();
        let id = id.hyphenated().encode_lower(&mut buffer);
        let entry = Entry { id, topic, partition: position.partition, offset: position.offset };
        serde_json::to_writer(&mut body, &entry).expect("strings and numbers are written to memory");
    }
    body.extend_from_slice(b"]}");
    body.into()
}

#[cfg(test)]
mod tests {
    use jobico_broker::Class;

    use super::*;

    fn ids(count: u128) -> Vec<Uuid> {
        (1..=count).map(Uuid::from_u128).collect()
    }

    fn at(offset: i64) -> Result<Position, Error> {
        Ok(Position { partition: 2, offset })
    }

    fn error(cause: Cause) -> Result<Position, Error> {
        Err(Error::new(Class::Retriable, cause, "append", "no"))
    }

    #[test]
    fn stored_events_are_listed_in_the_order_they_were_sent() {
        let body = answer("t.q", &ids(2), &[at(8), at(7)]).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let entry =
            |id: &str, offset: i64| serde_json::json!({"id": id, "topic": "t.q", "partition": 2, "offset": offset});
        let expected =
            [entry("00000000-0000-0000-0000-000000000001", 8), entry("00000000-0000-0000-0000-000000000002", 7)];
        assert_eq!(json, serde_json::json!({ "events": expected }));
    }

    #[test]
    fn what_is_stored_what_is_not_and_what_may_be_are_told_apart() {
        let positions = [at(1), error(Cause::Unavailable), error(Cause::Full), error(Cause::TooLarge)];
        let Err(Refused::Unacknowledged { of, stored, uncertain, .. }) = answer("t.q", &ids(4), &positions) else {
            panic!()
        };
        assert_eq!((of, stored.len(), stored[0].index, stored[0].offset), (4, 1, Some(0), 1));
        assert_eq!(uncertain.iter().map(|event| event.index).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn records_that_are_too_large_and_nothing_else_are_the_clients_fault() {
        let Err(Refused::RecordTooLarge { too_large, stored, .. }) =
            answer("t.q", &ids(2), &[error(Cause::TooLarge), at(3)])
        else {
            panic!()
        };
        assert_eq!((too_large, stored.len()), (vec![0], 1));
    }

    #[test]
    fn a_log_that_answers_for_too_few_records_is_not_believed_about_the_rest() {
        let Err(Refused::Unacknowledged { stored, uncertain, .. }) = answer("t.q", &ids(2), &[at(3)]) else { panic!() };
        assert_eq!((stored.len(), uncertain.len()), (1, 1));
    }
}
