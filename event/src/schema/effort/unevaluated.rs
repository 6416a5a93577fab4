//! What `unevaluatedItems` and `unevaluatedProperties` have to know of the schemas beside them.
//!
//! What those evaluate is found by compiling them anew, below the place of the keyword, and what they refer to as well: not once, as
//! everything else, but once for each way that leads there. This goes the same ways as the compiler, and stops where they are many.

use std::collections::HashSet;

use serde_json::Value;

use super::keywords::{Keywords, below, for_unevaluated, of_same_value, references};
use super::places::Places;
use super::{TooMuch, further};

/// Schemas that may be compiled anew, all in all. Each takes up to a kilobyte.
pub(super) const UNFOLDED_MAX: usize = 50_000;
/// Of those, each because of the one before it. The compiler's stack has them all.
pub(super) const CHAIN_MAX: usize = 100;

const UNEVALUATED: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];

/// Whether what `schemas` have to know can be found.
///
/// # Errors
/// [`TooMuch::Unfolded`]
pub(super) fn check<'s>(schemas: &[&'s Keywords], places: &Places<'s>) -> Result<(), TooMuch> {
    let mut unfolding =
        Unfolding { places, left: UNFOLDED_MAX, chain: 0, within: Vec::new(), compiled: HashSet::new() };
    schemas.iter().try_for_each(|schema| unfolding.keywords_of(schema, further(0, *schema)))
}

/// Where a schema is compiled: not only where it stands, but how it was come to.
type At = u64;

struct Unfolding<'p, 's> {
    places: &'p Places<'s>,
    left: usize,
    chain: usize,
    /// What is being unfolded, for which keyword: a circle ends there.
    within: Vec<(*const Keywords, &'static str)>,
    /// Is not compiled once more at the same place.
    compiled: HashSet<At>,
}

impl<'s> Unfolding<'_, 's> {
    /// Unfolds for what `schema` has of these keywords.
    fn keywords_of(&mut self, schema: &'s Keywords, at: At) -> Result<(), TooMuch> {
        let mut keywords = UNEVALUATED.iter().filter(|keyword| schema.contains_key(**keyword));
        keywords.try_for_each(|keyword| self.unfold(schema, at, keyword))
    }

    /// Finds what `schema` evaluates.
    fn unfold(&mut self, schema: &'s Keywords, at: At, keyword: &'static str) -> Result<(), TooMuch> {
        if self.within.contains(&(std::ptr::from_ref(schema), keyword)) {
            return Ok(());
        }
        self.within.push((schema, keyword));
        self.deeper(|this| {
            let mut inner = for_unevaluated(schema).filter_map(Value::as_object);
            inner.try_for_each(|schema| this.compile(schema, further(at, schema)))?;
            let mut beside = of_same_value(schema).filter_map(Value::as_object);
            beside.try_for_each(|schema| this.unfold(schema, further(at, schema), keyword))?;
            // What is referred to is unfolded as if it stood here.
            let targets = references(schema).flat_map(|reference| this.places.of_reference(schema, reference));
            let targets: Vec<_> = targets.filter_map(Value::as_object).collect();
            targets.into_iter().try_for_each(|schema| this.unfold(schema, at, keyword))
        })?;
        self.within.pop();
        Ok(())
    }

    /// Compiles `schema`. Its references are compiled once, and not here.
    fn compile(&mut self, schema: &'s Keywords, at: At) -> Result<(), TooMuch> {
        if !self.compiled.insert(at) {
            return Ok(());
        }
        self.deeper(|this| {
            let mut inner = of_same_value(schema).chain(below(schema)).filter_map(Value::as_object);
            inner.try_for_each(|schema| this.compile(schema, further(at, schema)))?;
            this.keywords_of(schema, at)
        })
    }

    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Result<(), TooMuch>) -> Result<(), TooMuch> {
        if self.left == 0 || self.chain == CHAIN_MAX {
            return Err(TooMuch::Unfolded);
        }
        self.left -= 1;
        self.chain += 1;
        inner(self)?;
        self.chain -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::super::tests::chain;
    use super::super::{TooMuch, check};
    use super::*;

    #[test]
    fn what_is_found_anew_time_and_again_is_refused_however_it_is_come_to() {
        let twice: [fn(String) -> Value; 4] = [
            |next| json!({"unevaluatedProperties": false, "$ref": next, "patternProperties": {"a": closed(&next), "b": closed(&next)}}),
            |next| json!({"patternProperties": {"a": closed(&next), "b": closed(&next)}}),
            |next| json!({"contains": {"unevaluatedItems": closed_items(&next), "$ref": next}}),
            |next| json!({"additionalProperties": {"unevaluatedProperties": closed(&next), "$ref": next}}),
        ];
        for leads in twice {
            let schema = |count: usize| json!({"unevaluatedItems": false, "unevaluatedProperties": false, "allOf": [chain(count, leads)], "$defs": chain(count, leads)["$defs"]});
            assert!(check(&schema(3)).is_ok(), "{}", leads("next".to_owned()));
            assert_eq!(check(&schema(20)), Err(TooMuch::Unfolded), "{}", leads("next".to_owned()));
        }
    }

    fn closed(next: &str) -> Value {
        json!({"unevaluatedProperties": false, "$ref": next})
    }

    fn closed_items(next: &str) -> Value {
        json!({"unevaluatedItems": false, "$ref": next})
    }

    #[test]
    fn what_goes_down_into_values_is_followed_once_for_each_way() {
        let down = |count: usize| chain(count, |next| json!({"additionalProperties": closed(&next)}));
        assert!(check(&down(10)).is_ok());
        let refused = {
            let mut schema = down(200);
            schema["unevaluatedProperties"] = json!(false);
            schema
        };
        assert_eq!(check(&refused), Err(TooMuch::Unfolded));
    }

    #[test]
    fn circles_end() {
        let tree = json!({"$defs": {"node": {"additionalProperties": {"$ref": "#/$defs/node", "unevaluatedProperties": false}}}, "$ref": "#/$defs/node"});
        assert!(check(&tree).is_ok());
        let all = |count: usize| {
            let others = |nth: usize| {
                (0..count)
                    .filter(move |other| *other != nth)
                    .map(|other| {
                        (
                            format!("{other}"),
                            json!({"$ref": format!("#/$defs/a{other}"), "unevaluatedProperties": false}),
                        )
                    })
                    .collect::<Map<_, _>>()
            };
            let schemas: Map<String, Value> =
                (0..count).map(|nth| (format!("a{nth}"), json!({"patternProperties": others(nth)}))).collect();
            json!({"$ref": "#/$defs/a0", "$defs": schemas})
        };
        assert!(check(&all(4)).is_ok());
        assert_eq!(check(&all(12)), Err(TooMuch::Unfolded));
    }

    #[test]
    fn names_of_properties_are_read_and_not_what_they_have() {
        let mut schema = json!({"type": "string"});
        for _ in 0..60 {
            schema = json!({"properties": {"a": schema, "b": {}}, "unevaluatedProperties": false});
        }
        assert!(check(&schema).is_ok());
    }
}
