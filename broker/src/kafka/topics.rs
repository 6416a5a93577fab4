//! Topics: made, grown, listed, and how far a group is behind on them. Each call blocks, and is called where it may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic,
    OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::context::{self, Logs};
use super::error::{Failure, retriable, unusable};
use super::lifeline::Lifeline;
use super::settings::Settings;
use super::{native, offsets};
use crate::{Cause, Class, Error, GroupMember, Lag, Positions, RECORD_BYTES_CAP, Retention, TopicPartition, TopicSpec};

/// How long one question to the broker may take.
const QUESTION_MAX: Duration = Duration::from_secs(10);
/// How long topics may take until they have leaders.
const READY_MAX: Duration = Duration::from_secs(30);
/// How often they are looked at meanwhile.
const READY_STEP: Duration = Duration::from_millis(20);
/// How long the broker may take to say that it is there.
const CHECK_MAX: Duration = Duration::from_secs(3);
/// Topics that are made with one request: a cluster's controller handles few thousand partitions at a time.
const REQUEST_TOPICS_MAX: usize = 200;

/// The setting of a topic that bounds its largest batch, and with it its largest record.
const RECORD_BYTES_SETTING: &str = "max.message.bytes";

/// Events served by one call.
const EVENTS_MAX: usize = 10_000;

/// Partitions, and whether each has a leader, by topic.
type Known = BTreeMap<String, (usize, bool)>;

/// Asks about topics and offsets, outside any group.
pub(super) struct Enquirer(BaseConsumer<Enquiries>);

struct Enquiries {
    lifeline: Lifeline,
}

impl rdkafka::ClientContext for Enquiries {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        self.lifeline.hear(&error);
        context::warn(&error, reason);
    }
}

impl ConsumerContext for Enquiries {}

impl Enquirer {
    /// Makes the client; it connects by itself.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let context = Enquiries { lifeline: Lifeline::new(settings.servers()) };
        settings.admin().create_with_context(context).map(Self).map_err(unusable("make a client"))
    }

    /// The topics that exist.
    pub(super) fn topics(&self) -> Result<BTreeSet<String>, Error> {
        Ok(self.known(QUESTION_MAX)?.into_keys().collect())
    }

    /// How many partitions each of `topics` has.
    pub(super) fn partition_counts(&self, topics: &[String]) -> Result<BTreeMap<String, i32>, Error> {
        self.serve();
        offsets::partition_counts(&self.0, topics, QUESTION_MAX)
    }

    /// One past the last committed offset of each partition.
    pub(super) fn ends(&self, partitions: &[TopicPartition]) -> Result<Positions, Error> {
        self.serve();
        offsets::ends(&self.0, partitions, QUESTION_MAX)
    }

    /// The first offset that each partition still has.
    pub(super) fn beginnings(&self, partitions: &[TopicPartition]) -> Result<Positions, Error> {
        self.serve();
        offsets::beginnings(&self.0, partitions, QUESTION_MAX)
    }

    /// Whether the cluster answers.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.serve();
        // Asks for one topic that need not exist: all topics would be a long answer.
        self.0.fetch_metadata(Some("jobico.catalog"), CHECK_MAX).map(drop).map_err(retriable("ask Kafka"))
    }

    /// How far `group` is behind.
    pub(super) fn lag(&self, settings: &Settings, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error> {
        self.serve();
        let partitions = offsets::partitions(&offsets::partition_counts(&self.0, topics, QUESTION_MAX)?);
        let ends = offsets::ends(&self.0, &partitions, QUESTION_MAX)?;
        let context = Enquiries { lifeline: Lifeline::new(settings.servers()) };
        let of_group: BaseConsumer<Enquiries> =
            settings.committed(group).create_with_context(context).map_err(unusable("read committed offsets"))?;
        let mut committed = offsets::committed(&of_group, &partitions, QUESTION_MAX)?;
        super::retire::retire("lag reader", of_group);
        Ok(ends
            .into_iter()
            .map(|(partition, end)| Lag { committed: committed.remove(&partition).flatten(), partition, end })
            .collect())
    }

    /// The members of a group.
    pub(super) fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error> {
        self.serve();
        native::group_members::group_members(self.0.client(), group, QUESTION_MAX)
            .map_err(|failure| failure.class("list the members of a group", Class::Retriable))
    }

    fn known(&self, wait: Duration) -> Result<Known, Error> {
        self.serve();
        let metadata = self.0.fetch_metadata(None, wait).map_err(retriable("list topics"))?;
        Ok(metadata
            .topics()
            .iter()
            .map(|topic| {
                let led = topic.error().is_none()
                    && topic
                        .partitions()
                        .iter()
                        .all(|partition| partition.error().is_none() && partition.leader() >= 0);
                (topic.name().to_owned(), (topic.partitions().len(), led))
            })
            .collect())
    }

    /// Serves log lines, which would pile up else: nobody polls this client but its calls.
    fn serve(&self) {
        for _ in 0..EVENTS_MAX {
            if native::events_waiting(self.0.client()) == 0 {
                break;
            }
            // Without a group there is nothing but log lines and errors, which the context logs.
            let _ = self.0.poll(Duration::ZERO);
        }
        self.0.context().lifeline.mend(self.0.client());
    }

    /// Waits until each topic has the partitions asked for, and each of them a leader.
    pub(super) fn await_ready(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            let known = self.known(QUESTION_MAX)?;
            let waits_for = topics.iter().find(|topic| {
                known.get(&topic.name).is_none_or(|(count, led)| *count < topic.partitions as usize || !led)
            });
            let Some(topic) = waits_for else { return Ok(()) };
            if Instant::now() >= deadline {
                let message = format!("topic {} has no leader for all of its partitions yet", topic.name);
                return Err(Error::new(Class::Retriable, Cause::Unavailable, "make topics", message));
            }
            std::thread::sleep(READY_STEP);
        }
    }

    /// What is to be made or looked at.
    pub(super) fn missing(&self, topics: &[TopicSpec]) -> Result<Missing, Error> {
        let beyond = |topic: &&TopicSpec| topic.record_bytes_max.is_some_and(|bytes| bytes > RECORD_BYTES_CAP);
        if let Some(topic) = topics.iter().find(beyond) {
            let message = format!("topic {} cannot have records beyond {RECORD_BYTES_CAP} bytes", topic.name);
            return Err(Error::new(Class::Abortable, Cause::Other, "make topics", message));
        }
        let known = self.known(QUESTION_MAX)?;
        let (exist, make): (Vec<_>, Vec<_>) = topics.iter().cloned().partition(|topic| known.contains_key(&topic.name));
        let is_short =
            |topic: &&TopicSpec| known.get(&topic.name).is_some_and(|(count, _)| *count < topic.partitions as usize);
        let grow = exist.iter().filter(is_short).cloned().collect();
        let large = exist.into_iter().filter(|topic| topic.record_bytes_max.is_some()).collect();
        Ok(Missing { make, grow, large })
    }
}

/// What is to be done so that topics are as they are asked for.
pub(super) struct Missing {
    /// To be made.
    pub(super) make: Vec<TopicSpec>,
    /// They have too few partitions.
    pub(super) grow: Vec<TopicSpec>,
    /// They exist and are to take records of a size that is asked for; perhaps they do.
    pub(super) large: Vec<TopicSpec>,
}

/// Makes topics and lets topics grow.
pub(super) struct Maker(AdminClient<Logs>);

impl Maker {
    /// Makes the client; it connects by itself.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let context = Logs { lifeline: Lifeline::new(settings.servers()) };
        settings.admin().create_with_context(context).map(Self).map_err(unusable("make a client"))
    }

    /// Its own thread serves this client, but cannot mend it.
    fn mend(&self) {
        let client = self.0.inner();
        client.context().lifeline.mend(client);
    }

    /// Makes topics; those that exist by now are left as they are.
    pub(super) async fn make(&self, topics: &[TopicSpec], replication: i32) -> Result<(), Error> {
        self.mend();
        for topics in topics.chunks(REQUEST_TOPICS_MAX) {
            let settings: Vec<(String, Option<String>)> = topics
                .iter()
                .map(|topic| (retention_ms(topic.retention), topic.record_bytes_max.map(|bytes| bytes.to_string())))
                .collect();
            let wanted: Vec<NewTopic<'_>> = topics
                .iter()
                .zip(&settings)
                .map(|(topic, (retention_ms, record_bytes))| {
                    let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
                    let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(replication));
                    let new = match record_bytes {
                        Some(bytes) => new.set(RECORD_BYTES_SETTING, bytes),
                        None => new,
                    };
                    match topic.retention {
                        Retention::Default => new,
                        Retention::For(_) => new.set("cleanup.policy", "delete").set("retention.ms", retention_ms),
                        Retention::Compact => new.set("cleanup.policy", "compact"),
                    }
                })
                .collect();
            let results = self.0.create_topics(&wanted, &options()).await.map_err(retriable("make topics"))?;
            all_well("make topics", results, Code::TopicAlreadyExists)?;
        }
        Ok(())
    }

    /// Lets topics grow; those that did by now are left as they are.
    pub(super) async fn grow(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.mend();
        for topics in topics.chunks(REQUEST_TOPICS_MAX) {
            let wanted: Vec<NewPartitions<'_>> =
                topics.iter().map(|topic| NewPartitions::new(&topic.name, topic.partitions as usize)).collect();
            let results = self.0.create_partitions(&wanted, &options()).await.map_err(retriable("add partitions"))?;
            // InvalidPartitions: it has as many, or more. Whether it has is looked at afterwards.
            all_well("add partitions", results, Code::InvalidPartitions)?;
        }
        Ok(())
    }
}

impl Maker {
    /// Lets topics take records as large as is asked for; none takes smaller ones afterwards. A cluster that does not let
    /// this client see or change settings is left as it is, and a warning says so.
    pub(super) async fn enlarge(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.mend();
        let deadline = Instant::now() + READY_MAX;
        for topics in topics.chunks(REQUEST_TOPICS_MAX) {
            match self.enlarge_some(topics, deadline).await {
                Err(error) if error.cause == Cause::Denied => {
                    tracing::warn!(%error, "topics may refuse large records: see to their {RECORD_BYTES_SETTING} by hand");
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn enlarge_some(&self, topics: &[TopicSpec], deadline: Instant) -> Result<(), Error> {
        const OPERATION: &str = "enlarge topics";
        let mut is_first = true;
        loop {
            let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
            let found = self.0.describe_configs(&resources, &options()).await.map_err(retriable(OPERATION))?;
            let found: Vec<ConfigResource> = found
                .into_iter()
                .collect::<Result<_, Code>>()
                .map_err(|code| Failure::from(code).class(OPERATION, Class::Retriable))?;
            let changes: Vec<_> = topics.iter().filter_map(|topic| enlarged(topic, &found)).collect();
            if changes.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let message = format!("{} topics have not got their {RECORD_BYTES_SETTING} yet", changes.len());
                return Err(Error::new(Class::Retriable, Cause::Unavailable, OPERATION, message));
            }
            if std::mem::take(&mut is_first) {
                let changes: Vec<AlterConfig<'_>> = changes
                    .iter()
                    .map(|(name, settings)| AlterConfig {
                        specifier: ResourceSpecifier::Topic(name),
                        entries: settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
                    })
                    .collect();
                let results = self.0.alter_configs(&changes, &options()).await.map_err(retriable(OPERATION))?;
                let named = |specifier| match specifier {
                    OwnedResourceSpecifier::Topic(name) | OwnedResourceSpecifier::Group(name) => name,
                    OwnedResourceSpecifier::Broker(id) => id.to_string(),
                };
                let results = results
                    .into_iter()
                    .map(|result| result.map(named).map_err(|(specifier, code)| (named(specifier), code)));
                all_well(OPERATION, results.collect(), Code::NoError)?;
            } else {
                tokio::time::sleep(READY_STEP).await;
            }
        }
    }
}

/// The settings to give a topic so that it takes what it is to take; none where it does. Kafka's request replaces all that
/// a topic has of its own, so those go along. (The request that changes one, KIP-339, is not in rust-rdkafka.)
fn enlarged(topic: &TopicSpec, found: &[ConfigResource]) -> Option<(String, BTreeMap<String, String>)> {
    let is_it = |resource: &&ConfigResource| matches!(&resource.specifier, OwnedResourceSpecifier::Topic(name) if *name == topic.name);
    let (settings, wanted) = (found.iter().find(is_it)?, topic.record_bytes_max?);
    let bytes = settings.get(RECORD_BYTES_SETTING)?.value.as_ref()?;
    if bytes.parse::<u32>().is_ok_and(|bytes| bytes >= wanted) {
        return None;
    }
    let own = settings.entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    let own = own.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)));
    Some((topic.name.clone(), own.chain([(RECORD_BYTES_SETTING.to_owned(), wanted.to_string())]).collect()))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(READY_MAX)).operation_timeout(Some(QUESTION_MAX))
}

fn retention_ms(retention: Retention) -> String {
    match retention {
        Retention::For(age) => i64::try_from(age.as_millis()).unwrap_or(i64::MAX).to_string(),
        Retention::Default | Retention::Compact => String::new(),
    }
}

/// The first error that is not `but`.
fn all_well(operation: &'static str, results: Vec<Result<String, (String, Code)>>, but: Code) -> Result<(), Error> {
    for result in results {
        if let Err((topic, code)) = result
            && code != but
        {
            return Err(Failure::new(code, format!("topic {topic}: {code}")).class(operation, Class::Retriable));
        }
    }
    Ok(())
}
