//! Who should have which partition: even, and with as few moves as that allows.
//!
//! Topics are taken in classes, those that the very same members read; a class with fewer readers first, because it has
//! less choice. Within a class each partition goes to whoever has the least so far, which says how many each gets; then
//! each keeps what it has up to that number, and the rest fills the gaps. O(partitions × log members + topics × members).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use super::{MemberId, PartitionId, PartitionsOf};

/// The partitions each of `members` should have, from what it reads and what it has.
pub(super) fn assign<'a>(
    members: impl Iterator<Item = (MemberId, &'a Arc<BTreeSet<String>>, &'a BTreeSet<PartitionId>)>,
    partitions_of: &PartitionsOf<'_>,
) -> HashMap<MemberId, BTreeSet<PartitionId>> {
    let mut targets: HashMap<MemberId, BTreeSet<PartitionId>> = HashMap::new();
    let mut owner: HashMap<PartitionId, MemberId> = HashMap::new();
    let mut readers: BTreeMap<&str, Vec<MemberId>> = BTreeMap::new();
    for (id, topics, owned) in members {
        targets.insert(id, BTreeSet::new());
        owner.extend(owned.iter().map(|partition| (*partition, id)));
        for topic in topics.iter() {
            readers.entry(topic).or_default().push(id);
        }
    }
    let mut classes: BTreeMap<(usize, Vec<MemberId>), Vec<PartitionId>> = BTreeMap::new();
    for (topic, members) in readers {
        partitions_of(topic, classes.entry((members.len(), members)).or_default());
    }
    for ((_, members), partitions) in classes {
        assign_class(&members, &partitions, &owner, &mut targets);
    }
    targets
}

fn assign_class(
    members: &[MemberId],
    partitions: &[PartitionId],
    owner: &HashMap<PartitionId, MemberId>,
    targets: &mut HashMap<MemberId, BTreeSet<PartitionId>>,
) {
    let mut owned: HashMap<MemberId, usize> = HashMap::new();
    for id in partitions.iter().filter_map(|partition| owner.get(partition)) {
        *owned.entry(*id).or_default() += 1;
    }
    // Where two have the same, the one that owns more gets the odd partition: it keeps one instead of moving one.
    let rank = |load: usize, id: MemberId| Reverse((load, Reverse(owned.get(&id).copied().unwrap_or(0)), id));
    let mut heap: BinaryHeap<_> = members.iter().map(|id| rank(targets[id].len(), *id)).collect();
    let mut room: HashMap<MemberId, usize> = HashMap::new();
    for _ in partitions {
        let Some(Reverse((load, _, id))) = heap.pop() else { return };
        *room.entry(id).or_default() += 1;
        heap.push(rank(load + 1, id));
    }
    let mut moving = Vec::new();
    for partition in partitions {
        match owner.get(partition).and_then(|id| room.get_mut(id).filter(|room| **room > 0).map(|room| (id, room))) {
            Some((id, room)) => {
                *room -= 1;
                targets.entry(*id).or_default().insert(*partition);
            }
            None => moving.push(*partition),
        }
    }
    let mut gaps = members.iter().flat_map(|id| std::iter::repeat_n(*id, room.get(id).copied().unwrap_or(0)));
    for partition in moving {
        let Some(id) = gaps.next() else { return };
        targets.entry(id).or_default().insert(partition);
    }
}
