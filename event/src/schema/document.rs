//! A JSON text as the validator reads it: its values in one flat list, strings where they stand in the text.
//!
//! ```text
//! {"a":[1,true],"b":"x"}   ─►   object  "a"  array  1  true  "b"  "x"
//! ```
//!
//! `serde_json::Value` makes a map of every event, and a string of each name and value in it, to drop them all when the
//! verdict is there: more than a third of a verdict's time. What is read, and what is refused as no JSON, is the same.

mod equal;
mod read;

use std::borrow::Cow;
use std::ops::ControlFlow;

use jsonschema::json::{Array, Json, Node, NodeIdentity, Object};
use jsonschema::types::JsonType;
use serde_json::{Map, Number, Value};

use self::read::read;
use super::fuel::{Fuel, Prices};

/// The representation, for `jsonschema`.
pub(super) struct Text;

/// A parsed text.
pub(super) struct Document<'t> {
    entries: Vec<Entry<'t>>,
    /// For looking at them.
    fuel: Fuel,
}

/// One value; a container's own follow it. A member of an object is two values, its name and what it has.
enum Entry<'t> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'t, str>),
    Array {
        /// How many elements.
        len: usize,
        /// One past the last entry in it.
        end: usize,
    },
    Object {
        /// How many members, without those that were overwritten.
        len: usize,
        /// As of an array.
        end: usize,
        /// Where its names are, in their order, if they are many.
        index: Option<Box<[usize]>>,
    },
    /// The name of a member that a later one of the same name replaces: the last one counts, as it does to serde_json.
    Overwritten,
}

impl<'t> Document<'t> {
    /// Reads a JSON text.
    ///
    /// # Errors
    /// It is none, or nests deeper than [`super::JSON_DEPTH_MAX`].
    pub(super) fn parse(bytes: &'t [u8]) -> serde_json::Result<Self> {
        let mut entries = Vec::with_capacity(16);
        // One look at the whole text is quicker than one at each string. Where it is no UTF-8, the slower way says where.
        match std::str::from_utf8(bytes) {
            Ok(text) => read(serde_json::Deserializer::from_str(text), &mut entries)?,
            Err(_) => read(serde_json::Deserializer::from_slice(bytes), &mut entries)?,
        }
        Ok(Self { entries, fuel: Fuel::plenty() })
    }

    /// The whole of it.
    pub(super) fn root(&self) -> Place<'_> {
        Place { document: self, at: 0 }
    }

    /// The bytes of the longest way to a value, its names together.
    pub(super) fn longest_path(&self) -> usize {
        self.look(u64::MAX, Prices::default(), |root| root.longest_path()).unwrap_or_default()
    }

    /// Does something with the whole of it that may look at its values so often; none where that was not enough.
    pub(super) fn look<'d, T>(
        &'d self,
        fuel: u64,
        prices: Prices,
        something: impl FnOnce(Place<'d>) -> T,
    ) -> Option<T> {
        self.fuel.run(fuel, prices, || something(self.root()))
    }
}

/// One past the last entry of the value at `at`.
fn end(entries: &[Entry<'_>], at: usize) -> usize {
    match &entries[at] {
        Entry::Array { end, .. } | Entry::Object { end, .. } => *end,
        _ => at + 1,
    }
}

/// A name; that of an overwritten member is of no use any more.
fn string<'e>(entry: &'e Entry<'_>) -> &'e str {
    match entry {
        Entry::String(text) => text,
        _ => "",
    }
}

/// A value of a document.
#[derive(Clone, Copy)]
pub(super) struct Place<'d> {
    document: &'d Document<'d>,
    at: usize,
}

impl<'d> Place<'d> {
    /// What is there, looked at.
    fn entry(&self) -> &'d Entry<'d> {
        self.document.fuel.take(1);
        &self.document.entries[self.at]
    }

    /// The bytes of the longest way from here to a value.
    fn longest_path(&self) -> usize {
        let elements = self.elements().map(|element| element.longest_path());
        let members = self.members().map(|(name, value)| name.len() + value.longest_path());
        elements.chain(members).max().unwrap_or_default()
    }

    /// What is in it, if it is an array.
    fn elements(&self) -> impl Iterator<Item = Place<'d>> + use<'d> {
        self.as_array().into_iter().flatten()
    }

    /// What is in it, if it is an object.
    fn members(&self) -> impl Iterator<Item = (&'d str, Place<'d>)> + use<'d> {
        self.as_object().into_iter().flatten()
    }

    /// All of it, as serde_json has it.
    fn copy(&self) -> Value {
        match self.entry() {
            Entry::Null | Entry::Overwritten => Value::Null,
            Entry::Bool(value) => Value::Bool(*value),
            Entry::Number(number) => Value::Number(number.clone()),
            Entry::String(text) => {
                self.document.fuel.take_to_copy_string(text);
                Value::String(text.as_ref().to_owned())
            }
            Entry::Array { .. } => Value::Array(self.elements().map(|element| element.copy()).collect()),
            Entry::Object { .. } => {
                let copied = |(name, value): (&str, Self)| {
                    self.document.fuel.take_to_copy_string(name);
                    (name.to_owned(), value.copy())
                };
                Value::Object(Map::from_iter(self.members().map(copied)))
            }
        }
    }
}

impl Json for Text {
    type Node<'d> = Place<'d>;
    type PreparedKey = String;
    type StringBuffer = ();

    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Place<'_>) -> T) -> T {
        // For names alone, which [`Members`] hands over itself.
        let entries = vec![Entry::String(Cow::Borrowed(string))];
        f(Document { entries, fuel: Fuel::plenty() }.root())
    }
}

impl<'d> Node<'d, Text> for Place<'d> {
    type Object = Members<'d>;
    type Array = Elements<'d>;
    type Number = &'d Number;

    fn as_object(&self) -> Option<Members<'d>> {
        match self.entry() {
            Entry::Object { len, end, index } => Some(Members {
                document: self.document,
                at: self.at + 1,
                end: *end,
                len: *len,
                index: index.as_deref(),
            }),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<Elements<'d>> {
        match self.entry() {
            Entry::Array { len, end } => {
                Some(Elements { document: self.document, at: self.at + 1, end: *end, len: *len })
            }
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'d, str>> {
        match self.entry() {
            Entry::String(text) => {
                self.document.fuel.take_to_match(text);
                Some(Cow::Borrowed(text))
            }
            _ => None,
        }
    }

    fn as_number(&self) -> Option<&'d Number> {
        match self.entry() {
            Entry::Number(number) => Some(number),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.entry() {
            Entry::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self.entry(), Entry::Null)
    }

    fn json_type(&self) -> JsonType {
        match self.entry() {
            Entry::Null | Entry::Overwritten => JsonType::Null,
            Entry::Bool(_) => JsonType::Boolean,
            Entry::Number(_) => JsonType::Number,
            Entry::String(_) => JsonType::String,
            Entry::Array { .. } => JsonType::Array,
            Entry::Object { .. } => JsonType::Object,
        }
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let Entry::String(text) = self.entry() else { return None };
        // A character takes one to four bytes.
        let (fewest, most) = (text.len().div_ceil(4) as u64, text.len() as u64);
        if most < min || fewest > max {
            return Some(false);
        }
        if min <= fewest && most <= max {
            return Some(true);
        }
        self.document.fuel.take_to_read(text);
        Some((min..=max).contains(&(text.chars().count() as u64)))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        equal::to_value(*self, expected)
    }

    fn to_value(&self) -> Cow<'d, Value> {
        self.document.fuel.take_to_copy();
        Cow::Owned(self.copy())
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.entry()) as usize))
    }
}

/// The members of an object that are left to look at.
pub(super) struct Members<'d> {
    document: &'d Document<'d>,
    at: usize,
    end: usize,
    len: usize,
    index: Option<&'d [usize]>,
}

impl<'d> Members<'d> {
    /// The value of the member of this name.
    fn named(&self, name: &str) -> Option<Place<'d>> {
        match self.index {
            Some(index) => {
                self.document.fuel.take(1);
                let nth = index.binary_search_by(|at| string(&self.document.entries[*at]).cmp(name)).ok()?;
                Some(Place { document: self.document, at: index[nth] + 1 })
            }
            None => {
                self.document.fuel.take_to_read(name);
                let mut rest = self.members();
                let found = std::iter::from_fn(|| rest.advance()).find(|(other, _)| *other == name);
                found.map(|(_, value)| value)
            }
        }
    }

    /// The next member, of which the name alone is looked at.
    fn advance(&mut self) -> Option<(&'d str, Place<'d>)> {
        while self.at < self.end {
            let (name, value) = (Place { document: self.document, at: self.at }, self.at + 1);
            self.at = end(&self.document.entries, value);
            if let Entry::String(name) = name.entry() {
                return Some((name, Place { document: self.document, at: value }));
            }
        }
        None
    }
}

impl<'d> Object<'d, Text> for Members<'d> {
    type Node = Place<'d>;
    type MemberName = &'d str;
    type MembersIter = Self;

    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, key: &String) -> Option<Place<'d>> {
        self.named(key)
    }

    fn members(&self) -> Self {
        Self { ..*self }
    }

    fn try_for_each_name_node<B>(&self, (): &mut (), mut f: impl FnMut(Place<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        // A name is the value before its member's.
        self.members().try_for_each(|(_, value)| f(Place { document: self.document, at: value.at - 1 }))
    }
}

impl<'d> Iterator for Members<'d> {
    type Item = (&'d str, Place<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.advance()?;
        self.document.fuel.take_to_go_below();
        self.document.fuel.take_to_match_name(name);
        Some((name, value))
    }
}

/// The elements of an array that are left to look at.
pub(super) struct Elements<'d> {
    document: &'d Document<'d>,
    at: usize,
    end: usize,
    len: usize,
}

impl<'d> Array<'d, Text> for Elements<'d> {
    type Node = Place<'d>;
    type ElementsIter = Self;

    fn len(&self) -> usize {
        self.len
    }

    fn elements(&self) -> Self {
        Self { ..*self }
    }

    fn is_unique(&self) -> bool {
        equal::all_different(self.elements())
    }
}

impl<'d> Iterator for Elements<'d> {
    type Item = Place<'d>;

    fn next(&mut self) -> Option<Place<'d>> {
        let at = self.at;
        (at < self.end).then(|| {
            self.document.fuel.take_to_go_below();
            self.at = end(&self.document.entries, at);
            Place { document: self.document, at }
        })
    }
}

#[cfg(test)]
mod tests;
