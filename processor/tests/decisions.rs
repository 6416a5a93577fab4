//! What follows from an outcome, as a table.

use std::sync::Arc;

use jobico_event::dead_letter::{Cause, Stage};
use jobico_event::result::Status;
use jobico_event::retry::{Ordering, Retry, Tier};
use jobico_event::snapshot::{EventView, FunctionView, Onward};
use jobico_event::{Digest, EventId, FileName, JobId, Schema, TenantId};
use jobico_processor::decide::{Action, decide};
use jobico_processor::outcome::{Outcome, Output, Prospect};

fn event(ok: Option<&str>, error: Option<&str>) -> EventView {
    let onward = |schema: &str| Onward {
        event: EventId::new("next").unwrap(),
        topic: "t.next".to_owned(),
        schema: Schema::compile(schema).unwrap(),
        key: None,
    };
    EventView {
        tenant: TenantId::new("t").unwrap(),
        job: JobId::new("j").unwrap(),
        version: 1,
        event: EventId::new("e").unwrap(),
        topic: "t.q".to_owned(),
        results: "t.results".to_owned(),
        dead: "t.dead".to_owned(),
        source: "/jobs/t/j".to_owned(),
        result_type: "j.result".to_owned(),
        schema: Schema::any(),
        key: None,
        function: FunctionView {
            name: FileName::new("f.wasm").unwrap(),
            digest: Digest::of(b""),
            main: "event".to_owned(),
            label: "f.wasm@0".to_owned(),
            timeout_ms: None,
        },
        ok: ok.map(onward),
        error: error.map(onward),
        retry: Arc::new(Retry { attempts: 1, ..Retry::default() }),
    }
}

/// Bytes of a next event and its key here.
const EVENT_BYTES_MAX: usize = 20;

/// The actions, in short.
fn actions(outcome: Outcome, attempts: u32, event: &EventView, output: Output<'_>) -> Vec<String> {
    let mut seen = Vec::new();
    decide(outcome, attempts, event.retry.ordering, event, output, EVENT_BYTES_MAX, |action| {
        seen.push(match action {
            Action::Result { status: Status::Ok, code, value } => format!("ok {code} {}", text(value)),
            Action::Result { status: Status::Error, code, value } => format!("error {code} {}", text(value)),
            Action::Event { onward, data, .. } => format!("event {} {}", onward.event, text(Some(&data))),
            Action::DeadLetter(cause) => format!("dead {} {}", cause.stage.as_str(), cause.code),
            Action::Retry { tier, cause } => format!("retry {tier} {}", cause.code),
            Action::WaitInPlace { tier, cause } => format!("wait {tier} {}", cause.code),
        });
        Ok::<(), ()>(())
    })
    .unwrap();
    seen
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("nothing".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn cause(stage: Stage) -> Cause {
    Cause { stage, code: "why", message: "because".into() }
}

fn failed(prospect: Prospect) -> Outcome {
    Outcome::Failed { cause: cause(Stage::Function), prospect }
}

#[test]
fn a_failure_is_tried_again_as_often_as_its_job_says() {
    let event = |ordering| {
        let tiers = vec![Tier::S1, Tier::M1];
        EventView { retry: Arc::new(Retry { attempts: 3, tiers, ordering }), ..event(None, None) }
    };
    let (passing, in_order) = (event(Ordering::None), event(Ordering::Key));
    let table = [
        (failed(Prospect::Open), 1, &passing, "retry 1s why"),
        (failed(Prospect::Open), 2, &passing, "retry 1m why"),
        (failed(Prospect::Open), 3, &passing, "dead function why"),
        (failed(Prospect::Open), 2, &in_order, "wait 1m why"),
        (failed(Prospect::Open), 3, &in_order, "dead function why"),
        (failed(Prospect::None), 1, &passing, "dead function why"),
        (failed(Prospect::None), 1, &in_order, "dead function why"),
        (Outcome::Refused(cause(Stage::Validate)), 1, &passing, "dead validate why"),
        (Outcome::Answered { code: 7 }, 1, &passing, "error 7 nothing"),
    ];
    for (outcome, attempts, event, expected) in table {
        let case = format!("{outcome:?} after {attempts}");
        assert_eq!(actions(outcome, attempts, event, Output::Nothing), [expected], "{case}");
    }
}

#[test]
fn an_outcome_becomes_its_actions() {
    let (plain, chained, strict) =
        (event(None, None), event(Some("true"), Some("true")), event(Some(r#"{"type":"object"}"#), None));
    let answered = |code| Outcome::Answered { code };
    let table = [
        (answered(0), &plain, Output::Bytes(b"{}"), vec!["ok 0 {}"]),
        (answered(0), &plain, Output::Nothing, vec!["ok 0 nothing"]),
        (answered(9), &plain, Output::Bytes(b"no"), vec!["error 9 no"]),
        (answered(u64::MAX), &plain, Output::Bytes(b""), vec!["error 18446744073709551615 "]),
        (answered(0), &chained, Output::Bytes(b"{\"a\": 1}"), vec!["ok 0 {\"a\": 1}", "event next {\"a\": 1}"]),
        (
            answered(0),
            &chained,
            Output::Bytes(b"plain \"text\""),
            vec!["ok 0 plain \"text\"", "event next \"plain \\\"text\\\"\""],
        ),
        (answered(0), &chained, Output::Nothing, vec!["ok 0 nothing", "event next null"]),
        (answered(5), &chained, Output::Bytes(b"1"), vec!["error 5 1", "event next 1"]),
        // Eighteen bytes, but more as a JSON string.
        (answered(0), &chained, Output::Bytes(b"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\""), vec!["dead output too_large"]),
        (answered(0), &chained, Output::Bytes(b"{\"long enough\": true}"), vec!["dead output too_large"]),
        (answered(0), &plain, Output::Bytes(b"{\"long enough\": true}"), vec!["ok 0 {\"long enough\": true}"]),
        (answered(0), &strict, Output::Bytes(b"1"), vec!["dead output schema"]),
        (answered(0), &plain, Output::Bytes(b"\xff"), vec!["dead output utf8"]),
        (answered(0), &chained, Output::TooLarge { bytes: 9 }, vec!["dead output too_large"]),
        (failed(Prospect::Open), &chained, Output::Nothing, vec!["dead function why"]),
        (Outcome::Refused(cause(Stage::Validate)), &chained, Output::Nothing, vec!["dead validate why"]),
    ];
    for (outcome, event, output, expected) in table {
        let case = format!("{outcome:?} {output:?}");
        assert_eq!(actions(outcome, 1, event, output), expected, "{case}");
    }
}

#[test]
fn after_an_action_that_fails_there_are_no_more() {
    let (chained, mut seen) = (event(Some("true"), None), 0);
    let result = decide(
        Outcome::Answered { code: 0 },
        1,
        chained.retry.ordering,
        &chained,
        Output::Bytes(b"1"),
        EVENT_BYTES_MAX,
        |_| {
            seen += 1;
            Err("broken")
        },
    );
    assert_eq!((result, seen), (Err("broken"), 1));
}
