//! What is YAML and what is not, and what of YAML a job file may use.

use jobico_event::job;

use super::{LOWER, faults, meaning, with};

#[test]
fn a_file_that_is_no_yaml_says_where() {
    for (text, line, column) in [
        ("id: a\ntenant: [t\nqueues: x\n", 3, 7),
        ("id: \"a\n", 1, 5),
        ("id: a\n  tenant: b\n", 2, 9),
        ("id: *nowhere\n", 1, 5),
    ] {
        let found = job::parse(text).unwrap_err();
        assert_eq!(found.len(), 1, "{text:?}: {found:#?}");
        assert!(found[0].message.starts_with("not YAML: "), "{text:?}: {}", found[0]);
        assert_eq!((found[0].line, found[0].column), (line, column), "{text:?}: {}", found[0]);
    }
}

#[test]
fn a_tab_that_indents_is_named() {
    for text in ["id: a\n\ttenant: b\n", "id: a\nqueues:\n\t- id: q\n"] {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(
            found[0].ends_with("column 1: not YAML: a tab indents this line, and YAML indents with spaces alone"),
            "{found:?}"
        );
    }
}

#[test]
fn control_characters_are_no_yaml() {
    assert_eq!(
        faults(&with("Customer events", "Customer\u{1} events")),
        ["line 1, column 15: not YAML: a control character stands here"]
    );
    assert_eq!(
        faults(&with("name: Customer events", r#"name: "Customer\u0001 events""#)),
        ["line 1, column 7: name: the text holds a control character, which no name does"]
    );
}

#[test]
fn a_file_is_one_mapping() {
    let empty = "line 1, column 1: the file is empty; a job needs at least id, tenant, queues, jobs and runtimes";
    assert_eq!(faults(""), [empty]);
    assert_eq!(faults("# nothing but a remark\n"), [empty]);
    assert_eq!(faults("- a\n"), ["line 1, column 1: a list is here, and it must be a mapping of keys to values"]);
    assert_eq!(
        faults("---\nid: a\n---\nid: b\n"),
        ["line 3, column 1: a second document begins here; a job file is one document"]
    );
    assert_eq!(faults("package:\n"), ["line 1, column 8: package: it has no value, and one is required"]);
}

#[test]
fn markers_of_documents_and_a_byte_order_mark_are_no_fault() {
    assert_eq!(meaning(&format!("\u{feff}---\n{LOWER}...\n")), meaning(LOWER));
    assert_eq!(meaning(&LOWER.replace('\n', "\r\n")), meaning(LOWER));
}

#[test]
fn an_alias_stands_for_what_its_anchor_names() {
    let text = LOWER
        .replace(
            "schema: {id: s1, name: Customer, schemaref: customer.json}",
            "schema: &customer {schemaref: customer.json}",
        )
        .replace("name: Done, datatype: 0, schema: null", "schema: *customer");
    let file = job::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(
        file.events[1].schema,
        file.events[0].schema.clone().map(|mut schema| {
            schema.place.path = "jobs[0].result.ok.schema.schemaref".to_owned();
            schema
        })
    );
}

#[test]
fn what_is_wrong_in_an_anchor_is_reported_once_where_it_stands() {
    let text = LOWER
        .replace("schema: {id: s1, name: Customer, schemaref: customer.json}", "schema: &customer {schemaref: a/b}")
        .replace("name: Done, datatype: 0, schema: null", "schema: *customer");
    assert_eq!(
        faults(&text),
        ["line 14, column 37: jobs[0].event.schema.schemaref: 'a/b' cannot stand here: '/' at position 2 is not \
             allowed; allowed are letters, digits, '-', '_' and '.'"]
    );
}
