//! Registers a customer: greets them by their first name. The function of the demo, the tests and the benchmarks.
//!
//! The event is parsed, gets two fields and is serialised again; everything around it is `jobicolet_abi`. What costs
//! time at a million events is said where it is avoided: with `serde_json::Value` in place of a struct that borrows
//! from the event, a call takes twice as long.

use std::borrow::Cow;

use jobicolet_abi::{Level, log};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

/// The function's own errors, which its job may route to a queue.
const FIRST_NAME_IS_BLANK: u64 = 10;
const NOT_A_CUSTOMER: u64 = 11;

jobicolet_abi::export!(event => handle);

/// What customer.json allows, then what this function adds.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Customer<'a> {
    #[serde(borrow)]
    first_name: Cow<'a, str>,
    #[serde(borrow)]
    last_name: Cow<'a, str>,
    #[serde(borrow)]
    email: Cow<'a, str>,
    age: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    company: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing)]
    debug: bool,

    #[serde(skip_deserializing)]
    greeting: String,
    #[serde(skip_deserializing)]
    registered: bool,
}

fn handle(event: &[u8]) -> (u64, Vec<u8>) {
    let mut customer = match parse(event) {
        Ok(customer) => customer,
        Err(error) => return (NOT_A_CUSTOMER, error.to_string().into_bytes()),
    };
    if customer.first_name.trim().is_empty() {
        return (FIRST_NAME_IS_BLANK, b"firstName is blank".to_vec());
    }
    // Not `format!`, which takes 100 ns longer.
    customer.greeting = ["Welcome, ", &customer.first_name].concat();
    customer.registered = true;
    if customer.debug {
        log(Level::Info, &format!("{} is registered", customer.email));
    }
    (0, serialise(&customer, event.len()))
}

/// One check of the whole text's UTF-8 and `from_str` are quicker than `from_slice`, which checks string by string.
fn parse(event: &[u8]) -> serde_json::Result<Customer<'_>> {
    serde_json::from_str(std::str::from_utf8(event).map_err(serde_json::Error::custom)?)
}

fn serialise(customer: &Customer, event_bytes: usize) -> Vec<u8> {
    // Room for the event and what is added to it, so that the text is written once and copied never.
    const ADDED: &str = r#","greeting":"","registered":true"#;
    let mut json = Vec::with_capacity(event_bytes + ADDED.len() + customer.greeting.len());
    serde_json::to_writer(&mut json, customer).expect("memory takes every write");
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(event: &str) -> (u64, String) {
        let (code, text) = handle(event.as_bytes());
        (code, String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_customer_is_greeted_and_keeps_what_they_sent() {
        let (code, text) = answer(
            r#"{"firstName":"Ada","lastName":"Lovelace","email":"ada@example.com","age":36,"company":"A \"&\" B","debug":true}"#,
        );
        let expected = r#"{"firstName":"Ada","lastName":"Lovelace","email":"ada@example.com","age":36,"company":"A \"&\" B","greeting":"Welcome, Ada","registered":true}"#;
        assert_eq!((code, text.as_str()), (0, expected));
    }

    #[test]
    fn a_blank_first_name_is_an_error_of_the_function() {
        for name in ["", " ", "\\t"] {
            let event = format!(r#"{{"firstName":"{name}","lastName":"L","email":"a@b.c","age":18}}"#);
            assert_eq!(answer(&event), (FIRST_NAME_IS_BLANK, "firstName is blank".to_owned()));
        }
    }

    #[test]
    fn what_is_no_customer_is_an_error_of_the_function() {
        for event in ["", "{}", "[]", r#"{"firstName":1}"#] {
            assert_eq!(answer(event).0, NOT_A_CUSTOMER, "{event}");
        }
    }

    #[test]
    fn the_examples_events_are_all_registered() {
        let events: serde_json::Value = serde_json::from_str(include_str!("../events.json")).unwrap();
        for event in events["data"].as_array().unwrap() {
            assert_eq!(answer(&event.to_string()).0, 0, "{event}");
        }
    }
}
