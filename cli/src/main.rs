//! `jobico`: the one binary. `serve` and `dev` are the system; the other commands are what people do with it.

mod args;
mod exit;
mod memory;

mod serve;

mod tools;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    memory::small_pages();
    // A processor has tenants' modules compiled by processes of its own program, which are nothing else.
    if let Some(done) = jobico_processor::compile::if_asked() {
        return done;
    }
    // Before any thread runs: the environment is read once, and never after.
    if let Err(reason) = jobico_service::config::load_env_files(std::path::Path::new(".")) {
        return exit::report(&exit::Error::usage(reason));
    }
    // Nothing, but in the binary that the tests build.
    jobico_broker::crash_point::arm();
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&exit::Error::failed(format!("no runtime: {error}"))),
    };
    let done = runtime.block_on(async {
        match args.command {
            Command::Serve(serve) => serve::run(serve).await,
            Command::Dev(dev) => serve::dev::run(dev).await,
            Command::Tool(tool) => tools::run(tool).await,
        }
    });
    // Blocking calls of librdkafka may still be on their way out; they must not hold the process.
    runtime.shutdown_timeout(SHUTDOWN_WAIT);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

/// How long what still blocks after everything has ended is waited for.
const SHUTDOWN_WAIT: std::time::Duration = std::time::Duration::from_secs(2);
