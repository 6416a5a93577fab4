//! What README.md tells a newcomer to type, typed.

use serde_json::Value;

use crate::system::{On, System, eventually, example};

const README: &str = include_str!("../README.md");
/// The tenant of the README and of the example.
const TENANT: &str = "my-tenant-1";

/// The `jobico …` lines of the README's section on one's own function, in order, without their comments.
fn commands() -> Vec<Vec<&'static str>> {
    let section = README.split("## Your own function, in four steps").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("jobico "));
    lines.map(|line| line.split('#').next().unwrap().split_whitespace().collect()).collect()
}

/// The example's files in the system's folder, where the README's paths lead to them. On a Kafka that others use too, they
/// are of this system's tenant and pool.
fn lay_out(system: &System) {
    let folder = system.folder();
    for path in ["customer-registration/customer.json", "customer-registration/events.json", "dist/customer.wasm"] {
        let to = folder.join("examples").join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(example::path(path), to).unwrap();
    }
    let job = example::text("customer-registration/job.yaml");
    let job = match system.on {
        On::Embedded => job,
        On::Kafka => example::of_tenant(&job, &system.tenant, &system.pool),
    };
    system.file("examples/customer-registration/job.yaml", job);
}

on_each_log! {
    fn the_four_steps_of_the_readme_work(on: On) {
        let mut system = match on {
            On::Embedded => System::of(on, TENANT, "default"),
            On::Kafka => System::new(on),
        };
        let tenant = system.tenant.clone();
        lay_out(&system);
        let mut followers = Vec::new();
        let mut seen = Vec::new();
        for command in commands() {
            let command: Vec<&str> = command.into_iter().map(|word| if word == TENANT { &*tenant } else { word }).collect();
            match command[..] {
                ["dev"] => system.start_dev(&[]),
                ["results", .., "-f"] => followers.push(system.follow(&command)),
                _ => drop(system.jobico(&command).expect_ok()),
            }
            match command[0] {
                "deploy" => system.client.await_event("customer-registration"),
                // The README's `curl`, which comes next.
                "send" => {
                    let events = std::fs::read(system.folder().join("examples/customer-registration/events.json")).unwrap();
                    let answer = system.client.post_event("customer-registration", events);
                    assert_eq!(answer.status, 200, "{answer:?}");
                    assert_eq!(answer.json()["events"].as_array().unwrap().len(), 3);
                    system.client.await_results(6);
                }
                _ => {}
            }
            seen.push(command[0].to_owned());
        }
        let all = ["dev", "upload", "upload", "deploy", "send", "results", "recorder", "dead", "pools"];
        assert_eq!(seen, all);

        let results = system.client.results();
        let greetings = |first: &str| results.iter().filter(|result| result["data"]["greeting"] == format!("Welcome, {first}")).count();
        assert_eq!((greetings("Ada"), greetings("Grace"), greetings("José")), (2, 2, 2), "{results:#?}");
        for result in &results {
            assert_eq!((&result["status"], &result["code"]), (&Value::from("ok"), &Value::from(0)));
        }
        // The follower shows what is there, and what comes.
        let shown = || followers[0].stdout().matches("Welcome, ").count();
        eventually("results -f shows what is there", || (shown() == 6).then_some(()));
        system.client.send("customer-registration", &[serde_json::json!(
            {"firstName": "Alan", "lastName": "Turing", "email": "alan@example.com", "age": 41}
        )]);
        eventually("results -f shows what comes", || followers[0].stdout().contains("Welcome, Alan").then_some(()));
        assert_eq!(shown(), 7);
    }
}
