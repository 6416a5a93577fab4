//! A record of a tenant's topic of dead letters as the recorder's API and the tools give it, and what became of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a dead letter stands in its topic. It is its name: `0-117` is offset 117 of partition 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A text that is no [`Place`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no dead letter's id; one is its partition and offset, such as 0-117")]
pub struct NoPlace(String);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition, self.offset)
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let parts = text.split_once('-').filter(|(partition, offset)| digits(partition) && digits(offset));
        let place = parts.and_then(|(partition, offset)| {
            Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        place.ok_or_else(|| NoPlace(text.to_owned()))
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl TryFrom<String> for Place {
    type Error = NoPlace;

    fn try_from(text: String) -> Result<Self, NoPlace> {
        text.parse()
    }
}

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing yet.
    Open,
    /// Its event was written to its queue again.
    Redriven,
    /// Somebody said that nothing is to become of it.
    Dropped,
}

impl State {
    /// As the API has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Dropped => "dropped",
        }
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Open, Self::Redriven, Self::Dropped].into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("'{text}' is no state; open, redriven and dropped are"))
    }
}

/// A record of [`crate::name::DEAD_MARKS`]: what became of a dead letter. Its key is [`mark_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Redriven or dropped.
    pub state: State,
    /// When: RFC 3339, UTC.
    pub at: String,
    /// How often it was redriven.
    pub times: u32,
    /// Who wrote it: a number of that one attempt, so that who got no answer finds out whether it went well.
    pub by: u64,
}

/// The key of a dead letter's mark.
#[must_use]
pub fn mark_key(topic: &str, place: Place) -> String {
    format!("{topic}-{place}")
}

/// The topic and the place that a mark's key means.
#[must_use]
pub fn of_mark_key(key: &str) -> Option<(&str, Place)> {
    let (rest, _) = key.rsplit_once('-')?;
    let (topic, _) = rest.rsplit_once('-')?;
    Some((topic, key[topic.len() + 1..].parse().ok()?))
}

/// A dead letter in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub id: Place,
    /// What became of it.
    pub state: State,
    /// When that was: RFC 3339, UTC; none while it is open.
    pub settled_at: Option<String>,
    /// When it was written: RFC 3339, UTC.
    pub at: String,
    /// The `ce_id` of the event.
    pub event: String,
    /// The job, where it came that far.
    pub job: Option<String>,
    /// `name@digest`, where it came that far.
    pub function: Option<String>,
    /// Where it failed.
    pub stage: String,
    /// What failed, one word.
    pub code: String,
    /// What failed, for people.
    pub message: String,
    /// Topic of the event.
    pub topic: String,
    /// Partition of the event.
    pub partition: i32,
    /// Offset of the event.
    pub offset: i64,
    /// How often the function was run.
    pub attempts: u32,
    /// Bytes of the event's value.
    pub bytes: u64,
    /// Whether the value was too large to be here: it stands at its origin alone, and the event cannot be redriven.
    pub left: bool,
}

/// A dead letter in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// As in lists.
    #[serde(flatten)]
    pub view: View,
    /// The event's key.
    pub key: Option<Bytes>,
    /// The event's own headers, in order.
    pub headers: Vec<Header>,
    /// The event's value, as it came.
    pub value: Option<Bytes>,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Bytes,
}

/// Bytes in JSON: as text where they are UTF-8, else in base64 (RFC 4648 §4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bytes {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Base64(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_is_one() {
        let place = Place { partition: 3, offset: 117 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "3", "-", "3-", "-117", "3--117", "+3-117", "3-1x", "99999999999-1", "3-117-5", "a-1"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_marks_key_names_topic_and_place_whatever_the_topic_is_called() {
        let place = Place { partition: 0, offset: 7 };
        for topic in ["t.dead", "a-b.dead", "a-1-2.dead"] {
            assert_eq!(of_mark_key(&mark_key(topic, place)), Some((topic, place)));
        }
        for bad in ["", "t.dead", "t.dead-1", "-1-2-", "t.dead-x-1"] {
            assert_eq!(of_mark_key(bad), None, "{bad}");
        }
    }
}
