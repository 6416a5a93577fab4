//! The files of examples/, as users find them, and the modules that the processor is tested with.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The path of a file of examples/.
pub fn path(name: &str) -> String {
    let path = root().join("examples").join(name);
    let path = path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}; run `make examples`", path.display()));
    path.to_str().expect("the checkout's path is UTF-8").to_owned()
}

/// The text of a file of examples/.
pub fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).expect("it can be read")
}

/// A module of processor/tests/modules, as wasm.
pub fn test_module(name: &str) -> Vec<u8> {
    let path = root().join("processor/tests/modules").join(format!("{name}.wat"));
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A job file of examples/, as a tenant's own, read by a pool of its own.
pub fn of_tenant(job: &str, tenant: &str, pool: &str) -> String {
    let with_pool = |line: &str| {
        // An item of the list of queues, in either spelling: nothing else has an id that begins so.
        let Some(indent) = line.find("- id: queue-").or_else(|| line.find("- ID: queue-")) else { return line.to_owned() };
        format!("{line}\n{}pool: {pool}", " ".repeat(indent + 2))
    };
    let lines: Vec<String> = job.lines().map(with_pool).collect();
    lines.join("\n").replace("my-tenant-1", tenant)
}
