//! What exactly once means, checked by somebody who stands outside: every input has one outcome, in order.

use std::collections::{BTreeMap, BTreeSet};

use crate::system::Record;

/// Where a record stands in the queue.
pub type Place = (i32, i64);

/// How many offenders a failure names.
const NAMED_MAX: usize = 10;

/// Where the event of an outcome stood.
pub fn origin(outcome: &Record) -> Place {
    let number = |name: &str| outcome.header(name).parse::<i64>().unwrap_or_else(|_| panic!("{name}: {outcome:?}"));
    (i32::try_from(number("jobico-origin-partition")).unwrap(), number("jobico-origin-offset"))
}

/// Asserts that each record of a queue has exactly one outcome, a result or a dead letter, that nothing else has one, and
/// that outcomes stand in the order of their events: in each partition of a topic of outcomes, those that come from one
/// partition of the queue ascend. (So do those of one key, which all stand in one partition on either side.)
pub fn assert_exactly_once(queue: &[Record], results: &[Record], dead: &[Record]) {
    let inputs: BTreeSet<Place> = queue.iter().map(|record| (record.partition, record.offset)).collect();
    let mut outcomes: BTreeMap<Place, usize> = BTreeMap::new();
    for outcome in results.iter().chain(dead) {
        *outcomes.entry(origin(outcome)).or_default() += 1;
    }
    let named = |places: Vec<Place>| {
        format!("{} of {}: {:?}", places.len(), inputs.len(), &places[..places.len().min(NAMED_MAX)])
    };
    let missing: Vec<Place> = inputs.iter().filter(|place| !outcomes.contains_key(place)).copied().collect();
    assert!(missing.is_empty(), "events without an outcome, {}", named(missing));
    let repeated: Vec<Place> = outcomes.iter().filter(|(_, count)| **count > 1).map(|(place, _)| *place).collect();
    assert!(repeated.is_empty(), "events with several outcomes, {}", named(repeated));
    let strange: Vec<Place> = outcomes.keys().filter(|place| !inputs.contains(place)).copied().collect();
    assert!(strange.is_empty(), "outcomes of events that are not there, {}", named(strange));
    assert_ordered(results);
    assert_ordered(dead);
}

fn assert_ordered(outcomes: &[Record]) {
    let mut in_order: Vec<&Record> = outcomes.iter().collect();
    in_order.sort_by_key(|record| (record.partition, record.offset));
    let mut last: BTreeMap<(i32, i32), i64> = BTreeMap::new();
    for outcome in in_order {
        let (partition, offset) = origin(outcome);
        let before = last.insert((outcome.partition, partition), offset);
        assert!(
            before.is_none_or(|before| before < offset),
            "the outcome of event {partition}/{offset} stands behind that of event {partition}/{}",
            before.unwrap_or_default()
        );
    }
}

/// A checker that finds nothing is worth nothing.
mod finds {
    use super::*;

    fn record(partition: i32, offset: i64) -> Record {
        Record { partition, offset, key: None, value: None, headers: BTreeMap::new() }
    }

    /// An outcome at `offset` of its topic's only partition, of the event at `origin` of the queue's.
    fn outcome(offset: i64, origin: i64) -> Record {
        let headers = [("jobico-origin-partition", 0), ("jobico-origin-offset", origin)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_string())).into();
        Record { headers, ..record(0, offset) }
    }

    fn queue() -> Vec<Record> {
        (0..3).map(|offset| record(0, offset)).collect()
    }

    #[test]
    fn nothing_where_each_event_has_one_outcome_in_order() {
        assert_exactly_once(&queue(), &[outcome(5, 0), outcome(9, 2)], &[outcome(0, 1)]);
    }

    #[test]
    #[should_panic(expected = "events without an outcome, 1 of 3: [(0, 1)]")]
    fn an_event_that_was_lost() {
        assert_exactly_once(&queue(), &[outcome(0, 0), outcome(1, 2)], &[]);
    }

    #[test]
    #[should_panic(expected = "events with several outcomes, 1 of 3: [(0, 1)]")]
    fn an_event_that_was_done_twice() {
        assert_exactly_once(&queue(), &[outcome(0, 0), outcome(1, 1), outcome(2, 2)], &[outcome(0, 1)]);
    }

    #[test]
    #[should_panic(expected = "outcomes of events that are not there, 1 of 3: [(0, 3)]")]
    fn an_outcome_of_nothing() {
        assert_exactly_once(&queue(), &[0, 1, 2, 3].map(|offset| outcome(offset, offset)), &[]);
    }

    #[test]
    #[should_panic(expected = "the outcome of event 0/1 stands behind that of event 0/2")]
    fn outcomes_that_are_out_of_order() {
        assert_exactly_once(&queue(), &[outcome(0, 0), outcome(1, 2), outcome(2, 1)], &[]);
    }
}
