//! Whose turn it is, of the partitions that may have messages.

use std::collections::VecDeque;

/// Those that had nothing come before those that have more than their turns took, so that an event of a quiet queue does
/// not wait for a round of all full ones (the new and the old flows of RFC 8290); but these have half of each batch, and the first
/// turn of a batch where they had none in the one before: a batch may have room for one.
#[derive(Default)]
pub(super) struct Ready {
    /// They had nothing, and have had no turn since.
    fresh: VecDeque<u64>,
    /// They had a turn, and more than it took.
    waiting: VecDeque<u64>,
    /// Those of them, from the front, that wait since before this batch.
    before: usize,
    /// They had no turn in this batch yet.
    passed_over: bool,
    /// They have the next turn.
    owed: bool,
}

impl Ready {
    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.waiting.len()
    }

    pub(super) fn arrive(&mut self, number: u64) {
        self.fresh.push_back(number);
    }

    pub(super) fn wait(&mut self, number: u64) {
        self.waiting.push_back(number);
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.fresh.retain(|ready| *ready != number);
        self.waiting.retain(|ready| *ready != number);
    }

    /// A batch begins.
    pub(super) fn begin(&mut self) {
        self.before = self.waiting.len();
        self.owed = self.passed_over;
        self.passed_over = self.before > 0;
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self, fresh_first: bool) -> Option<u64> {
        let owed = std::mem::take(&mut self.owed) && self.before > 0;
        if !owed
            && (fresh_first || self.before == 0)
            && let Some(number) = self.fresh.pop_front()
        {
            return Some(number);
        }
        self.before = self.before.saturating_sub(1);
        self.passed_over = false;
        self.waiting.pop_front().or_else(|| self.fresh.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who has the turns of a batch of so many, one for each; all of them have more.
    fn batch(ready: &mut Ready, turns: usize) -> Vec<u64> {
        ready.begin();
        let had = |turn| {
            let number = ready.next(turn < turns / 2)?;
            ready.wait(number);
            Some(number)
        };
        (0..turns).map_while(had).collect()
    }

    #[test]
    fn those_that_have_more_have_their_turns_round_and_round() {
        let mut ready = Ready::default();
        (1..=5).for_each(|number| ready.arrive(number));
        assert_eq!(batch(&mut ready, 3), [1, 2, 3]);
        // Four and five have waited for their first turn, which is in the first half or after those that had theirs.
        assert_eq!(batch(&mut ready, 4), [4, 5, 1, 2]);
        assert_eq!(batch(&mut ready, 4), [3, 4, 5, 1]);
        assert_eq!(batch(&mut ready, 7), [2, 3, 4, 5, 1, 2, 3]);
    }

    #[test]
    fn one_that_had_nothing_comes_before_those_that_have_more() {
        let mut ready = Ready::default();
        (1..=100).for_each(|number| ready.arrive(number));
        batch(&mut ready, 100);
        ready.arrive(200);
        assert_eq!(batch(&mut ready, 4), [200, 1, 2, 3]);
    }

    #[test]
    fn half_of_a_batch_is_theirs_who_wait_whatever_arrives() {
        let mut ready = Ready::default();
        (1..=4).for_each(|number| ready.arrive(number));
        batch(&mut ready, 4);
        (10..20).for_each(|number| ready.arrive(number));
        assert_eq!(batch(&mut ready, 4), [10, 11, 1, 2]);
        // They have had theirs before those that came later have a second one.
        assert_eq!(batch(&mut ready, 20), [12, 13, 14, 15, 16, 17, 18, 19, 3, 4, 10, 11, 1, 2, 12, 13, 14, 15, 16, 17]);
    }

    #[test]
    fn where_a_batch_has_room_for_one_they_take_turns() {
        let mut ready = Ready::default();
        (1..=2).for_each(|number| ready.arrive(number));
        batch(&mut ready, 2);
        (10..=12).for_each(|number| ready.arrive(number));
        let mut turn = || {
            ready.begin();
            ready.next(true).inspect(|number| ready.wait(*number))
        };
        assert_eq!([turn(), turn(), turn(), turn()], [10, 1, 11, 2].map(Some));
    }

    #[test]
    fn one_that_has_gone_has_no_turn() {
        let mut ready = Ready::default();
        (1..=3).for_each(|number| ready.arrive(number));
        batch(&mut ready, 1);
        ready.remove(1);
        ready.remove(2);
        assert_eq!((ready.len(), batch(&mut ready, 2)), (1, vec![3, 3]));
    }
}
