//! One trace from a client's request to the result.

use serde_json::json;

use crate::system::collector::{Collector, hex};
use crate::system::{Job, On, System, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

on_each_log! {
    fn a_request_its_event_and_its_result_are_one_trace(on: On) {
        let collector = Collector::start();
        let mut system = System::new(on)
            .with_env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
            // How long spans are held back to be sent together.
            .with_env("OTEL_BSP_SCHEDULE_DELAY", "200");
        system.start_dev(&[]);
        system.deploy(&Job::new("greetings").event("greet", "q", "echo"));
        let traceparent = format!("00-{TRACE}-{CLIENT_SPAN}-01");
        let headers = [("content-type", "application/json"), ("traceparent", &*traceparent), ("tracestate", "shop=7")];
        let path = format!("/events/{}/greet", system.tenant);
        let answer = system.client.post("ingest", &path, &headers, json!({"data": ["hello"]}).to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        system.client.await_results(1);

        let (ingest, processor) = eventually("the collector has the spans of ingest and processor", || {
            let spans = collector.spans(TRACE);
            let named = |name: &str| spans.iter().find(|span| span.name == name).cloned();
            Some((named("ingest")?, named("process event")?))
        });
        assert_eq!(hex(&ingest.parent_span_id), CLIENT_SPAN, "ingest's span is the child of the client's");
        assert_eq!(processor.parent_span_id, ingest.span_id, "the processor's is the child of ingest's");
        let attribute = |name: &str| {
            let found = processor.attributes.iter().find(|attribute| attribute.key == name);
            format!("{:?}", found.unwrap_or_else(|| panic!("no {name} in {processor:?}")).value)
        };
        assert!(attribute("tenant").contains(&system.tenant));
        // Its batch has a trace of its own, to which it is linked.
        let linked = processor.links.first().unwrap_or_else(|| panic!("no link in {processor:?}"));
        let batch = eventually("the collector has the batch", || {
            collector.spans(&hex(&linked.trace_id)).into_iter().find(|span| span.span_id == linked.span_id)
        });
        assert_eq!((batch.name.as_str(), batch.parent_span_id.len()), ("process batch", 0));
        assert!(batch.attributes.iter().any(|attribute| attribute.key == "events.done"), "{batch:?}");
        assert!(attribute("job").contains("greetings"));

        assert_eq!(system.stop("dev"), Some(0));
        let event = &system.records("q")[0];
        assert_eq!(event.header("traceparent"), format!("00-{TRACE}-{}-01", hex(&ingest.span_id)));
        let result = &system.records("results")[0];
        assert_eq!(result.header("traceparent"), format!("00-{TRACE}-{}-01", hex(&processor.span_id)));
        assert_eq!(result.header("tracestate"), "shop=7");
    }
}

#[test]
fn a_collector_that_is_away_delays_nothing() {
    let mut system = System::new(On::Embedded).with_env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    system.start_dev(&[]);
    system.deploy(&Job::new("greetings").event("greet", "q", "echo"));
    system.client.send("greet", &[json!("hello")]);
    system.client.await_results(1);
    assert_eq!(system.stop("dev"), Some(0));
}
