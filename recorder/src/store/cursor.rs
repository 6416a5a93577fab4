//! Cursors: a place in a list, as opaque text. A place is a row's key, so new rows do not move it. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::row::Key;

/// The form of cursors; one of another form is refused, not misread.
const VERSION: &str = "1";

/// Which list a cursor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The results of one event.
    Event,
    /// A tenant's results.
    Results,
    /// A tenant's logs.
    Logs,
}

impl List {
    fn tag(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Results => "results",
            Self::Logs => "logs",
        }
    }
}

/// A text that is no cursor of the list it was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no cursor of this list; take it from 'next' of the page before, unchanged")]
pub struct NoCursor;

/// A place as a cursor.
#[must_use]
pub fn encode(list: List, key: &Key) -> String {
    let Key { at_ms, topic, partition, offset, index } = key;
    let tag = list.tag();
    URL_SAFE_NO_PAD.encode(format!("{VERSION}:{tag}:{at_ms}:{partition}:{offset}:{index}:{topic}"))
}

/// The place that a cursor means.
///
/// # Errors
/// [`NoCursor`].
pub fn decode(list: List, cursor: &str) -> Result<Key, NoCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| NoCursor)?;
    let text = String::from_utf8(bytes).map_err(|_| NoCursor)?;
    let parts: Vec<&str> = text.splitn(7, ':').collect();
    let [version, tag, at_ms, partition, offset, index, topic] = parts.as_slice() else { return Err(NoCursor) };
    if (*version, *tag) != (VERSION, list.tag()) {
        return Err(NoCursor);
    }
    fn number<T: std::str::FromStr>(text: &str) -> Result<T, NoCursor> {
        text.parse().map_err(|_| NoCursor)
    }
    Ok(Key {
        at_ms: number(at_ms)?,
        topic: (*topic).to_owned(),
        partition: number(partition)?,
        offset: number(offset)?,
        index: number(index)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_the_place_it_was_made_of() {
        for topic in ["t.q", ""] {
            let key = Key { at_ms: 7, topic: topic.into(), partition: -1, offset: 9, index: 2 };
            let cursor = encode(List::Results, &key);
            assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{cursor}");
            assert_eq!(decode(List::Results, &cursor), Ok(key));
            assert_eq!(decode(List::Logs, &cursor), Err(NoCursor));
        }
    }

    #[test]
    fn any_other_text_is_no_cursor() {
        for text in ["", "x", "!!", &URL_SAFE_NO_PAD.encode("1:results:1:2:3:4"), &URL_SAFE_NO_PAD.encode(b"\xff")] {
            assert_eq!(decode(List::Results, text), Err(NoCursor), "{text}");
        }
    }
}
