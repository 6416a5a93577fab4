//! SIGTERM and SIGINT: what is acknowledged is kept, and a process ends within its deadline.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::outcome;
use crate::system::{Ending, Job, On, System, eventually};

on_each_log! {
    fn sigterm_under_load_ends_in_good_order_and_keeps_every_acknowledged_event(on: On) {
        let mut system = System::dev(on);
        system.deploy(&Job::new("greetings").event("greet", "q", "echo"));
        let (client, acknowledged, stop) = (system.client.clone(), AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|threads| {
            let _ending = Ending(&stop);
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed)
                    && let Some(events) = client.try_send("greet", &[json!("a"), json!("b")])
                {
                    acknowledged.fetch_add(events.len(), Ordering::Relaxed);
                }
            });
            eventually("the load has begun", || (acknowledged.load(Ordering::Relaxed) > 100).then_some(()));
            let begun = Instant::now();
            assert_eq!(system.stop("dev"), Some(0));
            println!("ended {} ms after SIGTERM", begun.elapsed().as_millis());
        });
        let acknowledged = acknowledged.into_inner();
        system.start_dev(&[]);
        let results = system.client.await_results(acknowledged);
        assert_eq!(system.stop("dev"), Some(0));
        // A request whose answer was lost in the stop may have been stored all the same: one of them, of two events.
        let queue = system.records("q");
        assert!((acknowledged..=acknowledged + 2).contains(&queue.len()), "{acknowledged} acknowledged, {}", queue.len());
        assert!(results.len() <= queue.len());
        outcome::assert_exactly_once(&queue, &system.records("results"), &[]);
    }
}

/// Opens a request that is never finished, and waits until the server has it.
fn hanging_request(system: &System) -> TcpStream {
    let address = system.client.url("ingest", "").replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    let path = format!("/events/{}/greet", system.tenant);
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{");
    stream.write_all(head.as_bytes()).unwrap();
    let admin = system.client.url("admin", "");
    eventually("the request is under way", || {
        (system.client.metric(&admin, "jobico_ingest_requests_in_flight") > 0.0).then_some(())
    });
    stream
}

#[test]
fn a_process_that_cannot_end_in_time_says_so_and_ends() {
    let mut system = System::new(On::Embedded);
    system.start_dev(&["--drain-seconds", "1"]);
    system.deploy(&Job::new("greetings").event("greet", "q", "echo"));
    let mut stream = hanging_request(&system);
    let process = system.process("dev");
    let begun = Instant::now();
    process.signal("TERM");
    // Its end closes the connection.
    let _ = stream.read_to_end(&mut Vec::new());
    assert!(begun.elapsed() >= Duration::from_secs(1), "it waited for the request");
    let stderr = eventually("it says why", || {
        let stderr = system.process("dev").stderr();
        stderr.contains("not everything had ended 1 s after the stop").then_some(stderr)
    });
    assert!(stderr.lines().last().is_some_and(|line| line.starts_with("jobico: ")), "{stderr}");
    assert_eq!(system.end("dev"), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_second_signal_ends_a_process_at_once() {
    let mut system = System::dev(On::Embedded);
    system.deploy(&Job::new("greetings").event("greet", "q", "echo"));
    let _stream = hanging_request(&system);
    let begun = Instant::now();
    system.process("dev").signal("INT");
    eventually("it is stopping", || system.process("dev").stderr().contains("a second signal").then_some(()));
    system.process("dev").signal("INT");
    assert_eq!(system.end("dev"), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(10), "the drain would have taken 20 s");
}
