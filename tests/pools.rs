//! Pools of processors: each reads the queues that are in it.

use crate::outcome;
use crate::system::{Job, On, System, numbers};

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
}
