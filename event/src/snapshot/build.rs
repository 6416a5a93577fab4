//! A snapshot out of the catalog: what each tenant adds to it, made anew only where something of that tenant has changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::view::{EventView, FunctionView, Onward, QueueView, TenantView};
use super::{Catalog, Snapshot, of};
use crate::catalog::{JobVersion, QUOTA_MS_PER_S_MAX, Queue, Route, WEIGHT_DEFAULT, WEIGHT_MAX};
use crate::id::{EventId, QueueId, TenantId};
use crate::name;
use crate::retry::Tier;
use crate::schema::Schema;

/// What a tenant adds to a snapshot.
#[derive(Debug)]
pub(super) struct Part {
    view: Arc<TenantView>,
    queues: Vec<Arc<QueueView>>,
    /// By pool.
    tiers: HashMap<String, BTreeSet<Tier>>,
}

impl Catalog {
    /// The picture for the data path. The versions in force move on here, where all that they need has arrived.
    pub fn snapshot(&mut self) -> Snapshot {
        for tenant in std::mem::take(&mut self.stale) {
            if !self.advance(&tenant) {
                self.stale.insert(tenant.clone());
            }
            match self.part(&tenant) {
                Some(part) => drop(self.parts.insert(tenant, part)),
                None => drop(self.parts.remove(&tenant)),
            }
        }
        let mut snapshot = Snapshot {
            tenants: HashMap::with_capacity(self.parts.len()),
            queues: HashMap::with_capacity(self.parts.values().map(|part| part.queues.len()).sum()),
            tiers: HashMap::new(),
        };
        for (tenant, part) in &self.parts {
            snapshot.tenants.insert(tenant.clone(), part.view.clone());
            snapshot.queues.extend(part.queues.iter().map(|queue| (queue.topic.clone(), queue.clone())));
            for (pool, tiers) in &part.tiers {
                snapshot.tiers.entry(pool.clone()).or_default().extend(tiers);
            }
        }
        snapshot
    }

    /// Moves a tenant's versions in force on. False: one waits for what has not arrived.
    fn advance(&mut self, tenant: &TenantId) -> bool {
        let mut all = true;
        for (key, active) in of(&self.active, tenant) {
            let version = self.jobs.get(key).and_then(|versions| versions.get(&active.version));
            match version.filter(|version| version.routes.iter().all(|route| self.schema(route).is_some())) {
                Some(version) => drop(self.effective.insert(key.clone(), version.clone())),
                None => all = false,
            }
        }
        all
    }

    /// What a tenant adds to a snapshot; none where it is gone.
    fn part(&self, tenant: &TenantId) -> Option<Part> {
        let settings = self.tenants.get(tenant);
        let quota_ms_per_s = settings.and_then(|known| known.quota_ms_per_s);
        let mut view = TenantView {
            results_ttl_s: settings.and_then(|known| known.results_ttl_s),
            weight: settings.map_or(WEIGHT_DEFAULT, |known| known.weight).clamp(1, WEIGHT_MAX),
            quota_ms_per_s: quota_ms_per_s.map(|ms| ms.clamp(1, QUOTA_MS_PER_S_MAX)),
            events: HashMap::new(),
        };
        let (ever, mut queues) = (self.pools(tenant), HashMap::new());
        for (_, job) in of(&self.effective, tenant) {
            self.add(job, &ever, &mut view, &mut queues);
        }
        let is_there = settings.is_some() || !view.events.is_empty();
        let queues = queues.into_values().map(Arc::new).collect();
        is_there.then(|| Part { view: Arc::new(view), queues, tiers: self.tiers(tenant) })
    }

    fn add(
        &self,
        job: &JobVersion,
        ever: &HashMap<QueueId, Vec<String>>,
        tenant: &mut TenantView,
        queues: &mut HashMap<String, QueueView>,
    ) {
        let pools: HashMap<&QueueId, &Queue> = job.queues.iter().map(|queue| (&queue.queue, queue)).collect();
        let onward = |event: &Option<EventId>| {
            let route = job.routes.iter().find(|route| Some(&route.event) == event.as_ref())?;
            Some(Onward {
                event: route.event.clone(),
                topic: name::queue(&job.tenant, &route.queue),
                schema: self.schema(route)?,
                key: route.key.clone(),
            })
        };
        let retry = Arc::new(job.retry.clone());
        for route in &job.routes {
            let Some(schema) = self.schema(route) else { continue };
            let topic = name::queue(&job.tenant, &route.queue);
            let view = Arc::new(EventView {
                tenant: job.tenant.clone(),
                job: job.job.clone(),
                version: job.version,
                event: route.event.clone(),
                topic: topic.clone(),
                results: name::results(&job.tenant),
                dead: name::dead(&job.tenant),
                source: format!("/jobs/{}/{}", job.tenant, job.job),
                result_type: format!("{}.result", job.job),
                schema,
                key: route.key.clone(),
                function: FunctionView {
                    name: route.function.name.clone(),
                    digest: route.function.digest,
                    main: route.function.main.clone(),
                    label: format!("{}@{}", route.function.name, route.function.digest),
                    timeout_ms: route.timeout_ms,
                },
                ok: onward(&route.ok),
                error: onward(&route.error),
                retry: retry.clone(),
            });
            tenant.events.insert(route.event.clone(), view.clone());
            let pool = pools.get(&route.queue).map_or(name::POOL_DEFAULT, |queue| &queue.pool);
            let queue = queues.entry(topic.clone()).or_insert_with(|| QueueView {
                tenant: job.tenant.clone(),
                topic,
                pool: pool.to_owned(),
                pools: ever.get(&route.queue).cloned().unwrap_or_else(|| vec![pool.to_owned()]),
                events: HashMap::new(),
            });
            queue.events.insert(route.event.clone(), view);
        }
    }

    fn schema(&self, route: &Route) -> Option<Schema> {
        match &route.schema {
            None => Some(Schema::any()),
            Some(pin) => self.schemas.get(&pin.id).cloned(),
        }
    }
}
