//! Places where a test makes the process die, stop or fail: one at each step of a batch. In their order.
//!
//! ```text
//!  FAILPOINTS="commit::offsets=3*off->return(die)"  jobico serve processor …
//!              │               │             └ what happens there, see below
//!              │               └ three times nothing (the grammar is that of the crate `fail`)
//!              └ a place, see below
//! ```
//!
//! - `return(die)`: the process aborts at once, with what its sockets have been given so far, and no more;
//! - `return(die in N us)`: it aborts while the call that follows is under way;
//! - `return(stop)`: it is stopped (SIGSTOP), until somebody continues it;
//! - `return(wait N ms and die)`, `return(wait N ms and stop)`: the call is held up for so long before, while what was handed
//!   over to other threads goes on;
//! - `return(fail)`: the call fails, with an error after which the transaction is to be aborted.
//!
//! The clauses are joined by `;`. Without the feature `failpoints` none of it is there, and [`reach`] is nothing.

#[cfg(feature = "failpoints")]
use std::time::Duration;

use crate::Error;
#[cfg(feature = "failpoints")]
use crate::{Cause, Class};

/// In a rebalance, when partitions have been taken away.
pub const REVOKED: &str = "rebalance::revoked";
/// In a rebalance, when partitions have been given to this member.
pub const ASSIGNED: &str = "rebalance::assigned";
/// A batch is gathered, no transaction is begun.
pub const BEGIN: &str = "begin::before";
/// A transaction is begun, nothing is in it.
pub const BEGUN: &str = "begin::after";
/// A function has been called, nothing of its outcome is produced.
pub const PRODUCE: &str = "produce::before";
/// A record of an outcome is produced: it may be with the broker or not.
pub const PRODUCED: &str = "produce::after";
/// All outcomes of the batch are produced, and no offset is sent.
pub const COMMIT: &str = "commit::before";
/// The last outcomes and the offsets are on their way: each may be with the broker or not.
pub const SENDING: &str = "commit::sending";
/// All outcomes of the batch are with the broker, its offsets may be or not.
pub const DRAINED: &str = "commit::drained";
/// Outcomes and offsets are with the broker, in an open transaction. The call that follows is the commit.
pub const OFFSETS: &str = "commit::offsets";
/// The coordinator has committed, the worker does not know it.
pub const COMMITTED: &str = "commit::after";
/// Partitions are to be handed over to another group: both groups' offsets are with the broker, in an open transaction.
pub const HAND_OVER: &str = "hand-over::offsets";
/// The coordinator has committed that, the one who hands over does not know it.
pub const HANDED_OVER: &str = "hand-over::after";
/// The transaction is to be aborted, and is open still.
pub const ABORT: &str = "abort::before";
/// The transaction is aborted, the worker has not gone back yet.
pub const ABORTED: &str = "abort::after";

/// Reads `FAILPOINTS`. Whoever does not call this has no crash points.
pub fn arm() {
    #[cfg(feature = "failpoints")]
    // The scenario is the process' own, to its end: dropped, it would disarm them.
    std::mem::forget(fail::FailScenario::setup());
}

/// A place is reached.
///
/// # Errors
/// One that was ordered.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(place: &'static str) -> Result<(), Error> {
    fail::fail_point!(place, |order| obey(place, order.as_deref().unwrap_or_default()));
    Ok(())
}

/// A place is reached.
///
/// # Errors
/// None.
#[cfg(not(feature = "failpoints"))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "with the feature, it may fail")]
pub(crate) fn reach(_place: &'static str) -> Result<(), Error> {
    Ok(())
}

#[cfg(feature = "failpoints")]
fn obey(place: &'static str, order: &str) -> Result<(), Error> {
    if let Some((millis, then)) = order.strip_prefix("wait ").and_then(|rest| rest.split_once(" ms and ")) {
        let millis = millis.parse().unwrap_or_else(|_| no_such_order(place, order));
        std::thread::sleep(Duration::from_millis(millis));
        return obey(place, then);
    }
    match order {
        "die" => std::process::abort(),
        "fail" => Err(Error::new(Class::Abortable, Cause::Other, place, "the test wants it so")),
        "stop" => {
            stop();
            Ok(())
        }
        later => {
            let micros = later.strip_prefix("die in ").and_then(|rest| rest.strip_suffix(" us")?.parse().ok());
            let micros = micros.unwrap_or_else(|| no_such_order(place, order));
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_micros(micros));
                std::process::abort();
            });
            Ok(())
        }
    }
}

#[cfg(feature = "failpoints")]
fn no_such_order<T>(place: &str, order: &str) -> T {
    panic!("{place}: no such order: {order}")
}

/// Stops this process, all threads of it, until it is continued.
///
/// The signal is this thread's own (`raise`): sent to the process (`kill`), another thread might take it a moment later, and
/// this one would go on until then, past its place.
#[cfg(feature = "failpoints")]
fn stop() {
    nix::sys::signal::raise(nix::sys::signal::SIGSTOP).expect("a thread may stop itself");
}
