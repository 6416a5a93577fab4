//! The control plane: schemas, functions, jobs, artifacts.
