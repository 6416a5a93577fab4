//! How much work a schema can make of an event.
//!
//! Forty short schemas, each of which refers to the next one twice, have a validator look at a single number 2⁴⁰ times: one tenant's
//! schema would hold a worker for ever, and with it all other tenants. So before a schema is compiled it is counted how often
//! schemas may be asked of one value of an event, and a schema that asks too much is refused. What one event may cost in all
//! is that number times its values ([`WORK_MAX`]).
//!
//! It is counted as if every branch were taken, and too high rather than too low: a reference of which it cannot be said where it
//! leads counts for all places where it may. A reference back to a schema that is just being counted counts as one: the
//! validator asks such a schema once of each object and array.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Steps that one value of an event may take.
pub(super) const STEPS_MAX: u64 = 10_000;
/// Steps that one event may take, all of its values together: some seconds at worst, a few milliseconds as a rule.
pub(super) const WORK_MAX: u64 = 100_000_000;
/// Schemas that are asked of one and the same value, each because of the one before it. The validator's stack has them all, for
/// each level of an event ([`super::JSON_DEPTH_MAX`]).
const NESTING_MAX: u32 = 32;
/// Schemas below each other, whatever value they are asked of.
const LEVELS_MAX: u32 = 512;
/// Steps of a pattern that only backtracking can match, a step being the look at a value.
const BACKTRACKING_STEPS: u64 = 5_000;
/// Members of an `enum` that are compared in one step.
const COMPARISONS: u64 = 16;

/// Whose schemas, each by itself, are asked of the same value.
const SAME_VALUE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SAME_VALUE: [&str; 4] = ["not", "if", "then", "else"];
const SAME_VALUE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Whose schemas are asked of every value below.
const EVERY_CHILD: [&str; 7] =
    ["additionalItems", "additionalProperties", "contains", "items", "propertyNames", UNEVALUATED[0], UNEVALUATED[1]];
/// What has the validator go through the schemas of the same value once more.
const UNEVALUATED: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];

/// What one value costs at most, with what is below it on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effort {
    /// How many schemas are asked.
    pub(super) steps: u64,
    /// How many of the same value, each because of the one before it.
    nesting: u32,
    /// How many below each other.
    levels: u32,
}

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    /// See [`STEPS_MAX`].
    #[error(
        "it may be asked more than {STEPS_MAX} times whether one value of an event is valid: let schemas refer to others less often, and \
         combine fewer (allOf, anyOf, oneOf)"
    )]
    Steps,
    /// See [`NESTING_MAX`] and [`LEVELS_MAX`].
    #[error(
        "its schemas nest too deeply: at most {NESTING_MAX} for one value, references and combinations among them, and {LEVELS_MAX} below each \
         other"
    )]
    Nesting,
}

/// How much `schema` can make of one value.
///
/// # Errors
/// It is [`TooMuch`].
pub(super) fn of(schema: &Value) -> Result<Effort, TooMuch> {
    let mut count = Count { places: Places::of(schema), known: HashMap::new() };
    let effort = count.of(schema, 0)?;
    if effort.steps > STEPS_MAX { Err(TooMuch::Steps) } else { Ok(effort) }
}

struct Count<'s> {
    places: Places<'s>,
    /// By the schema's place in memory; none while it is being counted.
    known: HashMap<*const Value, Option<Effort>>,
}

impl<'s> Count<'s> {
    fn of(&mut self, schema: &'s Value, above: u32) -> Result<Effort, TooMuch> {
        const ONE: Effort = Effort { steps: 1, nesting: 1, levels: 1 };
        let Value::Object(keywords) = schema else { return Ok(ONE) };
        match self.known.get(&std::ptr::from_ref(schema)) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Ok(ONE),
            None => {}
        }
        if above >= LEVELS_MAX {
            return Err(TooMuch::Nesting);
        }
        self.known.insert(schema, None);
        let effort = self.of_keywords(keywords, above + 1)?;
        if effort.nesting > NESTING_MAX || effort.levels > LEVELS_MAX {
            return Err(TooMuch::Nesting);
        }
        self.known.insert(schema, Some(effort));
        Ok(effort)
    }

    fn of_keywords(&mut self, keywords: &'s Map<String, Value>, above: u32) -> Result<Effort, TooMuch> {
        let same = self.sum(self.of_same_value(keywords), above)?;
        let every = self.sum(of_every_child(keywords), above)?;
        let named = self.most(keywords.get("properties").into_iter().flat_map(members), above)?;
        let by_place = ["prefixItems", "items"].into_iter().filter_map(|name| keywords.get(name)).flat_map(elements);
        let placed = self.most(by_place, above)?;
        let looks = if UNEVALUATED.iter().any(|name| keywords.contains_key(*name)) { 2 } else { 1 };
        let below = [every, named, placed];
        Ok(Effort {
            steps: below
                .iter()
                .fold(same.steps.saturating_mul(looks), |sum, effort| sum.saturating_add(effort.steps))
                .saturating_add(own_steps(keywords)),
            nesting: same.nesting + 1,
            levels: below.iter().fold(same.levels, |most, effort| most.max(effort.levels)) + 1,
        })
    }

    fn of_same_value(&self, keywords: &'s Map<String, Value>) -> Vec<&'s Value> {
        let lists = SAME_VALUE_LISTS.iter().filter_map(|name| keywords.get(*name)).flat_map(elements);
        let single = SAME_VALUE.iter().filter_map(|name| keywords.get(*name));
        let maps = SAME_VALUE_MAPS.iter().filter_map(|name| keywords.get(*name)).flat_map(members);
        let references = REFERENCES.iter().filter_map(|name| keywords.get(*name)?.as_str());
        let targets = references.flat_map(|reference| self.places.of_reference(reference));
        lists.chain(single).chain(maps).chain(targets).collect()
    }

    fn sum(&mut self, schemas: Vec<&'s Value>, above: u32) -> Result<Effort, TooMuch> {
        let add = |sum: Effort, one: Effort| sum.and(one, sum.steps.saturating_add(one.steps));
        self.fold(schemas, above, add)
    }

    fn most(&mut self, schemas: impl Iterator<Item = &'s Value>, above: u32) -> Result<Effort, TooMuch> {
        let more = |most: Effort, one: Effort| most.and(one, most.steps.max(one.steps));
        self.fold(schemas, above, more)
    }

    fn fold(
        &mut self,
        schemas: impl IntoIterator<Item = &'s Value>,
        above: u32,
        with: impl Fn(Effort, Effort) -> Effort,
    ) -> Result<Effort, TooMuch> {
        const NONE: Effort = Effort { steps: 0, nesting: 0, levels: 0 };
        schemas.into_iter().try_fold(NONE, |all, schema| Ok(with(all, self.of(schema, above)?)))
    }
}

impl Effort {
    fn and(self, other: Self, steps: u64) -> Self {
        Self { steps, nesting: self.nesting.max(other.nesting), levels: self.levels.max(other.levels) }
    }
}

fn of_every_child(keywords: &Map<String, Value>) -> Vec<&Value> {
    let single = EVERY_CHILD.iter().filter_map(|name| keywords.get(*name)).filter(|schema| !schema.is_array());
    single.chain(keywords.get("patternProperties").into_iter().flat_map(members)).collect()
}

/// What a schema costs without those in it.
fn own_steps(keywords: &Map<String, Value>) -> u64 {
    let count = |name: &str| keywords.get(name).map_or(0, |list| elements(list).count() as u64);
    let pattern = keywords.get("pattern").and_then(Value::as_str);
    let names = keywords.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let patterns = pattern.into_iter().chain(names.map(String::as_str)).map(pattern_steps);
    patterns.fold(1 + (count("enum") + count("required")) / COMPARISONS, u64::saturating_add)
}

/// A regular expression is matched in one go, unless it looks around or back.
fn pattern_steps(pattern: &str) -> u64 {
    let looks = ["(?=", "(?!", "(?<", "(?>", "(?P=", "\\k"].iter().any(|part| pattern.contains(part));
    let refers_back = pattern.as_bytes().windows(2).any(|pair| pair[0] == b'\\' && matches!(pair[1], b'1'..=b'9'));
    if looks || refers_back { BACKTRACKING_STEPS } else { 1 }
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_object().into_iter().flat_map(Map::values)
}

/// Where references may lead.
struct Places<'s> {
    /// The document, and what has an id of its own in it, each with its id.
    roots: Vec<(&'s str, &'s Value)>,
    anchors: HashMap<&'s str, Vec<&'s Value>>,
}

impl<'s> Places<'s> {
    fn of(document: &'s Value) -> Self {
        let mut places = Self { roots: vec![("", document)], anchors: HashMap::new() };
        places.collect(document);
        places
    }

    fn collect(&mut self, value: &'s Value) {
        for name in ["$anchor", "$dynamicAnchor", "$id", "id"] {
            let Some(text) = value.get(name).and_then(Value::as_str) else { continue };
            match text.split_once('#') {
                Some(("", anchor)) => self.anchors.entry(anchor).or_default().push(value),
                _ if name.ends_with("id") => self.roots.push((text.trim_end_matches('#'), value)),
                _ => self.anchors.entry(text).or_default().push(value),
            }
        }
        elements(value).chain(members(value)).for_each(|value| self.collect(value));
    }

    fn of_reference(&self, reference: &str) -> Vec<&'s Value> {
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let last = |uri: &str| uri.rsplit('/').next().unwrap_or_default().to_owned();
        let named = self.roots.iter().filter(|(id, _)| !uri.is_empty() && last(id) == last(uri));
        let named: Vec<_> = named.map(|(_, root)| *root).collect();
        let all = || self.roots.iter().map(|(_, root)| *root).collect();
        let roots: Vec<&Value> = if named.is_empty() { all() } else { named };
        match fragment {
            "" => roots,
            pointer if pointer.starts_with('/') => {
                let pointer = decoded(pointer);
                roots.into_iter().filter_map(|root| root.pointer(&pointer)).collect()
            }
            anchor => self.anchors.get(anchor).cloned().unwrap_or_default(),
        }
    }
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

    fn steps(schema: &Value) -> u64 {
        of(schema).unwrap().steps
    }

    /// So many schemas, each of which has the next one asked twice; `twice` says how.
    fn doubling(count: usize, twice: impl Fn(String) -> Value) -> Value {
        let mut schemas = Map::new();
        for nth in 0..count {
            schemas.insert(format!("a{nth}"), twice(format!("#/$defs/a{}", nth + 1)));
        }
        schemas.insert(format!("a{count}"), json!({"type": "string"}));
        json!({"$ref": "#/$defs/a0", "$defs": schemas})
    }

    #[test]
    fn a_plain_schema_takes_a_step_for_each_schema_on_the_longest_path() {
        assert_eq!(steps(&json!(true)), 1);
        assert_eq!(steps(&json!({"type": "object", "properties": {"a": {}, "b": {"properties": {"c": {}}}}})), 3);
        assert_eq!(steps(&json!({"prefixItems": [{}, {"allOf": [{}, {}]}], "items": {"type": "string"}})), 5);
        assert_eq!(steps(&json!({"enum": vec![0; 160]})), 11);
    }

    #[test]
    fn what_asks_twice_time_and_again_is_refused_however_it_does() {
        let ways: [fn(String) -> Value; 6] = [
            |next| json!({"allOf": [{"$ref": next}, {"$ref": next}]}),
            |next| json!({"anyOf": [{"$ref": next}], "not": {"$ref": next}}),
            |next| json!({"patternProperties": {"a": {"$ref": next}, "^a": {"$ref": next}}}),
            |next| json!({"properties": {"a": {"$ref": next}}, "additionalProperties": {"$ref": next}}),
            |next| json!({"if": {"$ref": next}, "then": {"$ref": next}}),
            |next| json!({"$ref": next, "unevaluatedProperties": false}),
        ];
        for twice in ways {
            assert!(of(&doubling(4, twice)).is_ok());
            assert!(of(&doubling(14, twice)).is_err(), "{}", twice(String::new()));
            assert!(of(&doubling(2_000, twice)).is_err());
        }
    }

    #[test]
    fn references_are_followed_by_name_and_id_and_with_escapes() {
        for (reference, target) in [
            ("#name", json!({"$anchor": "name", "allOf": [{}, {}, {}]})),
            ("#name", json!({"$id": "#name", "allOf": [{}, {}, {}]})),
            ("other.json", json!({"$id": "http://example.com/other.json", "allOf": [{}, {}, {}]})),
            ("#/$defs/a~1b%25%20c", json!({"allOf": [{}, {}, {}]})),
        ] {
            let schema = json!({"$ref": reference, "$defs": {"a/b% c": target}});
            assert_eq!(steps(&schema), 5, "{reference}");
        }
    }

    #[test]
    fn recursion_and_large_schemas_are_what_people_write() {
        let tree = json!({"type": "object", "properties": {"children": {"items": {"$ref": "#"}}, "next": {"$dynamicRef": "#"}}});
        assert!(steps(&tree) < 10);
        let wide: Map<String, Value> =
            (0..2_000).map(|n| (format!("p{n}"), json!({"$ref": "#/$defs/money"}))).collect();
        let wide = json!({"properties": wide, "$defs": {"money": {"properties": {"amount": {}, "currency": {}}}}});
        assert!(steps(&wide) < 10);
        let union: Vec<Value> = (0..200).map(|n| json!({"properties": {"kind": {"const": n}, "data": {}}})).collect();
        assert!(steps(&json!({"items": {"oneOf": union}})) < 1_000);
    }

    #[test]
    fn chains_of_references_end() {
        let chain = |length: usize| doubling(length, |next| json!({"$ref": next}));
        assert!(of(&chain(20)).is_ok());
        assert_eq!(of(&chain(40)), Err(TooMuch::Nesting));
        assert_eq!(of(&chain(20_000)), Err(TooMuch::Nesting));
        let down = |length: usize| doubling(length, |next| json!({"properties": {"a": {"$ref": next}}}));
        assert!(of(&down(100)).is_ok());
        assert_eq!(of(&down(20_000)), Err(TooMuch::Nesting));
        assert!(of(&json!({"$ref": "#"})).is_ok(), "what it means is the validator's matter");
    }

    #[test]
    fn patterns_that_look_around_cost_more() {
        assert_eq!(steps(&json!({"pattern": "^[a-z]+$"})), 2);
        for pattern in ["^(?=a)", "(a)\\1", "(?<!b)a"] {
            assert_eq!(steps(&json!({"pattern": pattern})), 1 + BACKTRACKING_STEPS, "{pattern}");
        }
    }
}
