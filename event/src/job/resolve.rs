//! What a job file names outside of itself: schemas, modules, and what other jobs have. Pure: the registry says what it
//! knows through [`Known`].

use std::collections::HashMap;

use super::fields::Faults;
use super::{EventSpec, Fault, JobFile, QueueSpec, RuntimeSpec};
use crate::catalog::{FunctionPin, Queue, Route, SchemaPin};
use crate::contract::Exports;
use crate::digest::Digest;
use crate::id::{EventId, FileName, JobId, QueueId, RuntimeId, TenantId};
use crate::name;

/// What has been uploaded and what is in force, at the moment of a deployment.
pub trait Known {
    /// The newest version of a schema, where one was uploaded under that name.
    fn schema(&self, tenant: &TenantId, schema: &FileName) -> Option<SchemaPin>;

    /// The newest version of a module, where one was uploaded under that name.
    fn function(&self, tenant: &TenantId, module: &FileName) -> Option<Function>;

    /// The job in force that has the event, be it `job` itself or another.
    fn event_owner(&self, tenant: &TenantId, event: &EventId) -> Option<JobId>;

    /// The queue as another job in force than `job` defines it, and that job.
    fn queue_elsewhere(&self, tenant: &TenantId, job: &JobId, queue: &QueueId) -> Option<(JobId, Queue)>;
}

/// A module, by what a deployment pins and checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The module's SHA-256.
    pub digest: Digest,
    /// What it exports.
    pub exports: Exports,
}

/// The queues and routes that a deployment of `file` puts in force: every schema by its id, every function by its
/// digest, as they are at this moment. Routes are in the order of [`JobFile::events`].
///
/// # Errors
/// Every [`Fault`] in the order of places: a schema or module that was never uploaded, a module that lacks its main
/// function, an event that another job has, a queue that another job defines otherwise.
pub fn resolve(file: &JobFile, known: &dyn Known) -> Result<(Vec<Queue>, Vec<Route>), Vec<Fault>> {
    let mut faults = Faults::default();
    let queues: Vec<Queue> = file.queues.iter().map(|spec| queue(file, spec, known, &mut faults)).collect();
    let mut functions: HashMap<&RuntimeId, (FunctionPin, Option<u32>)> = HashMap::new();
    for spec in &file.runtimes {
        if let Some(pin) = function(file, spec, known, &mut faults) {
            functions.insert(&spec.runtime, (pin, spec.timeout_ms));
        }
    }
    let routes: Vec<Route> =
        file.events.iter().filter_map(|spec| route(file, spec, &functions, known, &mut faults)).collect();
    let faults = faults.into_sorted();
    if faults.is_empty() { Ok((queues, routes)) } else { Err(faults) }
}

fn queue(file: &JobFile, spec: &QueueSpec, known: &dyn Known, faults: &mut Faults) -> Queue {
    let pool = spec.pool.as_ref().map_or(name::POOL_DEFAULT, |pool| pool.as_str()).to_owned();
    if let Some((job, other)) = known.queue_elsewhere(&file.tenant, &file.job, &spec.queue) {
        if other.pool != pool {
            let there = &other.pool;
            let message = format!(
                "the job '{job}' defines the queue '{}' for the pool '{there}', here it is for '{pool}'; a queue is read \
                 by one pool",
                spec.queue
            );
            faults.at(&spec.place, message);
        }
        if let (Some(here), Some(there)) = (spec.partitions, other.partitions)
            && here != there
        {
            let message = format!(
                "the job '{job}' defines the queue '{}' with {there} partitions, here it has {here}; leave 'partitions' \
                 out, or say the same in both",
                spec.queue
            );
            faults.at(&spec.place, message);
        }
    }
    Queue { queue: spec.queue.clone(), pool, pools: Vec::new(), partitions: spec.partitions }
}

fn function(file: &JobFile, spec: &RuntimeSpec, known: &dyn Known, faults: &mut Faults) -> Option<FunctionPin> {
    let Some(function) = known.function(&file.tenant, &spec.moduleref) else {
        let (tenant, module) = (&file.tenant, &spec.moduleref);
        let message = format!(
            "no module was uploaded under the name '{module}'; upload it first: jobico upload wasm {tenant} {module} FILE"
        );
        faults.at(&spec.place, message);
        return None;
    };
    if let Err(error) = function.exports.check_main(&spec.main) {
        faults.at(
            &spec.main_place,
            format!("events cannot be given to '{}' of '{}': {error}", spec.main, spec.moduleref),
        );
        return None;
    }
    Some(FunctionPin {
        runtime: spec.runtime.clone(),
        name: spec.moduleref.clone(),
        digest: function.digest,
        main: spec.main.clone(),
    })
}

fn route(
    file: &JobFile,
    spec: &EventSpec,
    functions: &HashMap<&RuntimeId, (FunctionPin, Option<u32>)>,
    known: &dyn Known,
    faults: &mut Faults,
) -> Option<Route> {
    if let Some(owner) = known.event_owner(&file.tenant, &spec.event).filter(|owner| *owner != file.job) {
        let message = format!(
            "the event '{}' belongs to the job '{owner}', which is in force; an event belongs to one job, so give this \
             one another id",
            spec.event
        );
        faults.at(&spec.place, message);
    }
    let schema = match &spec.schema {
        None => None,
        Some(schema) => {
            let pin = known.schema(&file.tenant, &schema.schemaref);
            if pin.is_none() {
                let (tenant, name) = (&file.tenant, &schema.schemaref);
                let message = format!(
                    "no schema was uploaded under the name '{name}'; upload it first: jobico upload json {tenant} {name} \
                     FILE"
                );
                faults.at(&schema.place, message);
            }
            Some(pin?)
        }
    };
    let (function, timeout_ms) = functions.get(&spec.runtime)?.clone();
    Some(Route {
        event: spec.event.clone(),
        queue: spec.queue.clone(),
        schema,
        function,
        ok: spec.ok.clone(),
        error: spec.error.clone(),
        key: spec.key.clone(),
        timeout_ms,
    })
}
