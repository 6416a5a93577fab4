//! Consumer groups as a pure core: who has which partition, and whose commit counts.
//!
//! ```text
//! join, subscribe, leave, topics changed ─► the group's assignment is stale
//! sync (in a member's gather)            ─► made anew once, given back first, taken when free
//! check_owner (in a commit)              ─► refused for whoever has a partition no more
//! ```
//!
//! It moves partitions as Kafka's cooperative protocol does (KIP-429): one that is to move is first given back by its
//! owner, in the owner's own [`Coordinator::sync`] or by its leaving, and only then taken by the other. So no two
//! members ever have the same partition. There are no sessions and no heartbeats: all members live in this process, and
//! one that ends is dropped. [`Coordinator::evict`] is what a session's end would do; the simulated log uses it.
//!
//! No I/O, no clock, no locks. What it returns as "woken" are the members that now have something to do.

mod assignment;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A partition, among those of all topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartitionId(pub(crate) u32);

/// A member, among those of all groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId(pub(crate) u64);

/// Adds the partitions of a topic; none where it does not exist.
pub(crate) type PartitionsOf<'a> = dyn Fn(&str, &mut Vec<PartitionId>) + 'a;

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    groups: HashMap<Arc<str>, Group>,
    members_made: u64,
}

/// What [`Coordinator::sync`] changed for a member. A partition may be in both lists: it was lost and came back, and is
/// to be read from its committed offset again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Counts the group's assignments.
    pub(crate) generation: u64,
    /// Partitions the member has no more.
    pub(crate) revoked: Vec<PartitionId>,
    /// Partitions the member has from now on.
    pub(crate) assigned: Vec<PartitionId>,
    /// Other members that have something to do.
    pub(crate) woken: Vec<MemberId>,
}

#[derive(Debug, Default)]
struct Group {
    generation: u64,
    /// Whether the assignment has to be made anew.
    stale: bool,
    members: BTreeMap<MemberId, Member>,
    owners: HashMap<PartitionId, MemberId>,
}

#[derive(Debug, Default)]
struct Member {
    topics: Arc<BTreeSet<String>>,
    /// Not so after an eviction, until its next sync.
    active: bool,
    /// Whether its next sync has something to do.
    behind: bool,
    owned: BTreeSet<PartitionId>,
    target: BTreeSet<PartitionId>,
    /// Taken away by an eviction and not reported yet.
    lost: Vec<PartitionId>,
}

impl Coordinator {
    /// Adds a member; it subscribes to nothing yet.
    pub(crate) fn join(&mut self, group: &Arc<str>) -> MemberId {
        self.members_made += 1;
        let id = MemberId(self.members_made);
        let group = self.groups.entry(group.clone()).or_default();
        group.members.insert(id, Member { active: true, ..Member::default() });
        id
    }

    /// Sets what a member reads.
    pub(crate) fn subscribe(
        &mut self,
        group: &str,
        member: MemberId,
        topics: Arc<BTreeSet<String>>,
    ) -> BTreeSet<MemberId> {
        let Some(group) = self.groups.get_mut(group) else { return BTreeSet::new() };
        match group.members.get_mut(&member) {
            Some(member) if member.topics != topics => member.topics = topics,
            Some(_) | None => return BTreeSet::new(),
        }
        group.make_stale()
    }

    /// Topics were made, or got more partitions.
    pub(crate) fn topics_changed(&mut self, topics: &[Arc<str>]) -> BTreeSet<MemberId> {
        let mut woken = BTreeSet::new();
        for group in self.groups.values_mut() {
            let concerns = |member: &Member| topics.iter().any(|topic| member.topics.contains(&**topic));
            if group.members.values().any(concerns) {
                woken.extend(group.make_stale());
            }
        }
        woken
    }

    /// A member is between two batches: it gives back what is to move and takes what is free.
    pub(crate) fn sync(&mut self, group: &str, id: MemberId, partitions_of: &PartitionsOf<'_>) -> Change {
        let Some(group) = self.groups.get_mut(group) else { return Change::default() };
        let mut change = Change { generation: group.generation, ..Change::default() };
        let Some(member) = group.members.get_mut(&id) else { return change };
        if !member.active {
            member.active = true;
            group.stale = true;
        }
        if group.stale {
            group.assign(partitions_of);
            change.generation = group.generation;
            change.woken.extend(group.behind());
        }
        group.give_back(id, &mut change);
        group.take(id, &mut change);
        change.woken.retain(|woken| *woken != id);
        change.woken.sort_unstable();
        change.woken.dedup();
        change
    }

    /// A member ends; what it had is free at once.
    pub(crate) fn leave(&mut self, name: &str, id: MemberId) -> BTreeSet<MemberId> {
        let Some(group) = self.groups.get_mut(name) else { return BTreeSet::new() };
        let Some(member) = group.members.remove(&id) else { return BTreeSet::new() };
        group.release(&member.owned);
        if group.members.is_empty() {
            self.groups.remove(name);
            return BTreeSet::new();
        }
        group.make_stale()
    }

    /// A member is put out, as a broker does with one that missed its heartbeats. It comes in again with its next sync.
    pub(crate) fn evict(&mut self, group: &str, id: MemberId) -> BTreeSet<MemberId> {
        let Some(group) = self.groups.get_mut(group) else { return BTreeSet::new() };
        let Some(member) = group.members.get_mut(&id) else { return BTreeSet::new() };
        member.active = false;
        member.behind = true;
        let owned = std::mem::take(&mut member.owned);
        member.lost.extend(&owned);
        group.release(&owned);
        group.make_stale()
    }

    /// The members of a group and what each has, but for those that were put out.
    pub(crate) fn members(&self, group: &str) -> Vec<(MemberId, Vec<PartitionId>)> {
        let members = self.groups.get(group).into_iter().flat_map(|group| &group.members);
        let active = members.filter(|(_, member)| member.active);
        active.map(|(id, member)| (*id, member.owned.iter().copied().collect())).collect()
    }

    /// Whether the member has all of `partitions`: the first that it has not is the error.
    pub(crate) fn check_owner(
        &self,
        group: &str,
        id: MemberId,
        mut partitions: impl Iterator<Item = PartitionId>,
    ) -> Result<(), Option<PartitionId>> {
        let Some(group) = self.groups.get(group) else { return Err(None) };
        match partitions.find(|partition| group.owners.get(partition) != Some(&id)) {
            Some(partition) => Err(Some(partition)),
            None => Ok(()),
        }
    }
}

impl Group {
    /// Everyone syncs: whoever comes first makes the assignment, and whoever has something to give back does so soon.
    fn make_stale(&mut self) -> BTreeSet<MemberId> {
        self.stale = true;
        self.members.keys().copied().collect()
    }

    fn assign(&mut self, partitions_of: &PartitionsOf<'_>) {
        self.stale = false;
        self.generation += 1;
        let active = self.members.iter().filter(|(_, member)| member.active);
        let mut targets =
            assignment::assign(active.map(|(id, member)| (*id, &member.topics, &member.owned)), partitions_of);
        for (id, member) in &mut self.members {
            member.target = targets.remove(id).unwrap_or_default();
            member.behind |= member.target != member.owned;
        }
    }

    fn behind(&self) -> impl Iterator<Item = MemberId> {
        self.members.iter().filter(|(_, member)| member.behind).map(|(id, _)| *id)
    }

    fn release(&mut self, partitions: &BTreeSet<PartitionId>) {
        for partition in partitions {
            self.owners.remove(partition);
        }
    }

    fn give_back(&mut self, id: MemberId, change: &mut Change) {
        let Some(member) = self.members.get_mut(&id).filter(|member| member.behind) else { return };
        change.revoked = std::mem::take(&mut member.lost);
        let moving: BTreeSet<PartitionId> = member.owned.difference(&member.target).copied().collect();
        if moving.is_empty() {
            return;
        }
        member.owned.retain(|partition| !moving.contains(partition));
        change.revoked.extend(&moving);
        self.release(&moving);
        // Whoever lacks something may have waited for just these.
        for (other, member) in self.members.iter_mut().filter(|(other, _)| **other != id) {
            if member.owned.len() < member.target.len() {
                member.behind = true;
                change.woken.push(*other);
            }
        }
    }

    fn take(&mut self, id: MemberId, change: &mut Change) {
        let Some(member) = self.members.get_mut(&id).filter(|member| member.behind) else { return };
        member.behind = false;
        for partition in &member.target {
            if !member.owned.contains(partition) && !self.owners.contains_key(partition) {
                change.assigned.push(*partition);
            }
        }
        for partition in &change.assigned {
            member.owned.insert(*partition);
            self.owners.insert(*partition, id);
        }
    }
}

#[cfg(test)]
mod tests;
