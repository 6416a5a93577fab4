//! The scheduler alone, in simulated time: tenants that flood beside one that is quiet.
//!
//! A simulated worker gathers what has come, gives turns, commits, and looks at its quotas, as the real one does, with the
//! very code that gives turns and fills buckets. Nothing is measured: calls and commits take what the seed says.

use std::collections::VecDeque;
use std::time::Duration;

use jobico_event::TenantId;
use jobico_processor::quota::Quotas;
use jobico_processor::turns::{Claim, Taken, Turns};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A batch's time.
const BATCH: Duration = Duration::from_millis(100);
/// The longest commit.
const COMMIT_MAX: Duration = Duration::from_millis(8);
/// Time between two events of the quiet tenant.
const QUIET_EVERY: Duration = Duration::from_millis(10);
/// How long is simulated, from the first event on.
const TIME: Duration = Duration::from_secs(60);
/// Events that a flooding tenant has waiting at the start.
const BACKLOG: usize = 100_000;
const SEEDS: u64 = 20;

/// A tenant, and what comes for it.
struct Tenant {
    id: TenantId,
    weight: u32,
    quota_ms_per_s: Option<u32>,
    /// Its function takes so long, or up to twice as long.
    call: Duration,
    /// When its events come, in order; those at 0 are a backlog.
    arrivals: VecDeque<Duration>,
    /// How long each event waited until its outcome was committed.
    waits: Vec<Duration>,
    /// How long its functions ran.
    ran: Duration,
}

fn tenant(id: &str, weight: u32, call: Duration, arrivals: VecDeque<Duration>) -> Tenant {
    let id = TenantId::new(id).unwrap();
    Tenant { id, weight, quota_ms_per_s: None, call, arrivals, waits: Vec::new(), ran: Duration::ZERO }
}

/// A hundred events a second, each quickly done.
fn quiet(weight: u32) -> Tenant {
    let count = TIME.as_millis() / QUIET_EVERY.as_millis();
    let arrivals = (0..u32::try_from(count).unwrap()).map(|n| QUIET_EVERY * n + Duration::from_micros(1)).collect();
    tenant("quiet", weight, Duration::from_micros(20), arrivals)
}

/// A long backlog of a slow function.
fn flood(id: &str, weight: u32, call: Duration) -> Tenant {
    tenant(id, weight, call, std::iter::repeat_n(Duration::ZERO, BACKLOG).collect())
}

/// One worker's time, until nothing is left or [`TIME`] is over.
fn simulate(seed: u64, mut tenants: Vec<Tenant>) -> Vec<Tenant> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut turns, mut quotas, mut now) = (Turns::new(BATCH), Quotas::default(), Duration::ZERO);
    while now < TIME {
        let now_ms = i64::try_from(now.as_millis()).unwrap();
        let may_run = |tenant: &Tenant, quotas: &mut Quotas| {
            tenant.arrivals.front().is_some_and(|first| *first <= now)
                && quotas.wait(&tenant.id, tenant.quota_ms_per_s, now_ms).is_none()
        };
        let here: Vec<usize> = (0..tenants.len()).filter(|index| may_run(&tenants[*index], &mut quotas)).collect();
        if here.is_empty() {
            now += Duration::from_millis(1);
            continue;
        }
        let claim = |index: &usize| Claim {
            party: Some(tenants[*index].id.clone()),
            weight: tenants[*index].weight,
            allowance: quotas.left(&tenants[*index].id),
        };
        let claims: Vec<Claim> = here.iter().map(claim).collect();
        let come = |index: &usize| tenants[*index].arrivals.partition_point(|arrival| *arrival <= now);
        let events: Vec<usize> = here.iter().map(come).collect();
        let mut taken = Duration::ZERO;
        let step = |party: usize, _| {
            let tenant = &mut tenants[here[party]];
            let call = tenant.call.mul_f64(random.random_range(1.0..2.0));
            quotas.take(&tenant.id, call);
            tenant.ran += call;
            taken += call;
            Ok::<_, std::convert::Infallible>(Taken { function_time: call, is_full: false })
        };
        let Ok(done) = turns.run(&claims, &events, step);
        now += taken + COMMIT_MAX.mul_f64(random.random_range(0.4..1.0));
        for (index, done) in here.into_iter().zip(done) {
            let Tenant { arrivals, waits, .. } = &mut tenants[index];
            waits.extend(arrivals.drain(..done).map(|arrival| now - arrival));
        }
    }
    tenants
}

fn p99(tenant: &Tenant) -> Duration {
    let mut waits = tenant.waits.clone();
    waits.sort_unstable();
    waits[waits.len() * 99 / 100]
}

/// The quiet tenant's p99, alone and beside others.
fn alone_and_beside(seed: u64, weight: u32, others: impl Fn() -> Vec<Tenant>) -> (Duration, Duration) {
    let alone = p99(&simulate(seed, vec![quiet(weight)])[0]);
    let mut all = others();
    all.push(quiet(weight));
    let all = simulate(seed, all);
    let quiet = all.last().unwrap();
    assert!(quiet.arrivals.len() < 100, "the quiet tenant's events are done");
    assert!(all[..all.len() - 1].iter().all(|flood| !flood.arrivals.is_empty()), "the flood lasts to the end");
    (alone, p99(quiet))
}

#[test]
fn a_quiet_tenant_beside_a_flood_waits_for_one_batch_more() {
    for seed in 0..SEEDS {
        for call in [Duration::from_millis(1), Duration::from_millis(7)] {
            let (alone, beside) = alone_and_beside(seed, 1, || vec![flood("flood", 1, call)]);
            let most = alone.mul_f64(1.1) + BATCH;
            assert!(beside <= most, "seed {seed}, calls of {call:?}: {alone:?} alone, {beside:?} beside the flood");
        }
    }
}

#[test]
fn neither_weights_nor_the_number_of_floods_make_it_wait_longer() {
    let call = Duration::from_millis(1);
    // A whole batch to its end: its time, the call that overruns each party's part, and its commit.
    let whole = |floods: u32| BATCH + 2 * call * floods + COMMIT_MAX;
    for seed in 0..SEEDS {
        for (weights, quiet) in
            [(&[3][..], 1), (&[1], 3), (&[100], 1), (&[1], 100), (&[1, 1, 1], 1), (&[5, 1, 50, 7], 2)]
        {
            let floods = || {
                let flood = |(n, weight): (usize, &u32)| flood(&format!("flood{n}"), *weight, call);
                weights.iter().enumerate().map(flood).collect()
            };
            let (alone, beside) = alone_and_beside(seed, quiet, floods);
            let most = alone.mul_f64(1.1) + whole(u32::try_from(weights.len()).unwrap());
            assert!(beside <= most, "seed {seed}, floods of {weights:?} beside {quiet}: {alone:?} alone, {beside:?}");
        }
    }
}

#[test]
fn floods_share_the_time_by_weight_while_a_quiet_one_passes() {
    for seed in 0..SEEDS {
        let floods =
            vec![flood("one", 1, Duration::from_millis(1)), flood("three", 3, Duration::from_millis(4)), quiet(1)];
        let ran = simulate(seed, floods);
        let share = ran[1].ran.as_secs_f64() / ran[0].ran.as_secs_f64();
        assert!((2.85..3.15).contains(&share), "seed {seed}: {share}");
    }
}

#[test]
fn a_flood_over_its_quota_waits_and_leaves_the_time_to_others() {
    for seed in 0..SEEDS {
        let limited = Tenant { quota_ms_per_s: Some(200), ..flood("limited", 1, Duration::from_millis(1)) };
        let tenants = simulate(seed, vec![limited, flood("free", 1, Duration::from_millis(1)), quiet(1)]);
        let [limited, free, quiet] = &tenants[..] else { panic!("there are three") };
        let seconds = TIME.as_secs_f64();
        // A fifth of the time, and the burst of five seconds of that.
        let most = 0.2 * (seconds + 5.0) + 0.01;
        let ran = limited.ran.as_secs_f64();
        assert!(ran <= most && ran >= 0.2 * seconds - 0.3, "seed {seed}: {ran} s");
        assert!(free.ran.as_secs_f64() > 0.55 * seconds, "seed {seed}: the other has what is left: {:?}", free.ran);
        assert!(p99(quiet) <= BATCH + 3 * COMMIT_MAX, "seed {seed}: {:?}", p99(quiet));
    }
}
