//! What is read is what serde_json reads, and the validator sees it so.

use jsonschema::json::conformance;
use serde_json::json;

use super::read::SCANNED_MEMBERS_MAX;
use super::*;

fn value(text: &str) -> Value {
    Document::parse(text.as_bytes()).unwrap().root().to_value().into_owned()
}

fn member<'d>(document: &'d Document<'_>, name: &str) -> Option<Place<'d>> {
    document.root().as_object().unwrap().get(&name.to_owned())
}

#[test]
fn it_is_what_the_validator_asks_of_a_representation() {
    let text = conformance::document().to_string();
    let document = Document::parse(text.as_bytes()).unwrap();
    conformance::assert_conformance::<Text>(&document.root());
}

#[test]
fn it_reads_what_serde_json_reads() {
    let long: String = (0..100).map(|number| format!(r#","{number}":{{"n":[{number}]}}"#)).collect();
    for text in [
        "null",
        " [ ] ",
        "{}",
        "[[],[[1]],{}]",
        r#"{"a":{"b":{"c":[1,-2,3.5,1e3,18446744073709551615,-9223372036854775808]}},"d":"é\n\u00e9\ud83e\udd80"}"#,
        r#"{"":1,"é":{"é":true}}"#,
        r#"{"a":1,"b":2,"a":{"c":3},"ab":4,"b":5}"#,
        &format!(r#"{{"a":1{long},"7":"last","a":2,"7":"very last"}}"#),
        &format!(r#"[{{"a":1{long}}},{{"b":[]}}]"#),
        &format!("{{{}}}", [r#""a":[1]"#; 100].join(",")),
    ] {
        assert_eq!(value(text), serde_json::from_str::<Value>(text).unwrap(), "{text}");
    }
}

#[test]
fn it_refuses_what_serde_json_refuses_in_its_words() {
    let deep = "[".repeat(super::super::JSON_DEPTH_MAX + 1);
    for bytes in [
        &b""[..],
        b"{",
        b"1 2",
        b"[1,]",
        b"{\"a\"}",
        b"\xff",
        b"{\"a\":\"\xc3\"}",
        b"1e999",
        b"{1:2}",
        b"nul",
        deep.as_bytes(),
    ] {
        let expected = serde_json::from_slice::<Value>(bytes).unwrap_err().to_string();
        assert_eq!(Document::parse(bytes).err().unwrap().to_string(), expected, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn of_members_of_one_name_the_last_counts_in_small_objects_and_large_ones() {
    for others in [0, 1, SCANNED_MEMBERS_MAX - 2, SCANNED_MEMBERS_MAX - 1, SCANNED_MEMBERS_MAX, 1_000] {
        let fill: String = (0..others).map(|number| format!(r#""member {number}":[{number}],"#)).collect();
        let text = format!(r#"{{"x":1,{fill}"x":[2],"y":0,"x":"3"}}"#);
        let document = Document::parse(text.as_bytes()).unwrap();
        let members = document.root().as_object().unwrap();
        assert_eq!((members.len(), members.members().count()), (others + 2, others + 2), "{others} others");
        assert_eq!(member(&document, "x").unwrap().as_string().as_deref(), Some("3"));
        assert_eq!(member(&document, "y").unwrap().to_value().as_ref(), &json!(0));
        assert!(member(&document, "z").is_none());
        for number in 0..others {
            let found = member(&document, &format!("member {number}")).unwrap();
            assert_eq!(found.to_value().as_ref(), &json!([number]));
        }
    }
}

#[test]
fn lengths_of_strings_are_in_characters() {
    for (text, min, max, expected) in
        [("abc", 0, 3, true), ("abc", 4, 9, false), ("🦀🦀", 2, 2, true), ("🦀🦀", 3, 8, false), ("", 0, 0, true)]
    {
        let json = json!(text).to_string();
        let document = Document::parse(json.as_bytes()).unwrap();
        assert_eq!(document.root().string_length_within(min, max), Some(expected), "{text} in {min}..={max}");
    }
}
