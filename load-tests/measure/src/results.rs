//! The figures of earlier runs: one JSON file each, named after when it began.

use std::path::{Path, PathBuf};

use crate::Failure;
use crate::report::Report;

/// Writes the report to a new file in `folder`.
pub fn write(folder: &Path, report: &Report) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = folder.join(name(report)?);
    let mut json = serde_json::to_string_pretty(report)?;
    json.push('\n');
    std::fs::write(&file, json).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

/// The newest report in `folder` of the same extent on a machine of the same kind: only such may be compared.
pub fn newest_like(folder: &Path, report: &Report) -> Result<Option<Report>, Failure> {
    let mut found: Option<Report> = None;
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(None) };
    for entry in entries {
        let file = entry?.path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let earlier: Report = serde_json::from_slice(&std::fs::read(&file)?)
            .map_err(|error| format!("{} is no report of this benchmark: {error}", file.display()))?;
        let is_like = earlier.extent == report.extent && earlier.machine.is_like(&report.machine);
        if is_like && found.as_ref().is_none_or(|newest| newest.at < earlier.at) {
            found = Some(earlier);
        }
    }
    Ok(found)
}

fn name(report: &Report) -> Result<String, Failure> {
    // Without colons, which not every file system takes.
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]-[minute]-[second]Z.json");
    Ok(report.at.format(format)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Better, Ratio, tests::report};

    #[test]
    fn only_the_newest_run_of_the_same_kind_is_compared_with() {
        let folder = tempfile::tempdir().unwrap();
        let run = |seconds, this| {
            let mut run = report(Ratio::new("one", "this", "that", "/s", Better::Higher, vec![(this, 1.0)]));
            run.at += time::Duration::seconds(seconds);
            run
        };
        assert!(newest_like(folder.path(), &run(9, 1.0)).unwrap().is_none());
        let mut another = run(3, 3.0);
        another.extent.pairs = 1;
        for run in [run(1, 1.0), run(2, 2.0), another] {
            write(folder.path(), &run).unwrap();
        }
        assert_eq!(newest_like(folder.path(), &run(9, 1.0)).unwrap().unwrap().ratios[0].ratio, 2.0);
        assert!(folder.path().join("1970-01-01T00-00-02Z.json").exists());
    }
}
