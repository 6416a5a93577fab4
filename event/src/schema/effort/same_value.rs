//! How often schemas are asked of one and the same value.
//!
//! Forty short schemas, each of which refers to the next one twice, have a validator look at a single number 2⁴⁰ times: one tenant's
//! schema would hold a worker for ever, and with it all other tenants.

use std::collections::HashMap;

use serde_json::Value;

use super::TooMuch;
use super::keywords::{Keywords, below, names, of_same_value, references};
use super::places::Places;

/// Schemas that may be asked of one value, because one is asked.
pub(super) const STEPS_MAX: u64 = 10_000;
/// The sum of it over all schemas.
pub(super) const ALL_STEPS_MAX: u64 = 2_000_000;
/// Properties that are named by schemas of one value, where `allOf` is among them: its branches' are put together, in a time of
/// their square.
pub(super) const NAMES_MAX: u64 = 20_000;
/// The sum of these squares.
const NAMES_SQUARES_MAX: u64 = 1_000_000_000;
/// What a meta-schema asks of one value.
const META_SCHEMA_STEPS: u64 = 100;
/// Of those of one value, each because of the one before it. The validator's stack has them all, for each level of an event
/// ([`crate::schema::JSON_DEPTH_MAX`]).
pub(super) const NESTING_MAX: u32 = 32;
/// Schemas that every validator knows.
const META_SCHEMAS: [&str; 2] = ["http://json-schema.org/", "https://json-schema.org/"];

/// What was counted.
pub(super) struct Counted<'s> {
    /// All schemas that may be asked of anything.
    pub(super) schemas: Vec<&'s Keywords>,
    /// The most that are asked of one value, because one is.
    pub(super) most_steps: u64,
}

/// Counts.
///
/// # Errors
/// They ask too often, or it cannot be said how often.
pub(super) fn check<'s>(schema: &'s Value, places: &Places<'s>) -> Result<Counted<'s>, TooMuch> {
    let counted = Counted { schemas: Vec::new(), most_steps: 1 };
    let mut count =
        Count { places, known: HashMap::new(), ahead: vec![schema], counted, all_steps: 0, names_squares: 0 };
    while let Some(schema) = count.ahead.pop() {
        count.of(schema, 1)?;
    }
    Ok(count.counted)
}

/// From a schema to one that is asked of the same value.
struct Edge<'s> {
    schema: &'s Value,
    /// The reference, where it leads there and nowhere else.
    reference: Option<&'s str>,
}

struct Count<'p, 's> {
    places: &'p Places<'s>,
    /// By the schema's place in memory; none while it is being counted.
    known: HashMap<*const Value, Option<Effort>>,
    /// Asked of values below, and to be counted by themselves.
    ahead: Vec<&'s Value>,
    counted: Counted<'s>,
    all_steps: u64,
    names_squares: u64,
}

/// What is asked because one schema is.
#[derive(Clone, Copy)]
struct Effort {
    steps: u64,
    nesting: u32,
    /// Names of properties.
    names: u64,
}

impl Effort {
    /// Of `true` and `false`.
    const OF_BOOLEAN: Self = Self { steps: 1, nesting: 1, names: 0 };

    /// Of keywords, without the schemas that they hold or refer to.
    fn of(keywords: &Keywords) -> Self {
        Self { names: names(keywords) as u64, ..Self::OF_BOOLEAN }
    }

    fn add(&mut self, inner: Self) {
        self.steps = self.steps.saturating_add(inner.steps);
        self.nesting = self.nesting.max(inner.nesting + 1);
        self.names = self.names.saturating_add(inner.names);
    }
}

impl<'s> Count<'_, 's> {
    fn of(&mut self, schema: &'s Value, nesting: u32) -> Result<Effort, TooMuch> {
        let Value::Object(keywords) = schema else { return Ok(Effort::OF_BOOLEAN) };
        if let Some(known) = self.known.get(&std::ptr::from_ref(schema)) {
            // A circle that may be none is gone through once.
            return Ok(known.unwrap_or(Effort::OF_BOOLEAN));
        }
        if nesting > NESTING_MAX {
            return Err(TooMuch::Nesting);
        }
        self.known.insert(schema, None);
        self.counted.schemas.push(keywords);
        self.ahead.extend(below(keywords));
        let mut all = Effort::of(keywords);
        for edge in self.edges(keywords, &mut all)? {
            if let (Some(None), Some(reference)) = (self.known.get(&std::ptr::from_ref(edge.schema)), edge.reference) {
                return Err(TooMuch::Circle(reference.to_owned()));
            }
            all.add(self.of(edge.schema, nesting + 1)?);
        }
        self.bound(keywords, all)?;
        self.known.insert(schema, Some(all));
        Ok(all)
    }

    /// Whether what is asked because `keywords` are is within the limits, and what was counted before with it.
    fn bound(&mut self, keywords: &Keywords, all: Effort) -> Result<(), TooMuch> {
        self.counted.most_steps = self.counted.most_steps.max(all.steps);
        self.all_steps += all.steps;
        if keywords.contains_key("allOf") {
            self.names_squares = self.names_squares.saturating_add(all.names.saturating_mul(all.names));
            if all.names > NAMES_MAX || self.names_squares > NAMES_SQUARES_MAX {
                return Err(TooMuch::Names);
            }
        }
        match all {
            Effort { steps, .. } if steps > STEPS_MAX => Err(TooMuch::Steps),
            Effort { nesting, .. } if nesting > NESTING_MAX => Err(TooMuch::Nesting),
            _ if self.all_steps + self.places.looks() > ALL_STEPS_MAX => Err(TooMuch::AllSteps),
            _ => Ok(()),
        }
    }

    /// What `keywords` have asked; what is asked without one is added to `all`.
    fn edges(&self, keywords: &'s Keywords, all: &mut Effort) -> Result<Vec<Edge<'s>>, TooMuch> {
        let mut edges: Vec<Edge<'s>> = of_same_value(keywords).map(|schema| Edge { schema, reference: None }).collect();
        for reference in references(keywords) {
            let targets = self.places.of_reference(keywords, reference);
            // A schema of the tenant's own may have the name of one.
            let is_known = META_SCHEMAS.iter().any(|known| reference.text.starts_with(known));
            if is_known {
                all.steps += META_SCHEMA_STEPS;
            } else if targets.is_empty() {
                return Err(TooMuch::Nowhere(reference.text.to_owned()));
            }
            let only = (targets.len() == 1 && !is_known).then_some(reference.text);
            edges.extend(targets.into_iter().map(|schema| Edge { schema, reference: only }));
        }
        Ok(edges)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::chain;
    use super::*;

    fn check(schema: &Value) -> Result<(), TooMuch> {
        super::check(schema, &Places::of(schema)).map(drop)
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
            ("http://HOST", json!({"decoy": {"$id": "http://x/HOST"}, "a": with(json!({"$id": "http://host"}))})),
            ("#/$defs/~~1", json!({"~/": {}, "~~1": bomb})),
            (
                "r#/$defs/a",
                json!({"decoy": {"$id": "r", "$ref": "#/$defs/a", "$defs": {"a": {}}}, "r": {"$id": "r", "$defs": {"a": bomb}}}),
            ),
            (
                "decoy",
                json!({"decoy": {"$id": "decoy", "$ref": "#/$defs/a", "$defs": {"a": {}}}, "r": {"$id": "decoy", "$defs": {"a": bomb}}}),
            ),
        ] {
            assert_eq!(
                check(&json!({"items": {"$ref": reference}, "$defs": defs})),
                Err(TooMuch::Steps),
                "{reference}"
            );
        }
    }

    /// Whatever it says.
    #[test]
    fn a_recursive_reference_leads_to_its_resource() {
        let refused =
            json!({"items": {"$recursiveRef": "#/$defs/z"}, "allOf": vec![json!({}); 10_000], "$defs": {"z": {}}});
        assert_eq!(check(&refused), Err(TooMuch::Steps));
        assert!(matches!(
            check(&json!({"allOf": [{"$recursiveRef": "#/$defs/z"}], "$defs": {"z": {}}})),
            Err(TooMuch::Circle(_))
        ));
    }

    #[test]
    fn references_that_miss_are_counted() {
        let resources: Vec<Value> = (0..20_000).map(|nth| json!({"$id": format!("r{nth}")})).collect();
        let references = vec![json!({"$dynamicRef": "#/q"}); 2_000];
        assert_eq!(check(&json!({"q": {}, "prefixItems": references, "x": resources})), Err(TooMuch::AllSteps));
    }

    #[test]
    fn what_leads_nowhere_or_in_a_circle_is_refused() {
        for reference in ["#/nowhere", "#nowhere", "#/$defs/a/allOf/1", "x.json#/a"] {
            let schema = json!({"items": {"$ref": reference}, "$defs": {"a": {"allOf": [{}]}}});
            assert_eq!(check(&schema), Err(TooMuch::Nowhere(reference.to_owned())));
        }
        let circle = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}});
        assert!(matches!(check(&circle), Err(TooMuch::Circle(_))));
    }

    #[test]
    fn chains_for_one_value_are_short_and_down_into_values_as_long_as_they_like() {
        let along = |length: usize| chain(length, |next| json!({"$ref": next}));
        assert_eq!(check(&along(20)), Ok(()));
        assert_eq!(check(&along(40)), Err(TooMuch::Nesting));
        assert_eq!(check(&along(20_000)), Err(TooMuch::Nesting));
        assert_eq!(check(&chain(20_000, |next| json!({"properties": {"a": {"$ref": next}}}))), Ok(()));
    }
}
