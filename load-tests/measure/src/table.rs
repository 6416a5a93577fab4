//! The report for people, in Markdown, so that it can be put into the documentation as it is.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};

use crate::Failure;
use crate::report::{Better, Figure, Ratio, Report};
use crate::statistics::median;

/// Prints the report on standard output.
pub fn print(report: &Report, regressions: &[String]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let machine = &report.machine;
    writeln!(out, "{}, {} cores, {} GiB, Linux {}", machine.cpu, machine.cores, machine.memory_gib, machine.kernel)?;
    let versions: Vec<String> = machine.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    writeln!(out, "{}", versions.join(", "))?;
    let extent = &report.extent;
    writeln!(
        out,
        "{}: {} pair(s), {} events, {} s of light load; cores that others kept busy: {}\n",
        report.at.date(),
        extent.pairs,
        extent.events,
        extent.seconds,
        machine.busy_cores
    )?;
    if !report.ratios.is_empty() {
        writeln!(out, "{}\n", ratios(&report.ratios))?;
    }
    if !report.figures.is_empty() {
        writeln!(out, "{}\n", figures(&report.figures))?;
    }
    for missed in report.ratios.iter().filter(|ratio| ratio.reached() == Some(false)) {
        writeln!(out, "misses its figure: {} ({})", missed.what, missed.id)?;
    }
    for missed in report.figures.iter().filter(|figure| figure.reached() == Some(false)) {
        writeln!(out, "misses its figure: {} ({})", missed.what, missed.id)?;
    }
    for regression in regressions {
        writeln!(out, "REGRESSION of more than a tenth: {regression}")?;
    }
    Ok(())
}

fn ratios(ratios: &[Ratio]) -> Table {
    let mut table = markdown(&["ratio", "what", "against", "what / against", "ratio (min–max)", "reach"]);
    for ratio in ratios {
        let both = |side: fn(&(f64, f64)) -> f64| number(median(&ratio.pairs.iter().map(side).collect::<Vec<_>>()));
        let of_pairs: Vec<f64> = ratio.pairs.iter().map(|(this, that)| this / that).collect();
        let reach = match (ratio.reach, ratio.better) {
            (None, _) => "–".to_owned(),
            (Some(reach), Better::Higher) => format!("≥ {reach}: {}", verdict(ratio.reached())),
            (Some(reach), Better::Lower) => format!("≤ {reach}: {}", verdict(ratio.reached())),
        };
        table.add_row([
            ratio.id.clone(),
            ratio.what.clone(),
            ratio.against.clone(),
            format!("{} / {} {}", both(|pair| pair.0), both(|pair| pair.1), ratio.unit),
            format!("{:.2} ({})", ratio.ratio, range(&of_pairs, |ratio| format!("{ratio:.2}"))),
            reach,
        ]);
    }
    table
}

fn figures(figures: &[Figure]) -> Table {
    let mut table = markdown(&["figure", "what", "median", "min–max", "unit", "reach"]);
    for figure in figures {
        table.add_row([
            figure.id.clone(),
            figure.what.clone(),
            number(figure.median),
            range(&figure.values, number),
            figure.unit.clone(),
            figure.at_most.map_or("–".to_owned(), |most| format!("≤ {most}: {}", verdict(figure.reached()))),
        ]);
    }
    table
}

fn verdict(reached: Option<bool>) -> &'static str {
    if reached == Some(true) { "yes" } else { "NO" }
}

fn markdown(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    table
}

fn range(values: &[f64], show: impl Fn(f64) -> String) -> String {
    let (least, most) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
    format!("{}–{}", show(least.unwrap_or(f64::NAN)), show(most.unwrap_or(f64::NAN)))
}

/// Three digits that mean something, thousands set apart.
fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let groups: Vec<&str> =
                digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
            groups.join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_what_they_mean() {
        for (value, shown) in [(0.125, "0.12"), (42.25, "42.2"), (100.4, "100"), (1_234.0, "1,234"), (2e6, "2,000,000")]
        {
            assert_eq!(number(value), shown);
        }
    }

    #[test]
    fn a_figure_that_is_missed_is_said() {
        let missed = Ratio::new("one", "this", "that", "/s", Better::Higher, vec![(70.0, 100.0)]).reaching(0.8);
        assert!(ratios(&[missed]).to_string().contains("≥ 0.8: NO"));
    }
}
