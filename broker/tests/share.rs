//! Several members of a group.

use crate::fixture::{ANY, Fixture, Seen, TURN, gather, next_offsets, numbers, settle, turn, until, values};

pub fn two_members_share_the_partitions(log: &Fixture) {
    let topic = log.topic("share", 4);
    let (mut first, mut second) = (log.join("group", &[&topic]), log.join("group", &[&topic]));
    let mut seen = Vec::new();
    settle(&mut [&mut *first, &mut *second], &mut seen, |has| has[0].len() == 2 && has[1].len() == 2);
    assert!(first.assignment().is_disjoint(&second.assignment()));
    log.put_range(&topic, 0..100);
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    until("all records", || {
        of_first.extend(turn(&mut *first, &ANY, TURN).unwrap());
        of_second.extend(turn(&mut *second, &ANY, TURN).unwrap());
        (of_first.len() + of_second.len() == 100).then_some(())
    });
    for (member, seen) in [(&first, &of_first), (&second, &of_second)] {
        let has = member.assignment();
        assert!(!seen.is_empty() && seen.iter().all(|seen| has.iter().any(|own| own.partition == seen.partition)));
    }
    seen.extend(of_first);
    seen.extend(of_second);
    assert_eq!(values(&seen), numbers(0..100));
}

pub fn who_stays_takes_over_from_who_leaves_without_loss_or_repetition(log: &Fixture) {
    let topic = log.topic("leave", 4);
    let (mut stays, mut leaves) = (log.join("group", &[&topic]), log.join("group", &[&topic]));
    settle(&mut [&mut *stays, &mut *leaves], &mut Vec::new(), |has| has[0].len() == 2 && has[1].len() == 2);
    log.put_range(&topic, 0..100);
    let mut done: Vec<Seen> = Vec::new();
    until("all records", || {
        for member in [&mut *stays, &mut *leaves] {
            let seen = turn(member, &ANY, TURN).unwrap();
            member.commit_offsets(&next_offsets(&seen)).unwrap();
            done.extend(seen);
        }
        (done.len() == 100).then_some(())
    });
    drop(leaves);
    log.put_range(&topic, 100..200);
    done.extend(gather(&mut *stays, 100));
    assert_eq!(stays.assignment().len(), 4);
    assert_eq!(values(&done), numbers(0..200));
}

pub fn who_stays_takes_over_from_who_panics(log: &Fixture) {
    let topic = log.topic("panic", 2);
    let (mut stays, mut panics) = (log.join("group", &[&topic]), log.join("group", &[&topic]));
    settle(&mut [&mut *stays, &mut *panics], &mut Vec::new(), |has| has[0].len() == 1 && has[1].len() == 1);
    log.put_range(&topic, 0..40);
    let thread = std::thread::spawn(move || {
        // It has read records and committed nothing: they are for the other.
        until("some records", || (!turn(&mut *panics, &ANY, TURN).unwrap().is_empty()).then_some(()));
        panic!("as a bug would");
    });
    assert!(thread.join().is_err());
    assert_eq!(values(&gather(&mut *stays, 40)), numbers(0..40));
}

pub fn groups_do_not_disturb_each_other(log: &Fixture) {
    let topic = log.topic("groups", 2);
    log.put_range(&topic, 0..10);
    let (mut one, mut other) = (log.join("one", &[&topic]), log.join("other", &[&topic]));
    let seen = gather(&mut *one, 10);
    one.commit_offsets(&next_offsets(&seen)).unwrap();
    assert_eq!(values(&gather(&mut *other, 10)), numbers(0..10));
    assert_eq!(other.assignment().len(), 2);
    assert!(log.offsets("other", &topic).iter().all(Option::is_none));
    assert!(log.offsets("one", &topic).iter().any(Option::is_some));
}
