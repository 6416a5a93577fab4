//! Tenants: made by the first thing uploaded for them.

use jobico_event::TenantId;
use jobico_event::catalog::{Document, Tenant};

use super::{Answer, Decision, Record, Refusal};
use crate::state::State;

/// The record that makes a tenant, where there is none.
pub(super) fn make_where_new(state: &State, tenant: &TenantId, now: &str) -> Vec<Record> {
    if state.tenant(tenant).is_some() {
        return Vec::new();
    }
    let new = Tenant { tenant: tenant.clone(), created_at: now.to_owned(), results_ttl_s: None };
    vec![Record::document(&Document::Tenant(new))]
}

pub(super) fn set_results_ttl(state: &State, tenant: &TenantId, ttl_s: Option<u32>) -> Result<Decision, Refusal> {
    let before = state.tenant(tenant).ok_or_else(|| Refusal::NoTenant(tenant.clone()))?;
    let after = Tenant { results_ttl_s: ttl_s, ..before.clone() };
    let records = if after == *before { Vec::new() } else { vec![Record::document(&Document::Tenant(after.clone()))] };
    Ok(Decision { records, answer: Answer::Tenant(after) })
}
