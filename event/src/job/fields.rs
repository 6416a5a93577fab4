//! Takes a mapping apart by the keys that it may have, noting what is wrong and going on.

use std::collections::HashSet;
use std::rc::Rc;

use super::yaml::{Mark, Node, Value};
use super::{FAULTS_MAX, Fault, Place};

/// The faults found so far.
#[derive(Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub fn at(&mut self, place: &Place, message: impl Into<String>) {
        let Place { line, column, path } = place.clone();
        self.0.push(Fault { line, column, path, message: message.into() });
    }

    /// In the order of their places, at most [`FAULTS_MAX`]: the last then says how many there are besides.
    pub fn into_sorted(self) -> Vec<Fault> {
        let mut faults = self.0;
        // Stable: of two at one place, that found first comes first.
        faults.sort_by_key(|fault| (fault.line, fault.column));
        // Every use of an alias finds again what is wrong with it, under another path.
        let mut seen = HashSet::new();
        faults.retain(|fault| seen.insert((fault.line, fault.column, fault.message.clone())));
        if faults.len() > FAULTS_MAX {
            let more = faults.len() - (FAULTS_MAX - 1);
            faults.truncate(FAULTS_MAX);
            if let Some(last) = faults.last_mut() {
                last.path = String::new();
                last.message = format!("from here on there are {more} more faults");
            }
        }
        faults
    }
}

/// A key in the two spellings of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub lower: &'static str,
    pub camel: &'static str,
}

/// A key's name in its two spellings.
pub const fn key(lower: &'static str, camel: &'static str) -> Key {
    Key { lower, camel }
}

/// Something read, and where it stands.
#[derive(Debug, Clone)]
pub struct Placed<T> {
    pub value: T,
    pub place: Place,
}

pub fn place(mark: Mark, path: String) -> Place {
    Place { line: mark.line, column: mark.column, path }
}

/// A mapping, taken apart.
pub struct Fields<'n, 'a> {
    /// Where it stands.
    pub place: Place,
    entries: Vec<(Key, &'n str, &'n Rc<Node<'a>>)>,
    /// Whether its camelCase is what a missing key is called by.
    camel: bool,
}

impl<'n, 'a> Fields<'n, 'a> {
    /// Takes apart what should be a mapping with `known` keys. None where it is no mapping.
    pub fn open(node: &'n Node<'a>, path: String, known: &[Key], camel: bool, faults: &mut Faults) -> Option<Self> {
        let place = place(node.mark, path);
        let Value::Map(map) = &node.value else {
            faults.at(&place, format!("{} is here, and it must be a mapping of keys to values", describe(node)));
            return None;
        };
        let mut fields = Self { place, entries: Vec::new(), camel };
        let mut first: Vec<(Key, Mark)> = Vec::new();
        for (key_node, value) in map {
            let Value::Text(name) = &key_node.value else {
                let place = fields.child_at(key_node.mark, None);
                faults.at(&place, format!("a key must be a text, and this is {}", describe(key_node)));
                continue;
            };
            let Some(key) = known.iter().find(|key| key.lower == name || key.camel == name) else {
                let place = fields.child_at(key_node.mark, Some(name));
                faults.at(&place, unknown(name, known, camel));
                continue;
            };
            if let Some((_, mark)) = first.iter().find(|(earlier, _)| earlier == key) {
                let place = fields.child_at(key_node.mark, Some(name));
                faults.at(
                    &place,
                    format!("the key '{name}' stands here a second time; the first is on line {}", mark.line),
                );
                continue;
            }
            first.push((*key, key_node.mark));
            fields.entries.push((*key, name, value));
        }
        Some(fields)
    }

    fn child_at(&self, mark: Mark, name: Option<&str>) -> Place {
        place(mark, join(&self.place.path, name.unwrap_or_default()))
    }

    /// The value of a key and its path; none where the key is absent or null.
    pub fn get(&self, key: Key) -> Option<(&'n Node<'a>, Place)> {
        let (_, name, node) = self.entries.iter().find(|(found, ..)| *found == key)?;
        match node.value {
            Value::Null => None,
            Value::Text(_) | Value::List(_) | Value::Map(_) => {
                Some((node, place(node.mark, join(&self.place.path, name))))
            }
        }
    }

    /// As [`Self::get`], and notes a key that is absent or null.
    pub fn required(&self, key: Key, faults: &mut Faults) -> Option<(&'n Node<'a>, Place)> {
        let found = self.get(key);
        if found.is_none() {
            match self.entries.iter().find(|(found, ..)| *found == key) {
                Some((_, name, node)) => {
                    faults.at(&self.child_at(node.mark, Some(name)), "it has no value, and one is required");
                }
                None => {
                    let name = if self.camel { key.camel } else { key.lower };
                    let place = Place { path: join(&self.place.path, name), ..self.place.clone() };
                    faults.at(&place, format!("the key '{name}' is missing here"));
                }
            }
        }
        found
    }
}

/// `path.name`.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() || name.is_empty() { format!("{path}{name}") } else { format!("{path}.{name}") }
}

/// What a value is, for people.
pub fn describe(node: &Node<'_>) -> &'static str {
    match node.value {
        Value::Null => "nothing",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}

fn unknown(name: &str, known: &[Key], camel: bool) -> String {
    if name == "<<" {
        return "merge keys (<<) are not part of YAML 1.2; write the keys out, or use an alias for a whole value"
            .to_owned();
    }
    let spell = |key: &Key| if camel { key.camel } else { key.lower };
    let nearest = known
        .iter()
        .map(|key| (distance(&name.to_lowercase(), key.lower), key))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, key)| *distance <= 1 + key.lower.len() / 4);
    match nearest {
        Some((_, key)) => format!("there is no key '{name}'; is '{}' meant?", spell(key)),
        None => {
            let names: Vec<&str> = known.iter().map(spell).collect();
            format!("there is no key '{name}'; known here are {}", names.join(", "))
        }
    }
}

/// How many letters must be added, dropped, changed or swapped with their neighbour to make `a` into `b`
/// (optimal string alignment).
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
