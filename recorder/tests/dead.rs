//! Dead letters: listed, shown, redriven once, dropped; on the embedded log and on Kafka.

use std::sync::Arc;
use std::time::Duration;

use jobico_broker::simulated::{Faults, Simulated};
use jobico_broker::{Append, Batch, Broker, Retention, Start, TopicSpec, embedded};
use jobico_event::dead_letter::State;
use jobico_event::{TenantId, header, name};
use jobico_recorder::dead::page::{Filter, Limits};
use jobico_recorder::dead::settle::{Action, Again};
use jobico_recorder::dead::{DeadLetters, marks_topic};
use jobico_recorder::store::sqlite::SqliteStore;
use serde_json::{Value, json};

use crate::rows::dead_record;
use crate::stage::{Ground, PATIENCE, Recorder, unique};

macro_rules! on_both_logs {
    ($($scenario:ident),* $(,)?) => {
        mod on_the_embedded_log {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(super::ground(super::Ground::embedded().await).await).await;
            })*
        }
        mod on_kafka {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(super::ground(super::Ground::kafka_alone().await).await).await;
            })*
        }
    };
}

on_both_logs!(
    dead_letters_are_listed_by_what_is_asked_for_page_by_page,
    a_dead_letter_is_shown_with_the_bytes_of_its_event,
    a_redriven_event_is_in_its_queue_as_it_came_and_once,
    of_many_who_redrive_one_letter_at_once_one_does,
    many_are_redriven_and_what_cannot_be_is_said,
    what_was_dropped_is_redriven_only_by_force,
);

fn topic(name: String) -> TopicSpec {
    TopicSpec { name, partitions: 1, retention: Retention::Default, record_bytes_max: None }
}

/// With the tenant's queue and topic of dead letters.
async fn ground(ground: Ground) -> Ground {
    let topics = [topic(format!("{}.q", ground.tenant)), topic(name::dead(&ground.tenant))];
    ground.broker.ensure_topics(&topics).await.unwrap();
    ground
}

impl Recorder {
    async fn dead(&self, tenant: &TenantId, query: &str) -> Value {
        let (status, list) = self.get(&format!("/v1/tenants/{tenant}/dead?{query}")).await;
        assert_eq!(status, 200, "{list}");
        list
    }
}

fn events(list: &Value) -> Vec<&str> {
    list["letters"].as_array().unwrap().iter().map(|letter| letter["event"].as_str().unwrap()).collect()
}

/// A record of a queue: key, value, headers.
type Seen = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

/// All committed records of a topic, once there are so many.
async fn records(broker: &Arc<dyn Broker>, topic: &str, count: usize) -> Vec<Seen> {
    let (broker, topic) = (broker.clone(), topic.to_owned());
    let read = move || {
        let mut follower = broker.follow(&[topic], Start::Beginning).unwrap();
        let (mut batch, mut seen, begun) = (Batch::new(), Vec::new(), std::time::Instant::now());
        follower.read_to_end(&mut batch).unwrap();
        loop {
            seen.extend(batch.iter().map(|record| {
                let headers = record.headers().map(|(name, value)| (name.to_owned(), value.to_vec()));
                (record.key().map(<[u8]>::to_vec), record.value().map(<[u8]>::to_vec), headers.collect())
            }));
            if seen.len() >= count {
                return seen;
            }
            assert!(begun.elapsed() < PATIENCE, "{} of {count} records", seen.len());
            follower.poll(&mut batch, Duration::from_millis(100)).unwrap();
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

async fn dead_letters_are_listed_by_what_is_asked_for_page_by_page(ground: Ground) {
    let (recorder, tenant) = (ground.recorder(&[]).await, &ground.tenant);
    assert_eq!(recorder.dead(tenant, "").await, json!({"letters": [], "next": null}));
    assert_eq!(recorder.dead(&ground.other, "").await["letters"], json!([]), "no topic yet");
    let mut letters: Vec<Append> =
        (0..5).map(|n| dead_record(tenant, &format!("e{n}"), "function", "trap", b"{}")).collect();
    letters.push(dead_record(tenant, "bad", "validate", "schema", b"[1]"));
    letters[1].headers.retain(|(name, _)| name != header::JOB);
    ground.append(letters).await;
    let all = recorder.dead(tenant, "").await;
    assert_eq!(events(&all), ["e0", "e1", "e2", "e3", "e4", "bad"]);
    let last = &all["letters"][5];
    let expected = json!({
        "id": "0-5", "state": "open", "settled_at": null, "at": last["at"], "event": "bad", "job": "job",
        "function": "f.wasm@00", "stage": "validate", "code": "schema", "message": "it went wrong",
        "topic": format!("{tenant}.q"), "partition": 0, "offset": 7, "attempts": 2, "bytes": 3, "left": false,
    });
    assert_eq!(last, &expected);

    for (query, found) in [
        ("stage=validate", &["bad"][..]),
        ("code=trap&limit=2", &["e0", "e1"]),
        ("job=job&code=trap", &["e0", "e2", "e3", "e4"]),
        ("job=other", &[]),
        ("since=1h&code=schema", &["bad"]),
        ("until=1h", &[]),
        ("since=2100-01-01T00:00:00Z", &[]),
        ("state=dropped", &[]),
        ("state=all&code=schema", &["bad"]),
    ] {
        assert_eq!(events(&recorder.dead(tenant, query).await), found, "{query}");
    }

    let (mut seen, mut query) = (Vec::new(), "limit=4".to_owned());
    loop {
        let page = recorder.dead(tenant, &query).await;
        seen.extend(events(&page).into_iter().map(str::to_owned));
        // What comes meanwhile is not of this listing.
        ground.append(vec![dead_record(tenant, "later", "function", "trap", b"{}")]).await;
        let Some(next) = page["next"].as_str() else { break };
        query = format!("limit=4&cursor={next}");
    }
    assert_eq!(seen, ["e0", "e1", "e2", "e3", "e4", "bad"]);

    let bad = format!("/v1/tenants/{tenant}/dead?stage=late&since=soon&limit=0&state=lost&cursor=AAAA&colour=red");
    let (status, problem) = recorder.get(&bad).await;
    assert_eq!((status, problem["errors"].as_array().map(Vec::len)), (400, Some(6)), "{problem}");
    assert_eq!(recorder.get("/v1/tenants/nobody/dead").await.0, 404);
    recorder.end().await;
}

async fn a_dead_letter_is_shown_with_the_bytes_of_its_event(ground: Ground) {
    let (recorder, tenant) = (ground.recorder(&[]).await, &ground.tenant);
    let mut strange = dead_record(tenant, "strange", "validate", "undecodable", b"\0\xff");
    strange.key = None;
    strange.headers.push(("ce_id".to_owned(), b"strange".to_vec()));
    ground.append(vec![dead_record(tenant, "e", "function", "trap", b"{\"a\": 1}"), strange]).await;
    let show = async |id: &str| recorder.get(&format!("/v1/tenants/{tenant}/dead/{id}")).await;
    let (status, letter) = show("0-0").await;
    assert_eq!((status, letter["event"].as_str(), letter["code"].as_str()), (200, Some("e"), Some("trap")));
    assert_eq!((&letter["value"], &letter["key"]), (&json!({"text": "{\"a\": 1}"}), &json!({"text": "k"})));
    assert_eq!(letter["headers"], json!([{"name": "x-mine", "value": {"text": "kept"}}]));
    let (_, letter) = show("0-1").await;
    assert_eq!((&letter["value"], &letter["key"]), (&json!({"base64": "AP8="}), &Value::Null));
    for missing in ["0-2", "1-0", "0-99999"] {
        assert_eq!(show(missing).await.0, 404, "{missing}");
    }
    for bad in ["0", "x-1", "-1-0", "0--1"] {
        let (status, problem) = show(bad).await;
        assert_eq!(status, 400, "{problem}");
    }
    assert_eq!(recorder.get(&format!("/v1/tenants/{}/dead/0-0", ground.other)).await.0, 404);
    recorder.end().await;
}

async fn a_redriven_event_is_in_its_queue_as_it_came_and_once(ground: Ground) {
    let (recorder, tenant) = (ground.recorder(&[]).await, &ground.tenant);
    let mut named = dead_record(tenant, "named", "function", "trap", b"{}");
    named.headers.push(("ce_id".to_owned(), b"named".to_vec()));
    ground.append(vec![dead_record(tenant, "t.q-0-7", "function", "trap", b"{ }"), named]).await;
    let path = |id: &str| format!("/v1/tenants/{tenant}/dead/{id}/redrive");
    assert_eq!(recorder.post(&path("0-0")).await, (200, json!({"id": "0-0", "state": "redriven"})));
    let list = recorder.dead(tenant, "").await;
    assert_eq!(events(&list), ["named"], "what is redriven is not open");
    let (status, problem) = recorder.post(&path("0-0")).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("redriven at 20"), "{problem}");
    assert_eq!(recorder.post(&path("0-1")).await.0, 200);
    assert_eq!(recorder.post(&format!("{}?force=true", path("0-0"))).await.0, 200);
    assert_eq!(recorder.post(&path("0-2")).await.0, 404);
    assert_eq!(recorder.post(&format!("{}?force=perhaps", path("0-0"))).await.0, 400);

    let own = |value: &[u8], id: &str| -> Seen {
        let headers = [("x-mine", "kept"), ("ce_id", id)].map(|(name, value)| (name.to_owned(), value.into()));
        (Some(b"k".to_vec()), Some(value.to_vec()), headers.into())
    };
    let queue = records(&ground.broker, &format!("{tenant}.q"), 3).await;
    assert_eq!(queue, [own(b"{ }", "t.q-0-7"), own(b"{}", "named"), own(b"{ }", "t.q-0-7")]);
    let all = recorder.dead(tenant, "state=redriven").await;
    assert_eq!(events(&all), ["t.q-0-7", "named"]);
    assert!(all["letters"][0]["settled_at"].as_str().unwrap() >= all["letters"][0]["at"].as_str().unwrap(), "{all}");
    recorder.await_metric("jobico_recorder_dead_settled_total", Some("redriven"), |count| count == 3.0).await;
    // Another recorder knows it, and one that starts later.
    let another = ground.recorder(&[]).await;
    assert_eq!(another.post(&path("0-1")).await.0, 409);
    another.end().await;
    recorder.end().await;
}

async fn of_many_who_redrive_one_letter_at_once_one_does(ground: Ground) {
    const LETTERS: usize = 3;
    let recorders = [ground.recorder(&[]).await, ground.recorder(&[]).await];
    let tenant = &ground.tenant;
    let letter = |n| dead_record(tenant, &format!("e{n}"), "function", "trap", b"{}");
    ground.append((0..LETTERS).map(letter).collect()).await;
    for id in 0..LETTERS {
        let path = format!("/v1/tenants/{tenant}/dead/0-{id}/redrive");
        let asked = (0..6).map(|n| recorders[n % 2].post(&path));
        let answers: Vec<u16> = futures::future::join_all(asked).await.into_iter().map(|(status, _)| status).collect();
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        // 503: others were the writer each time. It says that nothing was changed.
        assert!(answers.iter().all(|status| [200, 409, 503].contains(status)), "{answers:?}");
    }
    assert_eq!(records(&ground.broker, &format!("{tenant}.q"), LETTERS).await.len(), LETTERS);
    for recorder in recorders {
        assert_eq!(events(&recorder.dead(tenant, "").await), [""; 0]);
        recorder.end().await;
    }
}

async fn many_are_redriven_and_what_cannot_be_is_said(ground: Ground) {
    let (recorder, tenant) = (ground.recorder(&[]).await, &ground.tenant);
    let letter = |n: usize| dead_record(tenant, &format!("e{n}"), "function", "trap", n.to_string().as_bytes());
    let from = |event: &str, topic: &str| {
        let mut record = dead_record(tenant, event, "function", "trap", b"{}");
        record
            .headers
            .iter_mut()
            .filter(|(name, _)| name == header::ORIGIN_TOPIC)
            .for_each(|(_, value)| *value = topic.into());
        record
    };
    let mut left = dead_record(tenant, "left", "function", "trap", b"");
    left.value = None;
    left.headers.push((header::LEFT_BYTES.to_owned(), b"3000000".to_vec()));
    let mut letters: Vec<Append> = (0..250).map(letter).collect();
    letters.insert(30, from("foreign", &format!("{}.q", ground.other)));
    letters.insert(60, from("gone", &format!("{tenant}.gone")));
    letters.insert(90, from("its own", &name::dead(tenant)));
    letters.insert(120, left);
    letters.push(dead_record(tenant, "untouched", "validate", "schema", b"{}"));
    ground.append(letters).await;

    let (mut redriven, mut refused, mut query) = (0, Vec::new(), String::new());
    loop {
        let (status, answer) = recorder.post(&format!("/v1/tenants/{tenant}/dead/redrive?stage=function{query}")).await;
        assert_eq!(status, 200, "{answer}");
        let count = answer["redriven"].as_u64().unwrap();
        assert!(count <= 100, "{answer}");
        redriven += count;
        refused.extend(answer["refused"].as_array().unwrap().clone());
        let Some(next) = answer["next"].as_str() else { break };
        query = format!("&cursor={next}");
    }
    assert_eq!(redriven, 250);
    let why: Vec<(&str, &str)> =
        refused.iter().map(|one| (one["id"].as_str().unwrap(), one["message"].as_str().unwrap())).collect();
    assert_eq!(why.len(), 4, "{why:?}");
    for (id, named) in [
        ("0-30", "which queue of its tenant"),
        ("0-60", ".gone is not there"),
        ("0-90", "which queue"),
        ("0-120", "too large"),
    ] {
        assert!(why.iter().any(|(place, message)| *place == id && message.contains(named)), "{id}: {why:?}");
    }
    let open = recorder.dead(tenant, "").await;
    assert_eq!(events(&open), ["foreign", "gone", "its own", "left", "untouched"]);
    let values = records(&ground.broker, &format!("{tenant}.q"), 250).await;
    let mut numbers: Vec<usize> = values
        .iter()
        .map(|(_, value, _)| String::from_utf8(value.clone().unwrap()).unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..250).collect::<Vec<_>>());
    let one = format!("/v1/tenants/{tenant}/dead/0-60/redrive");
    assert_eq!(recorder.post(&one).await.0, 409);
    recorder.end().await;
}

async fn what_was_dropped_is_redriven_only_by_force(ground: Ground) {
    let (recorder, tenant) = (ground.recorder(&[]).await, &ground.tenant);
    ground.append((0..4).map(|n| dead_record(tenant, &format!("e{n}"), "function", "trap", b"{}")).collect()).await;
    let path = |id: &str| format!("/v1/tenants/{tenant}/dead/{id}");
    for _ in 0..2 {
        assert_eq!(recorder.delete(&path("0-0")).await, (200, json!({"id": "0-0", "state": "dropped"})));
    }
    assert_eq!(recorder.post(&format!("{}/redrive", path("0-0"))).await.0, 409);
    assert_eq!(events(&recorder.dead(tenant, "state=dropped").await), ["e0"]);
    assert_eq!(recorder.post(&format!("{}/redrive?force=true", path("0-0"))).await.0, 200);
    let (status, problem) = recorder.delete(&path("0-0")).await;
    assert_eq!((status, problem["title"].as_str()), (409, Some("Conflict")), "its event is under way");
    let (status, answer) = recorder.delete(&format!("/v1/tenants/{tenant}/dead?code=trap&limit=2")).await;
    assert_eq!((status, &answer["dropped"], &answer["refused"]), (200, &json!(2), &json!([])));
    assert_eq!(events(&recorder.dead(tenant, "").await), ["e3"]);
    assert_eq!(records(&ground.broker, &format!("{tenant}.q"), 1).await.len(), 1);
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_go_with_their_letters() {
    let folder = tempfile::tempdir().unwrap();
    let settings = embedded::Settings { sweep_interval: Duration::from_millis(20), ..embedded::Settings::default() };
    let broker = embedded::Embedded::open(&folder.path().join("log.sqlite"), settings).unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("results.sqlite")).unwrap());
    let ground = Ground::on(broker, store, None, None, folder).await;
    let (recorder, tenant) = (ground.recorder(&[]).await, &ground.tenant);
    let dead = TopicSpec { retention: Retention::For(Duration::from_millis(500)), ..topic(name::dead(tenant)) };
    ground.broker.ensure_topics(&[dead]).await.unwrap();
    let letter = |n: usize| dead_record(tenant, &format!("e{n}"), "function", "trap", b"{}");
    let path = |id: usize| format!("/v1/tenants/{tenant}/dead/0-{id}");
    ground.append(vec![letter(0)]).await;
    assert_eq!(recorder.delete(&path(0)).await.0, 200);
    let begun = std::time::Instant::now();
    while recorder.get(&path(0)).await.0 != 404 {
        assert!(begun.elapsed() < PATIENCE, "the letter is there still");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ground.append(vec![letter(1)]).await;
    assert_eq!(recorder.delete(&path(1)).await.0, 200);
    let marks = records(&ground.broker, name::DEAD_MARKS, 3).await;
    let key = |n: usize| format!("{}-0-{n}", name::dead(tenant)).into_bytes();
    let taken_out = marks.iter().any(|(found, value, _)| *found == Some(key(0)) && value.is_none());
    assert!(taken_out, "{marks:?}");
    recorder.end().await;
}

/// Two recorders that redrive the same letters on a log that fences, aborts, is away, and commits without an answer: whatever
/// they are told, each event is in its queue once, and whoever was told that a letter is done was told the truth.
#[test]
fn no_fault_of_the_log_redrives_a_letter_twice() {
    const LETTERS: usize = 6;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tenant = TenantId::new(&unique("t")).unwrap();
    for seed in 0..30 {
        let log = Simulated::new(seed, Faults::default());
        let broker: Arc<dyn Broker> = log.clone();
        runtime.block_on(async {
            let topics = [topic(format!("{tenant}.q")), topic(name::dead(&tenant)), marks_topic()];
            broker.ensure_topics(&topics).await.unwrap();
            let letters = (0..LETTERS).map(|n| dead_record(&tenant, &n.to_string(), "function", "trap", b"{}"));
            broker.append(letters.collect()).await.into_iter().for_each(|answer| assert!(answer.is_ok()));
        });
        let recorders = [(); 2].map(|()| DeadLetters::new(broker.clone(), runtime.handle().clone()));
        log.misbehave(Faults { fenced: 0.2, in_doubt: 0.2, abortable: 0.1, unavailable: 0.05, ..Faults::default() });
        let mut told = 0;
        for turn in 0.. {
            assert!(turn < 500, "seed {seed}: {told} of {LETTERS}");
            let recorder = &recorders[turn % 2];
            let filter = Filter { state: Some(State::Open), ..Filter::default() };
            let limits = Limits { letters: 2, bytes: usize::MAX, whole: true };
            let Ok(page) = recorder.page(&tenant, &filter, &limits, None) else { continue };
            if page.letters.is_empty() {
                break;
            }
            told += recorder
                .settle(&tenant, &page.letters, Action::Redrive, Again::Refuse)
                .map_or(0, |settled| settled.done.len());
        }
        let queue = log.committed(&format!("{tenant}.q")).unwrap();
        let mut ids: Vec<&str> =
            queue.iter().map(|record| header::find_str(record.headers(), header::CE_ID).unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["0", "1", "2", "3", "4", "5"], "seed {seed}");
        assert!(told <= LETTERS, "seed {seed}: {told}");
    }
}
