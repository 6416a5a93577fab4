//! Pools of processors: each reads the queues that are in it, and its workers share them.

use serde_json::json;

use crate::outcome;
use crate::system::{Job, On, System, eventually, numbers};

on_each_log! {
    fn a_queue_that_moves_to_another_pool_and_back_goes_on_where_it_was(on: On) {
        let mut system = System::dev(on);
        let job = Job::new("numbers").event("number", "q", "echo");
        let (home, other) = (system.pool.clone(), format!("{}-other", system.pool));
        let mut sent = 0;
        for pool in [&home, &other, &home, &other] {
            if *pool != system.pool {
                assert_eq!(system.stop("dev"), Some(0));
                pool.clone_into(&mut system.pool);
                system.start_dev(&[]);
            }
            // The events of the first half are there before the queue is moved: the pool that has it is not running.
            if sent > 0 {
                system.client.send("number", &numbers(sent..sent + 20));
                sent += 20;
            }
            system.deploy(&job);
            system.client.send("number", &numbers(sent..sent + 20));
            sent += 20;
            system.client.await_results(sent);
        }
        assert_eq!(system.stop("dev"), Some(0));
        outcome::assert_exactly_once(&system.records("q"), &system.records("results"), &system.records("dead"));
    }

    fn a_move_that_is_taken_back_before_the_other_pool_has_a_processor_changes_nothing(on: On) {
        let mut system = System::dev(on);
        let job = Job::new("numbers").event("number", "q", "echo");
        system.deploy(&job);
        // One partition is begun, the others are not.
        system.client.send("number", &numbers(0..1));
        system.client.await_results(1);
        let home = system.pool.clone();
        system.pool = format!("{home}-nobody");
        system.deploy(&job);
        system.client.send("number", &numbers(1..31));
        system.pool = home;
        system.deploy(&job);
        system.client.await_results(31);
        assert_eq!(system.stop("dev"), Some(0));
        outcome::assert_exactly_once(&system.records("q"), &system.records("results"), &system.records("dead"));
    }

    fn a_pool_is_shown_with_what_it_has_to_do_and_who_does_it(on: On) {
        let system = System::dev(on);
        system.deploy(&Job::new("numbers").event("number", "q", "echo"));
        system.client.send("number", &[json!(1), json!(2)]);
        system.client.await_results(2);
        let pool = eventually("all is committed, and all partitions have a member", || {
            let pools = system.jobico(&["pools", &system.pool, "--output", "json"]).json();
            let pool = pools["pools"][0].clone();
            let has: u64 = pool["members"].as_array().unwrap().iter().map(|one| one["partitions"].as_u64().unwrap()).sum();
            let partitions = pool["topics"].as_array().unwrap().iter().flat_map(|topic| topic["partitions"].as_array().unwrap());
            (pool["lag"] == 0 && has > 0 && has == partitions.count() as u64).then_some(pool)
        });
        assert_eq!(pool["group"], format!("jobico.processor.{}", system.pool));
        let queue = pool["topics"].as_array().unwrap().iter().find(|topic| topic["topic"] == format!("{}.q", system.tenant));
        assert_eq!(queue.unwrap()["partitions"].as_array().map(Vec::len), Some(3));
        let table = system.jobico(&["pools"]).expect_ok().to_owned();
        assert!(table.contains(&system.pool), "{table}");
        let table = system.jobico(&["pools", &system.pool]).expect_ok().to_owned();
        assert!(table.contains("jobico-processor-") && table.contains(&format!("{}.q", system.tenant)), "{table}");
        system.jobico(&["pools", "nobodys"]).expect_code(4);
        system.assert_well();
    }
}

/// Groups spread partitions by their number: were there any that nobody writes to, one worker could have all of the queue.
#[test]
fn the_workers_of_a_pool_share_its_queue() {
    let system = System::dev(On::Kafka);
    system.deploy(&Job::new("numbers").event("number", "q", "echo"));
    eventually("two workers share three partitions", || {
        let pools = system.jobico(&["pools", &system.pool, "--output", "json"]).json();
        let members = pools["pools"][0]["members"].as_array()?;
        let mut shares: Vec<_> = members.iter().map(|one| one["partitions"].as_u64()).collect();
        shares.sort_unstable();
        (shares == [Some(1), Some(2)]).then_some(())
    });
    system.assert_well();
}
