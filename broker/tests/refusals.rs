//! What a broker says too seldom to wait for it: librdkafka's own stand-in of a cluster says it when it is told to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobico_broker::kafka::{Kafka, Settings};
use jobico_broker::{Broker, Cause, Class, Error, Writer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Request, RDKafkaRespErr as Answer};

use crate::fixture::outgoing;

/// Topics are looked up every ten seconds, and at once where one is not known.
const LOOKED_UP_MAX: Duration = Duration::from_secs(15);

/// A writer, and the cluster that will refuse what it asks.
struct Refusals {
    writer: Box<dyn Writer>,
    // Goes after its client.
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Refusals {
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("out", 1, 1).unwrap();
        let settings =
            Settings { takeover_timeout: Duration::from_secs(5), ..Settings::new(cluster.bootstrap_servers()) };
        let kafka: Arc<dyn Broker> = Kafka::connect(settings).unwrap();
        let mut this = Self { writer: kafka.writer("id").unwrap(), cluster };
        this.writer.acquire().unwrap();
        this.write().unwrap();
        this
    }

    fn write(&mut self) -> Result<(), Error> {
        self.writer.write(&[outgoing("out", "key", "value")])
    }

    /// Writes while the cluster answers the next requests of a kind so.
    fn refuse(&mut self, answers: &[(Request, &[Answer])]) -> (Class, Cause) {
        for (request, answers) in answers {
            self.cluster.request_errors(*request, answers);
        }
        let error = self.write().unwrap_err();
        (error.class, error.cause)
    }
}

#[test]
fn a_commit_that_is_refused_for_no_reason_is_aborted_and_the_next_goes_well() {
    let mut log = Refusals::new();
    let unknown = [Answer::RD_KAFKA_RESP_ERR_UNKNOWN];
    assert_eq!(log.refuse(&[(Request::EndTxn, &unknown)]), (Class::Abortable, Cause::Other));
    log.write().unwrap();
}

#[test]
fn a_refused_commit_that_cannot_be_aborted_either_is_in_doubt() {
    let mut log = Refusals::new();
    let refused = [Answer::RD_KAFKA_RESP_ERR_UNKNOWN, Answer::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE];
    assert_eq!(log.refuse(&[(Request::EndTxn, &refused)]).0, Class::Fatal);
    assert_eq!(log.write().unwrap_err().cause, Cause::Fenced, "it holds nothing any more");
    log.writer.acquire().unwrap();
    log.write().unwrap();
}

#[test]
fn a_record_that_is_refused_leaves_a_writer_that_goes_on() {
    let mut log = Refusals::new();
    let denied = [Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    assert_eq!(log.refuse(&[(Request::Produce, &denied)]), (Class::Abortable, Cause::Denied));
    // librdkafka has left a gap in the sequence numbers: that costs one more transaction, and then it has a new epoch. And it holds the
    // refusal against the topic until it has looked it up again.
    let begun = Instant::now();
    while let Err(error) = log.write() {
        assert!(begun.elapsed() < LOOKED_UP_MAX, "{error}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_record_that_may_be_stored_and_is_then_refused_makes_its_producer_go() {
    let mut log = Refusals::new();
    // The first answer leaves open whether the record is stored. Were the client to go on, the next record would get the sequence
    // number of this one, and be taken for it.
    let refused = [Answer::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    assert_eq!(log.refuse(&[(Request::Produce, &refused)]).0, Class::Fatal);
    log.writer.acquire().unwrap();
    log.write().unwrap();
}

#[test]
fn after_a_commit_during_which_a_connection_broke_the_id_is_taken_over_anew() {
    let mut log = Refusals::new();
    // The broker is gone while a commit waits for its answer, and back before its time is over.
    log.cluster.broker_round_trip_time(1, Duration::from_millis(300)).unwrap();
    std::thread::scope(|scope| {
        let Refusals { writer, cluster } = &mut log;
        let writing = scope.spawn(move || writer.write(&[outgoing("out", "key", "value")]));
        std::thread::sleep(Duration::from_millis(700));
        cluster.broker_down(1).unwrap();
        cluster.broker_up(1).unwrap();
        writing.join().unwrap().unwrap();
    });
    log.cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    let error = log.write().unwrap_err();
    assert_eq!((error.class, error.operation), (Class::Fatal, "begin a transaction"), "{error}");
    log.writer.acquire().unwrap();
    log.write().unwrap();
}
