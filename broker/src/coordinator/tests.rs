use super::*;

/// Topics a to d of 4, 3, 1 and 2 partitions: 0–3, 10–12, 20, 30–31.
fn partitions_of(topic: &str, partitions: &mut Vec<PartitionId>) {
    let ids = match topic {
        "a" => 0..4,
        "b" => 10..13,
        "c" => 20..21,
        "d" => 30..32,
        _ => 0..0,
    };
    partitions.extend(ids.map(PartitionId));
}

/// A group of members that take their turn when told.
struct Scene {
    coordinator: Coordinator,
    group: Arc<str>,
    has: BTreeMap<MemberId, BTreeSet<PartitionId>>,
}

impl Scene {
    fn new() -> Self {
        Self { coordinator: Coordinator::default(), group: "g".into(), has: BTreeMap::new() }
    }

    fn join(&mut self, topics: &[&str]) -> MemberId {
        let id = self.coordinator.join(&self.group);
        self.has.insert(id, BTreeSet::new());
        self.subscribe(id, topics);
        id
    }

    fn subscribe(&mut self, id: MemberId, topics: &[&str]) {
        let topics = topics.iter().map(ToString::to_string).collect();
        self.coordinator.subscribe(&self.group, id, Arc::new(topics));
    }

    /// One turn of one member, holding that no two ever have the same partition.
    fn turn(&mut self, id: MemberId) -> Change {
        let change = self.coordinator.sync(&self.group, id, &partitions_of);
        let has = self.has.get_mut(&id).unwrap();
        for partition in &change.revoked {
            assert!(has.remove(partition), "{partition:?} was given back and not had");
        }
        has.extend(&change.assigned);
        let (all, distinct): (usize, BTreeSet<_>) =
            (self.has.values().map(BTreeSet::len).sum(), self.has.values().flatten().collect());
        assert_eq!(all, distinct.len(), "two members have one partition: {:?}", self.has);
        change
    }

    fn turns(&mut self) {
        for _ in 0..2 {
            for id in self.has.keys().copied().collect::<Vec<_>>() {
                self.turn(id);
            }
        }
    }

    fn counts(&self) -> Vec<usize> {
        self.has.values().map(BTreeSet::len).collect()
    }

    fn owns(&self, id: MemberId, partition: u32) -> bool {
        self.coordinator.check_owner(&self.group, id, [PartitionId(partition)].into_iter()).is_ok()
    }
}

#[test]
fn members_share_evenly_whatever_they_read() {
    for (subscriptions, expected) in [
        (&[&["a"][..]][..], &[4][..]),
        (&[&["a"], &["a"]], &[2, 2]),
        (&[&["a", "b"], &["a", "b"]], &[4, 3]),
        (&[&["a"], &["a"], &["a"], &["a"], &["a"]], &[1, 1, 1, 1, 0]),
        (&[&["a", "b"], &["a"]], &[4, 3]),
        (&[&["a", "b", "c", "d"], &["c"], &["d"]], &[7, 1, 2]),
        (&[&["missing"], &["a"]], &[0, 4]),
        (&[&[], &["a"]], &[0, 4]),
    ] {
        let mut scene = Scene::new();
        for topics in subscriptions {
            scene.join(topics);
        }
        scene.turns();
        assert_eq!(scene.counts(), expected, "{subscriptions:?}");
    }
}

#[test]
fn a_partition_moves_only_after_its_owner_gave_it_back() {
    let mut scene = Scene::new();
    let first = scene.join(&["a"]);
    assert_eq!(scene.turn(first).assigned.len(), 4);
    let second = scene.join(&["a"]);
    assert_eq!(scene.turn(second).assigned, [], "the first has all of them still");
    assert!(scene.owns(first, 0) && scene.owns(first, 3));
    let change = scene.turn(first);
    assert_eq!((change.revoked.len(), change.woken), (2, vec![second]));
    assert_eq!(scene.turn(second).assigned, change.revoked);
    assert!(change.revoked.iter().all(|partition| !scene.owns(first, partition.0) && scene.owns(second, partition.0)));
}

#[test]
fn a_member_that_joins_moves_no_more_than_its_share() {
    let mut scene = Scene::new();
    let members = [scene.join(&["a", "b"]), scene.join(&["a", "b"])];
    scene.turns();
    let before = scene.has.clone();
    scene.join(&["a", "b"]);
    scene.turns();
    assert_eq!(scene.counts(), [3, 2, 2]);
    for id in members {
        assert!(scene.has[&id].is_subset(&before[&id]), "{id:?} got what it did not have");
    }
}

#[test]
fn a_member_that_leaves_gives_all_to_the_others_and_they_keep_theirs() {
    let mut scene = Scene::new();
    let (first, second) = (scene.join(&["a", "b"]), scene.join(&["a", "b"]));
    scene.turns();
    let kept = scene.has[&second].clone();
    let woken = scene.coordinator.leave("g", first);
    scene.has.remove(&first);
    assert_eq!(woken, BTreeSet::from([second]));
    let change = scene.turn(second);
    assert_eq!((change.revoked.len(), change.assigned.len()), (0, 7 - kept.len()));
}

#[test]
fn a_subscription_that_drops_a_topic_gives_its_partitions_back() {
    let mut scene = Scene::new();
    let member = scene.join(&["a", "c"]);
    scene.turn(member);
    scene.subscribe(member, &["c", "d"]);
    let change = scene.turn(member);
    assert_eq!(change.revoked, (0..4).map(PartitionId).collect::<Vec<_>>());
    assert_eq!(change.assigned, [PartitionId(30), PartitionId(31)]);
}

#[test]
fn only_topics_that_a_group_reads_disturb_it() {
    let mut scene = Scene::new();
    let member = scene.join(&["a"]);
    let generation = scene.turn(member).generation;
    assert_eq!(scene.coordinator.topics_changed(&["b".into()]), BTreeSet::new());
    assert_eq!(scene.turn(member).generation, generation);
    assert_eq!(scene.coordinator.topics_changed(&["a".into()]), BTreeSet::from([member]));
    assert_eq!(scene.turn(member).generation, generation + 1);
}

#[test]
fn an_evicted_member_owns_nothing_and_comes_in_again_with_its_next_turn() {
    let mut scene = Scene::new();
    let (first, second) = (scene.join(&["a"]), scene.join(&["a"]));
    scene.turns();
    let had: Vec<_> = scene.has[&first].iter().copied().collect();
    assert_eq!(scene.coordinator.evict("g", first), BTreeSet::from([first, second]));
    assert!(had.iter().all(|partition| !scene.owns(first, partition.0)));
    // The other takes over before the evicted one knows: what the first still holds is a zombie's.
    assert_eq!(scene.coordinator.sync("g", second, &partitions_of).assigned, had);
    let change = scene.coordinator.sync("g", first, &partitions_of);
    assert_eq!((change.revoked, change.assigned.len()), (had, 0), "all is the other's until it gives back");
}

#[test]
fn a_lone_member_that_is_evicted_loses_all_and_gets_all_again() {
    let mut scene = Scene::new();
    let member = scene.join(&["a"]);
    scene.turn(member);
    scene.coordinator.evict("g", member);
    let change = scene.turn(member);
    assert_eq!((change.revoked.len(), change.assigned.len()), (4, 4));
    assert!(scene.owns(member, 0));
}

#[test]
fn ten_thousand_topics_are_shared_out_evenly() {
    let mut coordinator = Coordinator::default();
    let group: Arc<str> = "g".into();
    let topics: Arc<BTreeSet<String>> = Arc::new((0..10_000).map(|topic| topic.to_string()).collect());
    let four = |topic: &str, partitions: &mut Vec<PartitionId>| {
        let first = topic.parse::<u32>().unwrap() * 4;
        partitions.extend((first..first + 4).map(PartitionId));
    };
    let members: Vec<_> = (0..3).map(|_| coordinator.join(&group)).collect();
    for member in &members {
        coordinator.subscribe(&group, *member, topics.clone());
    }
    let counts: Vec<_> = members.iter().map(|id| coordinator.sync(&group, *id, &four).assigned.len()).collect();
    assert_eq!(counts, [13_334, 13_333, 13_333]);
}
