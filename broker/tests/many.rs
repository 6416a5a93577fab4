//! What the logs of one process promise beyond Kafka: topics cost little, and none starves another.

use std::time::{Duration, Instant};

use jobico_broker::{Batch, Consumer, GatherLimits};

use crate::fixture::{ANY, Fixture, Kind, Seen, gather, numbers, record, set, turn, until, values};

const LOGS: [Kind; 2] = [Kind::Embedded, Kind::Simulated];

#[test]
fn a_topic_with_a_backlog_does_not_starve_a_quiet_one() {
    for kind in LOGS {
        let log = Fixture::new(kind);
        let (flooded, quiet) = (log.topic("flooded", 1), log.topic("quiet", 1));
        log.put_range(&flooded, 0..5_000);
        let mut member = log.join("group", &[&flooded, &quiet]);
        let limits = GatherLimits { records_max: 100, ..ANY };
        turn(&mut *member, &limits, Duration::ZERO).unwrap();
        log.put_range(&quiet, 0..1);
        let seen = turn(&mut *member, &limits, Duration::ZERO).unwrap();
        assert!(seen.iter().any(|seen| seen.topic == quiet), "{kind:?}: not in the next batch");
        assert_eq!(seen.len(), 100, "{kind:?}: and the batch is full all the same");
    }
}

#[test]
fn all_partitions_have_their_share_of_a_batch() {
    for kind in LOGS {
        let log = Fixture::new(kind);
        let topics: Vec<_> = (0..10).map(|number| log.topic(&format!("even{number}"), 1)).collect();
        for topic in &topics {
            log.put_range(topic, 0..100);
        }
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        let mut member = log.join("group", &names);
        let seen = turn(&mut *member, &GatherLimits { records_max: 100, ..ANY }, Duration::ZERO).unwrap();
        for topic in &topics {
            assert_eq!(seen.iter().filter(|seen| seen.topic == *topic).count(), 10, "{kind:?} {topic}");
        }
    }
}

/// The bound is generous: it holds on a busy machine, and does not where each gather looks at each partition.
#[test]
fn ten_thousand_topics_cost_a_batch_no_more_than_one() {
    const TOPICS: usize = 10_000;
    for kind in LOGS {
        let log = Fixture::new(kind);
        let topics = log.topics("t", TOPICS, 4);
        let mut members = [log.join("group", &[]), log.join("group", &[])];
        for member in &mut members {
            member.subscribe(&topics.iter().cloned().collect()).unwrap();
        }
        until("all partitions are shared out", || {
            members
                .iter_mut()
                .for_each(|member| assert!(turn(&mut **member, &ANY, Duration::ZERO).unwrap().is_empty()));
            (members.iter().map(|member| member.assignment().len()).sum::<usize>() == 4 * TOPICS).then_some(())
        });
        let (mut batch, begun) = (Batch::new(), Instant::now());
        for _ in 0..1_000 {
            members[0].gather(&mut batch, &ANY, Duration::ZERO).unwrap();
            assert!(batch.is_empty());
        }
        assert!(begun.elapsed() < Duration::from_millis(500), "{kind:?}: {:?} for 1,000 gathers", begun.elapsed());
        let records = topics.iter().enumerate().map(|(number, topic)| record(topic, "k", &number.to_string()));
        log.append(records.collect());
        let mut seen: Vec<Seen> = Vec::new();
        until("a record of each topic", || {
            members.iter_mut().for_each(|member| seen.extend(turn(&mut **member, &ANY, Duration::ZERO).unwrap()));
            (seen.len() == TOPICS).then_some(())
        });
        assert_eq!(values(&seen), numbers(0..TOPICS));
    }
}

#[test]
fn a_member_that_panics_frees_its_partitions_for_one_that_waits() {
    for kind in LOGS {
        let log = Fixture::new(kind);
        let topic = log.topic("freed", 1);
        log.put_range(&topic, 0..10);
        let mut first = log.join("group", &[&topic]);
        gather(&mut *first, 10);
        let mut second = log.broker.join(&log.membership("group")).unwrap();
        second.subscribe(&set(&[&topic])).unwrap();
        let waiting = std::thread::spawn(move || gather(&mut *second, 10));
        let panics = std::thread::spawn(move || {
            let _held: Box<dyn Consumer> = first;
            panic!("as a bug would");
        });
        assert!(panics.join().is_err());
        assert_eq!(values(&waiting.join().unwrap()), numbers(0..10), "{kind:?}");
    }
}
