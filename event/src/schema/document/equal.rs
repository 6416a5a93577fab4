//! When values are equal, as JSON Schema has it: numbers by what they are, objects whatever the order of their members
//! (JSON Schema Core 2020-12, 4.2.2).

use std::hash::{BuildHasher, Hash, RandomState};

use jsonschema::json::{Node, cmp};
use serde_json::{Number, Value};

use super::{Entry, Place};

/// Elements up to which each is compared with each.
const COMPARED_MAX: usize = 8;

/// Whether a value is equal to one of the schema.
pub(super) fn to_value(place: Place<'_>, expected: &Value) -> bool {
    match (place.entry(), expected) {
        (Entry::Null, Value::Null) => true,
        (Entry::Bool(value), Value::Bool(expected)) => value == expected,
        (Entry::Number(number), Value::Number(expected)) => cmp::equal_numbers(number, expected),
        (Entry::String(text), Value::String(expected)) => is_text(place, text, expected),
        (Entry::Array { len, .. }, Value::Array(expected)) => {
            *len == expected.len()
                && place.elements().zip(expected).all(|(element, expected)| to_value(element, expected))
        }
        (Entry::Object { len, .. }, Value::Object(expected)) => {
            let is_in = |(name, value): (&str, _)| expected.get(name).is_some_and(|expected| to_value(value, expected));
            *len == expected.len() && place.members().all(is_in)
        }
        _ => false,
    }
}

/// Whether the text of a place is this one; they are read where they are as long.
fn is_text(place: Place<'_>, text: &str, other: &str) -> bool {
    text.len() == other.len() && {
        place.document.fuel.take_to_read(text);
        text == other
    }
}

/// Whether no two of these are equal.
pub(super) fn all_different<'d>(elements: impl Iterator<Item = Place<'d>>) -> bool {
    let elements: Vec<Place<'d>> = elements.collect();
    if elements.len() <= COMPARED_MAX {
        return are_different(&elements);
    }
    // The keys are this call's own: nobody can have values ready that have one hash.
    let keys = RandomState::new();
    let mut by_hash: Vec<(u64, Place<'d>)> =
        elements.into_iter().map(|element| (hash(element, &keys), element)).collect();
    by_hash.sort_unstable_by_key(|(hash, _)| *hash);
    let mut of_one_hash = by_hash.chunk_by(|left, right| left.0 == right.0).filter(|same| same.len() > 1);
    of_one_hash.all(|same| are_different(&same.iter().map(|(_, element)| *element).collect::<Vec<_>>()))
}

fn are_different(elements: &[Place<'_>]) -> bool {
    let different = |(nth, one): (usize, &Place<'_>)| !elements[..nth].iter().any(|other| are_equal(*one, *other));
    elements.iter().enumerate().all(different)
}

fn are_equal(left: Place<'_>, right: Place<'_>) -> bool {
    match (left.entry(), right.entry()) {
        (Entry::Null, Entry::Null) => true,
        (Entry::Bool(left), Entry::Bool(right)) => left == right,
        (Entry::Number(left), Entry::Number(right)) => cmp::equal_numbers(&left, right),
        (Entry::String(text), Entry::String(other)) => is_text(left, text, other),
        (Entry::Array { len, .. }, Entry::Array { len: other, .. }) => {
            len == other && left.elements().zip(right.elements()).all(|(left, right)| are_equal(left, right))
        }
        (Entry::Object { len, .. }, Entry::Object { len: other_len, .. }) => {
            let others = right.as_object();
            let other = |name: &str| others.as_ref().and_then(|others| others.named(name));
            len == other_len
                && left.members().all(|(name, value)| other(name).is_some_and(|other| are_equal(value, other)))
        }
        _ => false,
    }
}

/// The same for equal values.
fn hash(place: Place<'_>, keys: &RandomState) -> u64 {
    match place.entry() {
        Entry::Null | Entry::Overwritten => keys.hash_one('0'),
        Entry::Bool(value) => keys.hash_one(value),
        Entry::Number(number) => keys.hash_one(('1', bits(number))),
        Entry::String(text) => {
            place.document.fuel.take_to_read(text);
            keys.hash_one(('"', text))
        }
        Entry::Array { len, .. } => {
            let each: Vec<u64> = place.elements().map(|element| hash(element, keys)).collect();
            keys.hash_one(('[', len, each))
        }
        Entry::Object { len, .. } => {
            let each = place.members().map(|(name, value)| keys.hash_one((name, hash(value, keys))));
            keys.hash_one(('{', len, each.fold(0, u64::wrapping_add)))
        }
    }
}

/// The same for equal numbers: 0 is -0.0, 1 is 1.0.
fn bits(number: &Number) -> impl Hash {
    number.as_f64().map(|number| if number == 0.0 { 0 } else { number.to_bits() })
}

#[cfg(test)]
mod tests {
    use jsonschema::json::Array;
    use serde_json::json;

    use super::super::Document;
    use super::*;
    use crate::schema::fuel::Prices;

    /// Of each group all are equal, and to none of another group.
    fn groups() -> Vec<Vec<String>> {
        let long = |first: &str| {
            let fill: String = (0..50).map(|number| format!(r#","member {number}":{number}"#)).collect();
            format!(r#"{{"x":{first}{fill}}}"#)
        };
        let group = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let mut all: Vec<Vec<String>> = [
            &["null"][..],
            &["true"],
            &["false"],
            &["0", "-0.0", "0.0", "-0"],
            &["1", "1.0", "1e0"],
            &["\"1\"", r#""\u0031""#],
            &["18446744073709551615"],
            &["18446744073709551614"],
            &["-9223372036854775808"],
            &["0.1"],
            &["\"\""],
            &["[]"],
            &["[[]]"],
            &["[[],[]]"],
            &["[[[]]]"],
            &["[1,2]", "[1.0, 2]"],
            &["[2,1]"],
            &["{}"],
            &[r#"{"a":1,"b":[2]}"#, r#"{ "b":[2.0], "a":3, "a":1 }"#],
            &[r#"{"a":[2],"b":1}"#],
            &[r#"{"a":1}"#],
            &[r#"{"a":null}"#],
            &[r#"{"b":null}"#],
        ]
        .into_iter()
        .map(group)
        .collect();
        all.extend([vec![long("1"), long("1.0")], vec![long("2")]]);
        all
    }

    #[test]
    fn it_is_what_the_library_takes_for_equal() {
        let texts: Vec<String> = groups().into_iter().flatten().collect();
        for left in &texts {
            let document = Document::parse(left.as_bytes()).unwrap();
            let left: Value = serde_json::from_str(left).unwrap();
            for right in &texts {
                let other = Document::parse(right.as_bytes()).unwrap();
                let right: Value = serde_json::from_str(right).unwrap();
                let expected = cmp::equal(&left, &right);
                assert_eq!(to_value(document.root(), &right), expected, "{left} and {right}");
                assert_eq!(are_equal(document.root(), other.root()), expected, "{left} and {right}");
            }
        }
    }

    #[test]
    fn equal_elements_are_found_in_short_lists_and_long_ones() {
        let unique = |elements: &[&String]| {
            let elements: Vec<&str> = elements.iter().map(|element| element.as_str()).collect();
            let text = format!("[{}]", elements.join(","));
            let document = Document::parse(text.as_bytes()).unwrap();
            document.root().as_array().unwrap().is_unique()
        };
        let groups = groups();
        let one_of_each: Vec<&String> = groups.iter().map(|group| &group[0]).collect();
        assert!(unique(&one_of_each) && unique(&one_of_each[..COMPARED_MAX]) && unique(&[]));
        for (nth, group) in groups.iter().enumerate() {
            for equal in group {
                let (mut many, mut few) = (one_of_each.clone(), vec![one_of_each[nth]]);
                many.push(equal);
                few.push(equal);
                assert!(!unique(&many) && !unique(&few), "{} and {equal}", one_of_each[nth]);
            }
        }
    }

    /// The hash of the library, which has no lengths, is one for all of these.
    #[test]
    fn arrays_of_nothing_but_arrays_are_told_apart_at_once() {
        let tree = |number: u32| -> Value {
            (0..16).map(|bit| if number >> bit & 1 == 1 { json!([[]]) } else { json!([]) }).collect()
        };
        let trees: Vec<Value> = (0..20_000).map(tree).collect();
        let text = serde_json::to_string(&trees).unwrap();
        let document = Document::parse(text.as_bytes()).unwrap();
        let unique = |place: Place<'_>| place.as_array().unwrap().is_unique();
        assert_eq!(document.look(5_000_000, Prices::default(), unique), Some(true));
    }
}
