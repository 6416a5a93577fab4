//! What a validator may do with one event.
//!
//! A validator is a library's, and cannot be interrupted. But whatever it does with an event, it does through the values that it is
//! given to look at ([`super::document`]): each look takes fuel, and where none is left, it is left by unwinding. Its own state
//! goes with it; what it keeps for other events it keeps when it is whole ([`std::sync::OnceLock`]).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::matching::Matching;

/// Looks at values for a verdict. An ordinary event takes some hundreds; one of 1 MiB with ten rules for each of 100,000 values
/// some millions. All of it is about a second.
pub(super) const VERDICT: u64 = 50_000_000;
/// Looks for saying what is wrong, which goes by other ways through the schema: it remembers nothing.
pub(super) const REASONS: u64 = 5_000_000;
/// What a copy of a value costs beside its looks: each reason has one, whether or not it is told.
pub(super) const COPY: u64 = 50;
/// Bytes of a string whose copy is as much as a look: they take memory.
pub(super) const COPIED_BYTES: usize = 16;
/// Bytes of a string that are as much as a look.
const BYTES: usize = 64;
/// Schemas that may be asked of a value, without a look at it, for a look.
const STEPS_PER_LOOK: u64 = 100;

/// What is left.
#[derive(Debug)]
pub(super) struct Fuel {
    left: Cell<u64>,
    prices: Cell<Prices>,
}

/// What looks cost that are more than one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prices {
    /// A look at what is in a value.
    pub(super) below: u64,
    /// Strings that may be matched with patterns.
    pub(super) matching: Matching,
    /// A copy of a value, beside its looks.
    pub(super) copy: u64,
}

impl Prices {
    /// Of a schema that has so many schemas asked of one value.
    pub(super) fn of_steps(steps: u64) -> Self {
        Self { below: 1 + steps / STEPS_PER_LOOK, ..Self::default() }
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self { below: 1, matching: Matching::default(), copy: COPY }
    }
}

/// There is none left.
struct Out;

impl Fuel {
    /// As much as one likes.
    pub(super) fn plenty() -> Self {
        Self { left: Cell::new(u64::MAX), prices: Cell::default() }
    }

    /// Takes some.
    ///
    /// # Panics
    /// It unwinds where there is not enough, up to [`Fuel::run`].
    #[inline]
    pub(super) fn take(&self, fuel: u64) {
        match self.left.get().checked_sub(fuel) {
            Some(left) => self.left.set(left),
            None => resume_unwind(Box::new(Out)), // no hook is called for it
        }
    }

    /// Takes what it costs to come to a value in another one, of which schemas may be asked.
    #[inline]
    pub(super) fn take_to_go_below(&self) {
        self.take(self.prices.get().below);
    }

    /// Takes what a string costs to go through.
    #[inline]
    pub(super) fn take_to_read(&self, text: &str) {
        self.take((text.len() / BYTES) as u64);
    }

    /// Takes what a string costs to go through, and to match.
    #[inline]
    pub(super) fn take_to_match(&self, text: &str) {
        self.take_to_read(text);
        self.take(self.prices.get().matching.of_string(text.len()));
    }

    /// Takes what a name costs to match.
    #[inline]
    pub(super) fn take_to_match_name(&self, name: &str) {
        self.take(self.prices.get().matching.of_name(name.len()));
    }

    /// Takes what a copy costs beside its looks and strings.
    pub(super) fn take_to_copy(&self) {
        self.take(self.prices.get().copy);
    }

    /// Takes what a copy of a string costs, or of a name.
    pub(super) fn take_to_copy_string(&self, text: &str) {
        self.take((text.len() / COPIED_BYTES) as u64);
    }

    /// Does something with so much fuel; none where it was not enough.
    pub(super) fn run<T>(&self, fuel: u64, prices: Prices, something: impl FnOnce() -> T) -> Option<T> {
        self.left.set(fuel);
        self.prices.set(prices);
        match catch_unwind(AssertUnwindSafe(something)) {
            Ok(done) => Some(done),
            Err(reason) if reason.is::<Out>() => None,
            Err(reason) => resume_unwind(reason),
        }
    }
}
