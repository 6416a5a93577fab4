//! Whose events a batch does, and for how long: deficit round-robin by function time. Pure.
//!
//! A batch has a time. Tenants with events in it have equal parts of that time; who takes more, since a call cannot be cut
//! short, has less of the next. Events that are not done stay for the next batch. So a tenant with a slow function and a
//! long backlog costs its neighbour on the same worker one batch's time, however long the backlog is.

use std::collections::HashMap;
use std::time::Duration;

use jobico_event::TenantId;

/// Who has a turn: a tenant, or (none) all events that come back from retry tiers, whose order in a tier is one for all.
pub type Party = Option<TenantId>;

/// What parties took beyond their parts.
#[derive(Debug)]
pub struct Turns {
    budget: Duration,
    debts: HashMap<Party, Duration>,
    batches: usize,
}

/// A batch that has taken this many times its time ends, whoever has not had a turn in it: such a one is first in the next.
const OVERRUN_MAX: u32 = 2;

impl Turns {
    /// Turns in batches of this time.
    #[must_use]
    pub fn new(budget: Duration) -> Self {
        Self { budget, debts: HashMap::new(), batches: 0 }
    }

    /// Who of the parties of a batch has a turn, by index and in order, and for how long. At least one has.
    pub fn next(&mut self, parties: &[Party]) -> Vec<(usize, Duration)> {
        let count = parties.len();
        if count <= 1 {
            // Nobody is kept waiting: what it took before does not matter.
            self.debts.clear();
            return parties.iter().map(|_| (0, self.budget)).collect();
        }
        let part = self.budget / u32::try_from(count).unwrap_or(u32::MAX);
        let part = part.max(Duration::from_micros(1));
        // Debts are paid off in parts, until one party at least has something left of its own.
        let rounds = parties.iter().map(|party| 1 + self.debt(party).as_nanos() / part.as_nanos()).min().unwrap_or(1);
        let earned = part.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        let first = self.batches % count;
        self.batches = self.batches.wrapping_add(1);
        let mut turns = Vec::with_capacity(count);
        for index in (first..count).chain(0..first) {
            let debt = self.debt(&parties[index]);
            match earned.checked_sub(debt).filter(|own| !own.is_zero()) {
                Some(own) => {
                    self.debts.remove(&parties[index]);
                    turns.push((index, own.min(part)));
                }
                None => drop(self.debts.insert(parties[index].clone(), debt.saturating_sub(earned))),
            }
        }
        turns
    }

    /// Whether a batch that has taken this long must end.
    #[must_use]
    pub fn is_over(&self, taken: Duration) -> bool {
        taken >= self.budget.saturating_mul(OVERRUN_MAX)
    }

    /// A party took `taken` where it had `own`.
    pub fn settle(&mut self, party: &Party, own: Duration, taken: Duration) {
        if let Some(debt) = taken.checked_sub(own).filter(|debt| !debt.is_zero()) {
            self.debts.insert(party.clone(), debt);
        }
    }

    fn debt(&self, party: &Party) -> Duration {
        self.debts.get(party).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(100);

    fn party(name: &str) -> Party {
        Some(TenantId::new(name).unwrap())
    }

    /// Runs batches in which `busy` always has more, with calls of `cost` each; how long each party ran.
    fn run(turns: &mut Turns, batches: usize, busy: &[(Party, Duration)]) -> Vec<Duration> {
        let parties: Vec<Party> = busy.iter().map(|(party, _)| party.clone()).collect();
        let mut ran = vec![Duration::ZERO; busy.len()];
        for _ in 0..batches {
            let mut total = Duration::ZERO;
            for (index, own) in turns.next(&parties) {
                if turns.is_over(total) {
                    break;
                }
                let mut taken = Duration::ZERO;
                while taken < own {
                    taken += busy[index].1;
                }
                turns.settle(&parties[index], own, taken);
                ran[index] += taken;
                total += taken;
            }
        }
        ran
    }

    #[test]
    fn one_party_has_the_whole_time() {
        assert_eq!(Turns::new(BUDGET).next(&[party("a")]), [(0, BUDGET)]);
        assert_eq!(Turns::new(BUDGET).next(&[]), []);
    }

    #[test]
    fn time_is_shared_however_long_the_calls_are() {
        let busy = [(party("slow"), Duration::from_millis(70)), (party("quick"), Duration::from_millis(1))];
        let ran = run(&mut Turns::new(BUDGET), 1_000, &busy);
        let ratio = ran[0].as_secs_f64() / ran[1].as_secs_f64();
        assert!((0.95..1.05).contains(&ratio), "{ran:?}");
    }

    #[test]
    fn a_party_that_took_too_much_waits_until_it_is_paid_off() {
        let mut turns = Turns::new(BUDGET);
        let parties = [party("a"), party("b")];
        turns.settle(&parties[0], Duration::from_millis(50), Duration::from_millis(170));
        let indices = |turns: Vec<(usize, Duration)>| turns.into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        let seen: Vec<_> = (0..3).map(|_| indices(turns.next(&parties))).collect();
        assert_eq!(seen[..2], [vec![1], vec![1]]);
        assert!(seen[2].contains(&0), "{seen:?}");
    }

    #[test]
    fn somebody_always_has_a_turn() {
        let mut turns = Turns::new(BUDGET);
        let parties = [party("a"), None];
        for party in &parties {
            turns.settle(party, Duration::ZERO, Duration::from_secs(60));
        }
        assert!(!turns.next(&parties).is_empty());
    }

    #[test]
    fn nobody_is_passed_over_for_ever_where_a_batch_ends_early() {
        let busy: Vec<_> = (0..10).map(|n| (party(&format!("t{n}")), Duration::from_millis(80))).collect();
        let ran = run(&mut Turns::new(BUDGET), 1_000, &busy);
        let (least, most) = (ran.iter().min().unwrap(), ran.iter().max().unwrap());
        assert!(most.as_secs_f64() / least.as_secs_f64() < 1.3, "{ran:?}");
    }
}
