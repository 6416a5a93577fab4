//! Subjects, versions and ids: `_schemas`, folded as Confluent's Schema Registry folds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jobico_event::snapshot::Unreadable;
use jobico_event::{Digest, name};
use serde_json::Value;

use crate::record::{self, DeleteSubject, Key, Level};

/// The type of JSON Schemas.
pub const JSON: &str = "JSON";
/// The type of a schema that names none.
pub const AVRO: &str = "AVRO";

/// The last id and the last version: Confluent's are signed 32-bit numbers.
pub const NUMBER_MAX: u32 = i32::MAX.cast_unsigned();

/// What an id stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// Its text.
    pub schema: String,
    /// `JSON`, `PROTOBUF`; none = `AVRO`.
    pub schema_type: Option<String>,
    /// Other schemas that it refers to.
    pub references: Option<Value>,
    /// See [`record::Version::metadata`].
    pub metadata: Option<Value>,
    /// See [`record::Version::rule_set`].
    pub rule_set: Option<Value>,
}

/// A version of a subject.
#[derive(Debug, Clone)]
pub struct Version {
    /// From 1.
    pub version: u32,
    /// The schema's id.
    pub id: u32,
    /// Whether it is (softly) deleted: its id still means what it meant, its subject has it no more.
    pub deleted: bool,
    /// The schema.
    pub text: Arc<Text>,
    /// See [`Text::identity`].
    pub identity: Digest,
}

/// All subjects. Those of named contexts can be read; their ids are of their own numbering and stay out of the ids here.
#[derive(Debug, Default)]
pub struct Schemas {
    subjects: BTreeMap<String, BTreeMap<u32, Version>>,
    ids: HashMap<u32, Id>,
    identities: HashMap<Digest, u32>,
    id_last: u32,
    level: Option<String>,
}

#[derive(Debug)]
struct Id {
    text: Arc<Text>,
    places: BTreeSet<(String, u32)>,
}

impl Text {
    /// A JSON Schema, in its canonical form.
    #[must_use]
    pub fn json(text: &str) -> Self {
        let schema_type = Some(JSON.to_owned());
        Self { schema: canonical(text), schema_type, references: None, metadata: None, rule_set: None }
    }

    /// `JSON`, `AVRO`, `PROTOBUF`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.schema_type.as_deref().unwrap_or(AVRO)
    }

    /// Two texts of one identity share their id: same type, same text but for blanks, same references.
    #[must_use]
    pub fn identity(&self) -> Digest {
        let refers =
            |value: &&Value| !matches!(value, Value::Null) && value.as_array().is_none_or(|list| !list.is_empty());
        let references = self.references.as_ref().filter(refers).map(Value::to_string).unwrap_or_default();
        Digest::of(format!("{}\0{}\0{references}", self.kind(), canonical(&self.schema)).as_bytes())
    }
}

/// A schema's text without blanks between its parts, as Confluent's registry writes it; a text that is no JSON (Protobuf)
/// as it is. Members stay in their order: another order is another schema.
#[must_use]
pub fn canonical(text: &str) -> String {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return text.to_owned();
    }
    let (mut compact, mut in_string, mut escaped) = (String::with_capacity(text.len()), false, false);
    for found in text.chars() {
        if !in_string && matches!(found, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        // A quote ends a string unless the backslash before it is not itself escaped.
        in_string ^= found == '"' && !escaped;
        escaped = in_string && found == '\\' && !escaped;
        compact.push(found);
    }
    compact
}

/// The number after `last`.
fn next(last: u32) -> Option<u32> {
    last.checked_add(1).filter(|number| *number <= NUMBER_MAX)
}

impl Schemas {
    /// Takes in a record of `_schemas`.
    ///
    /// # Errors
    /// [`Unreadable`] where it is not of Confluent's format.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Unreadable> {
        let unreadable = |error: serde_json::Error| Unreadable {
            topic: name::SCHEMAS,
            key: String::from_utf8_lossy(key).into_owned(),
            reason: error.to_string(),
        };
        match (serde_json::from_slice(key).map_err(unreadable)?, value) {
            (Key::Schema { subject, version }, None) => self.remove(&subject, version),
            (Key::Schema { subject, version }, Some(value)) => {
                let value: record::Version = serde_json::from_slice(value).map_err(unreadable)?;
                self.insert(subject, version, value);
            }
            (Key::DeleteSubject { subject }, Some(value)) => {
                let last = serde_json::from_slice::<DeleteSubject>(value).map_err(unreadable)?.version;
                if let Some(versions) = self.subjects.get_mut(&subject) {
                    versions.range_mut(..=last).for_each(|(_, version)| version.deleted = true);
                }
            }
            (Key::Config { subject: None }, value) => {
                let level = value.map(serde_json::from_slice::<Level>).transpose().map_err(unreadable)?;
                self.level = level.and_then(|level| level.compatibility_level);
            }
            (Key::Config { subject: Some(_) } | Key::DeleteSubject { .. } | Key::Noop | Key::Other, _) => {}
        }
        Ok(())
    }

    fn insert(&mut self, subject: String, version: u32, value: record::Version) {
        let text = Text {
            schema: value.schema,
            schema_type: value.schema_type.filter(|kind| kind != AVRO),
            references: value.references,
            metadata: value.metadata,
            rule_set: value.rule_set,
        };
        let identity = text.identity();
        let mut text = Arc::new(text);
        if !subject.starts_with(name::SUBJECT_CONTEXT) {
            self.id_last = self.id_last.max(value.id);
            let id = self.ids.entry(value.id).or_insert_with(|| Id { text: text.clone(), places: BTreeSet::new() });
            id.places.insert((subject.clone(), version));
            if *id.text == *text {
                text = id.text.clone();
            }
            self.identities.entry(identity).or_insert(value.id);
        }
        let version = Version { version, id: value.id, deleted: value.deleted, text, identity };
        self.subjects.entry(subject).or_default().insert(version.version, version);
    }

    fn remove(&mut self, subject: &str, version: u32) {
        let Some(versions) = self.subjects.get_mut(subject) else { return };
        let Some(removed) = versions.remove(&version) else { return };
        if versions.is_empty() {
            self.subjects.remove(subject);
        }
        let Some(id) = self.ids.get_mut(&removed.id) else { return };
        id.places.remove(&(subject.to_owned(), version));
        if id.places.is_empty() {
            self.ids.remove(&removed.id);
            self.identities.retain(|_, id| *id != removed.id);
        }
    }

    /// Whether a subject has a version that is not deleted.
    #[must_use]
    pub fn has(&self, subject: &str) -> bool {
        self.versions(subject).next().is_some()
    }

    /// The subjects that begin with `prefix`, in order, each with whether it has a version that is not deleted.
    pub fn subjects(&self, prefix: &str) -> impl Iterator<Item = (&str, bool)> {
        self.subjects
            .range(prefix.to_owned()..)
            .take_while(move |(subject, _)| subject.starts_with(prefix))
            .map(|(subject, versions)| (subject.as_str(), versions.values().any(|version| !version.deleted)))
    }

    /// A subject's versions that are not deleted, oldest first.
    pub fn versions(&self, subject: &str) -> impl DoubleEndedIterator<Item = &Version> {
        self.all_versions(subject).filter(|version| !version.deleted)
    }

    /// A subject's versions, deleted ones too.
    pub fn all_versions(&self, subject: &str) -> impl DoubleEndedIterator<Item = &Version> {
        self.subjects.get(subject).into_iter().flat_map(|versions| versions.values())
    }

    /// The newest version that is not deleted.
    #[must_use]
    pub fn latest(&self, subject: &str) -> Option<&Version> {
        self.versions(subject).next_back()
    }

    /// The newest version with this text that is not deleted.
    #[must_use]
    pub fn find(&self, subject: &str, text: &Text) -> Option<&Version> {
        let identity = text.identity();
        self.versions(subject).rev().find(|version| version.identity == identity)
    }

    /// What an id stands for.
    #[must_use]
    pub fn by_id(&self, id: u32) -> Option<&Arc<Text>> {
        self.ids.get(&id).map(|id| &id.text)
    }

    /// Subjects and versions that an id has, deleted ones left out.
    pub fn places(&self, id: u32) -> impl Iterator<Item = (&str, u32)> {
        let places = self.ids.get(&id).into_iter().flat_map(|id| &id.places);
        places.map(|(subject, version)| (subject.as_str(), *version)).filter(|(subject, version)| {
            self.subjects.get(*subject).and_then(|all| all.get(version)).is_some_and(|version| !version.deleted)
        })
    }

    /// The id that a new version with this text gets: that of the same text elsewhere, else the next; none where ids are
    /// used up.
    #[must_use]
    pub fn id_for(&self, text: &Text) -> Option<u32> {
        self.identities.get(&text.identity()).copied().or_else(|| next(self.id_last))
    }

    /// The version that comes next in a subject. Deleted ones are not given again. None where versions are used up.
    #[must_use]
    pub fn version_next(&self, subject: &str) -> Option<u32> {
        next(self.all_versions(subject).next_back().map_or(0, |last| last.version))
    }

    /// The global compatibility level that the topic names. Jobico does not enforce it yet.
    #[must_use]
    pub fn level(&self) -> Option<&str> {
        self.level.as_deref()
    }

    /// How many ids there are.
    #[must_use]
    pub fn ids_count(&self) -> usize {
        self.ids.len()
    }
}
