//! By how many ways the resources of a schema are come to.
//!
//! What is referred to is compiled once. Where the schema holds resources with an `$id` of their own, it is compiled once for each *dynamic
//! scope*, the resources gone through on the way (JSON Schema Core 2020-12, 7.1), since a `$dynamicRef` may lead elsewhere in each: eight
//! resources that all refer to each other are come to in 13,700 ways.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde_json::Value;

use super::keywords::{Keywords, below, of_same_value, references};
use super::places::Places;
use super::{TooMuch, further};

/// Ways beyond the first one to each schema. The compiler takes a time of their square, where they lead to the same one.
pub(super) const WAYS_MAX: usize = 5_000;

/// A schema by its place in memory.
type Id = *const Keywords;

/// Whether the ways through `document` are few.
///
/// # Errors
/// [`TooMuch::Ways`]
pub(super) fn check<'s>(document: &'s Value, places: &Places<'s>) -> Result<(), TooMuch> {
    let Value::Object(root) = document else { return Ok(()) };
    if places.resources() < 2 {
        return Ok(());
    }
    Ways { places, edges: HashMap::new(), seen: HashSet::new(), known: HashSet::new() }.follow(root)
}

/// From a schema to one that it, or what is written into it, refers to.
#[derive(Clone, Copy)]
struct Edge<'s> {
    from: Id,
    target: &'s Keywords,
}

/// The resource that a schema is in.
fn resource(places: &Places<'_>, schema: &Keywords) -> Id {
    places.resource_of(schema).unwrap_or(schema)
}

/// The resources gone through, as one number.
type Scope = u64;

enum Step<'s> {
    Enter(&'s Keywords, Scope),
    Leave(Id),
}

struct Ways<'p, 's> {
    places: &'p Places<'s>,
    edges: HashMap<Id, Rc<[Edge<'s>]>>,
    seen: HashSet<(Id, Scope)>,
    known: HashSet<Id>,
}

impl<'s> Ways<'_, 's> {
    fn follow(&mut self, root: &'s Keywords) -> Result<(), TooMuch> {
        let (mut ahead, mut entered) = (vec![Step::Enter(root, 0)], HashSet::new());
        while let Some(step) = ahead.pop() {
            let (schema, scope) = match step {
                Step::Enter(schema, scope) => (schema, scope),
                Step::Leave(schema) => {
                    entered.remove(&schema);
                    continue;
                }
            };
            // A circle ends where it began.
            if entered.contains(&std::ptr::from_ref(schema)) || !self.seen.insert((schema, scope)) {
                continue;
            }
            self.known.insert(schema);
            if self.seen.len() - self.known.len() > WAYS_MAX {
                return Err(TooMuch::Ways);
            }
            entered.insert(std::ptr::from_ref(schema));
            ahead.push(Step::Leave(schema));
            for edge in self.edges(schema).iter() {
                let to = resource(self.places, edge.target);
                let scope = if to == edge.from { scope } else { further(further(scope, edge.from), to) };
                ahead.push(Step::Enter(edge.target, scope));
            }
        }
        Ok(())
    }

    fn edges(&mut self, schema: &'s Keywords) -> Rc<[Edge<'s>]> {
        let places = self.places;
        let edges = self.edges.entry(schema).or_insert_with(|| {
            let (mut found, mut ahead) = (Vec::new(), vec![schema]);
            while let Some(schema) = ahead.pop() {
                let from = resource(places, schema);
                let targets = references(schema).flat_map(|reference| places.of_reference(schema, reference));
                found.extend(targets.filter_map(Value::as_object).map(|target| Edge { from, target }));
                ahead.extend(of_same_value(schema).chain(below(schema)).filter_map(Value::as_object));
            }
            found.into()
        });
        Rc::clone(edges)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::super::{TooMuch, check};
    use super::*;

    /// Schemas with these names, each of which has properties of all those that it leads to.
    fn resources(names: &[String], leads: impl Fn(usize, usize) -> bool, id: fn(&str) -> String) -> Value {
        let properties = |nth: usize| -> Map<String, Value> {
            let others = names.iter().enumerate().filter(|(other, _)| leads(nth, *other));
            others.map(|(_, name)| (name.clone(), json!({"$ref": id(name)}))).collect()
        };
        let all: Map<String, Value> = (names.iter().enumerate())
            .map(|(nth, name)| (name.clone(), json!({"$id": id(name), "properties": properties(nth)})))
            .collect();
        json!({"$ref": id(&names[0]), "$defs": all})
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|nth| format!("m{nth}")).collect()
    }

    #[test]
    fn resources_that_all_refer_to_each_other_are_few() {
        let mutual =
            |count: usize| resources(&names(count), |one, other| one != other, |name| format!("http://x/{name}"));
        assert!(check(&mutual(7)).is_ok());
        assert_eq!(check(&mutual(9)), Err(TooMuch::Ways));
        // Two ways to each of the next two.
        let ladder = |count: usize| {
            resources(&names(count), |one, other| other / 2 == one / 2 + 1, |name| format!("http://x/{name}"))
        };
        assert!(check(&ladder(20)).is_ok());
        assert_eq!(check(&ladder(40)), Err(TooMuch::Ways));
    }

    #[test]
    fn many_may_share_one_and_refer_along() {
        let bundle = |count: usize| {
            resources(
                &names(count),
                |one, other| other == one + 1 || one > 10 && other <= 10,
                |name| format!("http://x/{name}"),
            )
        };
        assert!(check(&bundle(200)).is_ok());
    }

    #[test]
    fn within_one_resource_there_is_one_way() {
        let mut one = resources(&names(40), |one, other| one != other, |name| format!("#/$defs/{name}"));
        assert!(check(&one).is_ok());
        one["$id"] = json!("http://x/one");
        assert!(check(&one).is_ok());
    }
}
