//! Functions that misbehave: a dead letter of their tenant's, and nothing to anybody else.

use serde_json::json;

use crate::outcome;
use crate::system::{Client, Job, On, System, eventually};

/// Modules of processor/tests/modules that fail in each event, or before.
const HOSTILE: &[&str] = &[
    "trap",
    "loop",
    "memory_bomb",
    "deep_recursion",
    "wild_pointer",
    "huge_length",
    "bad_utf8",
    "log_flood",
    "stdout_flood",
    "event_exit",
    "init_trap",
    "start_loop",
    "zero_malloc",
    "wild_malloc",
];
/// Events for each of them.
const EACH: usize = 2;

on_each_log! {
    fn hostile_functions_cost_their_tenant_dead_letters_and_its_neighbour_nothing(on: On) {
        let mut system = System::dev(on);
        let mut job = Job::new("hostile");
        for module in HOSTILE {
            job = job.event(module, "hostile", module).timeout_ms(100);
        }
        system.deploy(&job);
        // The neighbour: another tenant, whose queue the same processors read.
        let neighbour = Client::new(&format!("{}-n", system.tenant), system.client.urls.clone());
        let hostile = std::mem::replace(&mut system.tenant, neighbour.tenant.clone());
        let hostile_client = std::mem::replace(&mut system.client, neighbour.clone());
        system.deploy(&Job::new("quiet").event("greet", "quiet", "echo"));

        for round in 0..EACH {
            for module in HOSTILE {
                hostile_client.send(module, &[json!({"round": round})]);
                neighbour.send("greet", &[json!({"round": round, "beside": module})]);
            }
        }
        let greeted = neighbour.await_results(EACH * HOSTILE.len());
        assert_eq!(greeted.len(), EACH * HOSTILE.len());
        assert!(greeted.iter().all(|result| result["status"] == "ok"));
        let admin = system.client.url("admin", "");
        let wanted = (EACH * HOSTILE.len()) as f64;
        eventually("each hostile event is a dead letter", || {
            system.assert_well();
            (system.client.metric(&admin, "jobico_processor_dead_letters_total") >= wanted).then_some(())
        });
        assert_eq!(hostile_client.results(), Vec::<serde_json::Value>::new());
        assert_eq!(system.stop("dev"), Some(0));

        system.tenant = hostile;
        let (queue, dead) = (system.records("hostile"), system.records("dead"));
        outcome::assert_exactly_once(&queue, &system.records("results"), &dead);
        for letter in &dead {
            let event = letter.header("ce_type");
            let (stage, code) = (letter.header("jobico-error-stage"), letter.header("jobico-error-code"));
            assert!(matches!(stage, "function" | "output"), "{event}: {stage} {code}");
            assert!(!letter.header("jobico-error-message").is_empty(), "{event}");
            match event {
                "loop" | "log_flood" | "stdout_flood" | "start_loop" => assert_eq!(code, "timeout", "{event}"),
                "trap" => assert_eq!(code, "trap"),
                _ => assert!(!code.is_empty(), "{event}"),
            }
        }
    }
}
