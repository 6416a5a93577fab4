//! What services import of the control plane: the catalog's snapshot and the artifacts.
