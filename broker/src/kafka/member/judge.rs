//! What a member does about an error of its client: waits it out, or says it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::super::error::{Failure, cause, passes};
use crate::{Cause, Class, Error};

const OPERATION: &str = "gather";

/// What passes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// A topic of the subscription is not known (yet). librdkafka says so once.
    TopicUnknown,
    /// Anything else.
    Other,
}

/// An error of the client.
pub(super) fn client(error: KafkaError) -> Result<Passing, Error> {
    let failure = Failure::from(error);
    if failure.fatal {
        return Err(failure.class(OPERATION, Class::Fatal));
    }
    match failure.code {
        // The group went on without this member, which joins again with the next polls: its partitions are revoked first.
        Code::PollExceeded => {
            tracing::warn!("gather was not called in time: the group went on without this member, which joins again");
            Ok(Passing::Other)
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
            // Most often it was made a moment ago, and is known by the next look.
            tracing::info!(error = failure.message, "a topic of the subscription does not exist (yet)");
            Ok(Passing::TopicUnknown)
        }
        code if passes(code) => {
            tracing::warn!(error = failure.message, "Kafka is away; librdkafka tries on");
            Ok(Passing::Other)
        }
        _ => Err(failure.class(OPERATION, Class::Retriable)),
    }
}

/// An error of one partition.
pub(super) fn partition(code: Code, text: String) -> Result<(), Error> {
    if passes(code) || cause(code) == Cause::UnknownTopic {
        tracing::warn!(error = text, "a partition cannot be read; librdkafka tries on");
        return Ok(());
    }
    Err(Failure::new(code, text).class(OPERATION, Class::Retriable))
}
