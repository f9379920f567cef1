//! What commands print: tables for people, JSON and CSV for programs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a command does")]

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::Value;

/// How a command prints its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Table,
    /// JSON
    Json,
    /// CSV
    Csv,
}

/// Prints a line.
pub fn say(text: &str) {
    println!("{text}");
}

/// Prints a line for people, beside the answer.
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints why a command failed.
pub fn complain(message: &str) {
    if !message.is_empty() {
        eprintln!("{message}");
    }
}

/// Prints JSON for programs.
pub fn json(value: &Value) {
    println!("{value:#}");
}

/// Prints rows under their heads; the columns of `right` to the right.
pub fn table(heads: &[&str], rows: &[Vec<String>], right: &[usize]) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heads);
    for row in rows {
        table.add_row(row);
    }
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{}", table.trim_fmt());
}

/// A JSON value as a cell: texts bare, nothing for null.
pub fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => list.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
        Some(value) => value.to_string(),
    }
}
