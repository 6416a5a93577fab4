//! Who is in a group, and what each has. Kafka hands the assignment on as its members wrote it, in the format of the consumer
//! protocol (`ConsumerProtocolAssignment`), the same for all assignors of librdkafka and of the Java client.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

use super::error::retriable;
use crate::{Error, GroupMember, TopicPartition};

/// The members of `group`. Those of the newer group protocol (KIP-848, `group.protocol=consumer`) are not seen by this
/// request.
pub(super) fn of_group<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    wait: Duration,
) -> Result<Vec<GroupMember>, Error> {
    let list = consumer.fetch_group_list(Some(group), wait).map_err(retriable("list the members of a group"))?;
    let members = list.groups().iter().filter(|found| found.name() == group).flat_map(|found| found.members());
    Ok(members
        .map(|member| GroupMember {
            client_id: member.client_id().to_owned(),
            host: member.client_host().trim_start_matches('/').to_owned(),
            partitions: assignment(member.assignment().unwrap_or_default()).unwrap_or_default(),
        })
        .collect())
}

/// `version: int16, topics: [name: string, partitions: [int32]], user data: bytes`, in the byte order of networks. None where
/// the bytes are none of it; of a later version the beginning is the same.
fn assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    let mut rest = bytes;
    take::<2>(&mut rest)?;
    let topics = i32::from_be_bytes(take(&mut rest)?);
    let mut assigned = Vec::new();
    for _ in 0..topics {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        rest = after;
        let topic: Arc<str> = std::str::from_utf8(name).ok()?.into();
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            let partition = i32::from_be_bytes(take(&mut rest)?);
            assigned.push(TopicPartition { topic: topic.clone(), partition });
        }
    }
    Some(assigned)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_what_is_none_is_not() {
        let bytes = b"\0\x01\0\0\0\x02\0\x03t.q\0\0\0\x02\0\0\0\0\0\0\0\x03\0\x01u\0\0\0\x01\0\0\0\x07\xff\xff\xff\xff";
        let read = assignment(bytes).unwrap();
        let read: Vec<(&str, i32)> = read.iter().map(|at| (&*at.topic, at.partition)).collect();
        assert_eq!(read, [("t.q", 0), ("t.q", 3), ("u", 7)]);
        for end in 0..bytes.len() - 4 {
            assert_eq!(assignment(&bytes[..end]), None, "{end}");
        }
        assert_eq!(assignment(b"\0\x01\x7f\xff\xff\xff\xff\xff"), None);
    }
}
