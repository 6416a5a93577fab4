//! What a run found: ratios of two things measured in turn, and the absolute figures beside them.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::settings::{Extent, Settings};
use crate::statistics::median;

/// How much worse than in the run before a ratio may be.
const REGRESSION_MAX: f64 = 0.10;

/// The findings of a run, as they are written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// When it began: RFC 3339, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: time::OffsetDateTime,
    /// Where.
    pub machine: Machine,
    /// How much was measured.
    pub extent: Extent,
    /// Ratios.
    pub ratios: Vec<Ratio>,
    /// Figures.
    pub figures: Vec<Figure>,
}

/// Something measured against something else, in turn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ratio {
    /// Its name, the same for ever.
    pub id: String,
    /// What was measured.
    pub what: String,
    /// Against what.
    pub against: String,
    /// The unit of both.
    pub unit: String,
    /// What is good.
    pub better: Better,
    /// What it has to reach, where that was set.
    pub reach: Option<f64>,
    /// What was measured, and against what, in each pair.
    pub pairs: Vec<(f64, f64)>,
    /// The median of the pairs' ratios.
    pub ratio: f64,
}

/// Which side of a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// An absolute figure: true for this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// Its name, the same for ever.
    pub id: String,
    /// What it is.
    pub what: String,
    /// Its unit.
    pub unit: String,
    /// Each measurement.
    pub values: Vec<f64>,
    /// Their median.
    pub median: f64,
    /// What the median may be at most, where that was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

impl Report {
    /// An empty one.
    pub fn new(machine: Machine, settings: &Settings) -> Self {
        let at = time::OffsetDateTime::now_utc();
        Self { at, machine, extent: settings.extent.clone(), ratios: Vec::new(), figures: Vec::new() }
    }

    /// Adds a ratio.
    pub fn ratio(&mut self, ratio: Ratio) {
        self.ratios.push(ratio);
    }

    /// Adds a figure.
    pub fn figure(&mut self, id: &str, what: &str, unit: &str, values: Vec<f64>) {
        self.add_figure(id, what, unit, values, None);
    }

    /// Adds a figure that must not be more than `at_most`, on any machine.
    pub fn figure_at_most(&mut self, id: &str, what: &str, unit: &str, values: Vec<f64>, at_most: f64) {
        self.add_figure(id, what, unit, values, Some(at_most));
    }

    fn add_figure(&mut self, id: &str, what: &str, unit: &str, values: Vec<f64>, at_most: Option<f64>) {
        let median = median(&values);
        self.figures.push(Figure { id: id.into(), what: what.into(), unit: unit.into(), values, median, at_most });
    }

    /// The ratios that are more than a tenth worse than in an earlier run, in words.
    pub fn regressions(&self, earlier: &Self) -> Vec<String> {
        let worse = self.ratios.iter().filter_map(|now| {
            let before = earlier.ratios.iter().find(|ratio| ratio.id == now.id)?;
            let kept = match now.better {
                Better::Higher => now.ratio / before.ratio,
                Better::Lower => before.ratio / now.ratio,
            };
            (kept < 1.0 - REGRESSION_MAX).then(|| {
                format!(
                    "{}: {:.2}, and it was {:.2} in the run of {}",
                    now.id,
                    now.ratio,
                    before.ratio,
                    earlier.at.date()
                )
            })
        });
        worse.collect()
    }
}

impl Ratio {
    /// A ratio with nothing to reach. `pairs`: what was measured, and against what.
    pub fn new(id: &str, what: &str, against: &str, unit: &str, better: Better, pairs: Vec<(f64, f64)>) -> Self {
        let ratio = median(&pairs.iter().map(|(this, that)| this / that).collect::<Vec<_>>());
        let (id, what, against, unit) = (id.into(), what.into(), against.into(), unit.into());
        Self { id, what, against, unit, better, reach: None, pairs, ratio }
    }

    /// The same, with something to reach.
    pub fn reaching(self, reach: f64) -> Self {
        Self { reach: Some(reach), ..self }
    }

    /// Whether it reaches what it has to; none where there is nothing to reach.
    pub fn reached(&self) -> Option<bool> {
        let reach = self.reach?;
        Some(match self.better {
            Better::Higher => self.ratio >= reach,
            Better::Lower => self.ratio <= reach,
        })
    }
}

impl Figure {
    /// Whether it is at most what it may be; none where nothing was set.
    pub fn reached(&self) -> Option<bool> {
        Some(self.median <= self.at_most?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A run with one ratio.
    pub(crate) fn report(ratio: Ratio) -> Report {
        let machine = Machine {
            cores: 2,
            cpu: "a model".into(),
            memory_gib: 4.0,
            kernel: "6.1".into(),
            busy_cores: 0.0,
            versions: BTreeMap::new(),
        };
        let extent = Extent { pairs: 5, events: 100_000, seconds: 30, tenants: 500 };
        Report { at: time::OffsetDateTime::UNIX_EPOCH, machine, extent, ratios: vec![ratio], figures: Vec::new() }
    }

    fn ratio(better: Better, pairs: &[(f64, f64)]) -> Ratio {
        Ratio::new("one", "this", "that", "/s", better, pairs.to_vec())
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs_ratios_not_the_ratio_of_medians() {
        assert_eq!(ratio(Better::Higher, &[(1.0, 1.0), (2.0, 4.0), (30.0, 10.0)]).ratio, 1.0);
    }

    #[test]
    fn what_is_reached_depends_on_which_side_is_good() {
        let pairs = [(9.0, 10.0)];
        assert_eq!(ratio(Better::Higher, &pairs).reached(), None);
        assert_eq!(ratio(Better::Higher, &pairs).reaching(0.8).reached(), Some(true));
        assert_eq!(ratio(Better::Lower, &pairs).reaching(0.8).reached(), Some(false));
    }

    #[test]
    fn a_ratio_more_than_a_tenth_worse_is_a_regression_on_either_side() {
        let before = |better| report(ratio(better, &[(10.0, 10.0)]));
        let now = |better, this| report(ratio(better, &[(this, 10.0)]));
        assert!(now(Better::Higher, 9.1).regressions(&before(Better::Higher)).is_empty());
        assert_eq!(now(Better::Higher, 8.9).regressions(&before(Better::Higher)).len(), 1);
        assert!(now(Better::Lower, 11.0).regressions(&before(Better::Lower)).is_empty());
        assert_eq!(now(Better::Lower, 11.2).regressions(&before(Better::Lower)).len(), 1);
        assert!(now(Better::Lower, 5.0).regressions(&before(Better::Lower)).is_empty());
    }
}
