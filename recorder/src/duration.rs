//! Durations as people write them: `15m`, `2h`, `30d`.

use std::time::Duration;

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no duration; write a whole number and s, m, h, d or w, such as 15m or 30d")]
pub struct DurationError(String);

/// The duration that `text` spells: a whole number and one of `s`, `m`, `h`, `d`, `w`.
///
/// # Errors
/// [`DurationError`] where it is not of that form, or longer than 2^64 seconds.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    let split = text.len().checked_sub(1).filter(|split| text.is_char_boundary(*split)).ok_or_else(error)?;
    let (number, unit) = text.split_at(split);
    let unit_s: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(error()),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    let number: u64 = number.parse().map_err(|_| error())?;
    number.checked_mul(unit_s).map(Duration::from_secs).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_are_a_duration() {
        assert_eq!(parse("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(parse("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for bad in ["", "m", "15", "-1m", "+1m", "1.5h", "1 m", "1ä", "99999999999999999999d", "9999999999999999999w"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
