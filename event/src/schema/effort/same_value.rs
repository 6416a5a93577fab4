//! How often schemas are asked of one and the same value.
//!
//! Forty short schemas, each of which refers to the next one twice, have a validator look at a single number 2⁴⁰ times: one tenant's
//! schema would hold a worker for ever, and with it all other tenants.

use std::collections::HashMap;

use serde_json::Value;

use super::TooMuch;
use super::keywords::{Keywords, below, of_same_value, references};
use super::places::Places;

/// Schemas that may be asked of one value, because one is asked.
pub(super) const STEPS_MAX: u64 = 10_000;
/// The sum of it over all schemas.
pub(super) const ALL_STEPS_MAX: u64 = 2_000_000;
/// Of those of one value, each because of the one before it. The validator's stack has them all, for each level of an event
/// ([`crate::schema::JSON_DEPTH_MAX`]).
pub(super) const NESTING_MAX: u32 = 32;
/// Schemas that every validator knows.
const META_SCHEMAS: [&str; 2] = ["http://json-schema.org/", "https://json-schema.org/"];

/// Counts, and gives all schemas that may be asked of anything.
///
/// # Errors
/// They ask too often, or it cannot be said how often.
pub(super) fn check<'s>(schema: &'s Value, places: &Places<'s>) -> Result<Vec<&'s Keywords>, TooMuch> {
    let mut count = Count { places, known: HashMap::new(), ahead: vec![schema], found: Vec::new(), steps: 0 };
    while let Some(schema) = count.ahead.pop() {
        count.of(schema, 1)?;
    }
    Ok(count.found)
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
    found: Vec<&'s Keywords>,
    /// Of all that were counted.
    steps: u64,
}

/// What is asked because one schema is.
#[derive(Clone, Copy)]
struct Effort {
    steps: u64,
    nesting: u32,
}

impl<'s> Count<'_, 's> {
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
        self.found.push(keywords);
        self.ahead.extend(below(keywords));
        let mut all = ONE;
        for edge in self.edges(keywords)? {
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
        self.steps += all.steps;
        if self.steps > ALL_STEPS_MAX {
            return Err(TooMuch::AllSteps);
        }
        self.known.insert(schema, Some(all));
        Ok(all)
    }

    fn edges(&self, keywords: &'s Keywords) -> Result<Vec<Edge<'s>>, TooMuch> {
        let mut edges: Vec<Edge<'s>> = of_same_value(keywords).map(|schema| Edge { schema, reference: None }).collect();
        for (reference, leads_there) in references(keywords) {
            let targets = self.places.of_reference(reference);
            if targets.is_empty() && !META_SCHEMAS.iter().any(|known| reference.starts_with(known)) {
                return Err(TooMuch::Nowhere(reference.to_owned()));
            }
            let reference = (leads_there && targets.len() == 1).then_some(reference);
            edges.extend(targets.into_iter().map(|schema| Edge { schema, reference }));
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
    fn chains_for_one_value_are_short_and_down_into_values_as_long_as_they_like() {
        let along = |length: usize| chain(length, |next| json!({"$ref": next}));
        assert_eq!(check(&along(20)), Ok(()));
        assert_eq!(check(&along(40)), Err(TooMuch::Nesting));
        assert_eq!(check(&along(20_000)), Err(TooMuch::Nesting));
        assert_eq!(check(&chain(20_000, |next| json!({"properties": {"a": {"$ref": next}}}))), Ok(()));
    }
}
