//! What only a real Kafka can show: fencing by group and by transactional id, transaction markers, librdkafka's prefetch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobico_broker::kafka::{Kafka, Settings};
use jobico_broker::{
    Append, Batch, Broker, Cause, Class, Consumer, Follower, GatherLimits, Membership, Outgoing, Positions, Retention,
    Start, TopicPartition, TopicSpec, Transactor,
};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

const LIMITS: GatherLimits = GatherLimits { records_max: 10_000, bytes_max: 16 << 20 };
/// How long anything may take that does take time: a rebalance, a session that ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// Those of the Kafka that tests share.
fn settings() -> Settings {
    Settings::new(std::env::var("JOBICO_TEST_KAFKA").expect(
        "JOBICO_TEST_KAFKA=host:port names the Kafka to test against: `make test` starts one, or scripts/services does",
    ))
}

/// A Kafka, and names that no other test uses.
struct Scene {
    kafka: Arc<Kafka>,
    settings: Settings,
    runtime: tokio::runtime::Runtime,
    name: String,
}

impl Scene {
    fn new(name: &str) -> Self {
        Self::at(name, settings())
    }

    fn at(name: &str, settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let kafka = Kafka::connect(settings.clone()).unwrap();
        let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        Self { kafka, settings, runtime, name: format!("{name}.{unique}") }
    }

    fn topic(&self, name: &str, partitions: u32) -> String {
        let name = format!("{}.{name}", self.name);
        let spec = TopicSpec { name: name.clone(), partitions, retention: Retention::Default, record_bytes_max: None };
        self.runtime.block_on(self.kafka.ensure_topics(&[spec])).unwrap();
        name
    }

    fn append(&self, topic: &str, values: std::ops::Range<u32>) {
        let record = |value: u32| Append {
            topic: topic.to_owned(),
            key: Some(b"key".to_vec()),
            value: Some(value.to_string().into_bytes()),
            headers: Vec::new(),
        };
        for answer in self.runtime.block_on(self.kafka.append(values.map(record).collect())) {
            answer.unwrap();
        }
    }

    fn membership(&self) -> Membership {
        Membership { group: format!("{}.group", self.name), client_id: self.name.clone(), topics: 1 }
    }

    fn transactor(&self, id: &str, topic: &str) -> Box<dyn Transactor> {
        let id = format!("{}.{id}", self.name);
        let mut transactor = self.kafka.join_transactional(&self.membership(), &id).unwrap();
        transactor.subscribe(&BTreeSet::from([topic.to_owned()])).unwrap();
        transactor
    }

    fn consumer(&self, topic: &str) -> Box<dyn Consumer> {
        let mut consumer = self.kafka.join(&self.membership()).unwrap();
        consumer.subscribe(&BTreeSet::from([topic.to_owned()])).unwrap();
        consumer
    }

    /// The committed values of a topic, once there are `count` of them, or more.
    fn committed(&self, topic: &str, count: usize) -> Vec<String> {
        let (begun, mut batch) = (Instant::now(), Batch::new());
        loop {
            self.kafka.follow(&[topic.to_owned()], Start::Beginning).unwrap().read_to_end(&mut batch).unwrap();
            if batch.len() >= count {
                return values(&batch);
            }
            assert!(begun.elapsed() < PATIENCE, "{topic} has {} of {count} records", batch.len());
        }
    }
}

/// Reads to the end until something is there: a commit is answered before readers see its records.
fn read_what_was_committed(follower: &mut dyn Follower, read: &mut Batch) {
    let begun = Instant::now();
    follower.read_to_end(read).unwrap();
    while read.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "what was committed is not seen");
        follower.read_to_end(read).unwrap();
    }
}

fn values(batch: &Batch) -> Vec<String> {
    batch.iter().map(|record| String::from_utf8(record.value().unwrap().to_vec()).unwrap()).collect()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Gathers until there are `count` records.
fn gather<C: Consumer + ?Sized>(consumer: &mut C, count: usize) -> Vec<String> {
    let (mut batch, mut all, begun) = (Batch::new(), Vec::new(), Instant::now());
    while all.len() < count {
        assert!(begun.elapsed() < PATIENCE, "only {} of {count} records came", all.len());
        consumer.gather(&mut batch, &LIMITS, Duration::from_millis(100)).unwrap();
        all.extend(values(&batch));
    }
    all
}

fn copy(transactor: &mut dyn Transactor, batch: &Batch, output: &str) {
    for record in batch.iter() {
        let outgoing = Outgoing { topic: output, key: record.key(), value: record.value(), headers: &[] };
        transactor.produce(&outgoing).unwrap();
    }
}

fn gather_batch(transactor: &mut dyn Transactor) -> Batch {
    let (mut batch, begun) = (Batch::new(), Instant::now());
    while batch.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "no record came");
        transactor.gather(&mut batch, &LIMITS, Duration::from_millis(100)).unwrap();
    }
    batch
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

#[test]
fn a_member_that_stayed_away_too_long_cannot_commit() {
    let mut scene = Scene::new("away");
    let (input, output) = (scene.topic("in", 1), scene.topic("out", 1));
    scene.append(&input, 0..3);
    scene.settings.session_timeout = Duration::from_secs(6);
    scene.settings.poll_interval_max = Duration::from_secs(6);
    let impatient = Kafka::connect(scene.settings.clone()).unwrap();
    let mut late = impatient.join_transactional(&scene.membership(), &format!("{}.late", scene.name)).unwrap();
    late.subscribe(&BTreeSet::from([input.clone()])).unwrap();
    let batch = gather_batch(&mut *late);
    late.begin().unwrap();
    copy(&mut *late, &batch, &output);

    // The group goes on: the next member gets the partition, and the records that were never committed.
    let mut next = scene.transactor("next", &input);
    let again = gather_batch(&mut *next);
    assert_eq!(values(&again), numbers(0..3));

    let error = late.commit(&batch.next_offsets()).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Abortable, Cause::Fenced), "{error}");
    late.abort().unwrap();
    next.begin().unwrap();
    copy(&mut *next, &again, &output);
    next.commit(&again.next_offsets()).unwrap();
    assert_eq!(scene.committed(&output, 3), numbers(0..3));

    // The late one is told of its loss, and joins again.
    drop(next);
    scene.append(&input, 3..5);
    assert_eq!(gather(&mut *late, 2), numbers(3..5));
}

#[test]
fn who_takes_a_transactional_id_over_ends_what_was_open() {
    let scene = Scene::new("takeover");
    let (input, output) = (scene.topic("in", 1), scene.topic("out", 1));
    scene.append(&input, 0..3);
    let mut first = scene.transactor("same", &input);
    let batch = gather_batch(&mut *first);
    first.begin().unwrap();
    copy(&mut *first, &batch, &output);

    let second = scene.transactor("same", &input);
    let error = first.commit(&batch.next_offsets()).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Fatal, Cause::Fenced), "{error}");
    drop(first);
    let mut second = second;
    let again = gather_batch(&mut *second);
    second.begin().unwrap();
    copy(&mut *second, &again, &output);
    second.commit(&again.next_offsets()).unwrap();
    assert_eq!(scene.committed(&output, 3), numbers(0..3));
}

#[test]
fn a_record_that_the_broker_refuses_makes_the_transaction_abortable() {
    let scene = Scene::new("refused");
    let input = scene.topic("in", 1);
    let output = format!("{}.small", scene.name);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &scene.settings.bootstrap).create().unwrap();
    let small = NewTopic::new(&output, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "1000");
    for result in scene.runtime.block_on(admin.create_topics([&small], &AdminOptions::new())).unwrap() {
        result.unwrap();
    }
    scene.append(&input, 0..1);
    let mut transactor = scene.transactor("id", &input);
    let batch = gather_batch(&mut *transactor);
    // Bytes that lz4 cannot shrink below the topic's limit.
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..5_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    transactor.begin().unwrap();
    transactor.produce(&Outgoing { topic: &output, key: None, value: Some(&noise), headers: &[] }).unwrap();
    let error = transactor.commit(&batch.next_offsets()).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Abortable, Cause::TooLarge), "{error}");
    transactor.abort().unwrap();

    // The refused record took a sequence number with it, which librdkafka mends (a new epoch) by one more abort.
    let mut aborts = 0;
    loop {
        transactor.rewind(&batch.first_offsets()).unwrap();
        assert_eq!(values(&gather_batch(&mut *transactor)), ["0"]);
        transactor.begin().unwrap();
        transactor.produce(&Outgoing { topic: &output, key: None, value: Some(b"fits"), headers: &[] }).unwrap();
        let Err(error) = transactor.commit(&batch.next_offsets()) else { break };
        assert_eq!(error.class, Class::Abortable, "{error}");
        transactor.abort().unwrap();
        aborts += 1;
        assert!(aborts <= 1, "{error}");
    }
    assert_eq!(scene.committed(&output, 1), ["fits"]);
}

#[test]
fn a_topic_made_after_it_was_subscribed_to_is_read_within_two_seconds() {
    let scene = Scene::new("fresh");
    let old = scene.topic("old", 1);
    let new = format!("{}.new", scene.name);
    let mut consumer = scene.kafka.join(&scene.membership()).unwrap();
    consumer.subscribe(&BTreeSet::from([old.clone(), new.clone()])).unwrap();
    scene.append(&old, 0..1);
    assert_eq!(gather(&mut *consumer, 1), ["0"]);
    assert_eq!(scene.topic("new", 2), new);
    scene.append(&new, 1..2);
    let begun = Instant::now();
    assert_eq!(gather(&mut *consumer, 1), ["1"]);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn a_member_whose_only_topic_is_made_after_it_subscribed_reads_it() {
    let scene = Scene::new("first");
    for pause in [0, 20, 100, 300, 700, 1_500] {
        let name = format!("made{pause}");
        let mut consumer = scene.kafka.join(&scene.membership()).unwrap();
        consumer.subscribe(&BTreeSet::from([format!("{}.{name}", scene.name)])).unwrap();
        consumer.gather(&mut Batch::new(), &LIMITS, Duration::from_millis(pause)).unwrap();
        let topic = scene.topic(&name, 2);
        scene.append(&topic, 0..10);
        let begun = Instant::now();
        let mut seen = gather(&mut *consumer, 10);
        seen.sort_unstable();
        println!("made after {pause} ms: {:?}", begun.elapsed());
        assert_eq!(seen, numbers(0..10));
    }
}

#[test]
fn a_member_none_of_whose_topics_exists_reads_others_once_it_is_made_anew() {
    let scene = Scene::new("nowhere");
    let mut consumer = scene.consumer(&format!("{}.missing", scene.name));
    let there = scene.topic("there", 1);
    scene.append(&there, 0..3);
    consumer.gather(&mut Batch::new(), &LIMITS, Duration::from_secs(1)).unwrap();
    let topics = BTreeSet::from([there]);
    consumer.subscribe(&topics).unwrap();
    let (begun, mut batch) = (Instant::now(), Batch::new());
    let error = loop {
        assert!(begun.elapsed() < PATIENCE, "it waits for ever");
        if let Err(error) = consumer.gather(&mut batch, &LIMITS, Duration::from_millis(100)) {
            break error;
        }
    };
    assert_eq!((error.class, batch.len()), (Class::Fatal, 0), "{error}");
    drop(consumer);
    let mut anew = scene.kafka.join(&scene.membership()).unwrap();
    anew.subscribe(&topics).unwrap();
    assert_eq!(gather(&mut *anew, 3), numbers(0..3));
}

#[test]
fn a_topic_just_made_is_read_within_two_seconds_of_the_subscription() {
    let scene = Scene::new("quick");
    let old = scene.topic("old", 1);
    let mut consumer = scene.consumer(&old);
    scene.append(&old, 0..1);
    assert_eq!(gather(&mut *consumer, 1), ["0"]);
    let new = scene.topic("new", 4);
    scene.append(&new, 1..2);
    let begun = Instant::now();
    consumer.subscribe(&BTreeSet::from([old, new])).unwrap();
    assert_eq!(gather(&mut *consumer, 1), ["1"]);
    // librdkafka joins a group once a second at most, and this member has only just joined.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn what_was_fetched_of_a_paused_partition_is_not_returned_and_not_lost() {
    let scene = Scene::new("pause");
    let input = scene.topic("in", 1);
    scene.append(&input, 0..1_000);
    let mut consumer = scene.consumer(&input);
    let few = GatherLimits { records_max: 10, bytes_max: 1 << 20 };
    let (mut batch, mut first) = (Batch::new(), Vec::new());
    while first.len() < 10 {
        consumer.gather(&mut batch, &few, Duration::from_millis(100)).unwrap();
        first.extend(values(&batch));
    }
    let paused = [at(&input, 0)];
    consumer.pause(&paused).unwrap();
    for _ in 0..5 {
        consumer.gather(&mut batch, &LIMITS, Duration::from_millis(20)).unwrap();
        assert!(batch.is_empty());
    }
    consumer.resume(&paused).unwrap();
    first.extend(gather(&mut *consumer, 1_000 - first.len()));
    assert_eq!(first, numbers(0..1_000));
}

#[test]
fn a_partition_that_was_paused_and_rewound_goes_on_where_it_was_sent() {
    let scene = Scene::new("pauserewind");
    let input = scene.topic("in", 1);
    scene.append(&input, 0..100);
    let mut consumer = scene.consumer(&input);
    let mut batch = Batch::new();
    assert_eq!(gather(&mut *consumer, 100), numbers(0..100));
    for (from, pause_first) in [(40, true), (70, false)] {
        let (partition, to) = (at(&input, 0), Positions::from([(at(&input, 0), from)]));
        if pause_first {
            consumer.pause(std::slice::from_ref(&partition)).unwrap();
        }
        consumer.rewind(&to).unwrap();
        if !pause_first {
            consumer.pause(std::slice::from_ref(&partition)).unwrap();
        }
        consumer.gather(&mut batch, &LIMITS, Duration::from_millis(50)).unwrap();
        assert!(batch.is_empty());
        consumer.resume(&[partition]).unwrap();
        let from = u32::try_from(from).unwrap();
        assert_eq!(gather(&mut *consumer, 100 - from as usize), numbers(from..100));
    }
}

#[test]
fn a_byte_limit_splits_batches_and_loses_nothing() {
    let scene = Scene::new("bytes");
    let input = scene.topic("in", 3);
    let records = (0..500_u32)
        .map(|value| Append {
            topic: input.clone(),
            key: Some(value.to_string().into_bytes()),
            value: Some(format!("{value:0>width$}", width = 1 + (value as usize % 7) * 300).into_bytes()),
            headers: Vec::new(),
        })
        .collect();
    scene.runtime.block_on(scene.kafka.append(records)).into_iter().for_each(|answer| assert!(answer.is_ok()));
    let mut consumer = scene.consumer(&input);
    let limits = GatherLimits { records_max: 10_000, bytes_max: 2_500 };
    let (mut batch, mut offsets, begun) =
        (Batch::new(), std::collections::BTreeMap::<i32, Vec<i64>>::new(), Instant::now());
    while offsets.values().map(Vec::len).sum::<usize>() < 500 {
        assert!(begun.elapsed() < PATIENCE);
        consumer.gather(&mut batch, &limits, Duration::from_millis(100)).unwrap();
        assert!(batch.bytes_len() <= limits.bytes_max || batch.len() == 1, "{} bytes", batch.bytes_len());
        for record in batch.iter() {
            offsets.entry(record.partition()).or_default().push(record.offset());
        }
    }
    for (partition, read) in offsets {
        assert!(read.iter().copied().eq(0..i64::try_from(read.len()).unwrap()), "partition {partition}: {read:?}");
    }
}

#[test]
fn reading_to_the_end_passes_markers_and_aborted_records() {
    let scene = Scene::new("toend");
    let (input, output) = (scene.topic("in", 1), scene.topic("out", 1));
    scene.append(&input, 0..1);
    let mut transactor = scene.transactor("id", &input);
    let batch = gather_batch(&mut *transactor);
    let value = |value| Outgoing { topic: output.as_str(), key: None, value: Some(value), headers: &[] };
    let mut follower = scene.kafka.follow(std::slice::from_ref(&output), Start::Beginning).unwrap();
    let mut read = Batch::new();
    follower.read_to_end(&mut read).unwrap();
    assert!(read.is_empty());

    transactor.begin().unwrap();
    transactor.produce(&value(b"committed")).unwrap();
    transactor.commit(&batch.next_offsets()).unwrap();
    read_what_was_committed(&mut *follower, &mut read);
    assert_eq!(values(&read), ["committed"]);

    // The topic ends with aborted records and their marker, and then with a transaction that is open.
    transactor.begin().unwrap();
    for _ in 0..100 {
        transactor.produce(&value(b"aborted")).unwrap();
    }
    transactor.abort().unwrap();
    transactor.begin().unwrap();
    transactor.produce(&value(b"open")).unwrap();
    let begun = Instant::now();
    follower.read_to_end(&mut read).unwrap();
    assert!(read.is_empty(), "{:?}", values(&read));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    transactor.commit(&Positions::new()).unwrap();
    read_what_was_committed(&mut *follower, &mut read);
    assert_eq!(values(&read), ["open"]);
    // Nothing new, and the end was met before: no event says so again.
    follower.read_to_end(&mut read).unwrap();
    assert!(read.is_empty());
}

#[test]
fn a_member_that_is_dropped_leaves_its_group_at_once() {
    let scene = Scene::new("leave");
    let input = scene.topic("in", 2);
    let mut first = scene.consumer(&input);
    scene.append(&input, 0..1);
    gather(&mut *first, 1);
    let begun = Instant::now();
    drop(first);
    assert!(begun.elapsed() < Duration::from_secs(3), "closing took {:?}", begun.elapsed());
    let mut second = scene.consumer(&input);
    gather(&mut *second, 1);
    // Sessions last ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(6), "taking over took {:?}", begun.elapsed());
}

/// Of the older one the conformance suite says it.
#[test]
fn the_members_of_a_group_of_the_newer_protocol_are_known_with_what_they_have() {
    let mut settings = settings();
    settings.properties.insert("group.protocol".to_owned(), "consumer".to_owned());
    let scene = Scene::at("members", settings);
    let topic = scene.topic("in", 4);
    let group = scene.membership().group;
    let known = || {
        let members = scene.runtime.block_on(scene.kafka.members(&group)).unwrap();
        assert!(members.iter().all(|member| member.client_id == scene.name && !member.host.is_empty()), "{members:?}");
        members.into_iter().map(|member| member.partitions.into_iter().collect()).collect::<BTreeSet<BTreeSet<_>>>()
    };
    assert_eq!(known(), BTreeSet::new(), "a group that nobody knows");
    let (mut first, mut second) = (scene.consumer(&topic), scene.consumer(&topic));
    let (mut batch, begun) = (Batch::new(), Instant::now());
    loop {
        for member in [&mut first, &mut second] {
            member.gather(&mut batch, &LIMITS, Duration::from_millis(50)).unwrap();
        }
        let have = [first.assignment(), second.assignment()];
        if have.iter().all(|partitions| partitions.len() == 2) && known() == BTreeSet::from(have) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{:?} of {:?}", known(), [first.assignment(), second.assignment()]);
    }
}

#[test]
fn partitions_move_to_a_second_member_without_loss() {
    let scene = Scene::new("move");
    let (input, output) = (scene.topic("in", 4), scene.topic("out", 1));
    let records = (0..2_000_u32)
        .map(|value| Append {
            topic: input.clone(),
            key: Some(value.to_string().into_bytes()),
            value: Some(value.to_string().into_bytes()),
            headers: Vec::new(),
        })
        .collect();
    scene.runtime.block_on(scene.kafka.append(records)).into_iter().for_each(|answer| assert!(answer.is_ok()));
    let few = GatherLimits { records_max: 20, bytes_max: 1 << 20 };
    let mut members = vec![scene.transactor("0", &input)];
    let (mut batch, mut done, begun) = (Batch::new(), 0, Instant::now());
    let mut second_took_part = false;
    while done < 2_000 {
        assert!(begun.elapsed() < PATIENCE * 2, "{done} of 2000");
        if done >= 200 && members.len() == 1 {
            members.push(scene.transactor("1", &input));
        }
        for (index, member) in members.iter_mut().enumerate() {
            member.gather(&mut batch, &few, Duration::from_millis(20)).unwrap();
            if batch.is_empty() {
                continue;
            }
            // Once there are two, the first does little until the second takes part, so that this is no race.
            let owned = member.assignment();
            assert!(batch.iter().all(|record| owned.contains(&at(record.topic(), record.partition()))));
            member.begin().unwrap();
            copy(&mut **member, &batch, &output);
            match member.commit(&batch.next_offsets()) {
                Ok(()) => {
                    done += batch.len();
                    second_took_part |= index == 1;
                }
                Err(error) => {
                    assert_eq!(error.class, Class::Abortable, "{error}");
                    member.abort().unwrap();
                    member.rewind(&batch.first_offsets()).unwrap();
                }
            }
        }
    }
    assert!(second_took_part);
    let mut all: Vec<u32> = scene.committed(&output, 2_000).iter().map(|value| value.parse().unwrap()).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..2_000));
}

#[test]
fn a_follower_reads_partitions_that_are_added() {
    let scene = Scene::new("grow");
    let topic = scene.topic("in", 1);
    let mut follower = scene.kafka.follow(std::slice::from_ref(&topic), Start::Beginning).unwrap();
    scene.append(&topic, 0..1);
    let mut batch = Batch::new();
    follower.read_to_end(&mut batch).unwrap();
    assert_eq!(values(&batch), ["0"]);
    assert_eq!(scene.topic("in", 8), topic);
    let records = (1..50_u32)
        .map(|value| Append {
            topic: topic.clone(),
            key: Some(value.to_string().into_bytes()),
            value: Some(value.to_string().into_bytes()),
            headers: Vec::new(),
        })
        .collect();
    scene.runtime.block_on(scene.kafka.append(records)).into_iter().for_each(|answer| assert!(answer.is_ok()));
    follower.read_to_end(&mut batch).unwrap();
    let mut all: Vec<u32> = values(&batch).iter().map(|value| value.parse().unwrap()).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..50));
}

#[test]
fn a_cluster_that_is_away_is_said_so_in_time_and_holds_nobody_up() {
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut settings = Settings::new(format!("127.0.0.1:{port}"));
    settings.delivery_timeout = Duration::from_secs(1);
    settings.takeover_timeout = Duration::from_secs(1);
    settings.properties.insert("queue.buffering.max.messages".into(), "10".into());
    let scene = Scene::at("nobody", settings);
    let begun = Instant::now();
    let error = scene.runtime.block_on(scene.kafka.check()).unwrap_err();
    assert_eq!((error.class, error.cause), (Class::Retriable, Cause::Unavailable), "{error}");
    let error = scene.kafka.join_transactional(&scene.membership(), "id").err().unwrap();
    assert_eq!((error.class, error.cause), (Class::Retriable, Cause::Unavailable), "{error}");
    let record = Append { topic: "t".into(), key: None, value: None, headers: Vec::new() };
    let answers = scene.runtime.block_on(scene.kafka.append(vec![record; 12]));
    let causes: Vec<Cause> = answers.into_iter().map(|answer| answer.unwrap_err().cause).collect();
    assert_eq!(causes[..10], [Cause::Unavailable; 10]);
    assert_eq!(causes[10..], [Cause::Full; 2]);
    let mut consumer = scene.consumer("t");
    consumer.gather(&mut Batch::new(), &LIMITS, Duration::from_millis(50)).unwrap();
    drop(consumer);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_transaction_may_have_more_records_than_wait_to_be_sent_at_once() {
    let mut settings = settings();
    settings.properties.insert("queue.buffering.max.messages".into(), "10".into());
    let scene = Scene::at("room", settings);
    let (input, output) = (scene.topic("in", 1), scene.topic("out", 1));
    let mut transactor = scene.transactor("id", &input);
    transactor.begin().unwrap();
    for number in numbers(0..1_000) {
        let outgoing = Outgoing { topic: &output, key: Some(b"key"), value: Some(number.as_bytes()), headers: &[] };
        transactor.produce(&outgoing).unwrap();
    }
    transactor.commit(&Positions::new()).unwrap();
    assert_eq!(scene.committed(&output, 1_000), numbers(0..1_000));
}

/// librdkafka knows none of the topics yet, and the group does not know the member any more.
#[test]
fn a_subscription_that_changes_while_a_lost_member_joins_again_counts_in_the_end() {
    const TOPICS: usize = 40;
    let mut scene = Scene::new("joins");
    scene.settings.session_timeout = Duration::from_secs(6);
    scene.settings.poll_interval_max = Duration::from_secs(6);
    let first = scene.topic("0", 1);
    let mut member = Kafka::connect(scene.settings.clone()).unwrap().join(&scene.membership()).unwrap();
    let (mut topics, mut batch) = (BTreeSet::from([first]), Batch::new());
    member.subscribe(&topics).unwrap();
    let mut has = |member: &mut dyn Consumer, count: usize| {
        let begun = Instant::now();
        while member.assignment().len() != count {
            assert!(begun.elapsed() < PATIENCE, "it has {:?}", member.assignment());
            member.gather(&mut batch, &LIMITS, Duration::from_millis(1)).unwrap();
        }
    };
    has(&mut *member, 1);
    std::thread::sleep(scene.settings.poll_interval_max + Duration::from_secs(2));
    has(&mut *member, 0);
    for number in 1..TOPICS {
        topics.insert(format!("{}.{number}", scene.name));
        member.subscribe(&topics).unwrap();
        member.gather(&mut Batch::new(), &LIMITS, Duration::from_millis(2)).unwrap();
    }
    for number in 1..TOPICS {
        scene.topic(&number.to_string(), 1);
    }
    has(&mut *member, TOPICS);
}

#[test]
fn a_member_made_for_few_topics_is_told_to_be_made_anew_for_many() {
    let scene = Scene::new("growth");
    let topics: BTreeSet<String> = (0..1_000).map(|number| format!("{}.{number}", scene.name)).collect();
    let mut member = scene.kafka.join(&scene.membership()).unwrap();
    let error = member.subscribe(&topics).unwrap_err();
    assert_eq!(error.class, Class::Fatal, "{error}");
    let mut member = scene.kafka.join(&Membership { topics: topics.len(), ..scene.membership() }).unwrap();
    member.subscribe(&topics).unwrap();
}

#[test]
fn a_property_that_does_not_exist_is_refused_by_name() {
    let mut settings = Settings::new("localhost:9092");
    settings.properties.insert("no.such.property".into(), "1".into());
    let error = Kafka::connect(settings).err().unwrap();
    assert_eq!(error.class, Class::Fatal);
    assert!(error.to_string().contains("no.such.property"), "{error}");
}
