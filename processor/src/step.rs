//! One event: from its record to the records that follow from it.

use std::time::Duration;

use jobico_broker::{Error, Outgoing, Record, Transactor};
use jobico_event::dead_letter::{Cause, Stage};
use jobico_event::decode::{DecodeError, Decoded, decode};
use jobico_event::retry::{Ordering, Tier};
use jobico_event::snapshot::{EventView, QueueView};
use jobico_event::{TenantId, Violation, name};
use jobico_service::trace::Carried;
use tracing::Span;
use tracing::field::Empty;

use crate::arrival::Arrival;
use crate::config::Limits;
use crate::decide::{Action, decide};
use crate::encode::{self, Headers, Source};
use crate::function::Fault;
use crate::instances::Instances;
use crate::library::Library;
use crate::meter::{Meter, Stopwatch};
use crate::metrics::Tally;
use crate::outcome::{Outcome, Output, Prospect};
use crate::room;

/// What a worker keeps from event to event.
pub struct Stepper {
    pool: String,
    output_bytes_max: usize,
    /// The functions.
    pub instances: Instances,
    output: Vec<u8>,
    event_id: String,
    headers: Headers,
    traces: bool,
    /// The batch's span, to which those of its events are linked; none where nothing is traced.
    batch: Span,
    meter: Meter,
    /// Bytes produced since the batch began.
    produced_bytes: usize,
    /// What was counted since the last commit.
    pub tally: Tally,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stepped {
    /// What became of the event's place.
    pub verdict: Verdict,
    /// How long its function ran, and verdicts on its event and output took.
    pub function_time: Duration,
}

/// What became of an event's place in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done: its offset can be committed.
    Done,
    /// It stays where it is for this long, and what stands behind it with it.
    WaitInPlace(Tier),
}

impl Stepper {
    /// A stepper for a pool's events, with the functions of `library`.
    #[must_use]
    pub fn new(pool: &str, limits: Limits, library: Library, traces: bool, stopwatch: Stopwatch) -> Self {
        Self {
            pool: pool.to_owned(),
            output_bytes_max: limits.output_bytes,
            instances: Instances::new(library, limits),
            output: Vec::new(),
            event_id: String::new(),
            headers: Headers::default(),
            traces,
            batch: Span::none(),
            meter: Meter::new(stopwatch),
            produced_bytes: 0,
            tally: Tally::default(),
        }
    }

    /// A batch of so many events begins: its span, where traces are exported. It is the root of a trace of its own, since
    /// its events belong to many, and ends once the batch is committed or given up.
    pub fn begin_batch(&mut self, events: usize) -> Span {
        self.produced_bytes = 0;
        if self.traces {
            self.batch = tracing::info_span!(parent: None, "process batch", otel.kind = "consumer", pool = self.pool, events, events.done = Empty, commit.ms = Empty);
        }
        self.batch.clone()
    }

    /// The batch has ended.
    pub fn end_batch(&mut self) {
        self.batch = Span::none();
    }

    /// Bytes produced since the batch began.
    #[must_use]
    pub fn produced_bytes(&self) -> usize {
        self.produced_bytes
    }

    /// Does what follows from one event of `queue`, within the member's open transaction.
    ///
    /// # Errors
    /// The log's, from producing; or the machine has no room for an instance of the function. The transaction has to be
    /// aborted.
    pub fn step(
        &mut self,
        arrival: Arrival<'_>,
        queue: &QueueView,
        member: &mut dyn Transactor,
    ) -> Result<Stepped, Error> {
        self.with_id(arrival, |this, decoded, id| {
            let known = decoded.map_err(|error| undecodable(&error)).and_then(|decoded| {
                match queue.event(decoded.event.as_deref()) {
                    Some(event) => Ok((decoded, event)),
                    None => Err(unknown_event(queue, decoded.event.as_deref())),
                }
            });
            match known {
                Ok((decoded, event)) => this.run(arrival, &decoded, event, queue, id, member),
                Err(cause) => this.give_up(arrival, &queue.tenant, None, &cause, id, member),
            }
        })
    }

    /// Does what follows from an event that came back from a tier to find its job gone.
    ///
    /// # Errors
    /// As [`Stepper::step`].
    pub fn step_homeless(
        &mut self,
        arrival: Arrival<'_>,
        tenant: &TenantId,
        member: &mut dyn Transactor,
    ) -> Result<Stepped, Error> {
        let message =
            format!("no job in force reads '{}' any more; one did before it had to wait", arrival.origin.topic);
        let cause = Cause { stage: Stage::Validate, code: "unknown_event", message: message.into() };
        self.with_id(arrival, |this, _, id| this.give_up(arrival, tenant, None, &cause, id, member))
    }

    /// Puts an event whose function is not there to the end of its tier, as it came: nothing of it has been tried.
    ///
    /// # Errors
    /// The log's, from producing.
    pub fn put_off(&mut self, record: &Record<'_>, tier: Tier, member: &mut dyn Transactor) -> Result<(), Error> {
        let (headers, produced) = (&mut self.headers, &mut self.produced_bytes);
        encode::once_more(headers, record, &name::retry(&self.pool, tier), |out| produce(member, out, produced))
    }

    /// Reads the record, and finds the event's id: its `ce_id`, or one made from where it first stood.
    fn with_id<T>(
        &mut self,
        arrival: Arrival<'_>,
        then: impl FnOnce(&mut Self, Result<Decoded<'_>, DecodeError>, &str) -> T,
    ) -> T {
        let decoded = decode(arrival.record.value(), arrival.record.headers());
        let mut id = std::mem::take(&mut self.event_id);
        id.clear();
        match decoded.as_ref().ok().and_then(|decoded| decoded.id.as_deref()) {
            Some(given) => id.push_str(given),
            None => encode::push_coordinates(&mut id, &arrival.origin),
        }
        let done = then(self, decoded, &id);
        self.event_id = id;
        done
    }

    /// Writes the dead letter of an event that reaches no function; `event` is what the catalog knows of it, where it does.
    fn give_up(
        &mut self,
        Arrival { record, origin, attempts, in_tier: _ }: Arrival<'_>,
        tenant: &TenantId,
        event: Option<&EventView>,
        cause: &Cause,
        id: &str,
        member: &mut dyn Transactor,
    ) -> Result<Stepped, Error> {
        self.tally.count_dead(tenant, cause);
        let source = Source { record, origin, attempts: attempts + 1, id, trace: &Carried::default() };
        let (headers, produced) = (&mut self.headers, &mut self.produced_bytes);
        let dead = name::dead(tenant);
        encode::dead_letter(headers, cause, &source, &dead, event, |out| produce(member, out, produced))?;
        Ok(Stepped { verdict: Verdict::Done, function_time: Duration::ZERO })
    }

    /// Runs the event's function, and does what follows.
    fn run(
        &mut self,
        arrival: Arrival<'_>,
        decoded: &Decoded<'_>,
        event: &EventView,
        queue: &QueueView,
        id: &str,
        member: &mut dyn Transactor,
    ) -> Result<Stepped, Error> {
        let Arrival { record, origin, attempts, in_tier } = arrival;
        // A job may have been given another policy while the event waited in a tier.
        let ordering = if in_tier { Ordering::None } else { event.retry.ordering };
        let (span, trace) = self.trace(decoded, event, id);
        let _entered = span.as_ref().map(Span::enter);
        let source = Source { record, origin, attempts: attempts + 1, id, trace: &trace };
        if let Some(cause) = room::too_much_to_carry(&record, id, &trace) {
            return self.give_up(arrival, &queue.tenant, Some(event), &cause, id, member);
        }
        let mut output = std::mem::take(&mut self.output);
        self.meter.begin();
        let (outcome, answer) = self.outcome(&decoded.data, event, &mut output, &source, queue, member)?;
        // What follows is little, but for the verdict on the output where that is another event.
        if event.ok.is_none() && event.error.is_none() {
            self.meter.stop();
        }
        let output_view = match answer {
            Some(bytes) if bytes > self.output_bytes_max => Output::TooLarge { bytes },
            Some(_) => Output::Bytes(&output),
            None => Output::Nothing,
        };
        let outcome = match outcome {
            // There is no tier that it could wait in.
            Outcome::Failed { cause, prospect: Prospect::Open }
                if ordering == Ordering::None && !room::fits_as_it_came(&record) =>
            {
                Outcome::Failed { cause, prospect: Prospect::None }
            }
            outcome => outcome,
        };
        let event_bytes_max = room::for_next_event(self.output_bytes_max, &trace);
        let (headers, tally, pool) = (&mut self.headers, &mut self.tally, &self.pool);
        let (produced, meter) = (&mut self.produced_bytes, &mut self.meter);
        let (mut verdict, mut answered) = (Verdict::Done, None);
        let acted = decide(outcome, source.attempts, ordering, event, output_view, event_bytes_max, |action| {
            match &action {
                Action::DeadLetter(cause) => tally.count_dead(&queue.tenant, cause),
                Action::Retry { tier, .. } => tally.count_retry(*tier),
                Action::WaitInPlace { tier, .. } => {
                    tally.count_retry(*tier);
                    verdict = Verdict::WaitInPlace(*tier);
                }
                Action::Result { status, .. } => answered = Some(*status),
                Action::Event { .. } => {}
            }
            let write = |out: &Outgoing<'_>| meter.leave_out(|| produce(member, out, produced));
            encode::action(headers, &action, &source, event, pool, write)
        });
        self.output = output;
        acted?;
        let function_time = self.meter.stop();
        self.tally.count(&queue.tenant, answered, function_time);
        Ok(Stepped { verdict, function_time })
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
        let (produced, meter) = (&mut self.produced_bytes, &mut self.meter);
        let called = self.instances.call(event, valid.bytes(), output, |index, line| {
            meter
                .leave_out(|| encode::log_line(index, line, source, queue, event, |out| produce(member, out, produced)))
        })?;
        Ok(match called {
            Ok(answer) => (Outcome::Answered { code: answer.code }, answer.has_output.then_some(answer.output_bytes)),
            Err(fault) => (failed(&fault), None),
        })
    }

    /// A span for the event, where its producer traces it and traces are exported; and the context that what follows from
    /// it carries on.
    fn trace(&self, decoded: &Decoded<'_>, event: &EventView, id: &str) -> (Option<Span>, Carried) {
        let carried = Carried::new(decoded.traceparent, decoded.tracestate);
        if !self.traces || decoded.traceparent.is_none() {
            return (None, carried);
        }
        let span = tracing::info_span!("process event", otel.kind = "consumer", tenant = %event.tenant, job = %event.job, event = %event.event, id);
        carried.adopt(&span);
        span.follows_from(self.batch.id());
        let onward = carried.onward(&span);
        (Some(span), onward)
    }
}

/// Produces a record, and counts its bytes.
fn produce(member: &mut dyn Transactor, out: &Outgoing<'_>, bytes: &mut usize) -> Result<(), Error> {
    *bytes += out.key.map_or(0, <[u8]>::len) + out.value.map_or(0, <[u8]>::len);
    member.produce(out)
}

fn failed(fault: &Fault) -> Outcome {
    Outcome::Failed { cause: fault.cause(), prospect: fault.prospect() }
}

fn undecodable(error: &DecodeError) -> Cause {
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
    // No rule of the schema is broken where it is no JSON, or too much of it.
    let others = ["json", "work"];
    let code = others.into_iter().find(|other| violations.iter().any(|violation| violation.keyword == *other));
    let code = code.unwrap_or("schema");
    Cause { stage: Stage::Validate, code, message: list.join("; ").into() }
}
