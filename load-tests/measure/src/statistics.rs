//! The little arithmetic that figures are made with.

use std::time::Duration;

/// Which part of a run counts, as shares of its events: what comes before is start-up and warming, what comes after is
/// the end of some partitions before others.
const COUNTED: (f64, f64) = (0.1, 0.9);

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value at or below which the share `at` of all values lies; with an even number in the middle, the mean of the two.
pub fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = last as f64 * at;
    // A tail is not made smaller by what lies below it: between two values, the upper one counts; the median is halfway.
    match (at == 0.5, place.fract() == 0.0) {
        (true, false) => f64::midpoint(sorted[place as usize], sorted[place as usize + 1]),
        _ => sorted[place.ceil() as usize],
    }
}

/// How far something had come at a moment, and what CPU time it had used.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Since any fixed moment.
    pub at: Duration,
    /// Events done.
    pub done: u64,
    /// CPU time used.
    pub cpu: Duration,
    /// CPU time that Kafka used meanwhile, for whatever.
    pub kafka_cpu: Duration,
}

/// What one run did per second and per event, in the part of it that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Events per second.
    pub events_per_s: f64,
    /// CPU time per event, µs.
    pub cpu_us: f64,
    /// Kafka's CPU time per event, µs.
    pub kafka_cpu_us: f64,
}

impl Pace {
    /// The pace from one moment to another.
    pub fn between(begin: Sample, end: Sample) -> Self {
        let events = (end.done - begin.done) as f64;
        let us_each = |time: Duration| time.as_secs_f64() * 1e6 / events;
        Self {
            events_per_s: events / (end.at - begin.at).as_secs_f64(),
            cpu_us: us_each(end.cpu - begin.cpu),
            kafka_cpu_us: us_each(end.kafka_cpu - begin.kafka_cpu),
        }
    }
}

/// The pace of a run of `total` events between the samples nearest after [`COUNTED`]'s ends.
///
/// `None` where too few samples were taken: the run was too short for how often it was looked at.
pub fn pace(samples: &[Sample], total: u64) -> Option<Pace> {
    pace_between(samples, total, COUNTED)
}

/// The paces of the two halves of what counts. Alike, unless the work has become quicker or slower meanwhile.
pub fn halves(samples: &[Sample], total: u64) -> Option<(Pace, Pace)> {
    let (begin, end) = COUNTED;
    let middle = f64::midpoint(begin, end);
    Some((pace_between(samples, total, (begin, middle))?, pace_between(samples, total, (middle, end))?))
}

fn pace_between(samples: &[Sample], total: u64, (from, to): (f64, f64)) -> Option<Pace> {
    let first_with = |share: f64| samples.iter().find(|sample| sample.done as f64 >= total as f64 * share);
    let (begin, end) = (first_with(from)?, first_with(to)?);
    // Most of the events must lie between the two, else their distance says more of the sampling.
    ((end.done - begin.done) as f64 >= total as f64 * (to - from) * 0.6).then(|| Pace::between(*begin, *end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_quantile_is_never_below_the_share_it_names() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.99), 199.0);
        assert_eq!(quantile(&values, 1.0), 200.0);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn start_up_and_end_do_not_count_for_the_pace() {
        let ms = Duration::from_millis;
        let sample = |at, done, cpu| Sample { at: ms(at), done, cpu: ms(cpu), kafka_cpu: ms(cpu * 2) };
        let samples = [
            sample(0, 0, 0),
            sample(5_000, 100, 900),
            sample(6_000, 500, 1_100),
            sample(7_000, 900, 1_300),
            sample(60_000, 1_000, 9_000),
        ];
        assert_eq!(pace(&samples, 1_000), Some(Pace { events_per_s: 400.0, cpu_us: 500.0, kafka_cpu_us: 1_000.0 }));
    }

    #[test]
    fn work_that_becomes_slower_shows_in_its_halves() {
        let (cpu, kafka_cpu) = (Duration::ZERO, Duration::ZERO);
        let sample = |s, done| Sample { at: Duration::from_secs(s), done, cpu, kafka_cpu };
        let samples = [sample(1, 100), sample(2, 500), sample(6, 900)];
        let (first, second) = halves(&samples, 1_000).unwrap();
        assert_eq!((first.events_per_s, second.events_per_s), (400.0, 100.0));
    }

    #[test]
    fn a_run_that_was_hardly_looked_at_has_no_pace() {
        let second = Duration::from_secs(1);
        let at_once = [Sample { at: second, done: 1_000, cpu: second, kafka_cpu: second }];
        assert_eq!(pace(&at_once, 1_000), None);
        assert_eq!(pace(&[], 1_000), None);
    }
}
