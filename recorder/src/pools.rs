//! Pools of processors: what each has to read, how far it is behind, and who is in it. Asked of the log when it is wanted.

use std::collections::{BTreeMap, BTreeSet};

use jobico_broker::{Broker, Error, GroupMember, Lag};
use jobico_event::name;
use jobico_event::snapshot::Snapshot;
use serde::Serialize;

/// A pool.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Its name.
    pub pool: String,
    /// Its consumer group.
    pub group: String,
    /// Records between what is committed and the end, of all its topics; markers of transactions count.
    pub lag: i64,
    /// Who reads it.
    pub members: Vec<Member>,
    /// Its queues and the tiers of its retries, in order.
    pub topics: Vec<Topic>,
}

/// A member of a pool: a worker of a processor.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// What it calls itself: `jobico-processor-{pool}-{worker}`.
    pub client: String,
    /// The machine it is at.
    pub host: String,
    /// How many partitions it has.
    pub partitions: usize,
}

/// A topic that a pool reads.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Its name.
    pub topic: String,
    /// See [`Pool::lag`].
    pub lag: i64,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// From 0.
    pub partition: i32,
    /// What the group committed; none = it never did.
    pub committed: Option<i64>,
    /// One past the last offset that can be read.
    pub end: i64,
    /// What lies between.
    pub lag: i64,
    /// Who has it, by its place in [`Pool::members`]; none = nobody, or the log does not say.
    pub member: Option<usize>,
}

/// The pools of the catalog, or the one that is asked for.
///
/// # Errors
/// The log's.
pub async fn pools(broker: &dyn Broker, snapshot: &Snapshot, wanted: Option<&str>) -> Result<Vec<Pool>, Error> {
    let there = broker.topics().await?;
    let mut pools = Vec::new();
    for pool in snapshot.pools().into_iter().filter(|pool| wanted.is_none_or(|wanted| wanted == *pool)) {
        let group = name::processor_group(pool);
        // A topic that is being made, or a pool that never had a processor: one that is missing would be an error for all.
        let topics: Vec<String> = snapshot.topics_of_pool(pool).intersection(&there).cloned().collect();
        let lag = broker.lag(&group, &topics).await?;
        let members = broker.members(&group).await?;
        pools.push(summed(pool, group, lag, members));
    }
    Ok(pools)
}

/// Puts together what the log says of a pool.
fn summed(pool: &str, group: String, lag: Vec<Lag>, members: Vec<GroupMember>) -> Pool {
    let has: Vec<BTreeSet<(&str, i32)>> =
        members.iter().map(|member| member.partitions.iter().map(|at| (&*at.topic, at.partition)).collect()).collect();
    let mut by_topic: BTreeMap<String, Vec<Partition>> = BTreeMap::new();
    for Lag { partition: at, committed, end } in lag {
        let member = has.iter().position(|has| has.contains(&(&*at.topic, at.partition)));
        // What was never committed is behind by all that there is.
        let lag = (end - committed.unwrap_or(0)).max(0);
        let partition = Partition { partition: at.partition, committed, end, lag, member };
        by_topic.entry(at.topic.to_string()).or_default().push(partition);
    }
    let topic = |(topic, mut partitions): (String, Vec<Partition>)| {
        partitions.sort_by_key(|partition| partition.partition);
        Topic { topic, lag: partitions.iter().map(|partition| partition.lag).sum(), partitions }
    };
    let topics: Vec<Topic> = by_topic.into_iter().map(topic).collect();
    let member = |member: &GroupMember| Member {
        client: member.client_id.clone(),
        host: member.host.clone(),
        partitions: member.partitions.len(),
    };
    let lag = topics.iter().map(|topic| topic.lag).sum();
    Pool { pool: pool.to_owned(), group, lag, members: members.iter().map(member).collect(), topics }
}
