//! What is made to ask no more branches of `anyOf` and `oneOf` than can be valid.
//!
//! Branches that each require one of a property's values are told apart by it: the compiler looks in each of them for each name,
//! and keeps for each value the branches that may have it.

use serde_json::Value;

use super::TooMuch;
use super::keywords::{Keywords, elements, names};

/// Branches times names and values that they may be told apart by; it is about as many numbers in memory.
pub(super) const CHOICES_MAX: usize = 10_000_000;
/// Fewer are asked one after the other.
const BRANCHES_MIN: usize = 3;

/// Whether the branches in `schemas` can be told apart.
///
/// # Errors
/// [`TooMuch::Choices`]
pub(super) fn check(schemas: &[&Keywords]) -> Result<(), TooMuch> {
    let branches: usize = schemas.iter().map(|schema| branches(schema)).sum();
    let by: usize = schemas.iter().map(|schema| names_and_values(schema)).sum();
    // Where there are branches that must not have a value, each is looked for among them.
    let not = schemas.iter().filter(|schema| schema.contains_key("not")).count();
    let seldom = not.saturating_sub(100).max(1);
    if branches.saturating_mul(by).saturating_mul(seldom) > CHOICES_MAX { Err(TooMuch::Choices) } else { Ok(()) }
}

fn branches(schema: &Keywords) -> usize {
    let lists = ["anyOf", "oneOf"].iter().filter_map(|name| schema.get(*name));
    let lists = lists.filter(|list| elements(list).count() >= BRANCHES_MIN);
    lists.flat_map(elements).filter(|branch| is_looked_into(branch)).count()
}

/// Whether a branch may have names: `{"type": "null"}` has none.
fn is_looked_into(branch: &Value) -> bool {
    ["$ref", "allOf", "properties", "required"].iter().any(|keyword| branch.get(*keyword).is_some())
}

fn names_and_values(schema: &Keywords) -> usize {
    let values = schema.get("enum").and_then(Value::as_array).map_or(0, Vec::len);
    names(schema) + values + usize::from(schema.contains_key("const"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_one(schema: &Value) -> Result<(), TooMuch> {
        let mut schemas = vec![schema.as_object().unwrap()];
        schemas.extend(elements(&schema["oneOf"]).filter_map(Value::as_object));
        check(&schemas)
    }

    #[test]
    fn many_branches_with_many_values_are_refused() {
        let union = |branches: usize, values: usize| {
            let values: Vec<usize> = (0..values).collect();
            let mut all = vec![json!({"properties": {"a": {"const": 1}}}); branches];
            all[0] = json!({"enum": values});
            json!({"oneOf": all})
        };
        assert_eq!(check_one(&union(900, 9_000)), Ok(()));
        assert_eq!(check_one(&union(3_000, 9_000)), Err(TooMuch::Choices));
        assert_eq!(check_one(&union(2, 1_000_000)), Ok(()));
        let nullable = json!({"oneOf": vec![json!({"type": "null"}); 5_000], "enum": (0..9_000).collect::<Vec<_>>()});
        assert_eq!(check_one(&nullable), Ok(()));
    }

    #[test]
    fn branches_that_must_not_have_many_values_are_fewer() {
        let mut all = vec![json!({"required": [], "not": {"enum": []}}); 1_000];
        assert_eq!(check_one(&json!({"oneOf": all})), Ok(()));
        all.push(json!({"enum": (0..100).collect::<Vec<_>>()}));
        assert_eq!(check_one(&json!({"oneOf": all})), Err(TooMuch::Choices));
    }
}
