//! What commands print: tables for people, JSON for programs.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use jobico_event::text;
use serde::Serialize;
use serde_json::Value;

use crate::exit::Error;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// A table.
    #[default]
    Table,
    /// One JSON document, or one a line where results are followed.
    Json,
}

/// Prints a document as JSON.
pub fn json(document: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(document).map_err(|error| Error::failed(format!("as JSON: {error}")))?;
    line(&text)
}

/// A document as JSON, on one line.
pub fn one_line(document: &impl Serialize) -> String {
    text::json_line(document).expect("views have strings, numbers and JSON alone, which JSON can write")
}

/// Prints rows below a head; long cells stay whole, and each on its line.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> Result<(), Error> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| text::printable(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for text in table.lines() {
        line(text.trim_end())?;
    }
    Ok(())
}

/// Prints a line. A reader that has gone (`jobico results … | head`) ends the command without a fuss.
pub fn line(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Error::failed(format!("standard output: {error}"))),
    }
}

/// The text of a member, or a dash.
pub fn cell(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}
