//! Which contract a module follows, read from its binary.
use serde::{Deserialize, Serialize};

/// How a module is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// The core-module contract of Jobico-fn.
    JobicoletV1,
}
