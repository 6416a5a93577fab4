//! Decisions by tables: what a state and a command come to, without a log.

use jobico_event::contract::inspect;
use jobico_event::job::parse;

use super::*;

const NOW: &str = "2026-01-02T03:04:05Z";

/// A state that commands were carried out on.
#[derive(Default)]
struct World(State);

impl World {
    fn check(&self, command: &Command) -> Result<Decision, Refusal> {
        decide(&self.0, command, NOW)
    }

    /// Decides, and takes in what would be written; returns the keys.
    fn carry_out(&mut self, command: &Command) -> Result<(Answer, Vec<String>), Refusal> {
        let decision = self.check(command)?;
        for record in &decision.records {
            self.0.apply(record.topic, &record.key, record.value.as_deref()).unwrap();
        }
        let keys = decision.records.iter().map(|record| String::from_utf8(record.key.clone()).unwrap());
        Ok((decision.answer, keys.collect()))
    }

    fn with(mut self, commands: &[Command]) -> Self {
        for command in commands {
            self.carry_out(command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
        }
        self
    }
}

fn schema(subject: &str, text: &str, repeats: Repeats) -> Command {
    let faults = jobico_event::Schema::inspect(text).err().unwrap_or_default();
    Command::RegisterSchema(RegisterSchema { subject: subject.to_owned(), text: Text::json(text), faults, repeats })
}

fn upload(tenant: &str, name: &str, extra: &str) -> Command {
    let text = format!(
        r#"(module (memory (export "memory") 1) (func (export "malloc") (param i32) (result i32) (i32.const 8))
           (func (export "free") (param i32 i32)) (func (export "init")) (func (export "event") (param i32 i32 i32)) {extra})"#
    );
    let bytes = wat::parse_str(text).unwrap();
    Command::UploadFunction(UploadFunction {
        tenant: TenantId::new(tenant).unwrap(),
        name: FileName::new(name).unwrap(),
        digest: Digest::of(&bytes),
        size: bytes.len() as u64,
        module: inspect(&bytes).unwrap(),
    })
}

fn deploy(job: &str, event: &str, queue: &str, existing: Existing) -> Command {
    let text = format!(
        "id: {job}\ntenant: t\nqueues:\n  - {queue}\njobs:\n  - event:\n      id: {event}\n      schema: {{schemaref: s}}\n      supplierqueue: q\n      runtime: r\nruntimes:\n  - {{id: r, moduleref: f}}\n"
    );
    Command::Deploy(Box::new(parse(&text).unwrap()), existing)
}

fn roll_back(job: &str) -> Command {
    Command::RollBack(TenantId::new("t").unwrap(), JobId::new(job).unwrap())
}

/// Schema `s` and function `f` of tenant `t`.
fn uploaded() -> World {
    World::default().with(&[schema("t.s", "{}", Repeats::Newest), upload("t", "f", "")])
}

fn place(answer: &Answer) -> (u32, u32, bool) {
    match answer {
        Answer::Schema { version, id, new, .. } => (*version, *id, *new),
        other => panic!("{other:?}"),
    }
}

fn version(answer: &Answer) -> (u32, bool) {
    match answer {
        Answer::Job { version, new } => (version.version, *new),
        other => panic!("{other:?}"),
    }
}

#[test]
fn versions_and_ids_of_schemas() {
    use Repeats::{Any, Newest};
    let mut world = World::default();
    for (subject, text, repeats, expected, records) in [
        ("t.a", "{}", Any, (1, 1, true), 2),
        ("t.a", " { } ", Any, (1, 1, false), 0),
        ("t.a", r#"{"type":"object"}"#, Any, (2, 2, true), 1),
        ("t.a", "{}", Any, (1, 1, false), 0),
        ("t.a", "{}", Newest, (3, 1, true), 1),
        ("t.a", "{}", Newest, (3, 1, false), 0),
        ("t.b", r#"{"type":"object"}"#, Newest, (1, 2, true), 1),
        ("u.a", "true", Newest, (1, 3, true), 2),
    ] {
        let (answer, keys) = world.carry_out(&schema(subject, text, repeats)).unwrap();
        assert_eq!((place(&answer), keys.len()), (expected, records), "{subject} {text} {repeats:?}");
    }
}

#[test]
fn members_in_another_order_are_another_schema_and_blanks_in_strings_count() {
    let mut world = World::default();
    for (text, id) in [
        (r#"{"title":"a b","type":"object"}"#, 1),
        (r#"{"type":"object","title":"a b"}"#, 2),
        (r#"{"title":"ab","type":"object"}"#, 3),
        ("{\"title\" : \"a b\",\n\"type\":\t\"object\"}", 1),
        (r#"{"title":"a \" b\\","type":"object"}"#, 4),
    ] {
        let (answer, _) = world.carry_out(&schema("t.a", text, Repeats::Any)).unwrap();
        assert_eq!(place(&answer).1, id, "{text}");
    }
}

#[test]
fn numbers_that_are_used_up_are_refused() {
    let mut world = World::default();
    let key = record::schema_key("x", u32::MAX);
    let value = format!(r#"{{"subject":"x","version":1,"id":{},"schema":"\"int\""}}"#, i32::MAX);
    world.0.apply(name::SCHEMAS, &key, Some(value.as_bytes())).unwrap();
    assert_eq!(world.check(&schema("t.a", "{}", Repeats::Any)).unwrap_err(), Refusal::UsedUp("schema ids"));
}

#[test]
fn a_record_that_kafka_would_not_take_is_refused_before_it_is_written() {
    let text = serde_json::json!({"title": "\\".repeat(300_000)}).to_string();
    let refused = World::default().check(&schema("t.a", &text, Repeats::Any)).unwrap_err();
    assert!(matches!(refused, Refusal::TooLarge { bytes, limit: RECORD_BYTES_MAX } if bytes > RECORD_BYTES_MAX));
}

#[test]
fn a_deployment_is_one_transaction_of_the_version_and_its_activation() {
    let mut world = uploaded();
    let (answer, keys) = world.carry_out(&deploy("j", "e", "id: q", Existing::Refuse)).unwrap();
    assert_eq!((version(&answer), keys), ((1, true), vec!["job/t/j/1".to_owned(), "active/t/j".to_owned()]));
}

#[test]
fn deployments_and_rollbacks_count_versions() {
    use Existing::{Refuse, Update};
    let mut world = uploaded();
    let exists = |version| {
        Err(Refusal::JobExists { tenant: TenantId::new("t").unwrap(), job: JobId::new("j").unwrap(), version })
    };
    let nothing_before = |version| {
        Err(Refusal::NothingBefore { tenant: TenantId::new("t").unwrap(), job: JobId::new("j").unwrap(), version })
    };
    for (command, expected) in [
        (deploy("j", "e1", "id: q", Update), Ok((1, true))),
        (deploy("j", "e1", "id: q", Refuse), exists(1)),
        (deploy("j", "e1", "id: q", Update), Ok((1, false))),
        (deploy("j", "e2", "id: q", Update), Ok((2, true))),
        (deploy("j", "e3", "id: q", Update), Ok((3, true))),
        (roll_back("j"), Ok((2, true))),
        (roll_back("j"), Ok((1, true))),
        (roll_back("j"), nothing_before(1)),
        (deploy("j", "e4", "id: q", Update), Ok((4, true))),
        (deploy("j", "e5", "id: q", Update), Ok((5, true))),
        (roll_back("j"), Ok((4, true))),
        // Not 3, which was rolled back from: 4 replaced 1.
        (roll_back("j"), Ok((1, true))),
    ] {
        let found = world.carry_out(&command).map(|(answer, _)| version(&answer));
        assert_eq!(found, expected, "{command:?}");
    }
    assert!(matches!(world.check(&roll_back("none")), Err(Refusal::NoJob { .. })));
}

#[test]
fn a_rollback_takes_nothing_from_another_job() {
    use Existing::Update;
    let mut world = uploaded().with(&[
        deploy("a", "e", "id: q", Update),
        deploy("a", "other", "id: q", Update),
        deploy("b", "e", "id: q", Update),
    ]);
    let refused = world.check(&roll_back("a")).unwrap_err();
    assert!(
        matches!(&refused, Refusal::EventTaken { version: 1, event, owner } if event.as_str() == "e" && owner.as_str() == "b")
    );
    // The event is free again.
    world = world.with(&[deploy("b", "elsewhere", "id: q", Update), roll_back("a")]);
    let refused = world.check(&roll_back("b")).unwrap_err();
    assert!(matches!(refused, Refusal::EventTaken { .. }));

    let pools = uploaded().with(&[
        deploy("a", "e1", "{id: q, pool: heavy}", Update),
        deploy("a", "e2", "id: q", Update),
        deploy("b", "e3", "id: q", Update),
    ]);
    assert!(matches!(pools.check(&roll_back("a")), Err(Refusal::QueueTaken { .. })));
}

#[test]
fn old_versions_of_a_job_go_and_what_can_be_gone_back_to_stays() {
    let mut world = uploaded();
    let count = u32::try_from(JOB_VERSIONS_MAX).unwrap() + 10;
    for index in 1..=count {
        world.carry_out(&deploy("j", &format!("e{index}"), "id: q", Existing::Update)).unwrap();
    }
    let (tenant, job) = (TenantId::new("t").unwrap(), JobId::new("j").unwrap());
    assert_eq!(world.0.versions(&tenant, &job).count(), JOB_VERSIONS_MAX);
    let mut back = 0;
    while world.carry_out(&roll_back("j")).is_ok() {
        back += 1;
    }
    assert_eq!(back, JOB_VERSIONS_MAX - 1);
    // The oldest that there is stays while it is what a deployment replaces.
    world.carry_out(&deploy("j", "again", "id: q", Existing::Update)).unwrap();
    assert_eq!(version(&world.carry_out(&roll_back("j")).unwrap().0), (11, true));
}

#[test]
fn the_pools_of_a_queue_are_known_however_long_no_version_has_named_it() {
    use Existing::Update;
    let with_two = |pool: &str| deploy("j", "e", &format!("id: q\n  - {{id: gone, pool: {pool}}}"), Update);
    let mut world = uploaded().with(&[with_two("first")]);
    for index in 0..JOB_VERSIONS_MAX + 10 {
        world.carry_out(&deploy("j", &format!("e{index}"), "id: q", Update)).unwrap();
    }
    world.carry_out(&with_two("other")).unwrap();
    let (tenant, job) = (TenantId::new("t").unwrap(), JobId::new("j").unwrap());
    let newest = world.0.versions(&tenant, &job).last().unwrap();
    assert_eq!(newest.queues[1].pools, ["first", "other"]);
}

#[test]
fn a_pool_reads_the_tiers_that_its_jobs_ever_asked_for() {
    use Existing::Update;
    let deploy = |queue: &str, retry: &str| deploy("j", "e", &format!("{queue}\nretry: {retry}"), Update);
    let tiers = |world: &mut World, pool: &str| -> Vec<String> {
        let topics = world.0.catalog.snapshot().topics_of_pool(pool);
        topics.into_iter().filter_map(|topic| Some(topic.strip_prefix("jobico.")?.to_owned())).collect()
    };
    let never = "{attempts: 1, tiers: [1s, 10m]}";
    let mut world = uploaded().with(&[deploy("id: q", never)]);
    assert!(tiers(&mut world, "default").is_empty());
    world.carry_out(&deploy("id: q", "{attempts: 3, tiers: [1s, 10s, 10m]}")).unwrap();
    assert_eq!(tiers(&mut world, "default"), ["default.retry.10s", "default.retry.1s"], "the third wait never comes");
    // What waits there does so, wherever its queue is now and whatever its job asks for.
    for index in 0..JOB_VERSIONS_MAX + 10 {
        let never = ["{attempts: 1, tiers: [1s]}", "{attempts: 1, tiers: [10s]}"][index % 2];
        world.carry_out(&deploy("{id: q, pool: other}", never)).unwrap();
    }
    assert_eq!(tiers(&mut world, "default"), ["default.retry.10s", "default.retry.1s"]);
    assert!(tiers(&mut world, "other").is_empty());
}

#[test]
fn a_queue_gives_no_partitions_back() {
    use Existing::Update;
    let world = uploaded().with(&[deploy("j", "e", "{id: q, partitions: 6}", Update)]);
    let refused = world.check(&deploy("j", "e", "{id: q, partitions: 5}", Update)).unwrap_err();
    let Refusal::JobFile(faults) = refused else { panic!("{refused}") };
    assert_eq!((faults.len(), faults[0].line), (1, 4));
    world.check(&deploy("j", "e", "{id: q, partitions: 7}", Update)).unwrap();
    world.check(&deploy("j", "e", "id: q", Update)).unwrap();
}

#[test]
fn a_subject_is_an_alias_while_its_queue_carries_one_event() {
    use Existing::Update;
    let mut world = uploaded();
    assert_eq!(world.0.resolve_subject("t.q-value"), "t.q-value");
    world = world.with(&[deploy("a", "e", "id: q", Update)]);
    assert_eq!(world.0.resolve_subject("t.q-value"), "t.s");
    let (answer, _) = world.carry_out(&schema("t.q-value", "{}", Repeats::Any)).unwrap();
    assert!(matches!(answer, Answer::Schema { subject, version: 1, id: 1, new: false } if subject == "t.s"));
    let refused = world.check(&schema("t.q-value", "true", Repeats::Any)).unwrap_err();
    assert_eq!(refused, Refusal::Alias { alias: "t.q-value".into(), subject: "t.s".into() });
    world = world.with(&[deploy("b", "e2", "id: q", Update)]);
    assert_eq!(world.0.resolve_subject("t.q-value"), "t.q-value");
}
