//! A process that compiles one module: what `jobico compile-module` is to a processor, for tests of this crate alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobico_processor::compile::if_asked().expect("`compile-module` and what it may use")
}
