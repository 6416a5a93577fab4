//! `jobico pools [POOL]`.

use clap::Args;
use jobico_event::PoolId;
use reqwest::Method;
use serde_json::Value;

use super::Target;
use super::client::Client;
use super::output::{self, Format, cell};
use crate::exit::Error;

/// Show pools of processors: how far each is behind, and who is in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jobico pools                     a line each
  jobico pools default             each partition of its queues and retries, and who has it
  jobico pools --output json")]
pub struct Pools {
    /// One pool, in full.
    pool: Option<PoolId>,
    #[command(flatten)]
    target: Target,
}

/// Shows pools.
pub async fn run(pools: Pools) -> Result<(), Error> {
    let client = Client::new("recorder", &pools.target.recorder)?;
    let mut request = client.request(Method::GET, "/v1/pools");
    if let Some(pool) = &pools.pool {
        request = request.query(&[("pool", pool.to_string())]);
    }
    let answer: Value = client.json(request).await?;
    if pools.target.output == Format::Json {
        return output::json(&answer);
    }
    let all = list(&answer, "pools");
    if pools.pool.is_none() {
        let head = ["POOL", "GROUP", "LAG", "TOPICS", "PARTITIONS", "MEMBERS"];
        return output::table(&head, all.iter().map(summary).collect());
    }
    let head = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"];
    output::table(&head, all.iter().flat_map(partitions).collect())
}

/// A pool in a line.
fn summary(pool: &Value) -> Vec<String> {
    let topics = list(pool, "topics");
    let partitions = topics.iter().map(|topic| list(topic, "partitions").len()).sum();
    let counts = [topics.len(), partitions, list(pool, "members").len()].map(|count| count.to_string());
    ["pool", "group", "lag"].map(|name| cell(pool, name)).into_iter().chain(counts).collect()
}

/// Each of a pool's partitions in a line.
fn partitions(pool: &Value) -> Vec<Vec<String>> {
    let members = list(pool, "members");
    let row = |topic: &Value, partition: &Value| {
        let member = partition["member"].as_u64().and_then(|index| members.get(usize::try_from(index).ok()?));
        let who = member.map_or("-".to_owned(), |one| format!("{} at {}", cell(one, "client"), cell(one, "host")));
        let numbers = ["partition", "committed", "end", "lag"].map(|name| cell(partition, name));
        std::iter::once(cell(topic, "topic")).chain(numbers).chain([who]).collect()
    };
    let of_topic = |topic: &Value| list(topic, "partitions").iter().map(|part| row(topic, part)).collect::<Vec<_>>();
    list(pool, "topics").iter().flat_map(of_topic).collect()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}
