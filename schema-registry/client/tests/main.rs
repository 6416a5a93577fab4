//! What services see of the control plane: the catalog as it is followed, and modules as they are fetched.

mod artifacts;
mod follow;
