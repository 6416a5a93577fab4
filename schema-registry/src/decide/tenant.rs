//! Tenants: made by the first thing uploaded for them.

use jobico_event::TenantId;
use jobico_event::catalog::{Document, Tenant, WEIGHT_DEFAULT};

use super::{Answer, Decision, Record, Refusal, TenantChange};
use crate::state::State;

/// The record that makes a tenant, where there is none.
pub(super) fn make_where_new(state: &State, tenant: &TenantId, now: &str) -> Vec<Record> {
    if state.tenant(tenant).is_some() {
        return Vec::new();
    }
    let new = Tenant::new(tenant.clone(), now.to_owned());
    vec![Record::document(&Document::Tenant(new))]
}

pub(super) fn change(state: &State, tenant: &TenantId, change: &TenantChange) -> Result<Decision, Refusal> {
    let before = state.tenant(tenant).ok_or_else(|| Refusal::NoTenant(tenant.clone()))?;
    let after = Tenant {
        results_ttl_s: change.results_ttl_s.unwrap_or(before.results_ttl_s),
        weight: change.weight.map_or(before.weight, |weight| weight.unwrap_or(WEIGHT_DEFAULT)),
        quota_ms_per_s: change.quota_ms_per_s.unwrap_or(before.quota_ms_per_s),
        ..before.clone()
    };
    let records = if after == *before { Vec::new() } else { vec![Record::document(&Document::Tenant(after.clone()))] };
    Ok(Decision { records, answer: Answer::Tenant(after) })
}
