//! What other services import of the control plane: the catalog as a snapshot that is swapped whole, and the artifacts.
//!
//! ```text
//! _schemas, jobico.catalog ─► Follower ─► event::snapshot::Catalog ─► Arc<Snapshot> ─► Handle::load, Handle::changed
//! digest ─► Artifacts: cache on disk (verified, bounded) ─► artifact folder of this machine, or the registry over HTTP
//! ```
//!
//! Nobody asks the registry on the data path: while it is down, everything that was deployed keeps running.

pub mod artifact;
mod eviction;
pub mod follow;

pub use artifact::{ArtifactError, Artifacts};
pub use follow::{Handle, Holder, start};
