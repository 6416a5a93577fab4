//! A schema for a subject.

use jobico_event::{FileName, TenantId};

use super::{Answer, Decision, Record, Refusal, RegisterSchema, Repeats, tenant};
use crate::record;
use crate::state::{JSON, State, Text, Version};

pub(super) fn register(state: &State, register: &RegisterSchema, now: &str) -> Result<Decision, Refusal> {
    let subject = &register.subject;
    let target = state.resolve_subject(subject);
    if let Some(there) = registered(state, target, register) {
        return Ok(Decision { records: Vec::new(), answer: answer(target, there.version, there.id, false) });
    }
    if target != subject {
        return Err(Refusal::Alias { alias: subject.clone(), subject: target.to_owned() });
    }
    check(register)?;
    let (tenant, _) = parts(subject)?;
    let id = state.schemas.id_for(&register.text).ok_or(Refusal::UsedUp("schema ids"))?;
    let version = state.schemas.version_next(subject).ok_or(Refusal::UsedUp("versions of this subject"))?;
    let Text { schema, schema_type, references, metadata, rule_set } = register.text.clone();
    let record = record::Version {
        subject: subject.clone(),
        version,
        id,
        schema_type,
        references,
        metadata,
        rule_set,
        schema,
        deleted: false,
    };
    let mut records = tenant::make_where_new(state, &tenant, now);
    records.push(Record::schema(&record));
    Ok(Decision { records, answer: answer(subject, version, id, true) })
}

/// The version that makes it no new one.
fn registered<'a>(state: &'a State, subject: &str, register: &RegisterSchema) -> Option<&'a Version> {
    match register.repeats {
        Repeats::Any => state.schemas.find(subject, &register.text),
        Repeats::Newest => state.schemas.latest(subject).filter(|newest| newest.identity == register.text.identity()),
    }
}

/// What no subject takes.
fn check(register: &RegisterSchema) -> Result<(), Refusal> {
    let refers = |list: &serde_json::Value| list.as_array().is_none_or(|list| !list.is_empty());
    if register.text.kind() != JSON {
        return Err(Refusal::SchemaKind(register.text.kind().to_owned()));
    }
    if register.text.references.as_ref().is_some_and(refers) {
        return Err(Refusal::References);
    }
    if register.faults.is_empty() { Ok(()) } else { Err(Refusal::Schema(register.faults.clone())) }
}

/// The tenant and the name of which a subject is made.
fn parts(subject: &str) -> Result<(TenantId, FileName), Refusal> {
    let refused = |reason: String| Refusal::Subject { subject: subject.to_owned(), reason };
    let (tenant, name) = subject.split_once('.').ok_or_else(|| refused("it has no dot".to_owned()))?;
    let tenant = TenantId::new(tenant).map_err(|error| refused(format!("the tenant '{tenant}': {error}")))?;
    let name = FileName::new(name).map_err(|error| refused(format!("the schema '{name}': {error}")))?;
    Ok((tenant, name))
}

fn answer(subject: &str, version: u32, id: u32, new: bool) -> Answer {
    Answer::Schema { subject: subject.to_owned(), version, id, new }
}
