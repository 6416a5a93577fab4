//! What the control plane's topics add up to: the state that every decision is made on.

mod schemas;

use std::sync::Arc;

use jobico_event::catalog::{Active, FunctionVersion, JobVersion, Tenant};
use jobico_event::id::{EventId, FileName, JobId, QueueId, TenantId};
use jobico_event::name;
use jobico_event::snapshot::{Catalog, Unreadable};

pub use schemas::{AVRO, JSON, NUMBER_MAX, Schemas, Text, Version};

/// The folded records of both topics. Records are applied in the order of their topic; applying one again changes nothing.
#[derive(Debug, Default)]
pub struct State {
    /// Subjects and their versions.
    pub schemas: Schemas,
    /// Tenants, functions, jobs and what is in force. Its compiled schemas are not used here.
    pub catalog: Catalog,
}

impl State {
    /// Takes in a record.
    ///
    /// # Errors
    /// [`Unreadable`]: it is passed over.
    pub fn apply(&mut self, topic: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), Unreadable> {
        match topic {
            name::SCHEMAS => self.schemas.apply(key, value),
            _ => self.catalog.apply(key, value),
        }
    }

    /// A tenant.
    #[must_use]
    pub fn tenant(&self, tenant: &TenantId) -> Option<&Tenant> {
        self.catalog.tenants.get(tenant)
    }

    /// The newest version of a function.
    #[must_use]
    pub fn function(&self, tenant: &TenantId, name: &FileName) -> Option<&FunctionVersion> {
        let versions = self.catalog.functions.get(&(tenant.clone(), name.clone()))?;
        versions.last_key_value().map(|(_, version)| version)
    }

    /// The newest versions of all functions of a tenant, by name.
    pub fn functions(&self, tenant: &TenantId) -> impl Iterator<Item = &FunctionVersion> {
        let first = FileName::new("0").expect("'0' is a name, and the first of all");
        self.catalog
            .functions
            .range((tenant.clone(), first)..)
            .take_while(move |((of, _), _)| of == tenant)
            .filter_map(|(_, versions)| versions.last_key_value().map(|(_, version)| version))
    }

    /// A version of a job.
    #[must_use]
    pub fn job(&self, tenant: &TenantId, job: &JobId, version: u32) -> Option<&Arc<JobVersion>> {
        self.catalog.jobs.get(&(tenant.clone(), job.clone()))?.get(&version)
    }

    /// All versions of a job, oldest first.
    pub fn versions(&self, tenant: &TenantId, job: &JobId) -> impl DoubleEndedIterator<Item = &Arc<JobVersion>> {
        self.catalog.jobs.get(&(tenant.clone(), job.clone())).into_iter().flat_map(|versions| versions.values())
    }

    /// What is in force of a job: since when, and the version.
    #[must_use]
    pub fn in_force(&self, tenant: &TenantId, job: &JobId) -> Option<(&Active, &Arc<JobVersion>)> {
        let active = self.catalog.active.get(&(tenant.clone(), job.clone()))?;
        Some((active, self.job(tenant, job, active.version)?))
    }

    /// All that is in force of a tenant, by job.
    pub fn all_in_force(&self, tenant: &TenantId) -> impl Iterator<Item = (&Active, &Arc<JobVersion>)> {
        let first = JobId::new("0").expect("'0' is an id, and the first of all");
        self.catalog
            .active
            .range((tenant.clone(), first)..)
            .take_while(move |((of, _), _)| of == tenant)
            .filter_map(|(_, active)| Some((active, self.job(&active.tenant, &active.job, active.version)?)))
    }

    /// The job in force that has an event.
    #[must_use]
    pub fn event_owner(&self, tenant: &TenantId, event: &EventId) -> Option<&JobId> {
        let mut jobs = self.all_in_force(tenant).map(|(_, job)| job);
        jobs.find(|job| job.routes.iter().any(|route| route.event == *event)).map(|job| &job.job)
    }

    /// The subject that `subject` stands for: itself where it has versions; else, where it is `{tenant}.{queue}-value` and
    /// the queue carries one event alone, the subject of that event's schema.
    #[must_use]
    pub fn resolve_subject<'a>(&'a self, subject: &'a str) -> &'a str {
        if self.schemas.has(subject) { subject } else { self.alias(subject).unwrap_or(subject) }
    }

    /// What a subject is an alias of.
    #[must_use]
    pub fn alias(&self, subject: &str) -> Option<&str> {
        let (tenant, queue) = subject.strip_suffix("-value")?.split_once('.')?;
        let (tenant, queue) = (TenantId::new(tenant).ok()?, QueueId::new(queue).ok()?);
        let mut routes =
            self.all_in_force(&tenant).flat_map(|(_, job)| job.routes.iter()).filter(|route| route.queue == queue);
        match (routes.next(), routes.next()) {
            (Some(only), None) => only.schema.as_ref().map(|pin| pin.subject.as_str()),
            _ => None,
        }
    }
}
