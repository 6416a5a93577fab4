//! One event: from its record to the records that follow from it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashlink::LruCache;
use jobico_broker::{Error, Record, Transactor};
use jobico_event::dead_letter::{Cause, Stage};
use jobico_event::decode::{Decoded, decode};
use jobico_event::snapshot::{EventView, QueueView};
use jobico_event::{Digest, Violation, name};
use jobico_service::trace::Carried;

use crate::config::Limits;
use crate::decide::{Action, decide};
use crate::encode::{self, Headers, Source};
use crate::function::{Fault, Instance, Module};
use crate::library::{Library, Lookup};
use crate::metrics::Tally;
use crate::outcome::{Outcome, Output};

/// What a worker keeps from event to event.
pub struct Stepper {
    limits: Limits,
    library: Library,
    modules: HashMap<Digest, Result<Arc<Module>, Fault>>,
    instances: LruCache<InstanceKey, Instance>,
    output: Vec<u8>,
    event_id: String,
    headers: Headers,
    traces: bool,
    /// What was counted since the last commit.
    pub tally: Tally,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct InstanceKey {
    digest: Digest,
    main: String,
}

impl Stepper {
    /// A stepper that keeps at most `instances_max` instances.
    #[must_use]
    pub fn new(limits: Limits, library: Library, instances_max: usize, traces: bool) -> Self {
        Self {
            limits,
            library,
            modules: HashMap::new(),
            instances: LruCache::new(instances_max),
            output: Vec::new(),
            event_id: String::new(),
            headers: Headers::default(),
            traces,
            tally: Tally::default(),
        }
    }

    /// How many instances are kept.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.instances.len()
    }

    /// Does what follows from one record of `queue`, within the member's open transaction.
    ///
    /// # Errors
    /// The log's, from producing: the transaction has to be aborted.
    pub fn step(&mut self, record: Record<'_>, queue: &QueueView, member: &mut dyn Transactor) -> Result<(), Error> {
        let decoded = decode(record.value(), record.headers());
        let mut id = std::mem::take(&mut self.event_id);
        id.clear();
        match decoded.as_ref().ok().and_then(|decoded| decoded.id.as_deref()) {
            Some(given) => id.push_str(given),
            None => encode::push_coordinates(&mut id, &record),
        }
        let result = self.step_with_id(record, queue, decoded.map_err(|error| undecodable(&error)), &id, member);
        self.event_id = id;
        result
    }

    fn step_with_id(
        &mut self,
        record: Record<'_>,
        queue: &QueueView,
        decoded: Result<Decoded<'_>, Cause>,
        id: &str,
        member: &mut dyn Transactor,
    ) -> Result<(), Error> {
        let known = decoded.and_then(|decoded| match queue.event(decoded.event.as_deref()) {
            Some(event) => Ok((decoded, event)),
            None => Err(unknown_event(queue, decoded.event.as_deref())),
        });
        let (decoded, event) = match known {
            Ok(known) => known,
            Err(cause) => {
                self.tally.count_dead(&queue.tenant, &cause);
                let source = Source { record, id, trace: &Carried::default() };
                let topic = name::dead(&queue.tenant);
                return encode::dead_letter(&mut self.headers, &cause, &source, &topic, None, |out| {
                    member.produce(out)
                });
            }
        };
        let span = self.span(&decoded, event, id);
        let carried = Carried::new(decoded.traceparent, decoded.tracestate);
        let trace = match &span {
            None => carried,
            Some(span) => {
                carried.adopt(span);
                carried.onward(span)
            }
        };
        let _entered = span.as_ref().map(tracing::Span::enter);
        let source = Source { record, id, trace: &trace };
        let mut output = std::mem::take(&mut self.output);
        let started = Instant::now();
        let (outcome, answer) = self.outcome(&decoded.data, event, &mut output, &source, queue, member)?;
        self.tally.count(&queue.tenant, &outcome, started.elapsed());
        let output_view = match answer {
            Some(bytes) if bytes > self.limits.output_bytes => Output::TooLarge { bytes },
            Some(_) => Output::Bytes(&output),
            None => Output::Nothing,
        };
        let (headers, tally) = (&mut self.headers, &mut self.tally);
        let acted = decide(outcome, event, output_view, |action| {
            if let Action::DeadLetter(cause) = &action {
                tally.count_dead(&queue.tenant, cause);
            }
            encode::action(headers, &action, &source, event, |out| member.produce(out))
        });
        self.output = output;
        acted
    }

    /// Checks the event and runs its function. Beside the outcome: how many bytes it answered, none where there was no
    /// output. What the function logged is produced here, since it goes with the instance.
    fn outcome(
        &mut self,
        data: &[u8],
        event: &EventView,
        output: &mut Vec<u8>,
        source: &Source<'_>,
        queue: &QueueView,
        member: &mut dyn Transactor,
    ) -> Result<(Outcome, Option<usize>), Error> {
        let valid = match event.schema.check(data) {
            Ok(valid) => valid,
            Err(violations) => return Ok((Outcome::Refused(invalid(&violations)), None)),
        };
        let deadline = event
            .function
            .timeout_ms
            .map_or(self.limits.call, |ms| Duration::from_millis(ms.into()).min(self.limits.call));
        let key = InstanceKey { digest: event.function.digest, main: event.function.main.clone() };
        let instance = match self.instance(&key, deadline) {
            Ok(instance) => instance,
            Err(fault) => return Ok((Outcome::Failed(fault.cause()), None)),
        };
        let answer = instance.call(valid.bytes(), deadline, output);
        let logged: Result<(), Error> = instance.log().iter().enumerate().try_for_each(|(index, line)| {
            encode::log_line(index, line, source, queue, event, |out| member.produce(out))
        });
        if instance.is_broken() {
            self.instances.remove(&key);
        }
        logged?;
        Ok(match answer {
            Ok(answer) => (Outcome::Answered { code: answer.code }, answer.has_output.then_some(answer.output_bytes)),
            Err(fault) => (Outcome::Failed(fault.cause()), None),
        })
    }

    /// Sees to the modules of a queue's functions. False: one is not there yet, and the queue has to wait.
    pub fn prepare(&mut self, queue: &QueueView) -> bool {
        queue.events.values().all(|event| {
            let digest = event.function.digest;
            match self.modules.entry(digest) {
                Entry::Occupied(_) => true,
                Entry::Vacant(place) => match self.library.look_up(&event.tenant, &digest) {
                    Lookup::Ready(module) => {
                        place.insert(Ok(module));
                        true
                    }
                    Lookup::Broken(fault) => {
                        place.insert(Err(fault));
                        true
                    }
                    Lookup::Preparing => false,
                },
            }
        })
    }

    /// Lets go of the modules that [`Stepper::prepare`] took; instances stay.
    pub fn release_modules(&mut self) {
        self.modules.clear();
    }

    fn instance(&mut self, key: &InstanceKey, deadline: Duration) -> Result<&mut Instance, Fault> {
        if !self.instances.contains_key(key) {
            let module = self.modules.get(&key.digest).expect("prepare() said yes to this event's queue");
            let module = module.as_ref().map_err(Clone::clone)?;
            // Room is made first, since the pool behind has a place for each that is kept and no more.
            if self.instances.len() >= self.instances.capacity() {
                self.instances.remove_lru();
            }
            let instance = Instance::new(module, &key.main, &self.limits, deadline)?;
            self.tally.instances_made += 1;
            self.instances.insert(key.clone(), instance);
        }
        Ok(self.instances.get_mut(key).expect("it was there or has just been put there"))
    }

    /// A span for the event, where its producer traces it and traces are exported.
    fn span(&self, decoded: &Decoded<'_>, event: &EventView, id: &str) -> Option<tracing::Span> {
        (self.traces && decoded.traceparent.is_some()).then(|| {
            tracing::info_span!("process event", otel.kind = "consumer", tenant = %event.tenant, job = %event.job, event = %event.event, id)
        })
    }
}

fn undecodable(error: &jobico_event::decode::DecodeError) -> Cause {
    Cause { stage: Stage::Validate, code: "undecodable", message: error.to_string().into() }
}

fn unknown_event(queue: &QueueView, named: Option<&str>) -> Cause {
    let mut known: Vec<&str> = queue.events.keys().map(|event| event.as_str()).collect();
    known.sort_unstable();
    let known = known.join(", ");
    let message = match named {
        Some(named) => format!("no job in force has an event '{named}' on this queue; it has: {known}"),
        None => format!("the record names no event (header ce_type), and this queue has several: {known}"),
    };
    Cause { stage: Stage::Validate, code: "unknown_event", message: message.into() }
}

fn invalid(violations: &[Violation]) -> Cause {
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let code = if violations.iter().any(|violation| violation.keyword == "json") { "json" } else { "schema" };
    Cause { stage: Stage::Validate, code, message: list.join("; ").into() }
}
