//! Ids: parsed once at the edge, valid for ever after.
//!
//! An id is 1–63 of `[A-Za-z0-9_-]` and begins with a letter or digit. It holds no dot, so that `{tenant}.` is a safe
//! prefix for Kafka ACLs and for topic names.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest id, in bytes. With two ids and a dot a topic name stays under Kafka's 249.
pub const ID_BYTES_MAX: usize = 63;
/// The longest file name, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 127;
/// The tenant that is the system's own: its topics begin with `jobico.`.
pub const TENANT_RESERVED: &str = "jobico";
/// Queues whose topics Jobico itself writes.
pub const QUEUES_RESERVED: [&str; 2] = ["results", "dead"];

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// The text is longer than the limit, in bytes.
    #[error("it has {length} characters, {limit} are allowed")]
    TooLong {
        /// Bytes in the text.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A character that an id cannot hold.
    #[error("'{found}' at position {position} is not allowed; allowed are {allowed}")]
    Character {
        /// The character.
        found: char,
        /// Its place, from 1.
        position: usize,
        /// What may stand there.
        allowed: &'static str,
    },
    /// A name that Jobico keeps for itself.
    #[error("'{0}' is reserved")]
    Reserved(String),
}

fn check(text: &str, limit: usize, dots: &'static str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > limit {
        return Err(IdError::TooLong { length: text.len(), limit });
    }
    for (index, found) in text.chars().enumerate() {
        let plain = found.is_ascii_alphanumeric();
        if index == 0 && !plain {
            return Err(IdError::Character { found, position: 1, allowed: "a letter or digit first" });
        }
        if !plain && !"-_".contains(found) && !dots.contains(found) {
            let allowed =
                if dots.is_empty() { "letters, digits, '-' and '_'" } else { "letters, digits, '-', '_' and '.'" };
            return Err(IdError::Character { found, position: index + 1, allowed });
        }
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $limit:expr, $dots:literal, $reserved:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id that `text` spells.
            ///
            /// # Errors
            /// [`IdError`] says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text, $limit, $dots)?;
                let reserved: &[&str] = $reserved;
                if reserved.contains(&text) {
                    return Err(IdError::Reserved(text.to_owned()));
                }
                Ok(Self(text.into()))
            }

            /// The id's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(&text)
            }
        }
        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

id!(
    /// A tenant. `jobico` is reserved.
    TenantId, ID_BYTES_MAX, "", &[TENANT_RESERVED]
);
id!(
    /// A queue of a tenant; its topic is `{tenant}.{queue}`. `results` and `dead` are reserved.
    QueueId, ID_BYTES_MAX, "", &QUEUES_RESERVED
);
id!(
    /// An event type of a tenant: the `{event}` of the URL and the `ce_type` of its records.
    EventId, ID_BYTES_MAX, "", &[]
);
id!(
    /// A job package of a tenant: the `id` of a job file.
    JobId, ID_BYTES_MAX, "", &[]
);
id!(
    /// A runtime of a job file: what an event names to be handled by.
    RuntimeId, ID_BYTES_MAX, "", &[]
);
id!(
    /// A pool: the processors that read a queue together.
    PoolId, ID_BYTES_MAX, "", &[]
);
id!(
    /// The name a schema or a module was uploaded under, such as `customer.json`: like an id, but longer and with dots.
    FileName, FILE_NAME_BYTES_MAX, ".", &[]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_seed_are_accepted() {
        for text in ["my-tenant-1", "tenant_1", "queue_id_1", "a", "9x"] {
            assert_eq!(TenantId::new(text).unwrap().as_str(), text);
        }
        assert_eq!(FileName::new("customer.json").unwrap().as_str(), "customer.json");
    }

    #[test]
    fn each_broken_rule_is_named() {
        assert_eq!(TenantId::new(""), Err(IdError::Empty));
        assert!(matches!(TenantId::new("a.b"), Err(IdError::Character { found: '.', position: 2, .. })));
        assert!(matches!(TenantId::new("-a"), Err(IdError::Character { position: 1, .. })));
        assert!(matches!(TenantId::new("ä"), Err(IdError::Character { .. })));
        assert!(matches!(TenantId::new(&"a".repeat(64)), Err(IdError::TooLong { length: 64, limit: 63 })));
        assert_eq!(TenantId::new("jobico"), Err(IdError::Reserved("jobico".into())));
        assert_eq!(QueueId::new("dead"), Err(IdError::Reserved("dead".into())));
        assert!(matches!(FileName::new("../x"), Err(IdError::Character { position: 1, .. })));
    }
}
