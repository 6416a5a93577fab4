//! Whose events a batch does, and for how long: deficit round-robin by function time. Pure.
//!
//! A batch has a time. Tenants with events in it have parts of that time, each as many as its weight; who takes more, since a
//! call cannot be cut short, has less of the next. Events that are not done stay for the next batch.
//!
//! ```text
//! batch  │ slow ░░░░░░░░░░ │ quiet █ │ slow ░░░░░░░░░░ quiet █ │ quiet █ │ slow ░░░░░░░░░░ …
//!        whole              brief     whole                     brief
//! ```
//!
//! What a batch did is seen when it is committed. So after a batch in which somebody used up its part and has more, there
//! is a brief one of those who have not: a tenant with few events waits for one batch to end, not for two, whatever weights
//! its neighbours have. What it takes there, it has less of in the next whole one.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jobico_event::TenantId;

/// Who has a turn: a tenant, or (none) all events that come back from retry tiers, whose order in a tier is one for all.
pub type Party = Option<TenantId>;

/// A party with events in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub party: Party,
    /// How many parts of the time it has; at least 1.
    pub weight: u32,
    /// How long it may run at most, whatever its part is; none: no quota says so.
    pub allowance: Option<Duration>,
}

/// A party's turn in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    /// Which of the batch's parties.
    index: usize,
    /// How long it may run.
    own: Duration,
    /// What of that is its part of this batch; the rest is from its part of the next.
    earned: Duration,
}

/// What one event took of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// How long its function ran.
    pub function_time: Duration,
    /// The batch has no room for another.
    pub is_full: bool,
}

/// What parties took beyond their parts.
#[derive(Debug)]
pub struct Turns {
    budget: Duration,
    debts: HashMap<Party, Duration>,
    /// Who had events left when its last turn was over.
    unfinished: HashSet<Party>,
    /// Who was in the batch before: its part is kept for it, though it may just have nothing.
    last: Vec<Claim>,
    /// What the next batch is.
    next: Kind,
    batches: usize,
}

/// Who has turns in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All, as far as they have paid their debts off.
    Whole,
    /// Those who had no events left, where somebody had.
    Brief,
}

/// A batch that has taken this many times its time ends, whoever has not had a turn in it: such a one is first in the next.
pub const OVERRUN_MAX: u32 = 2;

impl Turns {
    /// Turns in batches of this time.
    #[must_use]
    pub fn new(budget: Duration) -> Self {
        Self {
            budget,
            debts: HashMap::new(),
            unfinished: HashSet::new(),
            last: Vec::new(),
            next: Kind::Whole,
            batches: 0,
        }
    }

    /// Gives those with events in a batch their turns: `step` does one event of a party, its n-th, and says what that took, and
    /// whether the batch has room for more. How many events of each party were done: at least one, where allowances let somebody run.
    ///
    /// # Errors
    /// What `step` gave.
    pub fn run<E>(
        &mut self,
        claims: &[Claim],
        events: &[usize],
        mut step: impl FnMut(usize, usize) -> Result<Taken, E>,
    ) -> Result<Vec<usize>, E> {
        let (mut done, mut total, mut is_full) = (vec![0; claims.len()], Duration::ZERO, false);
        for turn in self.next(claims) {
            if is_full || self.is_over(total) {
                break;
            }
            let (claim, done, mut taken) = (&claims[turn.index], &mut done[turn.index], Duration::ZERO);
            let own = turn.own.min(claim.allowance.unwrap_or(Duration::MAX));
            while *done < events[turn.index] && taken < own && !is_full && !self.is_over(total + taken) {
                let step = step(turn.index, *done)?;
                taken += step.function_time;
                is_full = step.is_full;
                *done += 1;
            }
            self.settle(&claim.party, turn, taken, events[turn.index] - *done);
            total += taken;
        }
        Ok(done)
    }

    /// Who of those with events in a batch has a turn, in order. At least one has.
    fn next(&mut self, claims: &[Claim]) -> Vec<Turn> {
        let kind = std::mem::replace(&mut self.next, Kind::Whole);
        let absent = self.last.iter().filter(|last| !claims.iter().any(|claim| claim.party == last.party));
        let weights: u32 = claims.iter().chain(absent).fold(0, |sum, claim| sum.saturating_add(claim.weight.max(1)));
        self.last = claims.to_vec();
        if let [claim] = claims {
            // Nobody else has events: what it took before does not matter.
            self.debts.clear();
            let own = part(self.budget, claim, weights);
            return vec![Turn { index: 0, own, earned: own }];
        }
        let parts: Vec<Duration> = claims.iter().map(|claim| part(self.budget, claim, weights)).collect();
        if kind == Kind::Brief {
            let turns = self.brief(claims, &parts);
            if !turns.is_empty() && turns.len() < claims.len() {
                return turns;
            }
        }
        self.whole(claims, &parts)
    }

    /// The turns of those who had nothing left, and have something of their next part still.
    fn brief(&self, claims: &[Claim], parts: &[Duration]) -> Vec<Turn> {
        let turn = |(index, (claim, part)): (usize, (&Claim, &Duration))| {
            let own = part.checked_sub(self.debt(&claim.party)).filter(|own| !own.is_zero())?;
            (!self.unfinished.contains(&claim.party)).then_some(Turn { index, own, earned: Duration::ZERO })
        };
        claims.iter().zip(parts).enumerate().filter_map(turn).collect()
    }

    fn whole(&mut self, claims: &[Claim], parts: &[Duration]) -> Vec<Turn> {
        let count = claims.len();
        // Debts are paid off in parts, until one party at least has something left of its own.
        let rounds = claims.iter().zip(parts).map(|(claim, part)| self.debt(&claim.party).as_nanos() / part.as_nanos());
        let rounds = u32::try_from(rounds.min().unwrap_or(0)).unwrap_or(u32::MAX).saturating_add(1);
        // Those who are not here have no use for their parts, and pay with them.
        let budget = self.budget;
        self.debts.retain(|party, debt| {
            if !claims.iter().any(|claim| claim.party == *party) {
                *debt = debt.saturating_sub(budget.saturating_mul(rounds));
            }
            !debt.is_zero()
        });
        // Nor has one of them anything left.
        self.unfinished.retain(|party| claims.iter().any(|claim| claim.party == *party));
        let first = self.batches.checked_rem(count).unwrap_or(0);
        self.batches = self.batches.wrapping_add(1);
        let mut turns = Vec::with_capacity(count);
        for index in (first..count).chain(0..first) {
            let (party, part) = (&claims[index].party, parts[index]);
            let (debt, earned) = (self.debt(party), part.saturating_mul(rounds));
            match earned.checked_sub(debt).filter(|own| !own.is_zero()) {
                Some(own) => {
                    self.debts.remove(party);
                    let own = own.min(part);
                    turns.push(Turn { index, own, earned: own });
                }
                None => drop(self.debts.insert(party.clone(), debt.saturating_sub(earned))),
            }
        }
        turns
    }

    /// Whether a batch that has taken this long must end.
    fn is_over(&self, taken: Duration) -> bool {
        taken >= self.budget.saturating_mul(OVERRUN_MAX)
    }

    /// A party took `taken` in its turn, and has `left` events left.
    fn settle(&mut self, party: &Party, turn: Turn, taken: Duration, left: usize) {
        let owed = taken.saturating_sub(turn.earned);
        if !owed.is_zero() {
            *self.debts.entry(party.clone()).or_default() += owed;
        }
        if left > 0 {
            self.unfinished.insert(party.clone());
        } else if !self.unfinished.is_empty() {
            self.unfinished.remove(party);
        }
        // Never two brief ones in a row: who had none in the first has its turn.
        if turn.earned > Duration::ZERO && (left > 0 || !owed.is_zero()) {
            self.next = Kind::Brief;
        }
    }

    fn debt(&self, party: &Party) -> Duration {
        self.debts.get(party).copied().unwrap_or_default()
    }
}

/// A party's part of a batch's time.
fn part(budget: Duration, claim: &Claim, weights: u32) -> Duration {
    let part = budget.saturating_mul(claim.weight.max(1)) / weights.max(1);
    part.max(Duration::from_micros(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(100);

    fn party(name: &str) -> Party {
        Some(TenantId::new(name).unwrap())
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A party with events whose calls take so long, and how many of them there are in each batch.
    struct Busy(Claim, Duration, usize);

    fn busy(name: &str, weight: u32, call_ms: u64) -> Busy {
        Busy(Claim { party: party(name), weight, allowance: None }, ms(call_ms), usize::MAX)
    }

    /// One batch: how long each party ran.
    fn batch(turns: &mut Turns, parties: &[Busy]) -> Vec<Duration> {
        let claims: Vec<Claim> = parties.iter().map(|busy| busy.0.clone()).collect();
        let events: Vec<usize> = parties.iter().map(|busy| busy.2).collect();
        let step = |party: usize, _| Ok::<_, ()>(Taken { function_time: parties[party].1, is_full: false });
        let done = turns.run(&claims, &events, step).unwrap();
        done.iter().zip(parties).map(|(done, busy)| busy.1 * u32::try_from(*done).unwrap()).collect()
    }

    /// Many batches: how long each party ran in all of them.
    fn run(batches: usize, parties: &[Busy]) -> Vec<Duration> {
        let (mut turns, mut ran) = (Turns::new(BUDGET), vec![Duration::ZERO; parties.len()]);
        for _ in 0..batches {
            ran.iter_mut().zip(batch(&mut turns, parties)).for_each(|(ran, more)| *ran += more);
        }
        ran
    }

    #[test]
    fn one_party_has_the_whole_time() {
        assert_eq!(batch(&mut Turns::new(BUDGET), &[busy("a", 7, 1)]), [BUDGET]);
        assert_eq!(batch(&mut Turns::new(BUDGET), &[]), []);
    }

    #[test]
    fn time_is_shared_by_weight_however_long_the_calls_are() {
        // Weights; how long calls take, ms.
        for (weights, calls) in [
            ([1, 1], [70, 1]),
            ([1, 1], [1, 1]),
            ([3, 1], [1, 1]),
            ([3, 1], [1, 40]),
            ([3, 1], [70, 1]),
            ([1, 100], [1, 1]),
            ([100, 1], [3, 250]),
        ] {
            let parties = [busy("a", weights[0], calls[0]), busy("b", weights[1], calls[1])];
            let ran = run(10_000, &parties);
            let share = ran[0].as_secs_f64() / ran[1].as_secs_f64() / f64::from(weights[0]) * f64::from(weights[1]);
            assert!((0.95..1.05).contains(&share), "{weights:?} {calls:?}: {ran:?}");
        }
    }

    #[test]
    fn a_party_that_took_too_much_waits_until_it_is_paid_off() {
        let mut turns = Turns::new(BUDGET);
        let parties = [busy("a", 1, 170), busy("b", 1, 1)];
        // Of 170 ms, 50 were a's; the other 120 are paid in the two batches after it, and in part of the third.
        let seen: Vec<_> = (0..4).map(|_| batch(&mut turns, &parties)).collect();
        assert_eq!(seen[0], [ms(170), ms(30)], "a batch of twice its time ends, whoever has a turn");
        assert_eq!(seen[1..3], [[ms(0), ms(50)], [ms(0), ms(50)]]);
        assert_eq!(seen[3][0], ms(170));
    }

    #[test]
    fn somebody_always_has_a_turn() {
        let mut turns = Turns::new(BUDGET);
        let mut parties = [busy("a", 1, 60_000), busy("b", 9, 60_000)];
        parties[1].0.party = None;
        for _ in 0..20 {
            assert!(batch(&mut turns, &parties).iter().sum::<Duration>() > Duration::ZERO);
        }
    }

    #[test]
    fn a_batch_that_is_full_ends_and_who_had_no_turn_in_it_has_one_soon() {
        let mut turns = Turns::new(BUDGET);
        let claims = [busy("a", 1, 1).0, busy("b", 1, 1).0];
        let mut had = [0, 0];
        for _ in 0..10 {
            let mut steps = 0;
            let full_after_three = |_, _| {
                steps += 1;
                Ok::<_, ()>(Taken { function_time: ms(1), is_full: steps == 3 })
            };
            let done = turns.run(&claims, &[1_000, 1_000], full_after_three).unwrap();
            assert_eq!(done.iter().sum::<usize>(), 3);
            had.iter_mut().zip(done).for_each(|(had, done)| *had += done);
        }
        assert!(had.iter().all(|had| *had >= 9), "{had:?}");
    }

    #[test]
    fn nobody_is_passed_over_for_ever_where_a_batch_ends_early() {
        let parties: Vec<_> = (0..10).map(|n| busy(&format!("t{n}"), 1, 80)).collect();
        let ran = run(1_000, &parties);
        let (least, most) = (ran.iter().min().unwrap(), ran.iter().max().unwrap());
        assert!(most.as_secs_f64() / least.as_secs_f64() < 1.3, "{ran:?}");
    }

    #[test]
    fn no_batch_takes_more_than_twice_its_time_and_a_call() {
        let mut turns = Turns::new(BUDGET);
        let parties = [busy("a", 1, 90), busy("b", 1, 120), busy("c", 1, 130)];
        for _ in 0..100 {
            assert!(batch(&mut turns, &parties).iter().sum::<Duration>() < 2 * BUDGET + ms(130));
        }
    }

    #[test]
    fn after_a_batch_of_those_who_have_more_comes_a_brief_one_of_those_who_have_not() {
        let mut turns = Turns::new(BUDGET);
        let parties = [busy("slow", 1, 1), Busy(busy("quiet", 1, 1).0, ms(1), 2)];
        let seen: Vec<_> = (0..5).map(|_| batch(&mut turns, &parties)).collect();
        let (whole, brief) = ([ms(50), ms(2)], [ms(0), ms(2)]);
        assert_eq!(seen, [whole, brief, whole, brief, whole]);
    }

    #[test]
    fn brief_batches_give_nobody_more_than_its_part() {
        // It never has anything left, and takes all that it is given.
        let greedy = Busy(busy("greedy", 1, 1).0, ms(1), 50);
        let ran = run(1_000, &[busy("slow", 1, 1), greedy]);
        let share = ran[1].as_secs_f64() / ran[0].as_secs_f64();
        assert!((0.95..=1.05).contains(&share), "{ran:?}");
    }

    #[test]
    fn a_part_is_kept_for_who_was_there_a_batch_ago() {
        let mut turns = Turns::new(BUDGET);
        let slow = || busy("slow", 1, 1);
        let quiet = Busy(busy("quiet", 1, 1).0, ms(1), 2);
        assert_eq!(batch(&mut turns, &[slow(), quiet]), [ms(50), ms(2)]);
        assert_eq!(batch(&mut turns, &[slow()]), [ms(50)]);
        assert_eq!(batch(&mut turns, &[slow()]), [ms(100)]);
    }

    #[test]
    fn nobody_runs_longer_than_its_quota_lets_it() {
        let mut turns = Turns::new(BUDGET);
        let with = |allowance| {
            let Busy(claim, call, events) = busy("a", 1, 1);
            [Busy(Claim { allowance: Some(allowance), ..claim }, call, events), busy("b", 1, 1)]
        };
        assert_eq!(batch(&mut turns, &with(ms(7))), [ms(7), ms(50)]);
        assert_eq!(batch(&mut turns, &with(ms(0))), [ms(0), ms(50)]);
        assert_eq!(batch(&mut turns, &with(ms(900))), [ms(50), ms(50)]);
    }
}
