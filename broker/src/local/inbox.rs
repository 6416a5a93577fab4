//! Where a reader hears that something happened to it, and waits for that.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use super::lock;
use crate::coordinator::PartitionId;

/// What a reader has not looked at yet. At most one entry a partition it reads, so it is as bounded as they are.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Sorted, so that the simulated log does the same each time.
    grown: BTreeSet<PartitionId>,
    rebalance: bool,
}

impl Inbox {
    /// A partition has new records.
    pub(super) fn news(&self, partition: PartitionId) {
        if lock(&self.state).grown.insert(partition) {
            self.filled.notify_one();
        }
    }

    /// Partitions come or go: a group has something to do for its member, or a topic has grown.
    pub(super) fn rebalance(&self) {
        lock(&self.state).rebalance = true;
        self.filled.notify_one();
    }

    /// Moves what came into `grown`; says whether there is a rebalance.
    pub(super) fn take(&self, grown: &mut Vec<PartitionId>) -> bool {
        let mut state = lock(&self.state);
        grown.extend(std::mem::take(&mut state.grown));
        std::mem::take(&mut state.rebalance)
    }

    /// Waits until there is something to take; false = not until `deadline`. None = for ever.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = lock(&self.state);
        while state.grown.is_empty() && !state.rebalance {
            let Some(deadline) = deadline else {
                state = self.filled.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.filled.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        true
    }
}
