//! What an observer finds in the log after a schedule, and what must be there.

use std::collections::{BTreeMap, BTreeSet};

use jobico_broker::{Batch, Record};
use jobico_event::name;
use jobico_event::retry::{self, Tier};

use super::{OTHER, POOL, Schedule};

/// Lines that `log.wat` logs for each event.
const LINES: usize = 7;

/// Where an event first stood: its topic, partition and offset.
type Place = (String, i32, i64);

/// An outcome: `ok` or the dead letter's code, the value, the attempts, when it was committed, and where it stands.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    what: String,
    value: Option<String>,
    attempts: u32,
    committed_ms: i64,
    stands: (String, i32, i64),
}

/// What an observer finds in the log.
pub(super) struct Outcomes<'s> {
    schedule: &'s Schedule<'s>,
    pub(super) outcomes: BTreeMap<Place, Vec<Outcome>>,
}

fn header<'r>(record: &Record<'r>, name: &str) -> &'r str {
    let found = record.headers().find(|(found, _)| *found == name);
    found.map_or("", |(_, value)| std::str::from_utf8(value).unwrap())
}

fn origin(record: &Record<'_>) -> Place {
    let partition = header(record, "jobico-origin-partition").parse().unwrap();
    (
        header(record, "jobico-origin-topic").to_owned(),
        partition,
        header(record, "jobico-origin-offset").parse().unwrap(),
    )
}

fn text(record: &Record<'_>) -> Option<String> {
    record.value().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// How far the outcomes of a partition were followed.
#[derive(Default)]
struct Last {
    committed_ms: i64,
    /// The offset of the last one in each partition that has some.
    stood: BTreeMap<(String, i32), i64>,
}

impl Last {
    /// The next one, which must not stand before those that were there, nor be older.
    fn check(&mut self, outcome: &Outcome, place: &Place) {
        assert!(self.committed_ms <= outcome.committed_ms, "{place:?} was committed before the one before it");
        self.committed_ms = outcome.committed_ms;
        let (topic, partition, offset) = outcome.stands.clone();
        let before = self.stood.insert((topic, partition), offset).unwrap_or(-1);
        assert!(before < offset, "{place:?} has its outcome before that of the one before it");
    }
}

impl<'s> Outcomes<'s> {
    pub(super) fn new(schedule: &'s Schedule<'s>) -> Self {
        let mut outcomes: BTreeMap<Place, Vec<Outcome>> = BTreeMap::new();
        let tenant = &schedule.stage.tenant;
        for topic in [name::results(tenant), name::dead(tenant)] {
            for record in schedule.log.committed(&topic).unwrap().iter() {
                let place = origin(&record);
                let status = header(&record, "jobico-status");
                let code = header(&record, "jobico-error-code");
                outcomes.entry(place).or_default().push(Outcome {
                    what: if status.is_empty() { code } else { status }.to_owned(),
                    value: text(&record),
                    attempts: header(&record, "jobico-attempts").parse().unwrap(),
                    committed_ms: record.timestamp_ms(),
                    stands: (topic.clone(), record.partition(), record.offset()),
                });
            }
        }
        Self { schedule, outcomes }
    }

    fn committed(&self, queue: &str) -> Batch {
        self.schedule.log.committed(&self.schedule.stage.topic(queue)).unwrap()
    }

    pub(super) fn check(mut self) {
        let (mut fine, mut lines) = (Vec::new(), 0);
        for queue in ["q1", "q2", "q3"] {
            let mut last: BTreeMap<i32, Last> = BTreeMap::new();
            for record in self.committed(queue).iter() {
                let place = (record.topic().to_string(), record.partition(), record.offset());
                let value = text(&record).unwrap();
                let outcomes = self.outcomes.remove(&place).unwrap_or_default();
                let [outcome] = &outcomes[..] else { panic!("{place:?} has the outcomes {outcomes:?}") };
                let (expected, attempts) = match &value {
                    poison if poison.contains('!') => ("trap", self.schedule.retry.attempts),
                    broken if broken.contains("no JSON") => ("json", 1),
                    _ => ("ok", 1),
                };
                let failures = self.failures(&place);
                assert_eq!((outcome.what.as_str(), outcome.attempts), (expected, attempts), "{place:?}: {failures:?}");
                assert_eq!(outcome.value.as_ref(), Some(&value), "{place:?}");
                match (queue, expected) {
                    ("q1", "ok") => fine.push(value),
                    ("q3", "ok") => lines += LINES,
                    _ => {}
                }
                if expected == "trap" && self.schedule.retry.ordering == retry::Ordering::None {
                    continue; // others may pass it
                }
                last.entry(record.partition()).or_default().check(outcome, &place);
            }
        }
        assert!(self.outcomes.is_empty(), "outcomes of nothing: {:?}", self.outcomes);
        let mut handed_on: Vec<String> = self.committed("q2").iter().map(|record| text(&record).unwrap()).collect();
        handed_on.sort_unstable();
        fine.sort_unstable();
        assert_eq!(handed_on, fine, "each that went well is handed on once");
        self.check_log(lines);
    }

    /// Why an event had to wait in tiers.
    fn failures(&self, place: &Place) -> Vec<String> {
        let mut failures = Vec::new();
        for tier in Tier::ALL {
            for pool in [POOL, OTHER] {
                let waited = self.schedule.log.committed(&name::retry(pool, tier)).unwrap();
                let here = waited.iter().filter(|record| origin(record) == *place);
                failures.extend(here.map(|record| header(&record, "jobico-error-message").to_owned()));
            }
        }
        failures
    }

    fn check_log(&self, lines: usize) {
        let logged = self.schedule.log.committed(name::LOG).unwrap();
        let distinct: BTreeSet<String> = logged
            .iter()
            .map(|record| {
                let line: serde_json::Value = serde_json::from_slice(record.value().unwrap()).unwrap();
                format!("{}/{}/{}/{}", line["topic"], line["partition"], line["offset"], line["line"])
            })
            .collect();
        assert_eq!((logged.len(), distinct.len()), (lines, lines), "each line is logged once");
    }
}
