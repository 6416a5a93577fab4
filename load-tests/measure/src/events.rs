//! The events: customers of examples/customer-registration, about 200 bytes of JSON each, no two alike.

use std::io::Write;

const FIRST_NAMES: [&str; 8] = ["Ada", "Grace", "José", "Barbara", "Edsger", "Radia", "Alan", "Zoë"];
const LAST_NAMES: [&str; 8] = ["Lovelace", "Hopper", "Saramago", "Liskov", "Dijkstra", "Perlman", "Kay", "Brontë"];
const COMPANIES: [&str; 5] = [
    "Analytical Engines of St James's Square, London, and the Royal Society of Mathematical Computation",
    "Bureau of Ships Computation Project, Cruft Laboratory, Harvard University, Cambridge, Massachusetts",
    "Estúdios Cor, Editora e Distribuidora de Livros, Rua da Misericórdia, Bairro Alto, Lisboa",
    "Institute for the Correctness of Programs by Construction, Plataanstraat, Nuenen, Eindhoven",
    "Spanning Trees, Bridges and Other Loop-free Topologies Incorporated, Maynard, Massachusetts",
];

/// The customer of a number, valid against the example's schema.
pub fn customer(number: u64) -> Vec<u8> {
    let mut json = Vec::with_capacity(256);
    write(&mut json, number);
    json
}

/// The first `count` customers.
pub fn customers(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(customer).collect()
}

/// Appends the customer of a number to `json`.
pub fn write(json: &mut Vec<u8>, number: u64) {
    write!(
        json,
        r#"{{"firstName":"{}","lastName":"{}","email":"customer.{number:09}@mail.example.com","age":{},"company":"{}"}}"#,
        of(&FIRST_NAMES, number),
        of(&LAST_NAMES, number / 8),
        18 + number % 80,
        of(&COMPANIES, number / 3),
    )
    .expect("memory takes every write");
}

fn of<'a>(names: &[&'a str], number: u64) -> &'a str {
    names[(number % names.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_valid_and_have_the_size_that_is_claimed() {
        let schema = include_str!("../../../examples/customer-registration/customer.json");
        let schema = jobico_event::Schema::compile(schema).unwrap();
        let events = customers(1_000);
        assert!(events.iter().all(|event| schema.check(event).is_ok()));
        let bytes = events.iter().map(Vec::len).sum::<usize>() / events.len();
        assert!((180..=220).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn no_two_events_are_alike() {
        let events: std::collections::HashSet<_> = customers(10_000).into_iter().collect();
        assert_eq!(events.len(), 10_000);
    }
}
