//! What a module's binary says, and what is refused.

use jobico_event::contract::{Contract, Free, inspect};

/// A module that keeps to the contract, as Rust builds them, with `extra` put into it.
fn module(extra: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module
            (import "env" "log" (func (param i32 i32 i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 17)
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "free") (param i32 i32))
            (func (export "init"))
            (func (export "ver") (result i32) (i32.const 1))
            (func (export "event") (param i32 i32 i32))
            {extra})"#
    ))
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_module_as_rust_builds_it_is_accepted_and_described() {
    let module = inspect(&module(r#"(func (export "other") (param i32 i32 i32))"#)).unwrap();
    assert_eq!(module.contract, Contract::JobicoletV1);
    assert_eq!((module.start, module.free, module.ver), (None, Free::PointerAndSize, true));
    assert_eq!(module.memory_pages, 17);
    assert_eq!(module.exports.callable().collect::<Vec<_>>(), ["event", "other"]);
    assert_eq!(module.exports.check_main("event"), Ok(()));
}
