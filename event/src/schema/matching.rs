//! What it takes to match a string with a schema's patterns.
//!
//! A string is matched in one go, without a look at a value in between, and in the worst case in a time of its length times the size
//! of the pattern's program (measured: 0.1 µs for a byte and KiB). So the fuel for it is taken beforehand. How large
//! a program is nobody says; the smallest of a few limits in which all of a schema's fit does.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Value, json};

use super::document::Text;
use super::effort::{Effort, Patterns};
use super::fuel::{self, Prices};

/// Steps of matching one string against a pattern that looks around or back; a string that takes more does not match. All other
/// patterns are matched in one go.
const BACKTRACKING_MAX: usize = 100_000;
/// Memory of a compiled pattern: what is tried first, and times how much then. Those that people write for ids, dates, addresses take
/// the first, a class of Unicode the third.
const PROGRAM_BYTES_MIN: usize = 4 << 10;
const PROGRAM_BYTES_STEP: usize = 4;
const PROGRAM_BYTES_MAX: usize = 1 << 20;
/// Memory of all of them.
const PROGRAMS_BYTES_MAX: usize = 64 << 20;
/// What may be remembered while strings are matched with all of them, by each thread.
const REMEMBERED_BYTES_MAX: usize = 64 << 20;
/// The same for one pattern, at most.
const REMEMBERED_BYTES_EACH: usize = 1 << 20;
/// A program of so many bytes takes a look at a value for a byte of a string.
const PROGRAM_BYTES_PER_LOOK: usize = 2 << 10;
/// Where a pattern may look around, it may at each byte, at all that follow; so many of which are a look.
const BYTES_AROUND_PER_LOOK: usize = 128;

/// How much fuel it takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Matching {
    /// Looks for a byte, where it is matched in one go.
    looks_per_byte: usize,
    /// Patterns that a name may be matched with between two looks.
    patterns_of_names: usize,
    looks_around: bool,
}

impl Matching {
    /// For a string of so many bytes.
    pub(super) fn of_string(self, bytes: usize) -> u64 {
        let around = bytes.min(BACKTRACKING_MAX) / BYTES_AROUND_PER_LOOK;
        let times = if self.looks_around { 1 + around } else { 1 };
        bytes.saturating_mul(self.looks_per_byte).saturating_mul(times) as u64
    }

    /// For a name of so many bytes.
    pub(super) fn of_name(self, bytes: usize) -> u64 {
        self.of_string(bytes).saturating_mul(self.patterns_of_names as u64)
    }
}

/// A validator, and what it takes to look at values with it.
pub(super) struct Compiled {
    pub(super) validator: Validator<Text>,
    /// For the verdict.
    pub(super) verdict: Prices,
    /// For saying what is wrong: a name is matched with all of its schema's patterns at once then, and a reason may have text of
    /// the schema.
    pub(super) reasons: Prices,
}

/// Compiles a schema that has so many bytes and takes this effort.
///
/// # Errors
/// The library's own, also where a pattern is none, or too large.
pub(super) fn compile<'s>(schema: &'s Value, bytes: usize, effort: &Effort) -> Result<Compiled, ValidationError<'s>> {
    let patterns = &effort.patterns;
    let program_bytes_max = (PROGRAMS_BYTES_MAX / patterns.count.max(1)).min(PROGRAM_BYTES_MAX);
    let mut program_bytes = PROGRAM_BYTES_MIN;
    let validator = loop {
        let larger = program_bytes * PROGRAM_BYTES_STEP;
        match build(schema, program_bytes, patterns) {
            Err(error) if larger <= program_bytes_max && is_of_pattern(&error) => program_bytes = larger,
            built => break built?,
        }
    };
    let looks_per_byte = if patterns.count == 0 { 0 } else { program_bytes / PROGRAM_BYTES_PER_LOOK };
    let matching =
        |patterns_of_names| Matching { looks_per_byte, patterns_of_names, looks_around: patterns.looks_around };
    let verdict = Prices { matching: matching(patterns.of_names_at_once), ..Prices::of_steps(effort.most_steps) };
    let reasons = Prices {
        matching: matching(patterns.of_names),
        copy: fuel::COPY + bytes.div_ceil(fuel::COPIED_BYTES) as u64,
        ..verdict
    };
    Ok(Compiled { validator, verdict, reasons })
}

fn build<'s>(
    schema: &'s Value,
    program_bytes: usize,
    patterns: &Patterns,
) -> Result<Validator<Text>, ValidationError<'s>> {
    let remembered = (REMEMBERED_BYTES_MAX / patterns.count.max(1)).min(REMEMBERED_BYTES_EACH);
    let options = || {
        let options = PatternOptions::fancy_regex()
            .backtrack_limit(BACKTRACKING_MAX)
            .size_limit(program_bytes)
            .dfa_size_limit(remembered);
        jsonschema::options_for::<Text>().with_pattern_options(options)
    };
    // The library compiles the parts of these one by one, and without a limit: each must fit as a whole, too.
    for pattern in &patterns.looking_ahead {
        let whole = json!({ "pattern": format!("(?:){pattern}") });
        options().build(&whole).map_err(|error| error.to_owned())?;
    }
    options().build(schema)
}

fn is_of_pattern(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), ValidationErrorKind::Format { format } if format == "regex")
}
