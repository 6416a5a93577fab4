//! What a member is subscribed to, what it is to be subscribed to, and when that may be done.
//!
//! ```text
//!  want ─► wanted ── due ─► being looked up ── known ─► in force
//!            ▲                     │
//!            └── wanted meanwhile ─┘
//! ```
//!
//! Topics are looked up before they are subscribed to. librdkafka would do it afterwards, in the midst of the rebalance that the
//! change is: for as long as the broker holds a fetch of the same connection back, half a second, the whole group would wait.
//! And where it has to while a member joins that the group does not know (yet, or any more), librdkafka 2.12 ends the process, by
//! an assertion in `rd_kafka_cgrp_modify_subscription`: so a member has to be in its group besides, for topics that could not be
//! looked up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Between two changes. Each is a rebalance of the group: where jobs are deployed one after the other, one change is for several.
const REST: Duration = Duration::from_millis(500);
/// How long a group may take to give a new member its first partitions, or none: longer than it waits for one that has gone
/// without a word, and for the batches of those that have to give some up. A recorder was seen that was given nothing for as
/// long as it lived, and heard of no error.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(30);
/// And for each of its topics, which librdkafka looks up and goes through.
const FIRST_ANSWER_PER_TOPIC_MAX: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Default)]
pub(super) struct Subscription {
    in_force: BTreeSet<String>,
    wanted: Option<BTreeSet<String>>,
    looked_up: Option<BTreeSet<String>>,
    /// When that was begun.
    due: Option<Instant>,
    changed: Option<Instant>,
    answer: Answer,
}

/// Whether the group has ever told this member what it has.
#[derive(Default)]
enum Answer {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It was asked then, and has not.
    Due(Instant),
    /// It has.
    Given,
}

impl Subscription {
    /// What was asked for last.
    pub(super) fn latest(&self) -> &BTreeSet<String> {
        self.wanted.as_ref().or(self.looked_up.as_ref()).unwrap_or(&self.in_force)
    }

    /// Asks for topics.
    pub(super) fn want(&mut self, topics: &BTreeSet<String>) {
        self.wanted = Some(topics.clone());
    }

    /// Asks for the same topics again: one of them was not known, and may be by now.
    pub(super) fn want_again(&mut self) {
        if !self.latest().is_empty() {
            self.wanted = Some(self.latest().clone());
        }
    }

    /// What may be subscribed to at once: a first subscription disturbs nobody, and the end of all cannot wait.
    pub(super) fn at_once(&self) -> Option<&BTreeSet<String>> {
        self.wanted.as_ref().filter(|wanted| self.in_force.is_empty() || wanted.is_empty())
    }

    /// Where a change is due: the topics to look up before it, none where it only takes some away.
    pub(super) fn begin_look_up(&mut self, now: Instant) -> Option<Vec<String>> {
        let has_rested = self.changed.is_none_or(|changed| now.saturating_duration_since(changed) >= REST);
        if self.looked_up.is_some() || !has_rested {
            return None;
        }
        let wanted = self.wanted.take()?;
        // The same again, because of one of them; or those that are new.
        let is_again = wanted == self.in_force;
        let topics = wanted.iter().filter(|topic| is_again || !self.in_force.contains(*topic)).cloned().collect();
        self.looked_up = Some(wanted);
        self.due = Some(now);
        Some(topics)
    }

    /// How long other topics than those in force have been due; none: no others are.
    pub(super) fn overdue(&self, now: Instant) -> Option<Duration> {
        let due = self.due.filter(|_| self.looked_up.as_ref().is_some_and(|topics| *topics != self.in_force));
        due.map(|due| now.saturating_duration_since(due))
    }

    /// The group has given the member partitions, or none.
    pub(super) fn is_answered(&mut self) {
        self.answer = Answer::Given;
    }

    /// Whether the group should have taken the member in by now.
    pub(super) fn is_ignored(&self, now: Instant) -> bool {
        let Answer::Due(since) = self.answer else { return false };
        let topics = u32::try_from(self.in_force.len()).unwrap_or(u32::MAX);
        now.saturating_duration_since(since) > FIRST_ANSWER_MAX + FIRST_ANSWER_PER_TOPIC_MAX.saturating_mul(topics)
    }

    /// What has been looked up, to be subscribed to.
    pub(super) fn looked_up(&self) -> Option<&BTreeSet<String>> {
        self.looked_up.as_ref()
    }

    /// Topics have been subscribed to.
    pub(super) fn is_done(&mut self, topics: BTreeSet<String>, now: Instant) {
        self.wanted.take_if(|wanted| *wanted == topics);
        self.looked_up = None;
        match self.answer {
            Answer::NotAsked if !topics.is_empty() => self.answer = Answer::Due(now),
            Answer::Due(_) if topics.is_empty() => self.answer = Answer::NotAsked,
            Answer::NotAsked | Answer::Due(_) | Answer::Given => {}
        }
        self.in_force = topics;
        self.changed = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Subscribed to them, as the first.
    fn subscribed(names: &[&str], now: Instant) -> Subscription {
        let mut subscription = Subscription::default();
        subscription.want(&topics(names));
        assert_eq!(subscription.at_once(), Some(&topics(names)));
        subscription.is_done(topics(names), now);
        assert_eq!(subscription.at_once(), None);
        assert_eq!(subscription.latest(), &topics(names));
        assert_eq!(subscription.begin_look_up(now + REST), None);
        subscription
    }

    #[test]
    fn changes_rest_and_the_last_one_counts() {
        let begun = Instant::now();
        let mut subscription = subscribed(&["a"], begun);
        subscription.want(&topics(&["a", "b"]));
        subscription.want(&topics(&["a", "c"]));
        assert_eq!(subscription.at_once(), None);
        assert_eq!(subscription.begin_look_up(begun + REST / 2), None);
        assert_eq!(subscription.begin_look_up(begun + REST), Some(vec!["c".to_owned()]));
        assert_eq!(subscription.looked_up(), Some(&topics(&["a", "c"])));
        assert_eq!(subscription.overdue(begun + REST * 4), Some(REST * 3));
        subscription.is_done(topics(&["a", "c"]), begun + REST);
        assert_eq!(subscription.overdue(begun + REST * 4), None);
        subscription.want(&topics(&["c"]));
        assert_eq!(subscription.begin_look_up(begun + REST * 3 / 2), None);
        assert_eq!((subscription.looked_up(), subscription.latest()), (None, &topics(&["c"])));
    }

    #[test]
    fn what_is_wanted_while_others_are_looked_up_is_the_next_change() {
        let begun = Instant::now();
        let mut subscription = subscribed(&["a"], begun);
        subscription.want(&topics(&["a", "b"]));
        subscription.begin_look_up(begun + REST);
        subscription.want(&topics(&["b", "c"]));
        assert_eq!(subscription.begin_look_up(begun + REST * 2), None);
        assert_eq!(
            (subscription.looked_up(), subscription.latest()),
            (Some(&topics(&["a", "b"])), &topics(&["b", "c"]))
        );
        subscription.is_done(topics(&["a", "b"]), begun + REST * 2);
        assert_eq!(subscription.begin_look_up(begun + REST * 3), Some(vec!["c".to_owned()]));
    }

    #[test]
    fn what_is_taken_away_is_not_looked_up() {
        let begun = Instant::now();
        let mut subscription = subscribed(&["a", "b"], begun);
        subscription.want(&topics(&["b"]));
        assert_eq!(subscription.begin_look_up(begun + REST), Some(Vec::new()));
        assert_eq!(subscription.looked_up(), Some(&topics(&["b"])));
    }

    #[test]
    fn the_end_of_all_waits_for_nothing() {
        let begun = Instant::now();
        let mut subscription = subscribed(&["a"], begun);
        subscription.want(&topics(&["a", "b"]));
        subscription.begin_look_up(begun + REST);
        subscription.want(&topics(&[]));
        assert_eq!(subscription.at_once(), Some(&topics(&[])));
        assert_eq!(subscription.at_once(), Some(&topics(&[])), "it is there until it is done");
        subscription.is_done(topics(&[]), begun + REST);
        assert_eq!((subscription.latest(), subscription.looked_up()), (&topics(&[]), None));
    }

    #[test]
    fn a_group_that_gives_a_new_member_nothing_has_its_time() {
        let begun = Instant::now();
        let late = begun + FIRST_ANSWER_MAX + FIRST_ANSWER_PER_TOPIC_MAX * 2;
        assert!(!Subscription::default().is_ignored(late), "nothing was asked for");
        let mut subscription = subscribed(&["a", "b"], begun);
        assert!(!subscription.is_ignored(late) && subscription.is_ignored(late + REST));
        subscription.is_done(topics(&["a", "b"]), late);
        assert!(subscription.is_ignored(late + REST), "asking again gives it no more time");
        subscription.is_done(topics(&[]), late);
        assert!(!subscription.is_ignored(late + FIRST_ANSWER_MAX * 2), "it wants nothing any more");
        subscription.is_done(topics(&["a"]), late);
        subscription.is_answered();
        subscription.is_done(topics(&["a", "b"]), late + REST);
        assert!(!subscription.is_ignored(late + REST + FIRST_ANSWER_MAX * 2), "it is in the group");
    }

    #[test]
    fn the_same_is_wanted_again_unless_something_else_is() {
        let begun = Instant::now();
        let mut subscription = subscribed(&["a", "b"], begun);
        subscription.want_again();
        assert_eq!(subscription.begin_look_up(begun + REST), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(subscription.overdue(begun + REST * 9), None, "it is in force");
        assert_eq!(subscription.looked_up(), Some(&topics(&["a", "b"])));
        subscription.is_done(topics(&["a", "b"]), begun + REST);
        subscription.want(&topics(&["c"]));
        subscription.want_again();
        assert_eq!(subscription.latest(), &topics(&["c"]));
        let mut of_nothing = Subscription::default();
        of_nothing.want_again();
        assert_eq!(of_nothing.at_once(), None);
    }
}
