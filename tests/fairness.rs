//! Tenants on one worker: a quota holds for one and not for its neighbour, until it is lifted.

use serde_json::json;

use crate::outcome;
use crate::system::{Client, Job, On, System, eventually};

/// Events of the tenant with a quota. Their function takes half a millisecond at least: with a millisecond a second they
/// take minutes, longer than anything is waited for; without, a second or so.
const LIMITED: usize = 600;
/// Events of its neighbour.
const FREE: usize = 100;

on_each_log! {
    fn a_tenant_over_its_quota_waits_its_neighbour_does_not_and_it_goes_on_once_that_is_lifted(on: On) {
        let mut system = System::new(on);
        system.start_dev(&["--workers", "1"]);
        let limited = system.client.clone();
        let set = |system: &System, tenant: &str, quota: &str| {
            system.jobico(&["tenant", "set", tenant, "--quota-ms-per-s", quota]).expect_ok();
        };
        // What makes it a tenant; its quota stands in the catalog before its job does.
        let schema = system.file("any.json", "{}");
        system.jobico(&["upload", "json", &limited.tenant, "any.json", schema.to_str().unwrap()]).expect_ok();
        set(&system, &limited.tenant, "1");
        system.deploy(&Job::new("limited").event("slow", "limited", "slow"));
        let free = Client::new(&format!("{}-n", limited.tenant), limited.urls.clone());
        (system.tenant, system.client) = (free.tenant.clone(), free.clone());
        system.deploy(&Job::new("free").event("slow", "free", "slow"));

        let events = |count: usize| (0..count).map(|n| json!({ "n": n })).collect::<Vec<_>>();
        limited.send("slow", &events(LIMITED));
        let admin = system.client.url("admin", "/metrics");
        let of_tenant = |metric: &str, tenant: &str| {
            let begin = format!("{metric}{{tenant=\"{tenant}\"}} ");
            let metrics = system.client.get_url(&admin).body;
            metrics.lines().find_map(|line| line.strip_prefix(&begin)?.parse::<f64>().ok())
        };
        let throttled = |tenant: &str| of_tenant("jobico_processor_throttled_seconds_total", tenant);
        eventually("it waits", || throttled(&limited.tenant).filter(|seconds| *seconds > 0.0));
        free.send("slow", &events(FREE));
        free.await_results(FREE);
        assert!(limited.results().len() < LIMITED, "the neighbour's events were done, and not all of its own");
        assert_eq!(throttled(&free.tenant), None, "who has no quota never waits for it");
        let share = |tenant: &str| of_tenant("jobico_processor_function_seconds_total", tenant).unwrap();
        assert!(share(&free.tenant) > 0.0 && share(&limited.tenant) > 0.0);

        set(&system, &limited.tenant, "default");
        limited.await_results(LIMITED);
        assert_eq!(system.stop("dev"), Some(0));
        for (tenant, queue) in [(limited.tenant, "limited"), (free.tenant, "free")] {
            system.tenant = tenant;
            outcome::assert_exactly_once(&system.records(queue), &system.records("results"), &system.records("dead"));
        }
    }
}
