//! The second step of the chain: a mail, from what the first step answered. Two functions in one module, for `registered`
//! and `rejected`: the job file's `mainfuncname` says which.

use serde_json::{Value, json};

/// The function's own error: an event that is not what the first step answers.
const NOT_A_CUSTOMER: u64 = 20;

jobicolet_abi::export!(event => welcome, rejected => report);

fn welcome(event: &[u8]) -> (u64, Vec<u8>) {
    let customer: Value = serde_json::from_slice(event).unwrap_or_default();
    let text = |name: &str| customer[name].as_str();
    let (Some(email), Some(greeting), Some(last_name)) = (text("email"), text("greeting"), text("lastName")) else {
        return (NOT_A_CUSTOMER, b"email, greeting and lastName are needed".to_vec());
    };
    let body = format!("{greeting} {last_name}. Your registration is complete.");
    (0, mail(email, greeting, &body))
}

/// Takes anything: a JSON string, any other JSON, or plain text.
fn report(event: &[u8]) -> (u64, Vec<u8>) {
    let reason = match serde_json::from_slice(event) {
        Ok(Value::String(text)) => text,
        _ => String::from_utf8_lossy(event).into_owned(),
    };
    (0, mail("registrations@example.com", "A signup was rejected", &reason))
}

fn mail(to: &str, subject: &str, text: &str) -> Vec<u8> {
    json!({"to": to, "subject": subject, "text": text}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(function: fn(&[u8]) -> (u64, Vec<u8>), event: &str) -> (u64, String) {
        let (code, text) = function(event.as_bytes());
        (code, String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_registered_customer_gets_a_mail() {
        let event = r#"{"firstName":"Ada","lastName":"Lovelace","email":"ada@example.com","greeting":"Welcome, Ada"}"#;
        let mail = r#"{"subject":"Welcome, Ada","text":"Welcome, Ada Lovelace. Your registration is complete.","to":"ada@example.com"}"#;
        assert_eq!(answer(welcome, event), (0, mail.to_owned()));
    }

    #[test]
    fn what_is_no_customer_is_an_error_of_the_function() {
        for event in ["{}", "[1]", "null", "not JSON"] {
            assert_eq!(answer(welcome, event).0, NOT_A_CUSTOMER, "{event}");
        }
    }

    #[test]
    fn a_rejection_is_reported_whatever_its_form() {
        for event in [r#""firstName is blank""#, "firstName is blank"] {
            assert!(answer(report, event).1.contains(r#""text":"firstName is blank""#), "{event}");
        }
    }
}
