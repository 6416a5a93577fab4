//! Ranges and entity tags of RFC 9110, as far as modules need them: one range of bytes, strong tags.

use std::ops::Range;

/// What of a resource is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// These bytes; never empty.
    Range(Range<usize>),
    /// Bytes that it does not have (416).
    Unsatisfiable,
}

/// What a `Range` header asks of `length` bytes. A header of another unit, of several ranges, or of no valid form is
/// ignored, as §14.2 allows: the answer is the whole.
#[must_use]
pub fn part(header: Option<&str>, length: usize) -> Part {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Part::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Part::Whole };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a usize has are a place beyond every end.
        digits.then(|| text.parse().unwrap_or(usize::MAX))
    };
    match (number(first.trim()), number(last.trim())) {
        (Some(first), Some(last)) if first <= last => within(first, last.saturating_add(1), length),
        (Some(first), None) if last.trim().is_empty() => within(first, length, length),
        // The last so many bytes.
        (None, Some(0)) if first.trim().is_empty() => Part::Unsatisfiable,
        (None, Some(count)) if first.trim().is_empty() => within(length.saturating_sub(count), length, length),
        _ => Part::Whole,
    }
}

fn within(start: usize, end: usize, length: usize) -> Part {
    if start >= length { Part::Unsatisfiable } else { Part::Range(start..end.min(length)) }
}

/// Whether an `If-None-Match` list holds `tag` (weak comparison, §8.8.3.2), or is `*`.
#[must_use]
pub fn matches(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_understood_and_everything_else_ignored() {
        for (header, expected) in [
            (None, Part::Whole),
            (Some("bytes=0-3"), Part::Range(0..4)),
            (Some("bytes=4-"), Part::Range(4..10)),
            (Some("bytes=-3"), Part::Range(7..10)),
            (Some("bytes=-30"), Part::Range(0..10)),
            (Some("bytes=8-99999999999999999999999"), Part::Range(8..10)),
            (Some("bytes=10-"), Part::Unsatisfiable),
            (Some("bytes=-0"), Part::Unsatisfiable),
            (Some("bytes=99999999999999999999999-"), Part::Unsatisfiable),
            (Some("bytes=3-2"), Part::Whole),
            (Some("bytes=0-1,3-4"), Part::Whole),
            (Some("bytes=+1-2"), Part::Whole),
            (Some("lines=0-1"), Part::Whole),
            (Some("bytes=-"), Part::Whole),
        ] {
            assert_eq!(part(header, 10), expected, "{header:?}");
        }
        assert_eq!(part(Some("bytes=0-0"), 0), Part::Unsatisfiable);
    }

    #[test]
    fn tags_are_compared_weakly_in_lists() {
        assert!(matches("\"a\", W/\"b\"", "\"b\""));
        assert!(matches("*", "\"b\""));
        assert!(!matches("\"a\"", "\"b\""));
    }
}
