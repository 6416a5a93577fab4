//! The one place where librdkafka's errors are classed.

use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode as Code};

use crate::{Cause, Class, Error};

/// An error as librdkafka gives it, before it is classed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Which.
    pub(super) code: Code,
    /// In words.
    pub(super) message: String,
    /// The client is of no more use.
    pub(super) fatal: bool,
    /// The transaction must be aborted.
    pub(super) abortable: bool,
    /// The call may be made again.
    pub(super) retriable: bool,
}

impl Failure {
    /// An error of which nothing but its code is known.
    pub(super) fn new(code: Code, message: String) -> Self {
        Self { code, message, fatal: false, abortable: false, retriable: false }
    }

    /// The same, of a topic that it is about.
    pub(super) fn of(self, topic: &str) -> Self {
        Self { message: format!("{topic}: {}", self.message), ..self }
    }

    /// What the caller has to do. `otherwise` is for errors that say nothing of it.
    pub(super) fn class(self, operation: &'static str, otherwise: Class) -> Error {
        let cause = cause(self.code);
        let class = if self.fatal || fences_producer(self.code) {
            Class::Fatal
        } else if self.abortable || cause == Cause::Fenced {
            Class::Abortable
        } else if self.retriable {
            Class::Retriable
        } else {
            otherwise
        };
        Error::new(class, cause, operation, self.message)
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::new(code, code.to_string())
    }
}

impl From<RDKafkaError> for Failure {
    fn from(error: RDKafkaError) -> Self {
        Self {
            code: error.code(),
            message: error.string(),
            fatal: error.is_fatal(),
            abortable: error.txn_requires_abort(),
            retriable: error.is_retriable(),
        }
    }
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::Transaction(error) => error.into(),
            KafkaError::MessageConsumptionFatal(code) => Self { fatal: true, ..Self::new(code, code.to_string()) },
            KafkaError::AdminOp(code) => code.into(),
            error => Self::new(error.rdkafka_error_code().unwrap_or(Code::Fail), error.to_string()),
        }
    }
}

/// Classes an error of a call that may simply be made again.
pub(super) fn retriable(operation: &'static str) -> impl Fn(KafkaError) -> Error {
    move |error| Failure::from(error).class(operation, Class::Retriable)
}

/// Classes an error of making a client: its settings are wrong, and stay so.
pub(super) fn unusable(operation: &'static str) -> impl Fn(KafkaError) -> Error {
    move |error| Failure::from(error).class(operation, Class::Fatal)
}

/// Another producer has the transactional id: this one will never write again.
fn fences_producer(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId)
}

/// Whether it is librdkafka's own, and no broker's answer: theirs are numbered from 0, or -1.
pub(super) fn is_librdkafkas_own(code: Code) -> bool {
    (code as i32) < -1
}

/// What callers tell apart.
pub(super) fn cause(code: Code) -> Cause {
    match code {
        Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::FencedInstanceId
        | Code::FencedMemberEpoch
        | Code::StaleMemberEpoch
        | Code::AssignmentLost
        | Code::PollExceeded => Cause::Fenced,
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
            Cause::UnknownTopic
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => Cause::TooLarge,
        Code::QueueFull => Cause::Full,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed => Cause::Denied,
        code if passes(code) => Cause::Unavailable,
        _ => Cause::Other,
    }
}

/// Errors of brokers that are away, moving, or busy: they pass by themselves.
pub(super) fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::SSL
            | Code::MessageTimedOut
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::WaitingForCoordinator
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::NetworkException
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ISRInsufficient
            | Code::NotController
            | Code::KafkaStorageError
            | Code::BrokerDestroy
            | Code::DestroyBroker
            | Code::NodeUpdate
            | Code::Retry
            | Code::PurgeQueue
            | Code::PurgeInflight
            | Code::ConcurrentTransactions
            | Code::RebalanceInProgress
            | Code::UnstableOffsetCommit
            | Code::OffsetNotAvailable
            | Code::ThrottlingQuotaExceeded
            | Code::RebootstrapRequired
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classed(failure: Failure) -> (Class, Cause) {
        let error = failure.class("test", Class::Retriable);
        (error.class, error.cause)
    }

    #[test]
    fn a_fenced_producer_is_of_no_more_use() {
        for code in [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch, Code::FencedInstanceId] {
            let abortable = Failure { abortable: true, ..code.into() };
            assert_eq!(classed(abortable), (Class::Fatal, Cause::Fenced), "{code:?}");
        }
    }

    #[test]
    fn a_member_that_the_group_left_behind_aborts() {
        for code in [Code::IllegalGeneration, Code::UnknownMemberId, Code::StaleMemberEpoch, Code::PollExceeded] {
            assert_eq!(classed(code.into()), (Class::Abortable, Cause::Fenced), "{code:?}");
        }
    }

    #[test]
    fn what_librdkafka_says_of_an_error_decides() {
        let failure = || Failure::from(Code::RequestTimedOut);
        assert_eq!(classed(Failure { fatal: true, ..failure() }), (Class::Fatal, Cause::Unavailable));
        assert_eq!(classed(Failure { abortable: true, ..failure() }), (Class::Abortable, Cause::Unavailable));
        assert_eq!(classed(failure()), (Class::Retriable, Cause::Unavailable));
        assert_eq!(failure().class("test", Class::Fatal).class, Class::Fatal);
    }

    #[test]
    fn causes_are_told_apart() {
        for (code, expected) in [
            (Code::QueueFull, Cause::Full),
            (Code::MessageSizeTooLarge, Cause::TooLarge),
            (Code::UnknownTopicOrPartition, Cause::UnknownTopic),
            (Code::UnknownTopic, Cause::UnknownTopic),
            (Code::TopicAuthorizationFailed, Cause::Denied),
            (Code::AllBrokersDown, Cause::Unavailable),
            (Code::InvalidConfig, Cause::Other),
        ] {
            assert_eq!(cause(code), expected, "{code:?}");
        }
    }
}
