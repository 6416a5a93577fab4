//! Ingest under full load: events over HTTP, each acknowledged by Kafka before it is answered; one at a time, and in
//! batches.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::http::{self, Connection};
use crate::report::{Better, Ratio, Report};
use crate::statistics::{Pace, Sample};
use crate::system::Lab;
use crate::system::process::Process;
use crate::{Failure, events, say};

/// Connections that send at the same time, each waiting for its answer.
const CONNECTIONS: usize = 64;
/// Events of a batch.
const BATCH_EVENTS: u64 = 100;
/// Different requests that take turns.
const REQUESTS: u64 = 640;
/// How long ingest is loaded before it counts, and after.
const WARMING: Duration = Duration::from_secs(2);
const COOLING: Duration = Duration::from_millis(200);

/// What kind of request, in each turn.
struct Runs {
    events_per_request: u64,
    paces: Vec<Pace>,
}

/// Measures batches against single events.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    lab.registry()?;
    let mut ingest = lab.start("ingest", &[])?;
    let address = http::address(&ingest.url("ingest")?)?;
    let mut single = Runs { events_per_request: 1, paces: Vec::new() };
    let mut batch = Runs { events_per_request: BATCH_EVENTS, paces: Vec::new() };
    let mut resident_mib = Vec::new();
    for pair in lab.pairs("ingest") {
        pair.say();
        batch.run(lab, &mut ingest, address)?;
        single.run(lab, &mut ingest, address)?;
        resident_mib.push(ingest.usage()?.resident_bytes as f64 / f64::from(1 << 20));
    }
    report.ratio(
        Ratio::new(
            "ingest-batch",
            "ingest, batches of 100, 64 connections",
            "ingest, single events, 64 connections",
            "events/s",
            Better::Higher,
            batch.rates().into_iter().zip(single.rates()).collect(),
        )
        .reaching(8.0),
    );
    for (id, what, runs) in [("single", "ingest, single events", single), ("batch", "ingest, batches of 100", batch)] {
        let cpu = runs.paces.iter().map(|pace| pace.cpu_us).collect();
        report.figure(&format!("ingest-{id}-rate"), what, "events/s", runs.rates());
        report.figure(&format!("ingest-{id}-cpu"), &format!("{what}: CPU time of the process"), "µs/event", cpu);
    }
    report.figure("ingest-resident", "ingest: resident memory after each turn", "MiB", resident_mib);
    Ok(())
}

impl Runs {
    fn run(&mut self, lab: &Lab, ingest: &mut Process, address: SocketAddr) -> Result<(), Failure> {
        let requests = requests(&lab.path, self.events_per_request);
        let before = lab.cluster.end(&lab.queue)?;
        let load = Load::new(lab, self.events_per_request);
        let (begin, end) = lab.cluster.runtime().block_on(load.apply(address, &requests, ingest))?;
        ingest.check()?;
        let (stored, acknowledged) = (lab.cluster.end(&lab.queue)? - before, load.acknowledged.get());
        if stored != acknowledged {
            return Err(format!("{acknowledged} events were acknowledged, and {stored} are stored").into());
        }
        let pace = Pace::between(begin, end);
        say(&format!("  {} a request: {:.0} events/s", self.events_per_request, pace.events_per_s));
        self.paces.push(pace);
        Ok(())
    }

    fn rates(&self) -> Vec<f64> {
        self.paces.iter().map(|pace| pace.events_per_s).collect()
    }
}

/// A load that goes on for a time. All of it is one thread: it shares the machine with what it measures.
struct Load<'l> {
    lab: &'l Lab,
    begun: Instant,
    events_per_request: u64,
    counted: Duration,
    acknowledged: Cell<u64>,
}

impl<'l> Load<'l> {
    fn new(lab: &'l Lab, events_per_request: u64) -> Self {
        let counted = lab.extent.ingest();
        Self { lab, begun: Instant::now(), events_per_request, counted, acknowledged: Cell::new(0) }
    }

    /// The moments between which it counts.
    async fn apply(
        &self,
        address: SocketAddr,
        requests: &[Vec<u8>],
        ingest: &Process,
    ) -> Result<(Sample, Sample), Failure> {
        let until = Instant::now() + WARMING + self.counted + COOLING;
        let connections = (0..CONNECTIONS).map(|index| self.send(address, requests, index, until));
        let look = async {
            tokio::time::sleep(WARMING).await;
            let begin = self.sample(ingest)?;
            tokio::time::sleep(self.counted).await;
            Ok::<_, Failure>((begin, self.sample(ingest)?))
        };
        let (moments, _) = tokio::try_join!(look, futures::future::try_join_all(connections))?;
        Ok(moments)
    }

    /// Sends on one connection until the time is over.
    async fn send(
        &self,
        address: SocketAddr,
        requests: &[Vec<u8>],
        index: usize,
        until: Instant,
    ) -> Result<(), Failure> {
        let mut connection = Connection::open(address).await?;
        // Each begins elsewhere, and no two send the same at the same time.
        for request in requests.iter().cycle().skip(index * requests.len() / CONNECTIONS) {
            if Instant::now() >= until {
                break;
            }
            connection.exchange(request).await?;
            self.acknowledged.set(self.acknowledged.get() + self.events_per_request);
        }
        Ok(())
    }

    fn sample(&self, ingest: &Process) -> Result<Sample, Failure> {
        let (cpu, kafka_cpu) = (ingest.usage()?.cpu, self.lab.cluster.usage()?.cpu);
        Ok(Sample { at: self.begun.elapsed(), done: self.acknowledged.get(), cpu, kafka_cpu })
    }
}

/// Requests, ready to be sent.
fn requests(path: &str, events_per_request: u64) -> Vec<Vec<u8>> {
    let request = |number: u64| {
        let mut body = br#"{"data":["#.to_vec();
        for index in 0..events_per_request {
            if index > 0 {
                body.push(b',');
            }
            events::write(&mut body, number * events_per_request + index);
        }
        body.extend_from_slice(b"]}");
        http::request("POST", path, &body)
    };
    (0..REQUESTS).map(request).collect()
}
