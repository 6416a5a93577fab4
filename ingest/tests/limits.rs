//! What one client may take of the server, and what it is told beyond.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{PATIENCE, Stage};

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text))
        .await
        .expect("the server ends the connection")
        .unwrap();
    String::from_utf8(text).unwrap()
}

fn head(stage: &Stage, event: &str, length: usize) -> String {
    format!(
        "POST /events/{}/{event} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n",
        stage.tenant
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused_and_the_client_reads_why() {
    let mut stage = Stage::embedded().start().await;
    stage.deploy("any", 1, None, None).await;
    let body = json!({ "data": ["x".repeat(10 << 20)] }).to_string();
    stage.post("any", body.clone()).await.is_problem(413, "larger than 1048576 bytes");
    // Without a declared length, it is found out while it is read.
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        body.as_bytes().chunks(64 << 10).map(|chunk| Ok(chunk.to_vec())).collect();
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    stage.post("any", chunked).await.is_problem(413, "larger than 1048576 bytes");
    assert!(stage.read().await.is_empty());
    assert_eq!(stage.count("jobico_ingest_requests_total", &[("outcome", "too_large")]), 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_leave_is_told_no_before_it_sends() {
    let mut stage = Stage::embedded().start().await;
    stage.deploy("any", 1, None, None).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let head = format!("{}expect: 100-continue\r\n\r\n", head(&stage, "any", 10 << 20));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(until_closed(&mut stream).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_megabytes_are_taken_where_they_are_allowed() {
    let mut stage = Stage::embedded().flag("body-bytes-max", 11 << 20).start().await;
    stage.deploy("any", 1, None, None).await;
    let event = json!({ "x": "y".repeat(9_992) });
    let body = json!({ "data": vec![event; 1_000] }).to_string();
    assert!(body.len() >= 10_000_000);
    assert_eq!(stage.post("any", body).await.events().len(), 1_000);
    assert_eq!(stage.read().await.len(), 1_000);
    assert_eq!(stage.count("jobico_ingest_event_bytes_total", &[]), 10_000_000.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_too_large_or_too_many_are_refused_before_any_is_stored() {
    let mut stage = Stage::embedded().flag("event-bytes-max", 2_000).flag("events-max", 3).start().await;
    stage.deploy("any", 1, None, None).await;
    let answer = stage.post("any", json!({ "data": [1, "x".repeat(2_000), 2] }).to_string()).await;
    answer.is_problem(413, "larger than 2000 bytes");
    let errors = answer.json["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[0]["index"], &errors[0]["keyword"]), (1, &json!(1), &json!("bytes")));
    stage.post("any", r#"{"data":[1,2,3,4]}"#).await.is_problem(413, "4 events, 3 are allowed");
    assert!(stage.read().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_too_slowly_is_cut_off() {
    let mut stage = Stage::embedded().flag("read-ms-max", 300).start().await;
    stage.deploy("any", 1, None, None).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(format!("{}\r\n", head(&stage, "any", 1_000)).as_bytes()).await.unwrap();
    let started = Instant::now();
    let (mut reading, mut writing) = stream.split();
    // A byte now and then: never silent, never done.
    let drip = async {
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut answer = [0; 16];
    tokio::select! {
        read = reading.read_exact(&mut answer) => { read.unwrap(); }
        () = drip => panic!("the connection closed without an answer"),
        () = tokio::time::sleep(PATIENCE) => panic!("it is still read"),
    }
    assert_eq!(&answer, b"HTTP/1.1 408 Req");
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(stage.read().await.is_empty());
}

/// Requests that send their head, and `part` of a body of `length` bytes; the server has begun to read each.
async fn unfinished(stage: &Stage, event: &str, count: usize, length: usize, part: &[u8]) -> Vec<TcpStream> {
    let before = stage.count("jobico_ingest_requests_in_flight", &[]);
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        let head = format!("{}connection: close\r\n\r\n", head(stage, event, length));
        stream.write_all(&[head.as_bytes(), part].concat()).await.unwrap();
        streams.push(stream);
    }
    let begun = async {
        while stage.count("jobico_ingest_requests_in_flight", &[]) < before + count as f64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_whose_body_does_not_come_take_nobodys_place() {
    let mut stage = Stage::embedded().flag("requests-max", 2).start().await;
    stage.deploy("any", 1, None, None).await;
    let body = br#"{"data":[1]}"#;
    let _to_nobody = unfinished(&stage, "nothing", 20, 1_000, b"{").await;
    let slow = unfinished(&stage, "any", 20, body.len(), &body[..1]).await;
    assert_eq!(stage.post("any", body.to_vec()).await.events().len(), 1);
    for mut stream in slow {
        stream.write_all(&body[1..]).await.unwrap();
        assert!(until_closed(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    }
    assert_eq!(stage.read().await.len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_not_complete_have_room_for_so_many_bytes() {
    let mut stage = Stage::embedded().flag("requests-max", 2).flag("body-bytes-max", 1_024).start().await;
    stage.deploy("any", 1, None, None).await;
    let body = json!({ "data": ["x".repeat(989)] }).to_string().into_bytes();
    assert_eq!(body.len(), 1_002);
    let held = unfinished(&stage, "any", 2, body.len(), &body[..1_000]).await;
    let crowded = async {
        loop {
            let answer = stage.post("any", body.clone()).await;
            // Taken as long as the first part of the others was not read.
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let crowded = tokio::time::timeout(PATIENCE, crowded).await.unwrap();
    // Two bodies and what goes with each.
    crowded.is_problem(503, "requests whose body is not complete hold 34816 bytes, which is the limit");
    for mut stream in held {
        stream.write_all(&body[1_000..]).await.unwrap();
        assert!(until_closed(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    }
    assert_eq!(stage.post("any", body).await.events().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_header_fields_are_refused() {
    let stage = Stage::embedded().start().await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let fields = "x: y\r\n".repeat(200);
    stream.write_all(format!("{}{fields}\r\n", head(&stage, "any", 0)).as_bytes()).await.unwrap();
    assert!(until_closed(&mut stream).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_requests_under_way_finish() {
    let mut stage = Stage::embedded().start().await;
    stage.deploy("any", 1, None, None).await;
    let body = br#"{"data":[1]}"#;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(format!("{}\r\n", head(&stage, "any", body.len())).as_bytes()).await.unwrap();
    let begun = async {
        while stage.count("jobico_ingest_requests_in_flight", &[]) < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    stage.frame.tasks.stop();
    stream.write_all(body).await.unwrap();
    assert!(until_closed(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    stage.frame.tasks.run().await.unwrap();
    assert_eq!(stage.read().await.len(), 1);
}
