//! What becomes of an event whose function failed: how often it is run again, and after which waits.
//!
//! A wait is a topic of the pool, a *tier*: all its records wait equally long, so they are due in their order, and a
//! partition waits for its head alone. An event that must not be overtaken by later ones of its partition waits in place.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A wait before an event is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Tier {
    /// A second.
    S1,
    /// Ten seconds.
    S10,
    /// A minute.
    M1,
    /// Ten minutes.
    M10,
}

/// What a job says of the order of events that are run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// An event that waits is overtaken by those behind it.
    #[default]
    None,
    /// Events behind it in its partition wait too, so that the order of each key is kept.
    Key,
}

/// How a job's events are run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How often an event's function is run at most, 1 to [`ATTEMPTS_MAX`]; 1 = never again.
    pub attempts: u32,
    /// The waits, in order, at least one; the last one stands for all that follow.
    pub tiers: Vec<Tier>,
    /// See [`Ordering`].
    #[serde(default)]
    pub ordering: Ordering,
}

/// The most that a job may ask for. With the longest tier behind each it is a little more than three hours.
pub const ATTEMPTS_MAX: u32 = 20;
/// The most waits that a job may list.
pub const TIERS_MAX: usize = ATTEMPTS_MAX as usize - 1;
/// See [`Retry::attempts`]: unless a job asks for it, nothing is run again. Functions are given no network and no files, so
/// that what failed once nearly always fails again, and an event that waits is overtaken (docs/decisions/0007).
const ATTEMPTS_DEFAULT: u32 = 1;

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: ATTEMPTS_DEFAULT, tiers: Tier::ALL.to_vec(), ordering: Ordering::None }
    }
}

impl Retry {
    /// How long to wait before the next attempt, after `attempts` of them; none where they are used up.
    #[must_use]
    pub fn after(&self, attempts: u32) -> Option<Tier> {
        let wait = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let tier = self.tiers.get(wait).or(self.tiers.last()).copied();
        tier.filter(|_| attempts < self.attempts)
    }

    /// The waits that there may be.
    pub fn waits(&self) -> impl Iterator<Item = Tier> {
        (1..self.attempts).filter_map(|attempts| self.after(attempts))
    }
}

impl Tier {
    /// All of them, the shortest first.
    pub const ALL: [Self; 4] = [Self::S1, Self::S10, Self::M1, Self::M10];

    /// How long it is.
    #[must_use]
    pub const fn delay(self) -> Duration {
        match self {
            Self::S1 => Duration::from_secs(1),
            Self::S10 => Duration::from_secs(10),
            Self::M1 => Duration::from_secs(60),
            Self::M10 => Duration::from_secs(600),
        }
    }

    /// As job files, topics and metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S1 => "1s",
            Self::S10 => "10s",
            Self::M1 => "1m",
            Self::M10 => "10m",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Tier> for String {
    fn from(tier: Tier) -> Self {
        tier.as_str().to_owned()
    }
}

/// A text that is no [`Tier`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is none of 1s, 10s, 1m and 10m")]
pub struct NoTier;

impl FromStr for Tier {
    type Err = NoTier;

    fn from_str(text: &str) -> Result<Self, NoTier> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text).ok_or(NoTier)
    }
}

impl TryFrom<String> for Tier {
    type Error = NoTier;

    fn try_from(text: String) -> Result<Self, NoTier> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tier_stands_for_all_that_follow() {
        let retry = Retry { attempts: 4, tiers: vec![Tier::S1, Tier::M1], ordering: Ordering::None };
        let waits: Vec<_> = (1..=5).map(|attempts| retry.after(attempts)).collect();
        assert_eq!(waits, [Some(Tier::S1), Some(Tier::M1), Some(Tier::M1), None, None]);
        assert_eq!(retry.waits().collect::<Vec<_>>(), [Tier::S1, Tier::M1, Tier::M1]);
    }

    #[test]
    fn one_attempt_is_never_followed_by_another() {
        let never = Retry { attempts: 1, ..Retry::default() };
        assert_eq!((never.after(1), never.waits().next()), (None, None));
    }

    #[test]
    fn a_catalog_record_names_tiers_as_job_files_do() {
        let text = r#"{"attempts":3,"tiers":["1s","10m"],"ordering":"key"}"#;
        let retry: Retry = serde_json::from_str(text).unwrap();
        assert_eq!(retry, Retry { attempts: 3, tiers: vec![Tier::S1, Tier::M10], ordering: Ordering::Key });
        assert_eq!(serde_json::to_string(&retry).unwrap(), text);
        assert!(serde_json::from_str::<Retry>(r#"{"attempts":3,"tiers":["2s"]}"#).is_err());
    }
}
