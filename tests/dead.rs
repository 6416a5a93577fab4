//! Dead letters, with the tools that people have for them.

use serde_json::{Value, json};

use crate::outcome;
use crate::system::{Job, On, System, eventually};

/// A function that traps in events with a '!'.
const FRAGILE: &str = "trap_when";

fn texts<'v>(list: &'v Value, name: &str) -> Vec<&'v str> {
    list["letters"].as_array().unwrap().iter().map(|letter| letter[name].as_str().unwrap()).collect()
}

impl System {
    fn dead(&self, arguments: &[&str]) -> Value {
        self.jobico(&[&["dead"], arguments, &["--output", "json"]].concat()).json()
    }

    /// Waits until a tenant has so many open dead letters.
    fn await_dead(&self, count: usize) -> Value {
        eventually(&format!("{count} dead letters"), || {
            let list = self.dead(&["list", &self.tenant]);
            (texts(&list, "id").len() >= count).then_some(list)
        })
    }
}

on_each_log! {
    fn a_dead_letter_is_found_and_after_a_new_version_redriven_to_its_result(on: On) {
        let mut system = System::dev(on);
        let tenant = system.tenant.clone();
        system.deploy(&Job::new("numbers").event("number", "q", FRAGILE));
        let sent = system.client.send("number", &[json!({"text": "fine"}), json!({"text": "bang!"})]);
        let event = sent[1]["id"].as_str().unwrap().to_owned();
        let list = system.await_dead(1);
        assert_eq!((texts(&list, "event"), texts(&list, "stage"), texts(&list, "code")), (vec![&*event], vec!["function"], vec!["trap"]));
        let id = texts(&list, "id")[0].to_owned();
        let table = system.jobico(&["dead", "list", &tenant]).expect_ok().to_owned();
        assert!(table.contains(&id) && table.contains("function/trap") && table.contains(&event), "{table}");
        let shown = system.dead(&["show", &tenant, &id]);
        assert_eq!((&shown["event"], &shown["attempts"], &shown["topic"]), (&json!(event), &json!(1), &json!(format!("{tenant}.q"))));
        let value = system.jobico(&["dead", "show", &tenant, &id, "--value"]);
        assert_eq!(value.expect_ok(), r#"{"text":"bang!"}"#);
        let table = system.jobico(&["dead", "show", &tenant, &id]).expect_ok().to_owned();
        assert!(table.contains("ce_type: number") && table.contains("trap"), "{table}");

        // The function is mended; an event that has its result tells that it is in force.
        system.deploy(&Job::new("numbers").event("number", "q", "echo"));
        eventually("the new version is in force", || {
            let probe = system.client.send("number", &[json!({"text": "probe!"})]);
            let mended = |result: &Value| result["event"] == probe[0]["id"];
            eventually("the probe's outcome", || {
                let dead = texts(&system.dead(&["list", &tenant]), "event").contains(&probe[0]["id"].as_str().unwrap());
                (dead || system.client.results().iter().any(mended)).then_some(())
            });
            system.client.results().iter().any(mended).then_some(())
        });
        assert_eq!(system.dead(&["redrive", &tenant, &id]), json!({"redriven": 1, "refused": []}));
        let result = eventually("the result of the redriven event", || {
            system.client.results().into_iter().find(|result| result["event"] == *event)
        });
        assert_eq!((&result["status"], &result["attempts"]), (&json!("ok"), &json!(1)));
        assert_ne!((&result["partition"], &result["offset"]), (&sent[1]["partition"], &sent[1]["offset"]), "it stands anew");
        let refused = system.jobico(&["dead", "redrive", &tenant, &id]);
        let said = refused.expect_code(3);
        assert!(said.contains("redriven at") && said.contains("--force"), "{said}");
        let before = system.client.results().len();
        let rest = system.dead(&["redrive", &tenant, "--all"]);
        assert_eq!(rest["refused"], json!([]));
        system.client.await_results(before + usize::try_from(rest["redriven"].as_u64().unwrap()).unwrap());
        assert_eq!(texts(&system.dead(&["list", &tenant]), "id"), Vec::<&str>::new());
        assert!(texts(&system.dead(&["list", &tenant, "--state", "redriven"]), "id").contains(&&*id));
        assert_eq!(system.stop("dev"), Some(0));
        outcome::assert_exactly_once(&system.records("q"), &system.records("results"), &system.records("dead"));
    }

    fn many_dead_letters_are_redriven_at_once_and_fail_again_once_each(on: On) {
        const EVENTS: usize = 150;
        let mut system = System::dev(on);
        let tenant = system.tenant.clone();
        system.deploy(&Job::new("numbers").event("number", "q", FRAGILE));
        let events: Vec<Value> = (0..EVENTS).map(|n| json!({"n": n, "text": "bang!"})).collect();
        system.client.send("number", &events);
        let count = |state: &str| texts(&system.dead(&["list", &tenant, "--state", state, "--limit", "1000"]), "id").len();
        eventually("all are dead letters", || (count("open") == EVENTS).then_some(()));
        assert_eq!(system.dead(&["redrive", &tenant, "--code", "trap"]), json!({"redriven": EVENTS, "refused": []}));
        assert_eq!(count("redriven"), EVENTS);
        eventually("all have failed again", || (count("open") == EVENTS).then_some(()));
        assert_eq!(system.dead(&["drop", &tenant, "--all", "--limit", "120"]), json!({"dropped": 120, "refused": []}));
        assert_eq!((count("open"), count("dropped"), count("all")), (EVENTS - 120, 120, 2 * EVENTS));
        assert_eq!(system.stop("dev"), Some(0));
        outcome::assert_exactly_once(&system.records("q"), &system.records("results"), &system.records("dead"));
    }
}

#[test]
fn a_wrong_command_line_for_dead_letters_is_answered_with_what_is_wrong() {
    let system = System::dev(On::Embedded);
    system.deploy(&Job::new("numbers").event("number", "q", "echo"));
    let tenant = system.tenant.as_str();
    let fails = |arguments: &[&str], code: i32, named: &str| {
        let run = system.jobico(&[&["dead"], arguments].concat());
        assert!(run.expect_code(code).contains(named), "'{named}' is not in:\n{}", run.stderr);
    };
    fails(&["redrive", tenant], 2, "--all");
    fails(&["redrive", tenant, "0-1", "--code", "trap"], 2, "--code");
    fails(&["show", tenant, "first"], 2, "0-117");
    fails(&["list", tenant, "--stage", "late"], 3, "validate");
    fails(&["list", tenant, "--state", "lost"], 3, "redriven");
    fails(&["list", tenant, "--until", "soon"], 3, "until");
    fails(&["list", "nobody"], 4, "nobody");
    fails(&["show", tenant, "0-5"], 4, "0-5");
    fails(&["drop", tenant, "0-5"], 4, "0-5");
    fails(&["list", tenant, "--recorder", "http://127.0.0.1:1"], 5, "http://127.0.0.1:1");
}
