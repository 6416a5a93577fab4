//! Where the references of a schema may lead.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::Value;

use super::keywords::{Keywords, Reference, elements, ids, members};

/// Where references may lead.
pub(super) struct Places<'s> {
    document: &'s Value,
    /// What has an id of its own, by the id's last part.
    by_id: HashMap<String, Vec<&'s Value>>,
    /// All of them, and the document.
    roots: Vec<&'s Value>,
    /// Of each object, the innermost of them that it is written into, or is.
    within: HashMap<*const Keywords, usize>,
    /// Of each of them, by its place in `roots`, the one that it is written into. The document is its own.
    parents: Vec<usize>,
    /// Whether an id is written so that another text may be the same.
    has_odd_ids: bool,
    anchors: HashMap<&'s str, Vec<&'s Value>>,
    /// How many places were looked at.
    looks: Cell<u64>,
}

impl<'s> Places<'s> {
    pub(super) fn of(document: &'s Value) -> Self {
        let mut places = Self {
            document,
            by_id: HashMap::new(),
            roots: vec![document],
            within: HashMap::new(),
            parents: vec![0],
            has_odd_ids: false,
            anchors: HashMap::new(),
            looks: Cell::new(0),
        };
        places.collect(document, 0);
        places
    }

    /// Collects what is in a value, which is written into the root `parent`.
    fn collect(&mut self, value: &'s Value, parent: usize) {
        let roots = self.roots.len();
        for name in ["$anchor", "$dynamicAnchor", "$id", "id"] {
            let Some(text) = value.get(name).and_then(Value::as_str) else { continue };
            match text.split_once('#') {
                Some(("", anchor)) => self.anchors.entry(anchor).or_default().push(value),
                _ if name.ends_with("id") => self.add_id(text.trim_end_matches('#'), value),
                _ => self.anchors.entry(text).or_default().push(value),
            }
        }
        let within = if self.roots.len() > roots { roots } else { parent };
        self.parents.resize(self.roots.len(), parent);
        if let Value::Object(keywords) = value {
            self.within.insert(keywords, within);
        }
        elements(value).chain(members(value)).for_each(|value| self.collect(value, within));
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

    /// The resource that an object of the document is in, or is.
    pub(super) fn resource_of(&self, object: &Keywords) -> Option<&'s Keywords> {
        self.roots[*self.within.get(&std::ptr::from_ref(object))?].as_object()
    }

    /// All places that a reference of `schema` may mean: one, mostly; too many rather than too few where it cannot be said.
    pub(super) fn of_reference(&self, schema: &Keywords, reference: Reference<'_>) -> Vec<&'s Value> {
        let (uri, fragment) = reference.text.split_once('#').unwrap_or((reference.text, ""));
        let own;
        let roots = if uri.is_empty() && reference.is_fixed {
            own = self.roots_around(schema);
            own.as_slice()
        } else if uri.is_empty() || is_odd(uri) || self.has_odd_ids {
            self.roots.as_slice()
        } else {
            self.of_id(uri)
        };
        self.looks.set(self.looks.get() + roots.len() as u64);
        match fragment {
            "" => roots.to_vec(),
            pointer if pointer.starts_with('/') => {
                let pointer = decoded(pointer);
                roots.iter().filter_map(|root| at(root, &pointer)).collect()
            }
            anchor => self.anchors.get(anchor).cloned().unwrap_or_default(),
        }
    }

    /// How many places were looked at so far, for all references.
    pub(super) fn looks(&self) -> u64 {
        self.looks.get()
    }

    /// All that may have this id: whose ids have the same last part.
    fn of_id(&self, id: &str) -> &[&'s Value] {
        self.by_id.get(&last_part(id)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The roots that a schema is written into, and others that may have the id of one. Which of them is its resource depends on
    /// the draft, which reads `id` or `$id`; of two with one id the library knows the last.
    fn roots_around(&self, schema: &Keywords) -> Vec<&'s Value> {
        let mut roots = Vec::new();
        let mut at = self.within.get(&std::ptr::from_ref(schema)).copied().unwrap_or_default();
        loop {
            let root = self.roots[at];
            roots.push(root);
            let ids = root.as_object().into_iter().flat_map(ids);
            let others = ids.flat_map(|id| self.of_id(id.trim_end_matches('#')));
            roots.extend(others.filter(|other| !std::ptr::eq(**other, root)));
            if at == 0 {
                return roots;
            }
            at = self.parents[at];
        }
    }
}

/// Whether a schema is a resource of its own: its id is no mere anchor.
fn is_resource(schema: &Keywords) -> bool {
    ids(schema).any(|id| !id.starts_with('#'))
}

/// Whether a URI may be the same as another text, or one of which the last part says little (RFC 3986, 5.2, 6.2.2).
fn is_odd(uri: &str) -> bool {
    uri.contains(['%', '?']) || uri.ends_with('/') || uri.split('/').any(|part| matches!(part, "." | ".."))
}

/// In lower case, as it may be a host.
fn last_part(uri: &str) -> String {
    uri.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}

/// What a JSON pointer leads to, as the library reads it: an index may have zeros in front, and `~` stands for itself where
/// RFC 6901 does not say what it is.
fn at<'s>(root: &'s Value, pointer: &str) -> Option<&'s Value> {
    pointer.split('/').skip(1).try_fold(root, |value, segment| match value {
        Value::Object(members) => members.get(&unescaped(segment)),
        Value::Array(elements) => elements.get(segment.parse::<usize>().ok()?),
        _ => None,
    })
}

fn unescaped(segment: &str) -> String {
    let (mut name, mut rest) = (String::with_capacity(segment.len()), segment.chars());
    while let Some(one) = rest.next() {
        match (one, if one == '~' { rest.next() } else { None }) {
            ('~', Some('0')) => name.push('~'),
            ('~', Some('1')) => name.push('/'),
            (one, other) => name.extend([one].into_iter().chain(other)),
        }
    }
    name
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
