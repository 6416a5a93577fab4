//! `jobico`.
fn main() {}
