//! What schemas may cost that were made to cost much, and what ordinary ones may that see large events.

use jobico_event::Schema;
use jobico_event::schema::SchemaError;
use serde_json::{Map, Value, json};

#[test]
fn no_schema_makes_an_event_take_for_ever() {
    let mut bomb = json!({"$ref": "#/$defs/a0", "$defs": {"a40": {"type": "string"}}});
    for nth in 0..40 {
        let next = format!("#/$defs/a{}", nth + 1);
        bomb["$defs"][format!("a{nth}")] = json!({"allOf": [{"$ref": next}, {"$ref": next}]});
    }
    let refused = Schema::inspect(&bomb.to_string()).err().unwrap();
    assert!(matches!(&refused[..], [SchemaError::Schema { .. }]), "{refused:?}");

    let refused = |schema: Value, event: &str| {
        let found = Schema::inspect(&schema.to_string()).unwrap().check(event.as_bytes()).map(drop).unwrap_err();
        assert_eq!((found.len(), &*found[0].keyword), (1, "work"), "{schema}");
    };
    // Asks much of each of many values.
    let many = vec![json!({"minimum": 1}); 9_000];
    refused(json!({"items": {"allOf": many}}), &format!("[{}1]", "1,".repeat(100_000)));
    // Forgets what it has found for each of many levels.
    let again = json!({"properties": {"a": {"$ref": "#"}}});
    let down = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    refused(json!({"type": "object", "allOf": [again, again]}), &down(60));
    let mut unevaluated = json!({"type": "string"});
    for _ in 0..40 {
        unevaluated = json!({"unevaluatedItems": unevaluated});
    }
    refused(unevaluated, &format!("{}1{}", "[".repeat(40), "]".repeat(40)));
    // Finds very much that is wrong, or compares with very many.
    refused(json!({"items": {"minimum": 1}}), &format!("[{}0]", "0,".repeat(200_000)));
    let text = format!("[\"{}\"]", "x".repeat(500_000));
    refused(json!({"allOf": vec![json!({"maxLength": 1, "pattern": "y"}); 900]}), &text[1..text.len() - 1]);
    // Compares long words.
    let word = "x".repeat(100_000);
    let words = vec![json!({"$ref": "#/$defs/word"}); 4_500];
    refused(
        json!({"$defs": {"word": {"const": word}}, "items": {"allOf": words}}),
        &json!(vec![&word; 10]).to_string(),
    );
    // Tells where with a long way each, or with a long word of the schema.
    let below = json!({"additionalProperties": {"items": {"minimum": 1}}});
    refused(below, &format!(r#"{{"{}":[{}0]}}"#, "x".repeat(500_000), "0,".repeat(20_000)));
    let word = json!({"items": {"required": ["x".repeat(500_000)]}});
    refused(word, &format!("[{}{{}}]", "{},".repeat(20_000)));
    // Matches a long string with a large program, or many names with many, or tries at each place of it.
    refused(json!({"pattern": "[ab]*a[ab]{2000}c"}), &text[1..text.len() - 1]);
    refused(json!({"pattern": "(?=.*b)c"}), &text[1..text.len() - 1]);
    let names: Map<_, _> = (0..900).map(|nth| (format!("^{nth}$"), true.into())).collect();
    let event: Map<_, _> = (0..10_000).map(|nth| (format!("name {nth}"), nth.into())).collect();
    let event = serde_json::to_string(&event).unwrap();
    refused(json!({"patternProperties": names, "additionalProperties": {"minimum": 0}}), &event);

    let backtracks = Schema::compile(r#"{"pattern":"^(?=(a+)+$)b"}"#).unwrap();
    assert_eq!(backtracks.check(format!("\"{}!\"", "a".repeat(60)).as_bytes()).unwrap_err()[0].keyword, "pattern");
}

#[test]
fn large_events_with_ordinary_schemas_are_checked_to_the_end() {
    let checked = |schema: Value, event: Value| {
        let found = Schema::inspect(&schema.to_string()).unwrap().check(event.to_string().as_bytes()).map(drop);
        assert_eq!(found, Ok(()), "{schema}");
    };
    let many: Value = (0..150_000).collect();
    checked(json!({"uniqueItems": true, "allOf": [{"uniqueItems": true, "items": {"minimum": 0}}]}), many);
    checked(json!({"pattern": r"^\p{L}+$"}), "é".repeat(500_000).into());
    let id = "123e4567-e89b-12d3-a456-426614174000";
    let uuid = json!({"pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"});
    checked(json!({"items": {"allOf": [uuid, {"pattern": "^.{1,100}$"}, {"maxLength": 36}]}}), vec![id; 25_000].into());
    checked(json!({"pattern": r"^(?=.*\d)(?=.*[a-z])(?!.*\s).{8,}$"}), "secret12".repeat(500).into());
    let fields: Map<_, _> = (0..30).map(|nth| (format!("a field {nth}"), json!({"minimum": 0}))).collect();
    let object: Map<_, _> = (0..30).map(|nth| (format!("a field {nth}"), nth.into())).collect();
    let names: Map<_, _> = (0..20).map(|nth| (format!("^x{nth}-"), json!({}))).collect();
    let closed = json!({"properties": fields, "patternProperties": names, "additionalProperties": false});
    checked(json!({"items": closed}), vec![Value::from(object); 1_000].into());
    let enumeration: Vec<_> = (0..20_000).map(|nth| json!([nth])).collect();
    checked(json!({"enum": enumeration}), json!([19_999]));
    let named: Map<_, _> = (0..40_000).map(|nth| (format!("x-name {nth}"), nth.into())).collect();
    checked(
        json!({"patternProperties": {"^x-": true, "^y-": true, "_id$": true}, "additionalProperties": false}),
        named.into(),
    );
}

#[test]
fn no_schema_takes_for_ever_to_compile() {
    let refused = |schema: Value| {
        let text = schema.to_string();
        let found = Schema::inspect(&text).err().unwrap_or_else(|| panic!("{}", &text[..text.len().min(200)]));
        assert!(matches!(&found[..], [SchemaError::Schema { .. }]), "{found:?}");
    };
    let next = |nth: usize| format!("#/$defs/a{}", nth + 1);
    let definitions = |count: usize, schema: &dyn Fn(usize) -> Value| {
        let mut all: Map<_, _> = (0..count).map(|nth| (format!("a{nth}"), schema(nth))).collect();
        all.insert(format!("a{count}"), json!({}));
        json!({"$ref": "#/$defs/a0", "$defs": all})
    };
    // Each is found anew twice; each anew all along the chain; each value with each branch.
    let closed =
        |nth: usize| json!({"unevaluatedItems": false, "contains": {"unevaluatedItems": false, "$ref": next(nth)}});
    refused(definitions(25, &|nth| json!({"allOf": [closed(nth), closed(nth)], "unevaluatedItems": false})));
    refused(definitions(5_000, &closed));
    let values: Vec<usize> = (0..100_000).collect();
    refused(
        json!({"anyOf": vec![json!({"properties": {"a": {"enum": values}}}); 3], "oneOf": vec![json!({"required": ["b"]}); 500]}),
    );
    // All properties of a combination, a long way to each of many, circles that depend on how one comes to them.
    let named = |first: usize| -> Map<_, _> { (first..first + 15_000).map(|n| (format!("p{n}"), json!({}))).collect() };
    refused(json!({"allOf": [{"properties": named(0)}, {"properties": named(15_000)}]}));
    refused(json!({"properties": {"x".repeat(500_000): {"properties": named(0)}}}));
    refused(json!({"$dynamicAnchor": "a", "allOf": [{"$dynamicRef": "#a"}]}));
    refused(json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "anyOf": [{"$recursiveRef": "#"}]}));
    refused(json!({"enum": vec![json!([]); 30_000], "$schema": "http://json-schema.org/draft-04/schema#"}));
    // Patterns that are deep, or long, or take much memory each.
    refused(json!({"pattern": format!("{}{}", "(".repeat(8_000), ")".repeat(8_000))}));
    refused(json!({"pattern": "a".repeat(20_000)}));
    refused(json!({"pattern": r"^(?=(?:\w{100}){100})"}));
    // Patterns of which each fits, and all do not.
    let large: Map<_, _> =
        (0..900).map(|nth| (format!("{nth}"), json!({"pattern": format!("[ab]{{2000}}{nth}")}))).collect();
    refused(json!({"properties": large}));

    // As much as there may be, on a thread of the usual size.
    let mut longest =
        definitions(30, &|nth| json!({"additionalProperties": {"unevaluatedProperties": false, "$ref": next(nth)}}));
    assert_eq!(Schema::inspect(&longest.to_string()).err(), None);
    longest["unevaluatedProperties"] = false.into();
    assert_eq!(Schema::inspect(&longest.to_string()).err(), None);
    let mut deepest = json!({"type": "string"});
    for _ in 0..45 {
        deepest = json!({"unevaluatedItems": false, "contains": deepest});
    }
    assert_eq!(Schema::inspect(&deepest.to_string()).err(), None);
}

#[test]
fn what_cannot_be_compiled_is_refused_and_panics_nowhere() {
    let twice = json!({"$ref": "http://x/r#n", "$defs": {"a": {"$id": "http://x/r", "$anchor": "n"}, "b": {"$id": "http://x/r"}}});
    assert!(matches!(Schema::compile(&twice.to_string()), Err(SchemaError::Schema { .. })));
}

/// The deepest that both may be, on a thread of the usual size.
#[test]
fn the_deepest_schema_and_event_fit_the_stack() {
    let mut schema = json!({"$defs": {"a28": {"items": {"$ref": "#/$defs/a0"}}}, "$ref": "#/$defs/a0"});
    for nth in 0..28 {
        schema["$defs"][format!("a{nth}")] = json!({"$ref": format!("#/$defs/a{}", nth + 1)});
    }
    schema["$defs"]["a28"]["maxItems"] = 1.into();
    let schema = Schema::inspect(&schema.to_string()).unwrap();
    let event = |inmost: &str| format!("{}{inmost}{}", "[".repeat(126), "]".repeat(126));
    assert!(schema.check(event("1").as_bytes()).is_ok());
    assert_eq!(schema.check(event("1,2").as_bytes()).unwrap_err()[0].keyword, "maxItems");

    let mut long = json!({"$ref": "#/$defs/a0", "$defs": {"a9000": {}}});
    for nth in 0..9_000 {
        let next = json!({"$ref": format!("#/$defs/a{}", nth + 1)});
        long["$defs"][format!("a{nth}")] = json!({"items": next, "unevaluatedItems": {"allOf": [next]}});
    }
    assert!(Schema::inspect(&long.to_string()).unwrap().check(event("1").as_bytes()).is_ok());
}
