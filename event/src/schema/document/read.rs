//! Reads a JSON text into the list of its values.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{Entry, end, string};

/// Members of an object up to which one is found by looking at each; a larger object has an index.
pub(super) const SCANNED_MEMBERS_MAX: usize = 32;

/// Appends the values of a text.
pub(super) fn read<'t, R: serde_json::de::Read<'t>>(
    mut text: serde_json::Deserializer<R>,
    entries: &mut Vec<Entry<'t>>,
) -> serde_json::Result<()> {
    Build(entries).deserialize(&mut text)?;
    text.end()
}

/// Appends the value that is read next.
struct Build<'e, 't>(&'e mut Vec<Entry<'t>>);

impl<'t> DeserializeSeed<'t> for Build<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Build<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push(Entry::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.push(Entry::Bool(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push(Entry::Number(value.into()));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push(Entry::Number(value.into()));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        // serde_json reads no number that is not finite.
        self.0.push(Number::from_f64(value).map_or(Entry::Null, Entry::Number));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'t str) -> Result<(), E> {
        self.0.push(Entry::String(Cow::Borrowed(value)));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.push(Entry::String(Cow::Owned(value.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self(entries) = self;
        let (at, mut len) = (entries.len(), 0);
        entries.push(Entry::Null);
        while elements.next_element_seed(Build(entries))?.is_some() {
            len += 1;
        }
        entries[at] = Entry::Array { len, end: entries.len() };
        Ok(())
    }

    fn visit_map<A: MapAccess<'t>>(self, mut members: A) -> Result<(), A::Error> {
        let Self(entries) = self;
        let (at, mut read, mut overwritten, mut seen) = (entries.len(), 0, 0, Seen::default());
        entries.push(Entry::Null);
        loop {
            let name = entries.len();
            if members.next_key_seed(Build(entries))?.is_none() {
                break;
            }
            read += 1;
            let is_seen = read <= SCANNED_MEMBERS_MAX && seen.may_have(string(&entries[name]));
            if is_seen && overwrite(entries, at + 1, name) {
                overwritten += 1;
            }
            members.next_value_seed(Build(entries))?;
        }
        let index = (read > SCANNED_MEMBERS_MAX).then(|| index(entries, at + 1));
        let len = index.as_ref().map_or(read - overwritten, |index| index.len());
        entries[at] = Entry::Object { len, end: entries.len(), index };
        Ok(())
    }
}

/// Names that were met, roughly: of few, most are told apart by their length and ends.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    /// Whether a name may have been met before. It has been from now on.
    fn may_have(&mut self, name: &str) -> bool {
        let bytes = name.as_bytes();
        let ends =
            bytes.first().zip(bytes.last()).map_or(0, |(first, last)| usize::from(*first) * 7 + usize::from(*last));
        let bit = 1 << ((ends + bytes.len() * 31) % 64);
        let before = self.0;
        self.0 |= bit;
        before & bit != 0
    }
}

/// Overwrites the member that has the same name as the one at `name`, among those from `first` on; whether there is one.
fn overwrite(entries: &mut [Entry<'_>], first: usize, name: usize) -> bool {
    let (before, new) = entries.split_at_mut(name);
    let is_same = |at: &usize| matches!(&before[*at], Entry::String(other) if *other == string(&new[0]));
    let same = names(before, first).find(is_same);
    if let Some(at) = same {
        before[at] = Entry::Overwritten;
    }
    same.is_some()
}

/// Where the names of an object's members are whose first is at `first`, in their order; of the same ones the last alone.
fn index(entries: &mut [Entry<'_>], first: usize) -> Box<[usize]> {
    let is_met = |at: &usize| !matches!(entries[*at], Entry::Overwritten);
    let mut by_name: Vec<usize> = names(entries, first).filter(is_met).collect();
    // The order of equals stays that of the text.
    by_name.sort_by(|left, right| string(&entries[*left]).cmp(string(&entries[*right])));
    let mut last = Vec::with_capacity(by_name.len());
    for (nth, at) in by_name.iter().enumerate() {
        if by_name.get(nth + 1).is_some_and(|next| string(&entries[*next]) == string(&entries[*at])) {
            entries[*at] = Entry::Overwritten;
        } else {
            last.push(*at);
        }
    }
    last.into()
}

/// Where the names are of the members from `first` to the end, overwritten ones among them.
fn names(entries: &[Entry<'_>], first: usize) -> impl Iterator<Item = usize> {
    let from = |at: usize| (at < entries.len()).then_some(at);
    std::iter::successors(from(first), move |name| from(end(entries, name + 1)))
}
