//! Documents into the catalog and out of it; each marks what it makes out of date.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Catalog, of};
use crate::catalog::{Document, JobVersion, Queue};
use crate::id::{FileName, JobId, QueueId, TenantId};
use crate::retry::Tier;

impl Catalog {
    /// Takes in a document.
    pub fn insert(&mut self, document: Document) {
        match document {
            Document::Tenant(tenant) => {
                self.stale.insert(tenant.tenant.clone());
                self.tenants.insert(tenant.tenant.clone(), tenant);
            }
            Document::Function(function) => {
                let key = (function.tenant.clone(), function.name.clone());
                self.functions.entry(key).or_default().insert(function.version, function);
            }
            Document::Job(job) => {
                self.stale.insert(job.tenant.clone());
                let key = (job.tenant.clone(), job.job.clone());
                self.jobs.entry(key).or_default().insert(job.version, Arc::new(job));
            }
            Document::Active(active) => {
                self.stale.insert(active.tenant.clone());
                self.active.insert((active.tenant.clone(), active.job.clone()), active);
            }
        }
    }

    /// Takes a document out, by its key.
    pub(super) fn remove(&mut self, key: &str) {
        let parts: Vec<&str> = key.split('/').collect();
        match parts.as_slice() {
            ["tenant", tenant] => {
                if let Some((tenant, _)) = self.tenants.remove_entry(*tenant) {
                    self.stale.insert(tenant);
                }
            }
            ["active", tenant, job] => {
                if let (Ok(tenant), Ok(job)) = (TenantId::new(tenant), JobId::new(job)) {
                    self.stale.insert(tenant.clone());
                    self.active.remove(&(tenant.clone(), job.clone()));
                    self.effective.remove(&(tenant, job));
                }
            }
            ["job", tenant, job, version] => {
                if let (Ok(tenant), Ok(job), Ok(version)) =
                    (TenantId::new(tenant), JobId::new(job), version.parse::<u32>())
                {
                    self.jobs.get_mut(&(tenant, job)).and_then(|versions| versions.remove(&version));
                }
            }
            ["function", tenant, file, version] => {
                if let (Ok(tenant), Ok(file), Ok(version)) =
                    (TenantId::new(tenant), FileName::new(file), version.parse::<u32>())
                {
                    self.functions.get_mut(&(tenant, file)).and_then(|versions| versions.remove(&version));
                }
            }
            _ => {}
        }
    }

    /// By pool, the tiers in which events of a tenant may wait: all that any version asks for which is kept, in every pool that
    /// its queues were in by then. What waits does so whatever its job asks for now.
    #[must_use]
    pub fn tiers(&self, tenant: &TenantId) -> HashMap<String, BTreeSet<Tier>> {
        let mut tiers: HashMap<String, BTreeSet<Tier>> = HashMap::new();
        for version in of(&self.jobs, tenant).flat_map(|(_, versions)| versions.values()) {
            let waits: BTreeSet<Tier> = version.retry.waits().collect();
            let pools = version.queues.iter().flat_map(Queue::all_pools);
            if !waits.is_empty() {
                pools.for_each(|pool| tiers.entry(pool.clone()).or_default().extend(&waits));
            }
        }
        tiers
    }

    /// Every pool that each queue of a tenant was ever in, the first one first, by all versions that are kept.
    #[must_use]
    pub fn pools(&self, tenant: &TenantId) -> HashMap<QueueId, Vec<String>> {
        let mut versions: Vec<&JobVersion> =
            of(&self.jobs, tenant).flat_map(|(_, versions)| versions.values()).map(AsRef::as_ref).collect();
        versions.sort_by_key(|version| (&version.deployed_at, &version.job, version.version));
        let mut pools: HashMap<QueueId, Vec<String>> = HashMap::new();
        for queue in versions.into_iter().flat_map(|version| &version.queues) {
            let known = pools.entry(queue.queue.clone()).or_default();
            for pool in queue.all_pools() {
                if !known.contains(pool) {
                    known.push(pool.clone());
                }
            }
        }
        pools
    }
}
