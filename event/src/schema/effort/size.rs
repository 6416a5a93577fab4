//! How large a schema is for what its compiler keeps of it and does with it.
//!
//! The compiler keeps the whole path of each schema, and the URI of the resource that it is in: thousands of schemas below a name of
//! 500 kB take all memory. Lists that may name nothing twice are compared by it, where they are of lists, each with each.

use serde_json::Value;

use super::TooMuch;
use super::keywords::{Keywords, elements, ids, members};

/// Bytes of the paths of all that is written into a schema, and of URIs beside them.
pub(super) const PATHS_BYTES_MAX: usize = 64 << 20;
/// Arrays and objects in a list that may name nothing twice.
pub(super) const CONTAINERS_MAX: usize = 20_000;
/// Keywords with such lists, and of such lists by name, in some of the drafts.
const UNIQUE: [&str; 3] = ["enum", "required", "type"];
const UNIQUE_MAPS: [&str; 2] = ["dependencies", "dependentRequired"];

/// Whether `schema` is small enough.
///
/// # Errors
/// [`TooMuch::Paths`], [`TooMuch::Containers`]
pub(super) fn check(schema: &Value) -> Result<(), TooMuch> {
    let mut size = Size { uri: longest_id(schema), paths: 0 };
    size.add(schema, 0)
}

struct Size {
    /// Bytes of the longest id.
    uri: usize,
    paths: usize,
}

impl Size {
    /// Adds a value whose path has so many bytes.
    fn add(&mut self, value: &Value, path: usize) -> Result<(), TooMuch> {
        self.paths = self.paths.saturating_add(path + self.uri);
        if self.paths > PATHS_BYTES_MAX {
            return Err(TooMuch::Paths);
        }
        match value {
            Value::Array(elements) => {
                elements.iter().enumerate().try_for_each(|(nth, element)| self.add(element, path + 1 + digits(nth)))
            }
            Value::Object(keywords) if unique_lists(keywords).any(|list| containers(list) > CONTAINERS_MAX) => {
                Err(TooMuch::Containers)
            }
            Value::Object(members) => {
                members.iter().try_for_each(|(name, value)| self.add(value, path + 1 + name.len()))
            }
            _ => Ok(()),
        }
    }
}

fn unique_lists(keywords: &Keywords) -> impl Iterator<Item = &Value> {
    let of = |name: &&str| keywords.get(*name);
    UNIQUE.iter().filter_map(of).chain(UNIQUE_MAPS.iter().filter_map(of).flat_map(members))
}

fn containers(list: &Value) -> usize {
    elements(list).filter(|element| element.is_array() || element.is_object()).count()
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn longest_id(value: &Value) -> usize {
    let own = value.as_object().into_iter().flat_map(ids).map(str::len);
    let inner = elements(value).chain(members(value)).map(longest_id);
    own.chain(inner).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn many_schemas_below_a_long_name_or_in_a_resource_with_a_long_id_are_refused() {
        let many: Map<String, Value> = (0..1_000).map(|nth| (format!("p{nth}"), json!({"type": "string"}))).collect();
        let below = |bytes: usize| json!({"properties": {"x".repeat(bytes): {"properties": many}}});
        assert_eq!(check(&below(1_000)), Ok(()));
        assert_eq!(check(&below(100_000)), Err(TooMuch::Paths));
        let within = |bytes: usize| json!({"$id": format!("http://x/{}", "x".repeat(bytes)), "properties": many});
        assert_eq!(check(&within(1_000)), Ok(()));
        assert_eq!(check(&within(100_000)), Err(TooMuch::Paths));
    }

    #[test]
    fn lists_of_lists_are_short_and_of_anything_else_as_long_as_they_like() {
        assert_eq!(check(&json!({"enum": vec![json!([]); CONTAINERS_MAX]})), Ok(()));
        assert_eq!(check(&json!({"enum": vec![json!([]); CONTAINERS_MAX + 1]})), Err(TooMuch::Containers));
        assert_eq!(
            check(&json!({"dependencies": {"a": vec![json!({}); CONTAINERS_MAX + 1]}})),
            Err(TooMuch::Containers)
        );
        assert_eq!(check(&json!({"anyOf": vec![json!({}); CONTAINERS_MAX + 1]})), Ok(()));
        assert_eq!(check(&json!({"enum": (0..50_000).collect::<Vec<_>>()})), Ok(()));
    }
}
