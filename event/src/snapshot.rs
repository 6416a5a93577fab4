//! What the control plane's records add up to: for every service an immutable picture, swapped whole.
//!
//! ```text
//! records of both topics ─► record ─► fold ─► Catalog ─► build ─► Snapshot, made of views
//! ```
//!
//! [`Catalog`] folds the records of [`crate::name::SCHEMAS`] and [`crate::name::CATALOG`], in whatever order the two
//! topics arrive; [`Catalog::snapshot`] is what the data path reads. An activation whose job version or schemas have not
//! arrived yet leaves the version before it in force.

mod build;
mod fold;
mod record;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::catalog::{Active, FunctionVersion, JobVersion, Tenant};
use crate::id::{FileName, JobId, TenantId};
use crate::name;
use crate::retry::Tier;
use crate::schema::Schema;

use build::Part;
pub use record::Unreadable;
pub use view::{EventView, FunctionView, Onward, QueueView, TenantView};

/// Everything a data-path service knows of tenants and jobs, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    tenants: HashMap<TenantId, Arc<TenantView>>,
    queues: HashMap<String, Arc<QueueView>>,
    /// By pool, where events of it wait to be run again, or did.
    tiers: HashMap<String, BTreeSet<Tier>>,
}

impl Snapshot {
    /// A tenant, where it is known.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> Option<&TenantView> {
        self.tenants.get(tenant).map(Arc::as_ref)
    }

    /// The queue behind a topic, where a job in force has events on it.
    #[must_use]
    pub fn queue(&self, topic: &str) -> Option<&Arc<QueueView>> {
        self.queues.get(topic)
    }

    /// The topics that a pool's processors read, in order: its queues, and its tiers in which something may wait to be run again.
    /// A tier that no job ever asked for is not read: a group spreads partitions by their number, and those that are always
    /// empty would be some member's whole share.
    #[must_use]
    pub fn topics_of_pool(&self, pool: &str) -> BTreeSet<String> {
        let queues = self.queues.values().filter(|queue| queue.pool == pool).map(|queue| queue.topic.clone());
        let tiers = self.tiers.get(pool).into_iter().flatten().map(|tier| name::retry(pool, *tier));
        queues.chain(tiers).collect()
    }

    /// The pools that have queues or had some, in order: what waits to be run again stays in the pool where it failed.
    #[must_use]
    pub fn pools(&self) -> BTreeSet<&str> {
        self.queues.values().flat_map(|queue| &queue.pools).map(String::as_str).collect()
    }

    /// The topics that recorders read, in order: the results of each tenant that has a job. Before its first one there is no topic.
    #[must_use]
    pub fn results_topics(&self) -> BTreeSet<String> {
        let have_jobs = self.tenants.iter().filter(|(_, view)| !view.events.is_empty());
        have_jobs.map(|(tenant, _)| name::results(tenant)).collect()
    }

    /// All tenants.
    pub fn tenants(&self) -> impl Iterator<Item = (&TenantId, &TenantView)> {
        self.tenants.iter().map(|(id, view)| (id, view.as_ref()))
    }
}

/// The control plane's records, folded.
///
/// What a tenant adds to a snapshot is made once and shared by the snapshots that follow, until a document of that tenant
/// comes: a snapshot costs what has changed, and a few milliseconds for 10,000 tenants that have not. So documents go in and
/// out through [`Catalog::insert`] and [`Catalog::apply`] alone; the maps are there to be read.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Tenants by id.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// Uploaded modules by tenant and name, oldest version first.
    pub functions: BTreeMap<(TenantId, FileName), BTreeMap<u32, FunctionVersion>>,
    /// Deployed versions by tenant and job.
    pub jobs: BTreeMap<(TenantId, JobId), BTreeMap<u32, Arc<JobVersion>>>,
    /// What is in force by tenant and job.
    pub active: BTreeMap<(TenantId, JobId), Active>,
    schemas: HashMap<u32, Schema>,
    effective: BTreeMap<(TenantId, JobId), Arc<JobVersion>>,
    parts: BTreeMap<TenantId, Part>,
    /// Tenants whose part is not made yet, is out of date, or waits for a schema.
    stale: BTreeSet<TenantId>,
}

/// The entries of a tenant.
fn of<'a, V>(
    map: &'a BTreeMap<(TenantId, JobId), V>,
    tenant: &'a TenantId,
) -> impl Iterator<Item = (&'a (TenantId, JobId), &'a V)> {
    let first = JobId::new("0").expect("'0' is an id, and the first of all");
    map.range((tenant.clone(), first)..).take_while(move |((of, _), _)| of == tenant)
}
