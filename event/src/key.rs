//! The key of an event's record: what its job's `key` points at. One piece of code for ingest and for chained events, so
//! that events of one key share a partition whichever way they came.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The key of the record of an event with the JSON `data`, `pointer` (RFC 6901) being its job's `key`.
///
/// | at the pointer stands | the key is |
/// |---|---|
/// | a string | its characters in UTF-8, escapes resolved |
/// | a number, `true`, `false` | its JSON text as the event spells it: `1` and `1.0` are two keys |
/// | `null`, an object, an array, nothing | none: the record is spread over the partitions |
///
/// Of repeated members the last one counts, as for the schema's verdict. `data` that is no JSON, and a pointer that is
/// none, have no key.
#[must_use]
pub fn record_key(pointer: &str, data: &[u8]) -> Option<Vec<u8>> {
    let tokens = match pointer.strip_prefix('/') {
        Some(rest) => Some(rest),
        None if pointer.is_empty() => None,
        None => return None,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(data);
    let found = Step { tokens }.deserialize(&mut deserializer).ok()??;
    let text = found.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text).ok().map(String::into_bytes),
        b'{' | b'[' | b'n' => None,
        _ => Some(text.as_bytes().to_vec()),
    }
}

/// One step down the pointer: reads past everything that is not on its way, building nothing.
#[derive(Clone, Copy)]
struct Step<'p> {
    /// What is left of the pointer after its slash; none = arrived.
    tokens: Option<&'p str>,
}

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let Some(tokens) = self.tokens else {
            return serde::Deserialize::deserialize(deserializer).map(Some);
        };
        let (token, rest) = match tokens.split_once('/') {
            Some((token, rest)) => (token, Some(rest)),
            None => (tokens, None),
        };
        deserializer.deserialize_any(Down { token: unescape(token), next: Step { tokens: rest } })
    }
}

/// RFC 6901 §4: `~1` is `/`, and then `~0` is `~`.
fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') { token.replace("~1", "/").replace("~0", "~").into() } else { token.into() }
}

struct Down<'p> {
    token: Cow<'p, str>,
    next: Step<'p>,
}

impl<'de> Visitor<'de> for Down<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(on_the_way) = map.next_key_seed(Name(&self.token))? {
            if on_the_way {
                found = map.next_value_seed(self.next)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted = array_index(&self.token);
        let (mut found, mut index) = (None, 0_usize);
        loop {
            if Some(index) == wanted {
                match seq.next_element_seed(self.next)? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            index += 1;
        }
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// RFC 6901 §4: digits without a leading zero; `-`, the place after the last, is never there.
fn array_index(token: &str) -> Option<usize> {
    let digits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (token == "0" || !token.starts_with('0'))).then(|| token.parse().ok()).flatten()
}

/// Reads a member's name and says whether it is this one.
#[derive(Clone, Copy)]
struct Name<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }
    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pointer: &str, data: &str) -> Option<String> {
        record_key(pointer, data.as_bytes()).map(|key| String::from_utf8(key).unwrap())
    }

    #[test]
    fn scalars_become_keys() {
        let data = r#"{"s":"a\n\u00e4","n":1.50,"neg":-3,"t":true,"f":false,"e":"","o":{"p":[7,{"q":"deep"}]}}"#;
        for (pointer, expected) in [
            ("/s", "a\nä"),
            ("/n", "1.50"),
            ("/neg", "-3"),
            ("/t", "true"),
            ("/f", "false"),
            ("/e", ""),
            ("/o/p/0", "7"),
            ("/o/p/1/q", "deep"),
        ] {
            assert_eq!(key(pointer, data).as_deref(), Some(expected), "{pointer}");
        }
        assert_eq!(key("", " 7 ").as_deref(), Some("7"));
    }

    #[test]
    fn what_is_no_scalar_or_not_there_is_no_key() {
        let data = r#"{"null":null,"o":{"x":1},"a":[1],"s":"x"}"#;
        for pointer in ["/null", "/o", "/a", "/a/1", "/a/-", "/a/00", "/a/x", "/s/x", "/nothing", "/null/x", "s", ""] {
            assert_eq!(key(pointer, data), None, "{pointer}");
        }
        assert_eq!(key("/s", r#"{"s":"x""#), None);
    }

    #[test]
    fn escapes_of_the_pointer_and_of_names_are_resolved() {
        assert_eq!(key("/a~1b", r#"{"a/b":"1"}"#).as_deref(), Some("1"));
        assert_eq!(key("/a~01", r#"{"a~1":"2"}"#).as_deref(), Some("2"));
        assert_eq!(key("/ä", r#"{"\u00e4":"3"}"#).as_deref(), Some("3"));
        assert_eq!(key("/", r#"{"":"4"}"#).as_deref(), Some("4"));
    }

    #[test]
    fn of_repeated_members_the_last_counts() {
        assert_eq!(key("/k", r#"{"k":"first","k":"last"}"#).as_deref(), Some("last"));
        assert_eq!(key("/k/x", r#"{"k":{"x":1},"k":2}"#), None);
    }
}
