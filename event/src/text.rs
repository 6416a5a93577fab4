//! Texts that tenants chose, as messages, terminals and event streams have them: they move no cursor and forge no line.

use std::borrow::Cow;

use serde::Serialize;

/// How much of a name a message shows, characters: names in a module may have a hundred thousand.
const BRIEF_CHARS_MAX: usize = 100;

/// A text with each control character spelled out, line breaks among them.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut printable = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() { printable.extend(character.escape_default()) } else { printable.push(character) }
    }
    printable.into()
}

/// The same of a name within a message, of which the beginning is enough.
#[must_use]
pub fn brief(name: &str) -> String {
    match name.char_indices().nth(BRIEF_CHARS_MAX) {
        None => printable(name).into_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", printable(&name[..end]), name.len()),
    }
}

/// A document as JSON, on one line: JSON that is written as it came, such as a function's output, may have line breaks
/// between its values and nowhere else.
///
/// # Errors
/// What [`serde_json::to_string`] says.
pub fn json_line(document: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(document)?.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn control_characters_are_spelled_out_and_all_else_stays() {
        assert_eq!(printable("a\u{1b}[2J\0\u{9b}é\n\t"), r"a\u{1b}[2J\u{0}\u{9b}é\n\t");
        assert!(matches!(printable("é 漢"), Cow::Borrowed("é 漢")));
    }

    #[test]
    fn a_long_name_is_cut_and_its_length_told() {
        assert_eq!(brief("\u{7}"), r"\u{7}");
        assert_eq!(brief(&"é".repeat(BRIEF_CHARS_MAX)), "é".repeat(BRIEF_CHARS_MAX));
        assert_eq!(brief(&"é".repeat(45_000)), format!("{}… (90000 bytes)", "é".repeat(BRIEF_CHARS_MAX)));
    }

    #[test]
    fn json_that_came_on_several_lines_is_on_one() {
        let raw: Box<RawValue> = serde_json::from_str("{\n\"a\":\r\n1}").unwrap();
        assert_eq!(json_line(&raw).unwrap(), "{ \"a\":  1}");
    }
}
