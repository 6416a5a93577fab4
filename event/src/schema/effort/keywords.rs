//! The keywords that hold schemas, of all drafts, by what their schemas are asked of.

use serde_json::{Map, Value};

/// Whose schemas are asked of the same value.
const SAME_VALUE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SAME_VALUE: [&str; 4] = ["not", "if", "then", "else"];
const SAME_VALUE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Whose schemas are asked of values below.
const BELOW: [&str; 8] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "items",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
const BELOW_LISTS: [&str; 2] = ["items", "prefixItems"];
const BELOW_MAPS: [&str; 2] = ["patternProperties", "properties"];
/// Whose schemas the compiler compiles once more for `unevaluated…` beside them, apart from what it follows.
const UNEVALUATED: [&str; 5] = ["if", "contains", "additionalProperties", "unevaluatedItems", "unevaluatedProperties"];
const UNEVALUATED_MAPS: [&str; 1] = ["patternProperties"];
/// References that lead where they say, and those that depend on how they were come to.
const REFERENCE: &str = "$ref";
const RECURSIVE_REFERENCE: &str = "$recursiveRef";
const REFERENCES: [&str; 3] = [REFERENCE, "$dynamicRef", RECURSIVE_REFERENCE];

/// What a schema may be: an object of keywords, or true or false.
pub(super) type Keywords = Map<String, Value>;

/// Schemas written into this one that are asked of the same value.
pub(super) fn of_same_value(keywords: &Keywords) -> impl Iterator<Item = &Value> {
    under(keywords, &SAME_VALUE, &SAME_VALUE_LISTS, &SAME_VALUE_MAPS)
}

/// Schemas written into this one that are asked of what is in the value.
pub(super) fn below(keywords: &Keywords) -> impl Iterator<Item = &Value> {
    under(keywords, &BELOW, &BELOW_LISTS, &BELOW_MAPS)
}

/// Schemas written into this one that are compiled once more for `unevaluatedItems` or `unevaluatedProperties`.
pub(super) fn for_unevaluated(keywords: &Keywords) -> impl Iterator<Item = &Value> {
    under(keywords, &UNEVALUATED, &SAME_VALUE_LISTS, &UNEVALUATED_MAPS)
}

fn under<'s>(
    keywords: &'s Keywords,
    single: &'static [&str],
    lists: &'static [&str],
    maps: &'static [&str],
) -> impl Iterator<Item = &'s Value> {
    let of = |names: &'static [&str]| names.iter().filter_map(|name| keywords.get(*name));
    of(single).chain(of(lists).flat_map(elements)).chain(of(maps).flat_map(members))
}

/// What a schema refers to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference<'s> {
    pub(super) text: &'s str,
    /// Whether it leads where it says, however its schema was come to.
    pub(super) is_fixed: bool,
}

/// Its references. What a `$recursiveRef` says is not read: it is always `#` (JSON Schema Core 2019-09, 8.2.4.2.1).
pub(super) fn references(keywords: &Keywords) -> impl Iterator<Item = Reference<'_>> {
    let of = |name| {
        let text = keywords.get(name)?.as_str()?;
        let text = if name == RECURSIVE_REFERENCE { "#" } else { text };
        Some(Reference { text, is_fixed: name == REFERENCE })
    };
    REFERENCES.into_iter().filter_map(of)
}

/// What it says its id is, whether or not its draft reads that.
pub(super) fn ids(keywords: &Keywords) -> impl Iterator<Item = &str> {
    ["$id", "id"].into_iter().filter_map(|name| keywords.get(name)?.as_str())
}

/// How many properties it names, in `properties` and `required`.
pub(super) fn names(keywords: &Keywords) -> usize {
    let properties = keywords.get("properties").and_then(Value::as_object).map_or(0, Map::len);
    properties + keywords.get("required").and_then(Value::as_array).map_or(0, Vec::len)
}

/// The patterns that it has strings and names matched with.
pub(super) fn patterns(keywords: &Keywords) -> impl Iterator<Item = &str> {
    let of_strings = keywords.get("pattern").and_then(Value::as_str);
    of_strings.into_iter().chain(patterns_of_names(keywords))
}

/// Those for names.
pub(super) fn patterns_of_names(keywords: &Keywords) -> impl Iterator<Item = &str> {
    keywords.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str)
}

pub(super) fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn members(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_object().into_iter().flat_map(Map::values)
}
