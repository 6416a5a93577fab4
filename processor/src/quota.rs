//! How much function time a tenant may have: a bucket that fills with time. Pure: the time is passed in.
//!
//! A quota is so many milliseconds of functions running in a second, on this worker. What is not used is kept, up to
//! [`BURST`]; what is used beyond that, since no call is cut short, is owed. Who has nothing left waits until there is
//! [`RESUME`] again: what was gathered of a partition is given back each time, which must not happen for every call.

use std::collections::HashMap;
use std::time::Duration;

use jobico_event::TenantId;

/// What a bucket holds at most: as much as its quota gives in this time. A new one is full.
pub const BURST: Duration = Duration::from_secs(5);
/// What an empty bucket holds before it is used again: as much as its quota gives in this time. So a tenant is held back
/// for a second at least, and not more than once a second.
pub const RESUME: Duration = Duration::from_secs(1);

/// The buckets of a worker's tenants with quotas.
#[derive(Debug, Default)]
pub struct Quotas {
    buckets: HashMap<TenantId, Bucket>,
    /// When waits were counted, milliseconds since 1970.
    counted_ms: i64,
}

/// How often waits are counted.
const COUNT_EVERY: Duration = Duration::from_millis(100);

/// One tenant's function time.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Milliseconds of functions in a second.
    ms_per_s: u32,
    /// What is there, nanoseconds of functions; below 0 it is owed.
    level_ns: i64,
    /// When that was, milliseconds since 1970.
    at_ms: i64,
    /// Since when it waits to hold [`RESUME`], and has been counted as waiting, milliseconds since 1970.
    held_ms: Option<i64>,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(ms_per_s: u32, now_ms: i64) -> Self {
        let mut bucket = Self { ms_per_s, level_ns: 0, at_ms: now_ms, held_ms: None };
        bucket.level_ns = bucket.given_in(BURST);
        bucket
    }

    /// What the quota gives in a time, nanoseconds of functions.
    fn given_in(&self, time: Duration) -> i64 {
        // Milliseconds, each of which gives thousandths of `ms_per_s` milliseconds: microseconds.
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        ms.saturating_mul(i64::from(self.ms_per_s)).saturating_mul(1_000)
    }

    /// Fills it up to now, at another quota from now on.
    fn fill(&mut self, ms_per_s: u32, now_ms: i64) {
        // A clock that is set back gives nothing, and takes nothing.
        let passed = Duration::from_millis(now_ms.saturating_sub(self.at_ms).try_into().unwrap_or(0));
        let level_ns = self.level_ns.saturating_add(self.given_in(passed));
        self.ms_per_s = ms_per_s;
        self.at_ms = now_ms;
        self.level_ns = level_ns.min(self.given_in(BURST));
    }

    /// Until when its tenant has to wait, milliseconds since 1970; none: it need not.
    pub fn wait(&mut self, ms_per_s: u32, now_ms: i64) -> Option<i64> {
        self.fill(ms_per_s, now_ms);
        let lacks_ns = self.given_in(RESUME).saturating_sub(self.level_ns);
        if lacks_ns <= 0 {
            self.held_ms = None;
        } else if self.level_ns <= 0 && self.held_ms.is_none() {
            self.held_ms = Some(now_ms);
        }
        self.held_ms?;
        let given_in_ms = self.given_in(Duration::from_millis(1)).max(1);
        // Rounded up: a moment too early there would not be enough.
        let wait_ms = lacks_ns / given_in_ms + i64::from(lacks_ns % given_in_ms > 0);
        Some(now_ms.saturating_add(wait_ms))
    }

    /// How long its tenant may run now.
    #[must_use]
    pub fn left(&self) -> Duration {
        Duration::from_nanos(self.level_ns.try_into().unwrap_or(0))
    }

    /// Its tenant ran so long.
    pub fn take(&mut self, taken: Duration) {
        self.level_ns = self.level_ns.saturating_sub(taken.as_nanos().try_into().unwrap_or(i64::MAX));
    }
}

impl Quotas {
    /// Until when a tenant with this quota has to wait, milliseconds since 1970; none: it need not.
    pub fn wait(&mut self, tenant: &TenantId, ms_per_s: Option<u32>, now_ms: i64) -> Option<i64> {
        let Some(ms_per_s) = ms_per_s else {
            // Nearly always: no tenant has a quota.
            if !self.buckets.is_empty() {
                self.buckets.remove(tenant);
            }
            return None;
        };
        if !self.buckets.contains_key(tenant) {
            self.buckets.insert(tenant.clone(), Bucket::new(ms_per_s, now_ms));
        }
        self.buckets.get_mut(tenant).expect("it was there or has just been put there").wait(ms_per_s, now_ms)
    }

    /// How long a tenant may run now; none: no quota limits it.
    #[must_use]
    pub fn left(&self, tenant: &TenantId) -> Option<Duration> {
        self.buckets.get(tenant).map(Bucket::left)
    }

    /// A tenant ran so long, whether or not what came of it is committed.
    pub fn take(&mut self, tenant: &TenantId, taken: Duration) {
        // Nearly always: no tenant has a quota.
        if self.buckets.is_empty() {
            return;
        }
        if let Some(bucket) = self.buckets.get_mut(tenant) {
            bucket.take(taken);
        }
    }

    /// Counts for each tenant that waits how long it did since the last call, and throws away the buckets of tenants without
    /// a quota; `quota` is a tenant's now. To be called often: it looks every [`COUNT_EVERY`].
    pub fn count_waits(
        &mut self,
        now_ms: i64,
        quota: impl Fn(&TenantId) -> Option<u32>,
        mut count: impl FnMut(&TenantId, Duration),
    ) {
        if self.buckets.is_empty() || now_ms.abs_diff(self.counted_ms) < COUNT_EVERY.as_millis() as u64 {
            return;
        }
        self.counted_ms = now_ms;
        self.buckets.retain(|tenant, bucket| {
            if let Some(since_ms) = bucket.held_ms {
                count(tenant, Duration::from_millis(now_ms.saturating_sub(since_ms).try_into().unwrap_or(0)));
                bucket.held_ms = Some(now_ms);
                // Ends its waiting where it is over: its partitions may be another worker's by now, and nobody asks here.
                bucket.wait(bucket.ms_per_s, now_ms);
            }
            quota(tenant).is_some()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any moment, milliseconds since 1970.
    const NOW: i64 = 1_700_000_000_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_what_its_quota_gives() {
        // Quota; what is taken at the start; after how many milliseconds it is asked; until when it waits, after that.
        for (quota, taken, after, wait) in [
            (100, 0, 0, None),
            (100, 499, 0, None),
            // Nothing is left of 500 ms: 100 ms come in a second.
            (100, 500, 0, Some(1_000)),
            (100, 500, 400, Some(600)),
            (100, 500, 999, Some(1)),
            (100, 500, 1_000, None),
            // A call of 2 s that nobody cut short is paid back first.
            (100, 2_500, 0, Some(21_000)),
            (100, 2_500, 20_000, Some(1_000)),
            (1_000, 5_000, 0, Some(1_000)),
            (1_000, 5_250, 1_000, Some(250)),
            (1, 5, 0, Some(1_000)),
            (1, 6, 0, Some(2_000)),
        ] {
            let mut bucket = Bucket::new(quota, NOW);
            bucket.take(ms(taken));
            assert_eq!(bucket.wait(quota, NOW).is_some(), taken >= u64::from(quota) * 5, "{quota} {taken}");
            let asked = NOW + after;
            assert_eq!(bucket.wait(quota, asked), wait.map(|wait| asked + wait), "{quota} {taken} {after}");
        }
    }

    #[test]
    fn who_waits_waits_until_there_is_enough_and_not_just_something() {
        let mut bucket = Bucket::new(100, NOW);
        bucket.take(ms(501));
        assert_eq!(bucket.wait(100, NOW), Some(NOW + 1_010));
        assert_eq!(bucket.wait(100, NOW + 900), Some(NOW + 1_010), "89 ms are there, and 100 are waited for");
        assert_eq!(bucket.wait(100, NOW + 1_010), None);
        bucket.take(ms(99));
        assert_eq!((bucket.wait(100, NOW + 1_010), bucket.left()), (None, ms(1)), "the last of it is used, too");
    }

    #[test]
    fn what_is_not_used_is_kept_up_to_the_burst() {
        let mut bucket = Bucket::new(200, NOW);
        bucket.take(ms(700));
        for (after, left) in [(0, 300), (1_000, 500), (3_500, 1_000), (3_600_000, 1_000)] {
            assert_eq!(bucket.wait(200, NOW + after), None);
            assert_eq!(bucket.left(), ms(left), "{after}");
        }
    }

    #[test]
    fn over_any_time_no_more_is_used_than_the_quota_gives_and_a_burst_and_a_call() {
        let (mut bucket, mut used, call) = (Bucket::new(250, NOW), Duration::ZERO, ms(7));
        for now in 0..60_000 {
            // A worker that is idle otherwise, and always has more of this tenant's.
            if bucket.wait(250, NOW + now).is_none() {
                bucket.take(call);
                used += call;
            }
        }
        assert!(used <= ms(60 * 250 + 5 * 250) + call, "{used:?}");
        assert!(used >= ms(60 * 250), "{used:?}");
    }

    #[test]
    fn a_quota_that_changes_holds_from_then_on() {
        let mut bucket = Bucket::new(10, NOW);
        bucket.take(ms(60));
        assert_eq!(bucket.wait(10, NOW), Some(NOW + 2_000));
        assert_eq!(bucket.wait(1_000, NOW), Some(NOW + 1_010), "the 10 ms owed, and a second of the new one");
        let mut bucket = Bucket::new(1_000, NOW);
        assert_eq!(bucket.wait(10, NOW), None);
        assert_eq!(bucket.left(), ms(50), "the burst is that of the quota of now");
    }

    #[test]
    fn a_clock_that_jumps_gives_no_more_than_a_burst_and_takes_nothing() {
        let mut bucket = Bucket::new(100, NOW);
        bucket.take(ms(600));
        assert_eq!(bucket.wait(100, NOW - 3_600_000), Some(NOW - 3_600_000 + 2_000), "it was set back");
        assert_eq!(bucket.wait(100, NOW - 3_600_000 + 2_000), None);
        assert_eq!(bucket.wait(100, i64::MAX), None);
        assert_eq!(bucket.left(), ms(500));
    }

    #[test]
    fn quotas_are_each_tenants_own_and_gone_when_they_are_lifted() {
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let mut quotas = Quotas::default();
        assert_eq!(quotas.wait(&a, Some(100), NOW), None);
        quotas.take(&a, ms(600));
        quotas.take(&b, ms(600));
        assert_eq!(quotas.wait(&a, Some(100), NOW), Some(NOW + 2_000));
        assert_eq!((quotas.wait(&b, None, NOW), quotas.left(&b)), (None, None));
        assert_eq!((quotas.wait(&a, None, NOW), quotas.left(&a)), (None, None), "lifted");
        assert_eq!(quotas.wait(&a, Some(100), NOW), None, "a new quota begins with a full bucket");
    }

    #[test]
    fn waits_are_counted_as_they_pass_and_not_beyond_their_end() {
        let a = TenantId::new("a").unwrap();
        let mut quotas = Quotas::default();
        let count = |quotas: &mut Quotas, after, quota: Option<u32>| {
            let mut counted = Vec::new();
            quotas.count_waits(NOW + after, |_| quota, |tenant, time| counted.push((tenant.to_string(), time)));
            counted
        };
        quotas.wait(&a, Some(100), NOW);
        assert_eq!(count(&mut quotas, 0, Some(100)), [], "it does not wait");
        quotas.take(&a, ms(500));
        quotas.wait(&a, Some(100), NOW);
        assert_eq!(count(&mut quotas, 300, Some(100)), [("a".to_owned(), ms(300))]);
        assert_eq!(count(&mut quotas, 310, Some(100)), [], "not each time");
        assert_eq!(count(&mut quotas, 1_000, Some(100)), [("a".to_owned(), ms(700))]);
        assert_eq!(count(&mut quotas, 9_000, Some(100)), [], "nobody asked again, and it is over");
        assert_eq!(count(&mut quotas, 9_500, None), []);
        assert_eq!(quotas.left(&a), None, "without a quota there is no bucket");
    }
}
