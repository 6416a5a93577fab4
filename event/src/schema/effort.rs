//! How often schemas are asked of one and the same value.
//!
//! Forty short schemas, each of which refers to the next one twice, have a validator look at a single number 2⁴⁰ times: one tenant's
//! schema would hold a worker for ever, and with it all other tenants. What a validator does with the values of an event is
//! bounded while it does it ([`super::fuel`]); but schemas can ask each other without looking at a value at all, so that is
//! counted before a schema is compiled.
//!
//! It is counted as if every branch were taken, and too high rather than too low: a reference of which it cannot be said where it
//! leads counts for all places where it may.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Schemas that may be asked of one value, because one is asked.
const STEPS_MAX: u64 = 10_000;
/// Of those, each because of the one before it. The validator's stack has them all, for each level of an event
/// ([`super::JSON_DEPTH_MAX`]).
const NESTING_MAX: u32 = 32;
/// Patterns of a schema: each is a program of up to [`super::PATTERN_BYTES_MAX`].
const PATTERNS_MAX: usize = 1_000;

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
/// References that lead where they say, and those that depend on how they were come to.
const REFERENCE: &str = "$ref";
const DYNAMIC_REFERENCES: [&str; 2] = ["$dynamicRef", "$recursiveRef"];
/// Schemas that every validator knows.
const META_SCHEMAS: [&str; 2] = ["http://json-schema.org/", "https://json-schema.org/"];

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    /// See [`STEPS_MAX`].
    #[error(
        "it may be asked more than {STEPS_MAX} times whether one value is valid: let schemas refer to others less often, and combine fewer \
         (allOf, anyOf, oneOf)"
    )]
    Steps,
    /// See [`NESTING_MAX`].
    #[error(
        "more than {NESTING_MAX} of its schemas are asked of one value, each because of the one before it: shorten its chains of references \
         and combinations (allOf, anyOf, oneOf)"
    )]
    Nesting,
    /// See [`PATTERNS_MAX`].
    #[error("it has more than {PATTERNS_MAX} patterns")]
    Patterns,
    /// A validator would go round in a circle.
    #[error("'{0}' leads back to a schema that is asked of the same value already")]
    Circle(String),
    /// It cannot be said what it asks.
    #[error("'{0}' leads nowhere in it, and other documents are not asked")]
    Nowhere(String),
}

/// Whether `schema` can be asked.
///
/// # Errors
/// It is [`TooMuch`].
pub(super) fn check(schema: &Value) -> Result<(), TooMuch> {
    let mut count = Count { places: Places::of(schema), known: HashMap::new(), ahead: vec![schema], patterns: 0 };
    while let Some(schema) = count.ahead.pop() {
        count.of(schema, 1)?;
    }
    Ok(())
}

/// From a schema to one that is asked of the same value.
struct Edge<'s> {
    schema: &'s Value,
    /// The reference, where it leads there and nowhere else.
    reference: Option<&'s str>,
}

struct Count<'s> {
    places: Places<'s>,
    /// By the schema's place in memory; none while it is being counted.
    known: HashMap<*const Value, Option<Effort>>,
    /// Asked of values below, and to be counted by themselves.
    ahead: Vec<&'s Value>,
    patterns: usize,
}

/// What is asked because one schema is.
#[derive(Clone, Copy)]
struct Effort {
    steps: u64,
    nesting: u32,
}

impl<'s> Count<'s> {
    fn of(&mut self, schema: &'s Value, nesting: u32) -> Result<Effort, TooMuch> {
        const ONE: Effort = Effort { steps: 1, nesting: 1 };
        let Value::Object(keywords) = schema else { return Ok(ONE) };
        if let Some(known) = self.known.get(&std::ptr::from_ref(schema)) {
            return Ok(known.unwrap_or(ONE));
        }
        if nesting > NESTING_MAX {
            return Err(TooMuch::Nesting);
        }
        self.known.insert(schema, None);
        self.ahead.extend(below(keywords));
        self.patterns += patterns(keywords);
        if self.patterns > PATTERNS_MAX {
            return Err(TooMuch::Patterns);
        }
        let mut all = ONE;
        for edge in self.of_same_value(keywords)? {
            if let (Some(None), Some(reference)) = (self.known.get(&std::ptr::from_ref(edge.schema)), edge.reference) {
                return Err(TooMuch::Circle(reference.to_owned()));
            }
            let one = self.of(edge.schema, nesting + 1)?;
            all.steps = all.steps.saturating_add(one.steps);
            all.nesting = all.nesting.max(one.nesting + 1);
        }
        if all.steps > STEPS_MAX {
            return Err(TooMuch::Steps);
        }
        if all.nesting > NESTING_MAX {
            return Err(TooMuch::Nesting);
        }
        self.known.insert(schema, Some(all));
        Ok(all)
    }

    fn of_same_value(&self, keywords: &'s Map<String, Value>) -> Result<Vec<Edge<'s>>, TooMuch> {
        let lists = SAME_VALUE_LISTS.iter().filter_map(|name| keywords.get(*name)).flat_map(elements);
        let single = SAME_VALUE.iter().filter_map(|name| keywords.get(*name));
        let maps = SAME_VALUE_MAPS.iter().filter_map(|name| keywords.get(*name)).flat_map(members);
        let inner = lists.chain(single).chain(maps);
        let mut edges: Vec<Edge<'s>> = inner.map(|schema| Edge { schema, reference: None }).collect();
        let text = |name: &str| keywords.get(name).and_then(Value::as_str);
        for reference in [REFERENCE].into_iter().chain(DYNAMIC_REFERENCES).filter_map(text) {
            let targets = self.places.of_reference(reference);
            if targets.is_empty() && !META_SCHEMAS.iter().any(|known| reference.starts_with(known)) {
                return Err(TooMuch::Nowhere(reference.to_owned()));
            }
            let is_certain = targets.len() == 1 && text(REFERENCE) == Some(reference);
            let reference = is_certain.then_some(reference);
            edges.extend(targets.into_iter().map(|schema| Edge { schema, reference }));
        }
        Ok(edges)
    }
}

fn below(keywords: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let single = BELOW.iter().filter_map(|name| keywords.get(*name));
    let lists = BELOW_LISTS.iter().filter_map(|name| keywords.get(*name)).flat_map(elements);
    let maps = BELOW_MAPS.iter().filter_map(|name| keywords.get(*name)).flat_map(members);
    single.chain(lists).chain(maps)
}

fn patterns(keywords: &Map<String, Value>) -> usize {
    let names = keywords.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
    names + usize::from(keywords.contains_key("pattern"))
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_object().into_iter().flat_map(Map::values)
}

/// Where references may lead.
struct Places<'s> {
    document: &'s Value,
    /// What has an id of its own, by the id's last part.
    by_id: HashMap<&'s str, Vec<&'s Value>>,
    /// All of them, and the document.
    roots: Vec<&'s Value>,
    /// Whether an id is written so that another text may be the same.
    has_odd_ids: bool,
    anchors: HashMap<&'s str, Vec<&'s Value>>,
}

impl<'s> Places<'s> {
    fn of(document: &'s Value) -> Self {
        let (by_id, anchors) = (HashMap::new(), HashMap::new());
        let mut places = Self { document, by_id, roots: vec![document], has_odd_ids: false, anchors };
        places.collect(document);
        places
    }

    fn collect(&mut self, value: &'s Value) {
        for name in ["$anchor", "$dynamicAnchor", "$id", "id"] {
            let Some(text) = value.get(name).and_then(Value::as_str) else { continue };
            match text.split_once('#') {
                Some(("", anchor)) => self.anchors.entry(anchor).or_default().push(value),
                _ if name.ends_with("id") => self.add_id(text.trim_end_matches('#'), value),
                _ => self.anchors.entry(text).or_default().push(value),
            }
        }
        elements(value).chain(members(value)).for_each(|value| self.collect(value));
    }

    fn add_id(&mut self, id: &'s str, value: &'s Value) {
        self.has_odd_ids |= is_odd(id);
        self.by_id.entry(last_part(id)).or_default().push(value);
        if !std::ptr::eq(value, self.document) {
            self.roots.push(value);
        }
    }

    fn of_reference(&self, reference: &str) -> Vec<&'s Value> {
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let roots = if uri.is_empty() || is_odd(uri) || self.has_odd_ids {
            self.roots.as_slice()
        } else {
            self.by_id.get(last_part(uri)).map(Vec::as_slice).unwrap_or_default()
        };
        match fragment {
            "" => roots.to_vec(),
            pointer if pointer.starts_with('/') => {
                let pointer = decoded(pointer);
                roots.iter().filter_map(|root| root.pointer(&pointer)).collect()
            }
            anchor => self.anchors.get(anchor).cloned().unwrap_or_default(),
        }
    }
}

/// Whether a URI may be the same as another text (RFC 3986, 6.2.2).
fn is_odd(uri: &str) -> bool {
    uri.contains('%') || uri.split('/').any(|part| matches!(part, "." | ".."))
}

fn last_part(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or_default()
}

/// A fragment without its percent-encoding (RFC 3986, 2.1).
fn decoded(fragment: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(fragment.len()), fragment.as_bytes());
    while let [first, after @ ..] = rest {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// So many schemas, each of which has the next one asked; `ask` says how.
    fn chain(count: usize, ask: impl Fn(String) -> Value) -> Value {
        let mut schemas = Map::new();
        for nth in 0..count {
            schemas.insert(format!("a{nth}"), ask(format!("#/$defs/a{}", nth + 1)));
        }
        schemas.insert(format!("a{count}"), json!({}));
        json!({"$ref": "#/$defs/a0", "$defs": schemas})
    }

    #[test]
    fn what_asks_twice_of_the_same_value_time_and_again_is_refused_however_it_does() {
        let ways: [fn(String) -> Value; 5] = [
            |next| json!({"allOf": [{"$ref": next}, {"$ref": next}]}),
            |next| json!({"anyOf": [{"$ref": next}], "not": {"$ref": next}}),
            |next| json!({"if": {"$ref": next}, "then": {"$ref": next}}),
            |next| json!({"oneOf": [{"$ref": next.replace("$defs", "%24defs")}, {"$ref": next}]}),
            |next| json!({"$ref": next, "dependentSchemas": {"x": {"$ref": next}}}),
        ];
        for twice in ways {
            assert_eq!(check(&chain(4, twice)), Ok(()));
            assert_eq!(check(&chain(14, twice)), Err(TooMuch::Steps), "{}", twice("next".to_owned()));
            assert!(check(&chain(2_000, twice)).is_err());
            let below = json!({"items": {"properties": {"a": chain(14, twice)["$defs"]["a0"]}}, "$defs": chain(14, twice)["$defs"]});
            assert_eq!(check(&below), Err(TooMuch::Steps), "{}", twice("next".to_owned()));
        }
    }

    #[test]
    fn references_are_followed_by_name_and_id_and_with_escapes_and_to_all_places_that_they_may_mean() {
        let bomb = json!({"allOf": vec![json!({}); 10_000]});
        let with = |members: Value| {
            let mut schema = bomb.clone();
            schema.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            schema
        };
        for (reference, defs) in [
            ("#name", json!({"a": with(json!({"$anchor": "name"}))})),
            ("#name", json!({"a": with(json!({"$id": "#name"}))})),
            ("other.json", json!({"a": with(json!({"$id": "http://example.com/other.json"}))})),
            ("#/$defs/a~1b%25%20c", json!({"a/b% c": bomb})),
            (
                "http://x/%61.json",
                json!({"decoy": {"$id": "http://d/%61.json"}, "a": with(json!({"$id": "http://x/a.json"}))}),
            ),
            ("a/../b", json!({"decoy": {"$id": "x/b"}, "a": with(json!({"$id": "http://x/b/"}))})),
        ] {
            assert_eq!(
                check(&json!({"items": {"$ref": reference}, "$defs": defs})),
                Err(TooMuch::Steps),
                "{reference}"
            );
        }
    }

    #[test]
    fn what_leads_nowhere_or_in_a_circle_is_refused() {
        for reference in ["#/nowhere", "#nowhere", "#/$defs/a/allOf/00", "x.json#/a"] {
            let schema = json!({"items": {"$ref": reference}, "$defs": {"a": {"allOf": [{}]}}});
            assert_eq!(check(&schema), Err(TooMuch::Nowhere(reference.to_owned())));
        }
        let circle = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}});
        assert!(matches!(check(&circle), Err(TooMuch::Circle(_))));
    }

    #[test]
    fn what_people_write_is_taken() {
        let tree = json!({"type": "object", "properties": {"children": {"items": {"$ref": "#"}}, "next": {"$dynamicRef": "#"}}});
        let branch =
            |nth: usize| json!({"properties": {"kind": {"const": nth}, "left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        let union: Vec<Value> = (0..500).map(branch).collect();
        let wide: Map<String, Value> =
            (0..9_000).map(|n| (format!("p{n}"), json!({"$ref": "#/$defs/money"}))).collect();
        let bundle: Map<String, Value> = (0..50)
            .map(|n| {
                let all = [json!({"$ref": format!("m{}.json", (n + 1) % 50)}), json!({"pattern": "^(?!-)"})];
                (format!("m{n}"), json!({"$id": format!("http://example.com/m{n}.json"), "items": {"anyOf": all}}))
            })
            .collect();
        for schema in [
            json!(true),
            tree,
            json!({"oneOf": union}),
            json!({"properties": wide, "$defs": {"money": {"properties": {"amount": {}, "currency": {}}}}}),
            json!({"$ref": "m0.json", "$defs": bundle}),
            json!({"$ref": "http://json-schema.org/draft-07/schema#"}),
            json!({"properties": {"$ref": {"type": "string"}}, "default": {"$ref": "#/nowhere"}}),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn chains_for_one_value_are_short_and_down_into_values_as_long_as_they_like() {
        let along = |length: usize| chain(length, |next| json!({"$ref": next}));
        assert_eq!(check(&along(20)), Ok(()));
        assert_eq!(check(&along(40)), Err(TooMuch::Nesting));
        assert_eq!(check(&along(20_000)), Err(TooMuch::Nesting));
        assert_eq!(check(&chain(20_000, |next| json!({"properties": {"a": {"$ref": next}}}))), Ok(()));
    }

    #[test]
    fn patterns_are_counted() {
        let patterns = |count: usize| {
            let named: Map<String, Value> = (0..count).map(|n| (format!("p{n}"), json!({"pattern": "a"}))).collect();
            json!({"properties": named})
        };
        assert_eq!((check(&patterns(1_000)), check(&patterns(1_001))), (Ok(()), Err(TooMuch::Patterns)));
    }
}
