//! Live streams.

use std::time::Duration;

use jobico_event::TenantId;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::rows::{log_record, result_record};
use crate::stage::{Ground, PATIENCE, Recorder, on_both};

on_both!(
    results_are_streamed_as_they_are_committed_and_only_the_tenants_own,
    what_functions_log_is_streamed_and_only_the_tenants_own,
);

/// An open stream.
struct Stream {
    response: reqwest::Response,
    text: String,
}

/// A server-sent event.
#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Stream {
    async fn open(recorder: &Recorder, path: &str) -> Self {
        let response = recorder.client.get(recorder.url(path)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; none where the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    let found = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).next();
                    found.unwrap_or_default().to_owned()
                };
                if !field("data").is_empty() {
                    let data = serde_json::from_str(&field("data")).unwrap();
                    return Some(Event { name: field("event"), id: field("id"), data });
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("an event or an end");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }
}

async fn results_are_streamed_as_they_are_committed_and_only_the_tenants_own(ground: Ground) {
    let recorder = ground.recorder(&[]).await;
    ground.append(vec![result_record(&ground.tenant, "before", 0, b"1")]).await;
    let mut stream = Stream::open(&recorder, &format!("/v1/tenants/{}/results/stream", ground.tenant)).await;
    ground.append(vec![result_record(&ground.other, "foreign", 1, b"1")]).await;
    for offset in 1..4 {
        // Line breaks of pretty JSON must not tear the event.
        ground.append(vec![result_record(&ground.tenant, "after", offset, b"{\r\n  \"a\": 1\n}")]).await;
        let event = stream.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.id), ("result", format!("{}.q-0-{offset}-0", ground.tenant)));
        assert_eq!((&event.data["event"], &event.data["data"]["a"]), (&"after".into(), &1.into()));
    }
    recorder.end().await;
}

async fn what_functions_log_is_streamed_and_only_the_tenants_own(ground: Ground) {
    let recorder = ground.recorder(&[]).await;
    let path = format!("/v1/tenants/{}/logs/stream?level=error", ground.tenant);
    let mut stream = Stream::open(&recorder, &path).await;
    let lines = vec![
        log_record(&ground.other, "e", "error", "foreign"),
        log_record(&ground.tenant, "e", "info", "not asked for"),
        log_record(&ground.tenant, "e", "error", "ouch"),
    ];
    ground.append(lines).await;
    let event = stream.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data["message"]), ("log", &"ouch".into()));
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_filtered_as_its_list() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&[]).await;
    let path = format!("/v1/tenants/{}/results/stream?status=error", ground.tenant);
    let mut stream = Stream::open(&recorder, &path).await;
    let mut error = result_record(&ground.tenant, "bad", 1, b"1");
    error.headers[0].1 = b"error".to_vec();
    ground.append(vec![result_record(&ground.tenant, "good", 0, b"1"), error]).await;
    assert_eq!(stream.next().await.unwrap().data["event"], "bad");
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_and_a_reader_that_goes_makes_room() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&["--streams-max", "2"]).await;
    let path = format!("/v1/tenants/{}/results/stream", ground.tenant);
    let (one, _two) = (Stream::open(&recorder, &path).await, Stream::open(&recorder, &path).await);
    let refused = recorder.client.get(recorder.url(&path)).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    drop(one);
    recorder.await_metric("jobico_recorder_streams", None, |streams| streams == 1.0).await;
    let mut again = Stream::open(&recorder, &path).await;
    ground.append(vec![result_record(&ground.tenant, "e", 0, b"1")]).await;
    assert!(again.next().await.is_some());
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_the_recorder_stops() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&[]).await;
    let mut stream = Stream::open(&recorder, &format!("/v1/tenants/{}/results/stream", ground.tenant)).await;
    recorder.frame.tasks.stop();
    assert!(stream.next().await.is_none());
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_reaches_a_reader_whole_and_in_order() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&[]).await;
    let mut stream = Stream::open(&recorder, &format!("/v1/tenants/{}/results/stream", ground.tenant)).await;
    // Keyed, so that one partition orders them.
    let keyed = |offset| {
        let mut record = result_record(&ground.tenant, "e", offset, b"1");
        record.key = Some(b"k".to_vec());
        record
    };
    ground.append((0..2_000).map(keyed).collect()).await;
    for offset in 0..2_000 {
        assert_eq!(stream.next().await.unwrap().data["offset"], offset);
    }
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_is_given_up() {
    let ground = Ground::embedded().await;
    let recorder = ground.recorder(&[]).await;
    // A connection that asks and never reads: the system's buffers fill, then the stream's queue.
    let mut reader = tokio::net::TcpStream::connect(recorder.address).await.unwrap();
    let path = format!("/v1/tenants/{}/results/stream", ground.tenant);
    reader.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = [0; 15];
    reader.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    flood(&ground, &ground.tenant).await;
    recorder.await_metric("jobico_recorder_streams_slow_total", None, |slow| slow == 1.0).await;
    recorder.await_metric("jobico_recorder_streams", None, |streams| streams == 0.0).await;
    drop(reader);
    recorder.end().await;
}

/// More than the buffers of a connection and a stream hold.
async fn flood(ground: &Ground, tenant: &TenantId) {
    let value = format!("\"{}\"", "x".repeat(500_000));
    for offset in 0..60 {
        ground.append(vec![result_record(tenant, "e", offset, value.as_bytes())]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
