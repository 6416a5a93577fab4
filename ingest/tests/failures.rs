//! A log that fails: nothing is claimed that is not certain.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jobico_broker::simulated::{Faults, Simulated};
use jobico_broker::{
    Append, Broker, Cause, Class, Consumer, Error, Follower, GroupMember, Lag, Membership, Position, Positions, Start,
    TopicSpec, Transactor, Writer,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::on_each_log;
use crate::stage::{PATIENCE, Read, Stage};

/// What a log does with one record of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Takes it and says so.
    Acknowledged,
    /// Takes it, and its answer is lost.
    AnswerLost,
    /// Does not take it, and nobody knows.
    Lost,
    /// Says why it does not take it.
    Refused(Cause),
    /// Never says a word.
    Silent,
}

/// A log of which each record of a queue meets the fate it was given.
struct Failing {
    log: Arc<dyn Broker>,
    fates: Mutex<Vec<Fate>>,
    /// How many appends are left that wait to be let go.
    held: Semaphore,
    go: Semaphore,
}

impl Failing {
    fn new(log: Arc<dyn Broker>) -> Arc<Self> {
        Arc::new(Self { log, fates: Mutex::new(Vec::new()), held: Semaphore::new(0), go: Semaphore::new(0) })
    }

    /// The fates of the records to come, in their order; then all goes well again.
    fn let_happen(&self, fates: &[Fate]) {
        *self.fates.lock().unwrap() = fates.to_vec();
    }

    fn error(cause: Cause) -> Error {
        Error::new(Class::Retriable, cause, "append", "the broker is gone")
    }
}

#[async_trait]
impl Broker for Failing {
    fn describe(&self) -> String {
        format!("failing, {}", self.log.describe())
    }
    async fn append(&self, records: Vec<Append>) -> Vec<Result<Position, Error>> {
        if let Ok(held) = self.held.try_acquire() {
            held.forget();
            self.go.acquire().await.unwrap().forget();
        }
        let count = records.len();
        let mut fates = std::mem::take(&mut *self.fates.lock().unwrap());
        fates.resize(count, Fate::Acknowledged);
        if fates.contains(&Fate::Silent) {
            std::future::pending::<()>().await;
        }
        let reaches = |fate: &Fate| matches!(fate, Fate::Acknowledged | Fate::AnswerLost);
        let reaching = records.into_iter().zip(&fates).filter(|(_, fate)| reaches(fate)).map(|(record, _)| record);
        let mut answers = self.log.append(reaching.collect()).await.into_iter();
        let mut answer = |fate: &Fate| match fate {
            Fate::Acknowledged => answers.next().unwrap(),
            Fate::AnswerLost => {
                answers.next().unwrap().unwrap();
                Err(Self::error(Cause::Unavailable))
            }
            Fate::Lost | Fate::Silent => Err(Self::error(Cause::Unavailable)),
            Fate::Refused(cause) => Err(Self::error(*cause)),
        };
        fates.iter().map(&mut answer).collect()
    }
    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.log.ensure_topics(topics).await
    }
    async fn topics(&self) -> Result<BTreeSet<String>, Error> {
        self.log.topics().await
    }
    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error> {
        self.log.lag(group, topics).await
    }
    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error> {
        self.log.members(group).await
    }
    async fn check(&self) -> Result<(), Error> {
        self.log.check().await
    }
    fn follow(&self, topics: &[String], start: Start) -> Result<Box<dyn Follower>, Error> {
        self.log.follow(topics, start)
    }
    fn follow_from(&self, positions: &Positions) -> Result<Box<dyn Follower>, Error> {
        self.log.follow_from(positions)
    }
    fn join(&self, membership: &Membership) -> Result<Box<dyn Consumer>, Error> {
        self.log.join(membership)
    }
    fn join_transactional(&self, membership: &Membership, id: &str) -> Result<Box<dyn Transactor>, Error> {
        self.log.join_transactional(membership, id)
    }
    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, Error> {
        self.log.writer(transactional_id)
    }
}

async fn failing() -> (Stage, Arc<Failing>) {
    let (setup, log) = Stage::embedded().flag("ack-ms-max", 500).behind(Failing::new);
    let mut stage = setup.start().await;
    stage.deploy("any", 1, None, None).await;
    (stage, log)
}

fn indices(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|entry| entry["index"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_and_what_may_be_is_told_apart_and_true() {
    let (stage, log) = failing().await;
    log.let_happen(&[
        Fate::Acknowledged,
        Fate::AnswerLost,
        Fate::Lost,
        Fate::Refused(Cause::Full),
        Fate::Refused(Cause::TooLarge),
        Fate::Acknowledged,
    ]);
    let answer = stage.post("any", r#"{"data":[0,1,2,3,4,5]}"#).await;
    answer.is_problem(503, "acknowledged 2 of 6 events");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.json.get("events"), None);
    assert_eq!(indices(&answer.json["stored"]), [0, 5]);
    assert_eq!(indices(&answer.json["uncertain"]), [1, 2]);
    let records = stage.read().await;
    for stored in answer.json["stored"].as_array().unwrap() {
        let record = records.iter().find(|record| record.headers["ce_id"] == stored["id"].as_str().unwrap()).unwrap();
        assert_eq!(
            (stored["partition"].clone(), stored["offset"].clone()),
            (json!(record.partition), json!(record.offset))
        );
        assert_eq!(record.value, stored["index"].to_string().into_bytes());
    }
    // The uncertain one that came through has the id that the client was given for it.
    let surprise = records.iter().find(|record| record.value == b"1").unwrap();
    assert_eq!(surprise.headers["ce_id"], answer.json["uncertain"][0]["id"].as_str().unwrap());
    assert_eq!(records.len(), 3, "what is in neither list is not stored");
    assert_eq!(stage.count("jobico_ingest_events_total", &[("verdict", "accepted")]), 2.0);
    assert_eq!(stage.count("jobico_ingest_events_total", &[("verdict", "unacknowledged")]), 4.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_says_nothing_is_waited_for_and_no_longer() {
    let (stage, log) = failing().await;
    log.let_happen(&[Fate::Silent]);
    let answer = stage.post("any", r#"{"data":[0,1]}"#).await;
    answer.is_problem(503, "acknowledged 0 of 2 events");
    assert_eq!((indices(&answer.json["stored"]).len(), indices(&answer.json["uncertain"])), (0, vec![0, 1]));
    assert_eq!(stage.post("any", r#"{"data":[0,1]}"#).await.events().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_only_the_log_finds_too_large_are_the_clients_fault() {
    let (stage, log) = failing().await;
    log.let_happen(&[Fate::Acknowledged, Fate::Refused(Cause::TooLarge)]);
    let answer = stage.post("any", r#"{"data":[0,1]}"#).await;
    answer.is_problem(413, "max.message.bytes");
    assert_eq!((indices(&answer.json["errors"]), indices(&answer.json["stored"])), (vec![1], vec![0]));
}

on_each_log!(a_topic_that_is_not_there_is_not_claimed_to_have_taken_anything);

async fn a_topic_that_is_not_there_is_not_claimed_to_have_taken_anything(mut stage: Stage) {
    stage.deploy_without_topic("any", 1, None, None).await;
    let answer = stage.post("any", r#"{"data":[0]}"#).await;
    answer.is_problem(503, "acknowledged 0 of 1 events");
    assert_eq!((&answer.json["stored"], &answer.json["uncertain"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_kafka_finds_too_large_is_the_clients_fault() {
    let flags = Stage::kafka().flag("body-bytes-max", 4 << 20).flag("event-bytes-max", 4 << 20);
    let mut stage = flags.start().await;
    stage.deploy("any", 1, None, None).await;
    let answer = stage.post("any", json!({ "data": [0, "x".repeat(2_000_000), 2] }).to_string()).await;
    answer.is_problem(413, "max.message.bytes");
    assert_eq!((indices(&answer.json["errors"]), indices(&answer.json["stored"])), (vec![1], vec![0, 2]));
    assert_eq!(stage.read().await.len(), 2);
}

/// Seeds of the simulated log: each is another course of faults.
const SEEDS: u64 = 50;
/// Requests after which a client that meets faults at a third of its events must be through.
const TRIES_MAX: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_again_what_is_not_stored_loses_nothing_on_a_faulty_log() {
    let faults = Faults { unavailable: 0.2, lost_acknowledgement: 0.2, unknown_topic: 0.05, ..Faults::default() };
    let mut met = 0;
    for seed in 0..SEEDS {
        let log = Simulated::new(seed, Faults::default());
        let stage = Stage::simulated(log.clone()).await.start_with_fixed_catalog("any").await;
        log.misbehave(faults);
        let mut to_send: Vec<u64> = (0..20).collect();
        let (mut claims, mut doubts) = (Vec::new(), BTreeSet::new());
        for _ in 0..TRIES_MAX {
            let answer = stage.post("any", json!({ "data": to_send }).to_string()).await;
            if answer.status == 200 {
                claims.extend(answer.events().iter().zip(&to_send).map(|(event, sent)| (event.clone(), *sent)));
                to_send.clear();
                break;
            }
            answer.is_problem(503, "Send again what is not in 'stored'");
            met += 1;
            let stored = answer.json["stored"].as_array().unwrap();
            claims
                .extend(stored.iter().map(|event| (event.clone(), to_send[event["index"].as_u64().unwrap() as usize])));
            let uncertain = answer.json["uncertain"].as_array().unwrap();
            doubts.extend(uncertain.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
            let done: BTreeSet<u64> = indices(&answer.json["stored"]).into_iter().collect();
            to_send = (0..).zip(to_send).filter(|(index, _)| !done.contains(index)).map(|(_, event)| event).collect();
        }
        assert!(to_send.is_empty(), "seed {seed}: {TRIES_MAX} tries were not enough");
        log.misbehave(Faults::default());
        let records = stage.read().await;
        for (claim, sent) in &claims {
            let at = |record: &&Read| record.partition == claim["partition"] && record.offset == claim["offset"];
            let record = records.iter().find(at).unwrap_or_else(|| panic!("seed {seed}: nothing stands at {claim}"));
            assert_eq!(
                (record.headers["ce_id"].as_str(), &record.value),
                (claim["id"].as_str().unwrap(), &sent.to_string().into_bytes()),
                "seed {seed}"
            );
        }
        let claimed: BTreeSet<u64> = claims.iter().map(|(_, sent)| *sent).collect();
        assert_eq!(claimed, (0..20).collect(), "seed {seed}");
        for record in &records {
            let id = &record.headers["ce_id"];
            let known = claims.iter().any(|(claim, _)| claim["id"] == **id) || doubts.contains(id);
            assert!(known, "seed {seed}: {id} is stored, and its client was told that it is not");
        }
    }
    assert!(met > SEEDS as usize, "faults were met");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_kafka_it_answers_that_nothing_is_certain() {
    let stage = Stage::no_kafka().start_with_fixed_catalog("any").await;
    let answer = stage.post("any", r#"{"data":[0]}"#).await;
    answer.is_problem(503, "acknowledged 0 of 1 events");
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!((indices(&answer.json["stored"]).len(), indices(&answer.json["uncertain"])), (0, vec![0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_beyond_the_limit_are_turned_away_and_taken_later() {
    let (setup, log) = Stage::embedded().flag("requests-max", 2).behind(Failing::new);
    let mut stage = setup.start().await;
    stage.deploy("any", 1, None, None).await;
    log.held.add_permits(2);
    let post = || stage.post("any", r#"{"data":[1]}"#);
    let third = async {
        while log.held.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let turned_away = post().await;
        turned_away.is_problem(503, "2 requests are under way");
        assert_eq!(turned_away.headers["retry-after"], "1");
        log.go.add_permits(2);
    };
    let (first, second, ()) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(post(), post(), third) }).await.unwrap();
    for answer in [first, second, post().await] {
        assert_eq!(answer.events().len(), 1);
    }
    assert_eq!(stage.read().await.len(), 3);
    assert_eq!(stage.count("jobico_ingest_requests_total", &[("outcome", "overloaded")]), 1.0);
}
