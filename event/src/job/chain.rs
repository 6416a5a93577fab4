//! How the parts of a file fit together: events in one list with chained ones among them, references that lead
//! somewhere, chains that end.

use std::collections::HashMap;

use super::fields::{Faults, Placed, distance};
use super::read::{Draft, DraftEvent, DraftJob};
use super::{EVENTS_MAX, EventSpec, JobFile, Place};
use crate::id::EventId;

/// The file, where all of it could be read; what does not fit is noted either way.
pub fn connect(mut draft: Draft, source: &str, faults: &mut Faults) -> Option<JobFile> {
    once("queue", draft.queue_ids.iter(), faults);
    once("runtime", draft.runtime_ids.iter(), faults);
    once("event", draft.jobs.iter().filter_map(|job| job.event.event.as_ref()), faults);
    for event in draft.jobs.iter().flat_map(|job| [Some(&job.event), job.ok.as_ref(), job.error.as_ref()]).flatten() {
        if draft.queue_ids_complete {
            defined("queue", event.queue.as_ref(), &draft.queue_ids, faults);
        }
        if draft.runtime_ids_complete {
            defined("runtime", event.runtime.as_ref(), &draft.runtime_ids, faults);
        }
    }
    let jobs = std::mem::take(&mut draft.jobs);
    loops(&jobs, faults);
    let events = flatten(jobs, faults);
    Some(JobFile {
        tenant: draft.tenant?,
        job: draft.job?,
        name: draft.name,
        queues: draft.queues,
        events,
        runtimes: draft.runtimes,
        retry: draft.retry,
        source: source.to_owned(),
    })
}

/// Notes ids that are defined a second time.
fn once<'d, T: PartialEq + std::fmt::Display + 'd>(
    what: &str,
    ids: impl Iterator<Item = &'d Placed<T>>,
    faults: &mut Faults,
) {
    let mut seen: Vec<&Placed<T>> = Vec::new();
    for id in ids {
        match seen.iter().find(|earlier| earlier.value == id.value) {
            Some(earlier) => {
                let line = earlier.place.line;
                faults.at(
                    &id.place,
                    format!("the {what} '{}' is defined a second time; the first is on line {line}", id.value),
                );
            }
            None => seen.push(id),
        }
    }
}

/// Notes a reference that leads nowhere.
fn defined<T: PartialEq + std::fmt::Display>(
    what: &str,
    reference: Option<&Placed<T>>,
    ids: &[Placed<T>],
    faults: &mut Faults,
) {
    let Some(reference) = reference else { return };
    if ids.iter().any(|id| id.value == reference.value) {
        return;
    }
    let name = reference.value.to_string();
    let nearest = ids
        .iter()
        .map(|id| (distance(&name, &id.value.to_string()), &id.value))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4);
    let advice = match nearest {
        Some((_, id)) => format!("is '{id}' meant?"),
        None => format!("define it under '{what}s'"),
    };
    faults.at(&reference.place, format!("the file defines no {what} '{name}'; {advice}"));
}

/// All events: those of `jobs`, then those that stand in a result alone. Events with a fault are left out.
fn flatten(jobs: Vec<DraftJob>, faults: &mut Faults) -> Vec<EventSpec> {
    let mut all = Merged::default();
    let mut chained = Vec::new();
    for DraftJob { event, ok, error } in jobs {
        let next = |side: &Option<DraftEvent>| side.as_ref()?.event.as_ref().map(|id| id.value.clone());
        let (ok_id, error_id) = (next(&ok), next(&error));
        all.add_first(event, ok_id, error_id);
        chained.extend([ok, error].into_iter().flatten());
    }
    for event in chained {
        all.add_chained(event, faults);
    }
    all.events
}

#[derive(Default)]
struct Merged {
    events: Vec<EventSpec>,
    by_id: HashMap<EventId, usize>,
}

impl Merged {
    fn add_first(&mut self, event: DraftEvent, ok: Option<EventId>, error: Option<EventId>) {
        let Some(spec) = spec(event, ok, error) else { return };
        // The first of two stays; the second was noted.
        if !self.by_id.contains_key(&spec.event) {
            self.push(spec);
        }
    }

    fn add_chained(&mut self, event: DraftEvent, faults: &mut Faults) {
        let Some(spec) = spec(event, None, None) else { return };
        let Some(known) = self.by_id.get(&spec.event).map(|index| &self.events[*index]) else {
            if self.events.len() == EVENTS_MAX {
                faults.at(&spec.place, format!("the file has more than {EVENTS_MAX} events, chained ones counted"));
            }
            self.push(spec);
            return;
        };
        let differing = differing(known, &spec);
        if !differing.is_empty() {
            let (event, line) = (&spec.event, known.place.line);
            let message = format!(
                "the event '{event}' is defined here with another {} than on line {line}; an event is one thing wherever \
                 it comes from",
                differing.join(" and another ")
            );
            faults.at(&spec.place, message);
        }
    }

    fn push(&mut self, spec: EventSpec) {
        self.by_id.insert(spec.event.clone(), self.events.len());
        self.events.push(spec);
    }
}

fn spec(draft: DraftEvent, ok: Option<EventId>, error: Option<EventId>) -> Option<EventSpec> {
    let event = draft.event?;
    Some(EventSpec {
        event: event.value,
        name: draft.name,
        queue: draft.queue?.value,
        schema: draft.schema,
        runtime: draft.runtime?.value,
        ok,
        error,
        key: draft.key,
        place: event.place,
    })
}

/// What two definitions of one event do differently. Friendly names may differ.
fn differing(a: &EventSpec, b: &EventSpec) -> Vec<&'static str> {
    let schema = |spec: &EventSpec| spec.schema.as_ref().map(|schema| schema.schemaref.clone());
    let mut differing = Vec::new();
    if a.queue != b.queue {
        differing.push("queue");
    }
    if schema(a) != schema(b) {
        differing.push("schema");
    }
    if a.runtime != b.runtime {
        differing.push("runtime");
    }
    if a.key != b.key {
        differing.push("key");
    }
    differing
}

/// Notes every step of a chain that leads back to where it came from: such a chain would run for ever.
fn loops(jobs: &[DraftJob], faults: &mut Faults) {
    let mut walk = Walk { steps: HashMap::new(), done: HashMap::new(), way: Vec::new() };
    for job in jobs {
        let Some(from) = &job.event.event else { continue };
        let steps = [&job.ok, &job.error].into_iter().flatten().filter_map(|side| side.event.as_ref());
        walk.steps.entry(&from.value).or_default().extend(steps.map(|to| (&to.value, &to.place)));
    }
    for job in jobs {
        if let Some(from) = &job.event.event {
            walk.from(&from.value, faults);
        }
    }
}

/// A walk along chains, depth first; its depth is bound by [`EVENTS_MAX`].
struct Walk<'d> {
    steps: HashMap<&'d EventId, Vec<(&'d EventId, &'d Place)>>,
    /// Events that all chains were followed from: nothing new is found there.
    done: HashMap<&'d EventId, ()>,
    way: Vec<&'d EventId>,
}

impl<'d> Walk<'d> {
    fn from(&mut self, event: &'d EventId, faults: &mut Faults) {
        if self.done.contains_key(event) {
            return;
        }
        self.way.push(event);
        for (next, place) in self.steps.get(event).cloned().unwrap_or_default() {
            match self.way.iter().position(|earlier| *earlier == next) {
                Some(start) => {
                    let mut chain: Vec<&str> = self.way[start..].iter().map(|event| event.as_str()).collect();
                    chain.push(next.as_str());
                    let chain = chain.join(" → ");
                    faults
                        .at(place, format!("this closes a loop that never ends: {chain}; a chain of events must end"));
                }
                None => self.from(next, faults),
            }
        }
        self.way.pop();
        self.done.insert(event, ());
    }
}
