//! What goes wrong, and how often.

use std::sync::{Arc, PoisonError, RwLock};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::no_answer;
use crate::{Cause, Class, Error};

/// How likely each fault is at a call where it can happen, from 0 (never; the default of all) to 1 (always).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// Any call fails without effect: [`Class::Retriable`]; [`Cause::Unavailable`], in `produce` [`Cause::Full`].
    pub unavailable: f64,
    /// `append`, `ensure_topics` and `commit_offsets` are carried out and yet answered with an error:
    /// [`Class::Retriable`], [`Cause::Unavailable`].
    pub lost_acknowledgement: f64,
    /// `produce` or `commit` spoils its transaction: [`Class::Abortable`], [`Cause::Unavailable`]. `write` of a writer is refused
    /// for no reason that the log can name: [`Class::Abortable`], [`Cause::Other`].
    pub abortable: f64,
    /// Before `begin`, `produce`, `commit` or `abort` of a transactor, or `write` of a writer, another acquires the
    /// transactional id: [`Class::Fatal`], [`Cause::Fenced`].
    pub fenced: f64,
    /// `commit` of a transactor, or `write` of a writer, is carried out or is not, one as likely as the other, and nobody
    /// learns which: [`Class::Fatal`], [`Cause::Unavailable`].
    pub in_doubt: f64,
    /// Before `gather`, `commit` or `commit_offsets`, the group puts the member out: its partitions go to the others, a
    /// commit is [`Class::Abortable`] and [`Cause::Fenced`], and the next `gather` joins again and reads on from the
    /// committed offsets.
    pub rebalance: f64,
    /// `append` or `produce` does not know the topic for this once: [`Cause::UnknownTopic`]; [`Class::Retriable`], in a
    /// transaction [`Class::Abortable`].
    pub unknown_topic: f64,
}

/// The faults, as all handles share them.
#[derive(Debug)]
pub(super) struct Dials(RwLock<Faults>);

/// Draws faults.
#[derive(Debug)]
pub(super) struct Dice {
    random: StdRng,
    dials: Arc<Dials>,
}

impl Faults {
    /// Each fault with the same likelihood.
    #[must_use]
    pub fn all(likelihood: f64) -> Self {
        Self {
            unavailable: likelihood,
            lost_acknowledgement: likelihood,
            abortable: likelihood,
            fenced: likelihood,
            in_doubt: likelihood,
            rebalance: likelihood,
            unknown_topic: likelihood,
        }
    }
}

impl Dials {
    pub(super) fn new(faults: Faults) -> Self {
        Self(RwLock::new(faults))
    }

    pub(super) fn set(&self, faults: Faults) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = faults;
    }
}

impl Dice {
    /// The sequence of one handle.
    pub(super) fn new(seed: u64, handle: u64, dials: Arc<Dials>) -> Self {
        // Neighbouring seeds and handles must not share sequences: the odd constant (2⁶⁴/φ) keeps their sums apart.
        let random = StdRng::seed_from_u64(seed ^ handle.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { random, dials }
    }

    /// Whether a fault happens. It draws in any case, so that one fault's likelihood does not shift the draws of the others.
    pub(super) fn falls(&mut self, likelihood: impl Fn(&Faults) -> f64) -> bool {
        let faults = *self.dials.0.read().unwrap_or_else(PoisonError::into_inner);
        self.random.random::<f64>() < likelihood(&faults)
    }

    /// One of two, equally likely.
    pub(super) fn coin(&mut self) -> bool {
        self.random.random()
    }

    /// [`Faults::unavailable`].
    pub(super) fn unavailable(&mut self, operation: &'static str) -> Result<(), Error> {
        if self.falls(|faults| faults.unavailable) { Err(no_answer(operation, Class::Retriable)) } else { Ok(()) }
    }

    /// [`Faults::lost_acknowledgement`].
    pub(super) fn lost(&mut self, operation: &'static str) -> Result<(), Error> {
        if self.falls(|faults| faults.lost_acknowledgement) {
            Err(no_answer(operation, Class::Retriable))
        } else {
            Ok(())
        }
    }

    /// [`Faults::unknown_topic`].
    pub(super) fn unknown_topic(&mut self, operation: &'static str, topic: &str) -> Result<(), Error> {
        if self.falls(|faults| faults.unknown_topic) {
            let message = format!("simulated: there is no topic {topic} yet");
            return Err(Error::new(Class::Retriable, Cause::UnknownTopic, operation, message));
        }
        Ok(())
    }
}
