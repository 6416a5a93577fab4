//! A module for a name.

use jobico_event::catalog::{Document, FunctionVersion};

use super::{Answer, Decision, Record, Refusal, UploadFunction, tenant};
use crate::state::State;

pub(super) fn upload(state: &State, upload: &UploadFunction, now: &str) -> Result<Decision, Refusal> {
    let newest = state.function(&upload.tenant, &upload.name);
    if let Some(newest) = newest.filter(|newest| newest.digest == upload.digest) {
        let answer = Answer::Function { version: newest.clone(), new: false };
        return Ok(Decision { records: Vec::new(), answer });
    }
    let version = FunctionVersion {
        tenant: upload.tenant.clone(),
        name: upload.name.clone(),
        version: newest
            .map_or(Some(0), |newest| newest.version.checked_add(1))
            .map(|n| n.max(1))
            .ok_or(Refusal::UsedUp("versions of this function"))?,
        digest: upload.digest,
        size: upload.size,
        contract: upload.module.contract,
        exports: upload.module.exports.clone(),
        uploaded_at: now.to_owned(),
    };
    let mut records = tenant::make_where_new(state, &upload.tenant, now);
    records.push(Record::document(&Document::Function(version.clone())));
    Ok(Decision { records, answer: Answer::Function { version, new: true } })
}
