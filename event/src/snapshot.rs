//! What the control plane's records add up to: for every service an immutable picture, swapped whole.
//!
//! [`Catalog`] folds the records of [`crate::name::SCHEMAS`] and [`crate::name::CATALOG`], in whatever order the two
//! topics arrive; [`Catalog::snapshot`] is what the data path reads. An activation whose job version or schemas have not
//! arrived yet leaves the version before it in force.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use crate::catalog::{
    Active, Document, FunctionVersion, JobVersion, QUOTA_MS_PER_S_MAX, Queue, Route, Tenant, WEIGHT_DEFAULT, WEIGHT_MAX,
};
use crate::id::{EventId, FileName, JobId, QueueId, TenantId};
use crate::retry::Retry;
use crate::schema::Schema;
use crate::{Digest, name};

/// Everything a data-path service knows of tenants and jobs, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    tenants: HashMap<TenantId, Arc<TenantView>>,
    queues: HashMap<String, Arc<QueueView>>,
}

/// A tenant, at one moment.
#[derive(Debug)]
pub struct TenantView {
    /// See [`Tenant::results_ttl_s`].
    pub results_ttl_s: Option<u32>,
    /// See [`Tenant::weight`]; within its limits, whatever the document says.
    pub weight: u32,
    /// See [`Tenant::quota_ms_per_s`]; within its limits, whatever the document says.
    pub quota_ms_per_s: Option<u32>,
    /// The events it takes.
    pub events: HashMap<EventId, Arc<EventView>>,
}

/// A queue, at one moment: what a processor needs to know of a topic.
#[derive(Debug)]
pub struct QueueView {
    /// Whose.
    pub tenant: TenantId,
    /// Its topic.
    pub topic: String,
    /// The pool that reads it.
    pub pool: String,
    /// Every pool that it was ever in, `pool` among them, the first one first.
    pub pools: Vec<String>,
    /// The events it carries.
    pub events: HashMap<EventId, Arc<EventView>>,
}

/// An event, at one moment: how it is checked, where it goes, what handles it.
#[derive(Debug)]
pub struct EventView {
    /// Whose.
    pub tenant: TenantId,
    /// The job that takes it.
    pub job: JobId,
    /// The job's version.
    pub version: u32,
    /// The event.
    pub event: EventId,
    /// The topic of its queue.
    pub topic: String,
    /// The topic of its tenant's results.
    pub results: String,
    /// The topic of its tenant's dead letters.
    pub dead: String,
    /// CloudEvents `source` of what its job writes: `/jobs/{tenant}/{job}`.
    pub source: String,
    /// CloudEvents `type` of its results: `{job}.result`.
    pub result_type: String,
    /// What it is checked against.
    pub schema: Schema,
    /// JSON pointer to what becomes the record's key.
    pub key: Option<String>,
    /// What handles it.
    pub function: FunctionView,
    /// The event that a success becomes.
    pub ok: Option<Onward>,
    /// The event that the function's own error becomes.
    pub error: Option<Onward>,
    /// What becomes of it where its function fails.
    pub retry: Arc<Retry>,
}

/// A function, at one moment.
#[derive(Debug, Clone)]
pub struct FunctionView {
    /// The name its module was uploaded under.
    pub name: FileName,
    /// The module.
    pub digest: Digest,
    /// The exported function to call.
    pub main: String,
    /// `name@digest`, as the header `jobico-function` has it.
    pub label: String,
    /// Longest call, milliseconds; none = the processor's default.
    pub timeout_ms: Option<u32>,
}

/// The next event of a chain.
#[derive(Debug, Clone)]
pub struct Onward {
    /// The event.
    pub event: EventId,
    /// The topic of its queue.
    pub topic: String,
    /// What it is checked against.
    pub schema: Schema,
    /// JSON pointer to what becomes the record's key.
    pub key: Option<String>,
}

impl QueueView {
    /// The first pool that it was in: the one that has what no pool has begun.
    #[must_use]
    pub fn home(&self) -> &str {
        self.pools.first().unwrap_or(&self.pool)
    }

    /// Whether it was ever in another pool than its first.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.pools.len() > 1
    }

    /// The event a record is: the one it names, or the only one of the queue where it names none.
    #[must_use]
    pub fn event(&self, ce_type: Option<&str>) -> Option<&Arc<EventView>> {
        match ce_type {
            Some(event) => self.events.get(event),
            None if self.events.len() == 1 => self.events.values().next(),
            None => None,
        }
    }
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

    /// The topics that a pool's processors read, in order.
    #[must_use]
    pub fn topics_of_pool(&self, pool: &str) -> BTreeSet<String> {
        self.queues.values().filter(|queue| queue.pool == pool).map(|queue| queue.topic.clone()).collect()
    }

    /// The pools that have queues or had some, in order: what waits to be run again stays in the pool where it failed.
    #[must_use]
    pub fn pools(&self) -> BTreeSet<&str> {
        self.queues.values().flat_map(|queue| &queue.pools).map(String::as_str).collect()
    }

    /// The topics that recorders read: every tenant's results, in order.
    #[must_use]
    pub fn results_topics(&self) -> BTreeSet<String> {
        self.tenants.keys().map(name::results).collect()
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

/// What a tenant adds to a snapshot.
#[derive(Debug)]
struct Part {
    view: Arc<TenantView>,
    queues: Vec<Arc<QueueView>>,
}

/// A record that is not what its topic holds. It is passed over: one bad record must not stop a service.
#[derive(Debug, thiserror::Error)]
#[error("the record '{key}' of {topic} is passed over: {reason}")]
pub struct Unreadable {
    /// The topic.
    pub topic: &'static str,
    /// The record's key.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Deserialize)]
struct SchemaKey {
    keytype: String,
    #[serde(default)]
    subject: Option<String>,
}

#[derive(Deserialize)]
struct SchemaValue {
    id: u32,
    schema: String,
    #[serde(default, rename = "schemaType")]
    schema_type: Option<String>,
}

impl Catalog {
    /// Takes in a record of [`name::SCHEMAS`].
    ///
    /// # Errors
    /// [`Unreadable`] where the record is not of the Schema Registry's format, or its schema does not compile.
    pub fn apply_schema(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Unreadable> {
        let unreadable = |reason: String| Unreadable {
            topic: name::SCHEMAS,
            key: String::from_utf8_lossy(key).into_owned(),
            reason,
        };
        let parsed: SchemaKey = serde_json::from_slice(key).map_err(|error| unreadable(error.to_string()))?;
        let (Some(value), "SCHEMA") = (value, parsed.keytype.as_str()) else { return Ok(()) };
        if parsed.subject.is_some_and(|subject| subject.starts_with(name::SUBJECT_CONTEXT)) {
            return Ok(());
        }
        let schema: SchemaValue = serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))?;
        if schema.schema_type.as_deref() != Some("JSON") || self.schemas.contains_key(&schema.id) {
            return Ok(());
        }
        let compiled = Schema::compile(&schema.schema).map_err(|error| unreadable(error.to_string()))?;
        self.schemas.insert(schema.id, compiled);
        Ok(())
    }

    /// Takes in a record of [`name::CATALOG`].
    ///
    /// # Errors
    /// [`Unreadable`] where the value is no document of the catalog.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Unreadable> {
        let unreadable = |reason: String| Unreadable {
            topic: name::CATALOG,
            key: String::from_utf8_lossy(key).into_owned(),
            reason,
        };
        let key_text = std::str::from_utf8(key).map_err(|error| unreadable(error.to_string()))?;
        let Some(value) = value else {
            self.remove(key_text);
            return Ok(());
        };
        let document: Document = serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))?;
        self.insert(document);
        Ok(())
    }

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
    fn remove(&mut self, key: &str) {
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
        };
        for (tenant, part) in &self.parts {
            snapshot.tenants.insert(tenant.clone(), part.view.clone());
            snapshot.queues.extend(part.queues.iter().map(|queue| (queue.topic.clone(), queue.clone())));
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
        is_there.then(|| Part { view: Arc::new(view), queues: queues.into_values().map(Arc::new).collect() })
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
            for pool in queue.pools.iter().chain([&queue.pool]) {
                if !known.contains(pool) {
                    known.push(pool.clone());
                }
            }
        }
        pools
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

/// The entries of a tenant.
fn of<'a, V>(
    map: &'a BTreeMap<(TenantId, JobId), V>,
    tenant: &'a TenantId,
) -> impl Iterator<Item = (&'a (TenantId, JobId), &'a V)> {
    let first = JobId::new("0").expect("'0' is an id, and the first of all");
    map.range((tenant.clone(), first)..).take_while(move |((of, _), _)| of == tenant)
}
