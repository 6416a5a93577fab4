//! What a schema may make of work, counted before it is compiled.
//!
//! What a validator does with the values of an event is bounded while it does it ([`super::fuel`]). What it does without looking at
//! a value, and what its compiler does with the schema, nobody can interrupt: a schema is refused where that may be too much.
//!
//! It is counted as if every branch were taken, and too high rather than too low: a reference of which it cannot be said where it
//! leads counts for all places where it may.

mod branches;
mod keywords;
mod places;
mod same_value;
mod scopes;
mod size;
mod unevaluated;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use self::keywords::Keywords;
use self::places::Places;

/// Different patterns of a schema.
pub(super) const PATTERNS_MAX: usize = 1_000;
/// The longest pattern.
pub(super) const PATTERN_BYTES_MAX: usize = 16 << 10;

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    /// A value is asked too often.
    #[error(
        "it may be asked more than {} times whether one value is valid: let schemas refer to others less often, and combine fewer \
         (allOf, anyOf, oneOf)",
        same_value::STEPS_MAX
    )]
    Steps,
    /// Values are asked too often, all in all.
    #[error(
        "its schemas may ask each other more than {} times: let them refer to others less often, and combine fewer (allOf, anyOf, oneOf)",
        same_value::ALL_STEPS_MAX
    )]
    AllSteps,
    /// Schemas are asked, each because of the one before it.
    #[error(
        "more than {} of its schemas are asked of one value, each because of the one before it: shorten its chains of references and \
         combinations (allOf, anyOf, oneOf)",
        same_value::NESTING_MAX
    )]
    Nesting,
    /// What `unevaluated…` has to know of others.
    #[error(
        "unevaluatedItems and unevaluatedProperties unfold it to more than {} schemas, or more than {} in a chain: let schemas with these \
         keywords refer to others less often",
        unevaluated::UNFOLDED_MAX,
        unevaluated::CHAIN_MAX
    )]
    Unfolded,
    /// Resources lead to each other.
    #[error(
        "its resources ($id) refer to each other in more than {} ways: let them refer to each other less often, or be one \
         ('#/$defs/...' instead of ids)",
        scopes::WAYS_MAX
    )]
    Ways,
    /// Which branches to ask.
    #[error(
        "the branches of its combinations (anyOf, oneOf) times its properties and the values that it names (const, enum) are more than {}: \
         combine fewer, or split it",
        branches::CHOICES_MAX
    )]
    Choices,
    /// Names of properties that are put together.
    #[error(
        "the properties of what is combined by allOf are more than {}, or too many in all: combine fewer, or split it",
        same_value::NAMES_MAX
    )]
    Names,
    /// What the compiler keeps of it.
    #[error(
        "the paths to its schemas have more than {} MiB in all: nest them less, and let names and ids be shorter",
        size::PATHS_BYTES_MAX >> 20
    )]
    Paths,
    /// What the compiler compares.
    #[error(
        "a list that may name nothing twice (enum, required) has more than {} lists or objects",
        size::CONTAINERS_MAX
    )]
    Containers,
    /// See [`PATTERN_BYTES_MAX`].
    #[error("it has a pattern of more than {PATTERN_BYTES_MAX} bytes")]
    Pattern,
    /// See [`PATTERNS_MAX`].
    #[error("it has more than {PATTERNS_MAX} different patterns")]
    Patterns,
    /// A validator would go round in a circle.
    #[error("'{0}' leads back to a schema that is asked of the same value already")]
    Circle(String),
    /// It cannot be said what it asks.
    #[error("'{0}' leads nowhere in it, and other documents are not asked")]
    Nowhere(String),
}

/// What a schema that is not too much may ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Effort {
    pub(super) patterns: Patterns,
    /// Schemas asked of one value, because one is, at most.
    pub(super) most_steps: u64,
}

/// The patterns of a schema.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Patterns {
    /// How many different ones.
    pub(super) count: usize,
    /// How many a name may be matched with between two looks at values, by a verdict.
    pub(super) of_names_at_once: usize,
    /// The same where it is said what is wrong.
    pub(super) of_names: usize,
    /// Whether one may look around or back, which is matched by trying.
    pub(super) looks_around: bool,
    /// Those that begin by looking ahead.
    pub(super) looking_ahead: Vec<String>,
}

/// What a schema may ask.
///
/// # Errors
/// It is [`TooMuch`].
pub(super) fn check(schema: &Value) -> Result<Effort, TooMuch> {
    size::check(schema)?;
    let places = Places::of(schema);
    let counted = same_value::check(schema, &places)?;
    branches::check(&counted.schemas)?;
    scopes::check(schema, &places)?;
    unevaluated::check(&counted.schemas, &places)?;
    Ok(Effort { patterns: Patterns::of(&counted.schemas)?, most_steps: counted.most_steps })
}

/// Whether a schema is too large to be looked through by its meta-schema.
pub(super) fn is_too_large(schema: &Value) -> bool {
    size::check(schema).is_err()
}

impl Patterns {
    fn of(schemas: &[&Keywords]) -> Result<Self, TooMuch> {
        let different: HashSet<&str> = schemas.iter().flat_map(|schema| keywords::patterns(schema)).collect();
        if different.len() > PATTERNS_MAX {
            return Err(TooMuch::Patterns);
        }
        if different.iter().any(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
            return Err(TooMuch::Pattern);
        }
        let of_names = |schema: &&Keywords| keywords::patterns_of_names(schema).count();
        let all: usize = schemas.iter().map(of_names).sum();
        // Those of several schemas may be put together for it.
        let is_open = !schemas.iter().any(|schema| schema.contains_key("unevaluatedProperties"));
        let closed = schemas.iter().filter(|schema| schema.contains_key("additionalProperties"));
        let most = schemas.iter().map(of_names).max().unwrap_or_default();
        Ok(Self {
            count: different.len(),
            of_names_at_once: if is_open { closed.map(of_names).max().unwrap_or(most.min(1)) } else { all },
            of_names: if is_open { most } else { all },
            looks_around: different.iter().any(|pattern| looks_around(pattern)),
            looking_ahead: different
                .iter()
                .filter(|text| text.starts_with("^(?="))
                .map(|text| (*text).to_owned())
                .collect(),
        })
    }
}

/// From one schema to the next, on a way that `way` tells so far: another number for each way.
fn further(way: u64, schema: *const Keywords) -> u64 {
    let mut hasher = DefaultHasher::new();
    (way, schema).hash(&mut hasher);
    hasher.finish()
}

/// Whether a pattern may look around or back (`(?=`, `(?<!`, `\1`, `\k<name>`); a few that do not are taken for one.
fn looks_around(pattern: &str) -> bool {
    let backs = pattern.as_bytes().windows(2).any(|two| two[0] == b'\\' && matches!(two[1], b'1'..=b'9' | b'k'));
    backs || ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|look| pattern.contains(look))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    /// So many schemas, each of which leads to the next one; `lead` says how.
    pub(super) fn chain(count: usize, lead: impl Fn(String) -> Value) -> Value {
        let next = |nth: usize| format!("#/$defs/a{}", nth + 1);
        let mut schemas: Map<String, Value> = (0..count).map(|nth| (format!("a{nth}"), lead(next(nth)))).collect();
        schemas.insert(format!("a{count}"), json!({}));
        json!({"$ref": "#/$defs/a0", "$defs": schemas})
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
        let closed: Map<String, Value> = (0..2_000)
            .map(|n| {
                let fields =
                    json!({"id": {"pattern": "^[a-z]+$"}, "next": {"$ref": format!("#/$defs/c{}", (n + 1) % 2_000)}});
                let all = [json!({"$ref": "#/$defs/base"}), json!({"properties": fields})];
                (format!("c{n}"), json!({"allOf": all, "unevaluatedProperties": false}))
            })
            .chain([("base".to_owned(), json!({"properties": {"type": {"enum": ["a", "b"]}}}))])
            .collect();
        for schema in [
            json!(true),
            tree,
            json!({"oneOf": union}),
            json!({"properties": wide, "$defs": {"money": {"properties": {"amount": {}, "currency": {}}}}}),
            json!({"$ref": "m0.json", "$defs": bundle}),
            json!({"$ref": "#/$defs/c0", "$defs": closed}),
            json!({"$ref": "http://json-schema.org/draft-07/schema#"}),
            json!({"properties": {"$ref": {"type": "string"}}, "default": {"$ref": "#/nowhere"}}),
            // Ids that are alike, or are none in their draft, and data that looks like one.
            json!({"$id": "http://x/person/schema.json", "allOf": [{"$ref": "/address/schema.json"}], "$defs": {"a": {"$id": "http://x/address/schema.json", "type": "object"}}}),
            json!({"$id": "http://x/meta/schema", "allOf": [{"$ref": "https://json-schema.org/draft/2020-12/schema"}]}),
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "id": "http://x/node", "properties": {"child": {"id": "/properties/child", "$ref": "#"}}}),
            json!({"$id": "http://x/root", "$ref": "#/$defs/order", "$defs": {"order": {"$ref": "order"}, "o": {"$id": "order", "allOf": [{"$ref": "#/$defs/order"}], "$defs": {"order": {"type": "object"}}}}}),
            json!({"$id": "http://x/a", "allOf": [{"$ref": "#base"}], "$defs": {"base": {"$anchor": "base", "$ref": "b#base"}, "b": {"$id": "b", "$defs": {"base": {"$anchor": "base", "type": "object"}}}}}),
            json!({"$id": "http://x/a", "allOf": [{"$ref": "b"}], "$defs": {"b": {"$id": "b", "type": "object"}}, "examples": [{"id": "100%"}]}),
        ] {
            assert!(check(&schema).is_ok(), "{schema}");
        }
    }

    #[test]
    fn patterns_are_counted() {
        let patterns = |count: usize, of: fn(usize) -> String| {
            let named: Map<String, Value> = (0..count).map(|n| (format!("p{n}"), json!({"pattern": of(n)}))).collect();
            check(&json!({"properties": named})).map(|found| found.patterns.count)
        };
        assert_eq!(patterns(1_000, |n| n.to_string()), Ok(1_000));
        assert_eq!(patterns(1_001, |n| n.to_string()), Err(TooMuch::Patterns));
        assert_eq!(patterns(5_000, |_| "the same".to_owned()), Ok(1));
        assert_eq!(patterns(1, |_| "a".repeat(PATTERN_BYTES_MAX + 1)), Err(TooMuch::Pattern));

        let mut schema =
            json!({"patternProperties": {"^a": {"patternProperties": {"b$": true}}, "c": {"pattern": "d"}}});
        let of_names = |schema: &Value| {
            check(schema).map(|Effort { patterns, .. }| (patterns.count, patterns.of_names_at_once, patterns.of_names))
        };
        assert_eq!(of_names(&schema), Ok((4, 1, 2)));
        schema["additionalProperties"] = json!(false);
        assert_eq!(of_names(&schema), Ok((4, 2, 2)));
        schema["unevaluatedProperties"] = json!(false);
        assert_eq!(of_names(&schema), Ok((4, 3, 3)));
    }

    #[test]
    fn what_looks_around_or_back_is_told_from_what_does_not() {
        for pattern in ["a(?=b)", "(?!a)", "(?<=a)b", "(?<!a)b", r"(a)\1", r"(?<x>a)\k<x>"] {
            assert!(looks_around(pattern), "{pattern}");
        }
        for pattern in ["", "a", r"\d\.(?:a|b)?", "(?<name>a)"] {
            assert!(!looks_around(pattern), "{pattern}");
        }
    }
}
