//! Events written straight to Kafka, by clients that know nothing of Jobico.

use serde_json::{Value, json};

use crate::outcome;
use crate::system::kafka::{self, Outgoing, produce};
use crate::system::{Job, On, System};

const SCHEMA: &str = r#"{"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}"#;

#[test]
fn events_of_plain_kafka_producers_are_validated_and_handled_in_every_form() {
    let mut system = System::dev(On::Kafka);
    system.deploy(
        &Job::new("orders")
            .event("order", "orders", "echo")
            .schema(SCHEMA)
            .event("placed", "shop", "echo")
            .schema(SCHEMA)
            .event("returned", "shop", "reject"),
    );
    let (orders, shop) = (format!("{}.orders", system.tenant), format!("{}.shop", system.tenant));
    let order = r#"{"amount": 1.50, "note": "as it came"}"#;
    let envelope = |event: &str, data: &str| {
        format!(r#"{{"specversion":"1.0","id":"s-1","source":"/shop","type":"{event}","data":{data}}}"#)
    };
    let structured = |value: String| Outgoing::new(value).header("content-type", "application/cloudevents+json");
    // The one event of its queue: nothing but JSON, or Confluent's wire format.
    let plain = produce(
        &kafka::address(),
        &orders,
        &[
            Outgoing::new(order),
            Outgoing::new(order).key("A-7"),
            Outgoing::new([b"\0\0\0\0\x01", order.as_bytes()].concat()),
            Outgoing::new(r#"{"amount": "many"}"#),
            Outgoing::new("not JSON"),
            Outgoing::new(b"\xff\xfe{}".to_vec()),
            Outgoing { value: None, ..Outgoing::default() },
        ],
    );
    // One of several events: CloudEvents say which.
    let named = produce(
        &kafka::address(),
        &shop,
        &[
            Outgoing::new(order)
                .header("ce_specversion", "1.0")
                .header("ce_id", "b-1")
                .header("ce_source", "/shop")
                .header("ce_type", "placed")
                .header("content-type", "application/json")
                .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            structured(envelope("placed", order)),
            structured(envelope("returned", "7")),
            structured(envelope("placed", "7")),
            structured(envelope("unheard-of", "7")),
            structured("[]".to_owned()),
            Outgoing::new(order),
        ],
    );
    let results = system.client.await_results(6);
    assert_eq!(results.len(), 6);
    assert_eq!(system.stop("dev"), Some(0));

    let queues: Vec<_> = ["orders", "shop"].map(|queue| system.records(queue)).into();
    let (results, dead) = (system.records("results"), system.records("dead"));
    let of = |outcomes: &[crate::system::Record], topic: &str| {
        let of_topic = outcomes.iter().filter(|outcome| outcome.header("jobico-origin-topic") == topic);
        of_topic.cloned().collect::<Vec<_>>()
    };
    for (queue, topic) in queues.iter().zip([&orders, &shop]) {
        outcome::assert_exactly_once(queue, &of(&results, topic), &of(&dead, topic));
    }
    let outcome = |topic: &str, place: (i32, i64)| {
        let outcomes = [of(&results, topic), of(&dead, topic)].concat();
        outcomes.into_iter().find(|outcome| outcome::origin(outcome) == place).expect("checked above")
    };
    for place in &plain[..3] {
        let result = outcome(&orders, *place);
        assert_eq!(result.value.as_deref(), Some(order.as_bytes()), "byte for byte as it came");
        assert_eq!(result.header("jobico-event"), format!("{orders}-{}-{}", place.0, place.1));
    }
    assert_eq!(outcome(&orders, plain[1]).key.as_deref(), Some(&b"A-7"[..]));
    let code = |topic: &str, place| {
        let dead = outcome(topic, place);
        assert_eq!(dead.header("jobico-error-stage"), "validate");
        dead.header("jobico-error-code").to_owned()
    };
    let codes: Vec<String> = plain[3..].iter().map(|place| code(&orders, *place)).collect();
    assert_eq!(codes, ["schema", "json", "json", "undecodable"]);
    let binary = outcome(&shop, named[0]);
    assert_eq!((binary.header("jobico-event"), binary.json()), ("b-1", serde_json::from_str(order).unwrap()));
    assert!(binary.header("traceparent").starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_eq!(outcome(&shop, named[1]).header("jobico-event"), "s-1");
    assert_eq!(outcome(&shop, named[2]).header("jobico-code"), "7");
    let codes: Vec<String> = named[3..].iter().map(|place| code(&shop, *place)).collect();
    assert_eq!(codes, ["schema", "unknown_event", "undecodable", "unknown_event"]);
    // A dead letter is the event as it came.
    let dead = outcome(&orders, plain[5]);
    assert_eq!(dead.value.as_deref(), Some(&b"\xff\xfe{}"[..]));
}

#[test]
fn a_topic_holds_what_ingest_took_byte_for_byte_as_cloudevents() {
    let mut system = System::dev(On::Kafka);
    system.deploy(&Job::new("orders").event("order", "orders", "echo").key("/customer"));
    let event = r#"{ "customer": "Jos\u00e9",  "amount": 1.50 }"#;
    let answer = system.client.post_event("order", format!(r#"{{"data": [{event}]}}"#));
    let stored = &answer.json()["events"][0];
    system.client.await_results(1);
    assert_eq!(system.stop("dev"), Some(0));
    let records = system.records("orders");
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!(record.value.as_deref(), Some(event.as_bytes()));
    assert_eq!(record.key.as_deref(), Some("José".as_bytes()));
    assert_eq!((record.header("ce_specversion"), record.header("ce_type")), ("1.0", "order"));
    assert_eq!(
        stored,
        &json!({"id": record.header("ce_id"), "topic": format!("{}.orders", system.tenant),
            "partition": record.partition, "offset": record.offset})
    );
    assert_eq!(record.header("content-type"), "application/json");
    assert_eq!(system.records("results")[0].header("jobico-event"), Value::as_str(&stored["id"]).unwrap());
}
