//! What is set of librdkafka, and why; everything else stays at its default.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::breadth::Breadth;
use crate::RECORD_BYTES_CAP;

/// Properties that librdkafka refuses with the newer group protocol, in which brokers decide these things.
const CLASSIC_ONLY: [&str; 4] =
    ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"];

/// How to reach a Kafka cluster, and how long to wait for it.
#[derive(Clone)]
pub struct Settings {
    /// Bootstrap servers: `host:port`, separated by commas.
    pub bootstrap: String,
    /// librdkafka properties by their own names (`security.protocol` …). They override what this crate sets. What concerns
    /// only producers is ignored by consumers, and the other way round.
    pub properties: BTreeMap<String, String>,
    /// Replication factor of the topics that are made; -1 = the broker's default.
    pub replication: i32,
    /// How long an appended record may wait for its acknowledgement before it is given up. 10 s.
    pub delivery_timeout: Duration,
    /// After how long the broker ends a transaction whose producer has gone, and how long a commit is tried. Until then,
    /// nobody reads past it. 30 s; the broker caps it (`transaction.max.timeout.ms`, 15 min).
    pub transaction_timeout: Duration,
    /// How long taking over a transactional id may take. 30 s.
    pub takeover_timeout: Duration,
    /// After how long a group member that has gone without a word loses its partitions. 10 s; the broker's lower limit is
    /// `group.min.session.timeout.ms` (6 s).
    pub session_timeout: Duration,
    /// How long a group member may be away from [`crate::Consumer::gather`] before the group goes on without it. 5 min.
    pub poll_interval_max: Duration,
}

impl Settings {
    /// A cluster without TLS or SASL, and the defaults of everything else.
    #[must_use]
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            properties: BTreeMap::new(),
            replication: -1,
            delivery_timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(30),
            takeover_timeout: Duration::from_secs(30),
            session_timeout: Duration::from_secs(10),
            poll_interval_max: Duration::from_secs(300),
        }
    }

    /// Where clients begin, as librdkafka is told.
    pub(super) fn servers(&self) -> &str {
        self.properties.get("bootstrap.servers").unwrap_or(&self.bootstrap)
    }

    /// [`Settings::transaction_timeout`], or what the property of librdkafka says in its place.
    pub(super) fn transaction_timeout(&self) -> Duration {
        let property = self.properties.get("transaction.timeout.ms").and_then(|ms| ms.parse().ok());
        property.map_or(self.transaction_timeout, Duration::from_millis)
    }

    /// What all clients share.
    fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", client_id)
            .set("socket.nagle.disable", "true")
            // A broker that comes back is found again within a second, not ten.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            // How often all topics are looked up that a client has named: one that grew is seen after this. A topic that a
            // producer does not know is looked up at once, whatever this says. Consumers set their own.
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("metadata.max.age.ms", "180000")
            .set("allow.auto.create.topics", "false")
            .set_log_level(self.log_level());
        config
    }

    /// What librdkafka says at all, which a producer listens to as well; how much of it is shown is the log's filter.
    fn log_level(&self) -> RDKafkaLogLevel {
        if self.properties.contains_key("debug") { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info }
    }

    fn overridden(&self, mut config: ClientConfig) -> ClientConfig {
        let is_classic = self.is_classic();
        for (name, value) in
            self.properties.iter().filter(|(name, _)| is_classic || !CLASSIC_ONLY.contains(&name.as_str()))
        {
            config.set(name, value);
        }
        config
    }

    /// Whether groups are of the protocol that Kafka always had, or of KIP-848's (`group.protocol=consumer`).
    pub(super) fn is_classic(&self) -> bool {
        self.properties.get("group.protocol").is_none_or(|protocol| protocol != "consumer")
    }

    /// For metadata, offsets and topics.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.client("jobico-admin");
        // Ends of partitions are then the ends for those who read committed records.
        config.set("isolation.level", "read_committed");
        self.overridden(config)
    }

    /// For a group's committed offsets, whether or not a transaction is about to change them.
    pub(super) fn committed(&self, group: &str) -> ClientConfig {
        let mut config = self.client("jobico-lag");
        config.set("group.id", group).set("isolation.level", "read_uncommitted").set("enable.auto.commit", "false");
        self.overridden(config)
    }

    fn consumer(&self, client_id: &str, group: &str, breadth: Breadth) -> ClientConfig {
        let mut config = self.client(client_id);
        config
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("queued.max.messages.kbytes", "65536")
            .set("fetch.error.backoff.ms", "50");
        breadth.apply(&mut config);
        config
    }

    /// For a member of a group.
    pub(super) fn member(&self, client_id: &str, group: &str, breadth: Breadth) -> ClientConfig {
        let mut config = self.consumer(client_id, group, breadth);
        config.set("max.poll.interval.ms", self.poll_interval_max.as_millis().to_string());
        if self.is_classic() {
            config
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", self.session_timeout.as_millis().to_string())
                // Members learn of a rebalance with their next heartbeat.
                .set("heartbeat.interval.ms", "500");
        }
        self.overridden(config)
    }

    /// For a reader outside any group. librdkafka wants a group's name even so; nothing is ever committed to it.
    pub(super) fn follower(&self) -> ClientConfig {
        let mut config = self.consumer("jobico-follower", "jobico.follower", Breadth::of(1));
        config
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", "16384")
            // How long a fetch waits for records. The end of a partition is reported with a fetch that found none, so this
            // is what reading to the end costs where markers of transactions stand there. The default is 500 ms.
            .set("fetch.wait.max.ms", "50");
        self.overridden(config)
    }

    fn producer(&self, client_id: &str) -> ClientConfig {
        let mut config = self.client(client_id);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.codec", "lz4")
            .set("partitioner", "murmur2_random")
            // A topic that does not exist is said so after this; a topic just made is known everywhere by then.
            .set("topic.metadata.propagation.max.ms", "3000");
        config
    }

    /// For records that are acknowledged one by one.
    pub(super) fn appender(&self) -> ClientConfig {
        let mut config = self.producer("jobico-append");
        config
            .set("linger.ms", "1")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072")
            .set("message.timeout.ms", self.delivery_timeout.as_millis().to_string());
        self.overridden(config)
    }

    /// For records that are waited for all at once.
    fn batches(&self, client_id: &str) -> ClientConfig {
        let mut config = self.producer(client_id);
        config
            // Counted before compression, unlike the topic's limit, which the broker sees to. Batches of several records end
            // at `batch.size` as before, so that what is small does not share a request that a topic refuses.
            .set("message.max.bytes", RECORD_BYTES_CAP.to_string())
            // Must not exceed the transaction's own.
            .set("message.timeout.ms", self.transaction_timeout().as_millis().to_string())
            // All are waited for anyhow: reports of those that went well would only be thrown away.
            .set("delivery.report.only.error", "true")
            // How long what met an error that passes waits before it is sent again; the default is 100 ms. A transaction's offsets
            // meet one where the broker has not quite ended the transaction before. In most cases it doubles with each in a row.
            .set("retry.backoff.ms", "20")
            // The default follows the line above; who leads a partition need not be asked more often for that.
            .set("topic.metadata.refresh.fast.interval.ms", "100")
            // Batches are filled; what is left at the end is sent at once by the flush of the commit.
            .set("linger.ms", "5")
            // A record with the headers of a result is 2 KiB here. Whoever is so far ahead of the broker waits for it, rather
            // than have a whole transaction in memory.
            .set("queue.buffering.max.messages", "10000")
            .set("queue.buffering.max.kbytes", "131072");
        config
    }

    /// For records in transactions.
    pub(super) fn transactional(&self, client_id: &str, transactional_id: &str) -> ClientConfig {
        let mut config = self.batches(client_id);
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", self.transaction_timeout().as_millis().to_string());
        self.overridden(config)
    }

    /// The same for records in none.
    #[cfg(feature = "at-least-once")]
    pub(super) fn without_transactions(&self, client_id: &str) -> ClientConfig {
        self.overridden(self.batches(client_id))
    }
}

impl std::fmt::Debug for Settings {
    /// Property values may be secrets: their names alone are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("bootstrap", &self.bootstrap)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("replication", &self.replication)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transactions_time_is_the_propertys_where_there_is_one_and_records_have_no_more() {
        let mut settings = Settings::new("localhost:9092");
        assert_eq!(settings.transaction_timeout(), Duration::from_secs(30));
        settings.properties.insert("transaction.timeout.ms".to_owned(), "12000".to_owned());
        assert_eq!(settings.transaction_timeout(), Duration::from_secs(12));
        let config = settings.transactional("client", "id");
        assert_eq!(
            (config.get("transaction.timeout.ms"), config.get("message.timeout.ms")),
            (Some("12000"), Some("12000"))
        );
    }

    #[cfg(feature = "at-least-once")]
    #[test]
    fn without_transactions_records_are_sent_as_in_them() {
        let settings = Settings::new("localhost:9092");
        let mut config = settings.without_transactions("client");
        config.set("transactional.id", "id").set("transaction.timeout.ms", "30000");
        assert_eq!(config.config_map(), settings.transactional("client", "id").config_map());
    }

    #[test]
    fn what_only_the_classic_protocol_has_is_not_set_with_the_newer_one() {
        let mut settings = Settings::new("localhost:9092");
        settings.properties.insert("session.timeout.ms".to_owned(), "7000".to_owned());
        assert_eq!(settings.member("c", "g", Breadth::of(1)).get("session.timeout.ms"), Some("7000"));
        settings.properties.insert("group.protocol".to_owned(), "consumer".to_owned());
        for config in
            [settings.member("c", "g", Breadth::of(1)), settings.follower(), settings.committed("g"), settings.admin()]
        {
            assert_eq!(config.get("group.protocol"), Some("consumer"));
            assert!(CLASSIC_ONLY.iter().all(|name| config.get(name).is_none()), "{config:?}");
        }
    }
}
