//! What services see of the control plane: the catalog as it is followed, and modules as they are fetched.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test reports what it measured, and fails by panicking")]

mod artifacts;
mod follow;
