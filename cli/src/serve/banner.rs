//! What a start prints on standard output: one `name address` a line for programs, a little more for people.
#![allow(clippy::print_stdout, reason = "standard output is what this module is for")]

use std::net::SocketAddr;

use super::Running;

/// The servers that listen, as `name http://address` lines.
pub fn addresses(running: &Running) {
    for (name, address) in servers(running) {
        println!("{name} http://{address}");
    }
}

/// What a person who has just started `jobico dev` wants to know.
pub fn welcome(running: &Running) {
    println!("Jobico is up.");
    println!("  log      {}", running.log);
    if let Some(store) = &running.store {
        println!("  results  {store}");
    }
    println!("  data     {}", running.data_dir.display());
    for (name, address) in servers(running) {
        println!("  {name:<8} http://{address}");
    }
    println!();
    println!("Next, in another terminal (the example's own files are in examples/customer-registration):");
    println!("  jobico upload json my-tenant-1 customer.json customer.json");
    println!("  jobico upload wasm my-tenant-1 customer.wasm customer.wasm");
    println!("  jobico deploy job.yaml");
    println!("  jobico send my-tenant-1 customer-registration events.json");
    println!("  jobico results my-tenant-1 -f");
    println!("Ctrl-C stops it; what was acknowledged is there again at the next start.");
}

fn servers(running: &Running) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    let all = [
        ("ingest", running.ingest),
        ("registry", running.registry),
        ("recorder", running.recorder),
        ("admin", running.admin),
    ];
    all.into_iter().filter_map(|(name, address)| address.map(|address| (name, address)))
}
