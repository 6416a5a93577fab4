//! Job files into force, and back.

use std::collections::BTreeSet;
use std::iter;

use jobico_event::catalog::{Active, Document, JobVersion, Queue, Route};
use jobico_event::job::{Fault, JobFile, Known, Place, resolve};
use jobico_event::retry::Tier;
use jobico_event::{JobId, QueueId, Schema, TenantId};

use super::known::Uploaded;
use super::{Answer, Decision, Existing, JOB_VERSIONS_MAX, Record, Refusal, tenant};
use crate::state::State;

pub(super) fn deploy(state: &State, file: &JobFile, existing: Existing, now: &str) -> Result<Decision, Refusal> {
    let in_force = state.in_force(&file.tenant, &file.job).map(|(_, version)| version);
    if let (Some(version), Existing::Refuse) = (in_force, existing) {
        let (tenant, job, version) = (file.tenant.clone(), file.job.clone(), version.version);
        return Err(Refusal::JobExists { tenant, job, version });
    }
    let (mut queues, routes) = resolve(file, &Uploaded(state)).map_err(Refusal::JobFile)?;
    let mut faults = unusable_schemas(state, file, &routes);
    faults.extend(in_force.map(|version| shrunk_queues(file, version)).unwrap_or_default());
    if !faults.is_empty() {
        faults.sort_by_key(|fault| (fault.line, fault.column));
        return Err(Refusal::JobFile(faults));
    }
    if let Some(version) = in_force.filter(|version| is_same(version, file, &queues, &routes)) {
        let answer = Answer::Job { version: Box::new(version.as_ref().clone()), new: false };
        return Ok(Decision { records: Vec::new(), answer });
    }
    remember_pools(state, &file.tenant, &mut queues);
    let last = state.versions(&file.tenant, &file.job).next_back().map_or(0, |version| version.version);
    let version = JobVersion {
        tenant: file.tenant.clone(),
        job: file.job.clone(),
        version: last.checked_add(1).ok_or(Refusal::UsedUp("versions of this job"))?,
        replaces: in_force.map(|version| version.version),
        name: file.name.clone(),
        deployed_at: now.to_owned(),
        queues,
        routes,
        retry: file.retry.clone(),
        source: file.source.clone(),
    };
    let mut records = tenant::make_where_new(state, &file.tenant, now);
    records.push(Record::document(&Document::Job(version.clone())));
    records.push(activation(&version, now));
    records.extend(outdated(state, &version));
    Ok(Decision { records, answer: Answer::Job { version: Box::new(version), new: true } })
}

pub(super) fn roll_back(state: &State, tenant: &TenantId, job: &JobId, now: &str) -> Result<Decision, Refusal> {
    let no_job = || Refusal::NoJob { tenant: tenant.clone(), job: job.clone() };
    let (_, in_force) = state.in_force(tenant, job).ok_or_else(no_job)?;
    let before = in_force.replaces.and_then(|before| state.job(tenant, job, before));
    let Some(before) = before else {
        let (tenant, job, version) = (tenant.clone(), job.clone(), in_force.version);
        return Err(Refusal::NothingBefore { tenant, job, version });
    };
    check_still_possible(state, before)?;
    let answer = Answer::Job { version: Box::new(before.as_ref().clone()), new: true };
    Ok(Decision { records: vec![activation(before, now)], answer })
}

fn activation(version: &JobVersion, now: &str) -> Record {
    Record::document(&Document::Active(Active {
        tenant: version.tenant.clone(),
        job: version.job.clone(),
        version: version.version,
        since: now.to_owned(),
    }))
}

/// Notes every pool that the queues were ever in: a pool hands over what it has when a queue moves on, and the versions that
/// named it are not kept for ever.
fn remember_pools(state: &State, tenant: &TenantId, queues: &mut [Queue]) {
    let ever = state.catalog.pools(tenant);
    for queue in queues {
        let mut pools = ever.get(&queue.queue).cloned().unwrap_or_default();
        if !pools.contains(&queue.pool) {
            pools.push(queue.pool.clone());
        }
        if pools.len() > 1 {
            queue.pools = pools;
        }
    }
}

/// Whether a deployment would change nothing.
fn is_same(version: &JobVersion, file: &JobFile, queues: &[Queue], routes: &[Route]) -> bool {
    let defined = |queue: &Queue| Queue { pools: Vec::new(), ..queue.clone() };
    version.source == file.source
        && version.queues.iter().map(defined).eq(queues.iter().cloned())
        && version.routes == routes
        && version.retry == file.retry
}

/// Takes out the oldest versions that are over the limit. What is in force before and after the deployment stays, and so does
/// the last version that names a queue, which says which pools have it, and the last one of a queue with a tier, in which
/// something may wait.
fn outdated(state: &State, new: &JobVersion) -> Vec<Record> {
    let versions: Vec<_> = state.versions(&new.tenant, &new.job).collect();
    let over = (versions.len() + 1).saturating_sub(JOB_VERSIONS_MAX);
    let mut known = told_by(new);
    let mut outdated = Vec::new();
    // From the newest on: a version is needed for what none after it tells.
    for (index, version) in versions.iter().enumerate().rev() {
        let told = told_by(version);
        let is_needed = new.replaces == Some(version.version) || !told.is_subset(&known);
        known.extend(told);
        if index < over && !is_needed {
            outdated.push(Record::tombstone(&Document::Job(version.as_ref().clone())));
        }
    }
    outdated.reverse();
    outdated
}

/// The queues that a version names, each alone and with every tier in which its events may wait.
fn told_by(version: &JobVersion) -> BTreeSet<(&QueueId, Option<Tier>)> {
    let queue = |queue| iter::once(None).chain(version.retry.waits().map(Some)).map(move |tier| (queue, tier));
    version.queues.iter().flat_map(|named| queue(&named.queue)).collect()
}

/// Schemas that a registry before this one took and no service here can compile: a version that pins one would never come
/// into force.
fn unusable_schemas(state: &State, file: &JobFile, routes: &[Route]) -> Vec<Fault> {
    let pins = routes.iter().filter_map(|route| Some((&route.event, route.schema.as_ref()?)));
    pins.filter_map(|(event, pin)| {
        let error = Schema::compile(&state.schemas.by_id(pin.id)?.schema).err()?;
        let spec = file.events.iter().find(|spec| spec.event == *event)?.schema.as_ref()?;
        let message = format!("version {} of '{}' cannot be used: {error}", pin.version, pin.subject);
        Some(fault(&spec.place, message))
    })
    .collect()
}

/// Queues that ask for fewer partitions than they have: a topic cannot give partitions back.
fn shrunk_queues(file: &JobFile, in_force: &JobVersion) -> Vec<Fault> {
    let asked = file.queues.iter().filter_map(|spec| Some((spec, spec.partitions?)));
    asked
        .filter_map(|(spec, asked)| {
            let before = in_force.queues.iter().find(|queue| queue.queue == spec.queue)?.partitions?;
            let message = format!(
                "the queue '{}' has {before} partitions, here it has {asked}; partitions can be added and not taken away",
                spec.queue
            );
            (asked < before).then(|| fault(&spec.place, message))
        })
        .collect()
}

fn fault(place: &Place, message: String) -> Fault {
    Fault { line: place.line, column: place.column, path: place.path.clone(), message }
}

/// Whether other jobs have taken nothing that the version needs since it was last in force.
fn check_still_possible(state: &State, version: &JobVersion) -> Result<(), Refusal> {
    for route in &version.routes {
        let owner = state.event_owner(&version.tenant, &route.event).filter(|owner| **owner != version.job);
        if let Some(owner) = owner {
            let (event, owner) = (route.event.clone(), owner.clone());
            return Err(Refusal::EventTaken { version: version.version, event, owner });
        }
    }
    for queue in &version.queues {
        let elsewhere = Uploaded(state).queue_elsewhere(&version.tenant, &version.job, &queue.queue);
        if let Some((other, there)) = elsewhere.filter(|(_, there)| there.pool != queue.pool) {
            return Err(Refusal::QueueTaken {
                version: version.version,
                queue: queue.queue.clone(),
                pool: queue.pool.clone(),
                other,
                other_pool: there.pool,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
