//! Where the references of a schema may lead.

use std::collections::HashMap;

use serde_json::Value;

use super::keywords::{Keywords, elements, members};

/// Where references may lead.
pub(super) struct Places<'s> {
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
    pub(super) fn of(document: &'s Value) -> Self {
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

    /// How many resources the document is.
    pub(super) fn resources(&self) -> usize {
        self.roots.len() - usize::from(!self.document.as_object().is_some_and(is_resource))
    }

    /// All places that `reference` may mean: one, mostly; too many rather than too few where it cannot be said.
    pub(super) fn of_reference(&self, reference: &str) -> Vec<&'s Value> {
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

/// Whether a schema is a resource of its own: its id is no mere anchor.
pub(super) fn is_resource(schema: &Keywords) -> bool {
    let ids = ["$id", "id"].iter().filter_map(|name| schema.get(*name)?.as_str());
    ids.into_iter().any(|id| !id.starts_with('#'))
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
