//! What commands print: tables for people, JSON and CSV for programs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{Write, stderr, stdout};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::Value;

use crate::usage::inert;

/// How a command prints its answer. The values have no words of their own, which would take a line each in every help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say all, and a command's help shows what is said here")]
pub enum Format {
    #[default]
    Table,
    Json,
    Csv,
}

/// How a command prints an answer that is no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    #[default]
    Table,
    Json,
}

/// Prints a line.
pub fn say(text: &str) {
    line(&mut stdout().lock(), text);
}

/// Prints a line for people, beside the answer.
pub fn note(text: &str) {
    line(&mut stderr().lock(), text);
}

/// Prints why a command failed.
pub fn complain(message: &str) {
    if !message.is_empty() {
        line(&mut stderr().lock(), message);
    }
}

/// Everything that a command prints goes through here. A reader such as `head` may close the pipe early: that is no failure of
/// the command.
fn line(out: &mut impl Write, text: &str) {
    let text = visible(text, &['\n', '\t']);
    let _unread = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A text without control characters but for `plain`: callers write names, users and tags, and a terminal obeys what it
/// gets. Each is written as JSON writes it, so JSON stays JSON.
pub fn visible<'t>(text: &'t str, plain: &[char]) -> Cow<'t, str> {
    let is_hidden = |letter: char| letter.is_control() && !plain.contains(&letter);
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_hidden(letter) {
            let _infallible = write!(shown, "\\u{:04x}", u32::from(letter));
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// Prints JSON for programs.
pub fn json(value: &Value) {
    say(&format!("{value:#}"));
}

/// Prints `list` as `format` asks: as it is, or as rows under their heads.
pub fn list(list: &Value, format: Format, heads: &[&str], rows: &[Vec<String>], right: &[usize]) {
    match format {
        Format::Json => json(list),
        Format::Table => table(heads, rows, right),
        Format::Csv => say(csv(heads, rows).trim_end()),
    }
}

/// Rows as CSV. A text that a spreadsheet would take for a formula begins with `'`.
fn csv(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // In memory, and every row has a cell for each head: nothing can fail.
    let _written = writer.write_record(heads);
    for row in rows {
        let _written = writer.write_record(row.iter().map(|cell| inert(cell)));
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// The width that a table is fitted to, where closer columns are enough for it.
const WIDTH: usize = 120;

/// Prints rows under their heads; the columns of `right` to the right.
pub fn table(heads: &[&str], rows: &[Vec<String>], right: &[usize]) {
    say(&laid_out(heads, rows, right));
}

fn laid_out(heads: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heads);
    for row in rows {
        // A line break would begin a row that is none.
        table.add_row(row.iter().map(|cell| visible(cell, &[])));
    }
    let widths: usize = table.column_max_content_widths().into_iter().map(usize::from).sum();
    let gap = if widths + 2 * heads.len().saturating_sub(1) > WIDTH { 1 } else { 2 };
    for (n, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, gap));
        if right.contains(&n) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_in_csv_is_inert() {
        let rows = [vec!["=cmd()".to_owned(), "a, \"b\"".to_owned()]];
        assert_eq!(csv(&["x", "y"], &rows), "x,y\n'=cmd(),\"a, \"\"b\"\"\"\n");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let rude = "\u{1b}[2J\u{9b}31m\u{7}\u{7f}a\r\nb\tc";
        for printed in [
            String::from_utf8({
                let mut out = Vec::new();
                line(&mut out, rude);
                line(&mut out, &format!("{:#}", serde_json::json!({"user": rude})));
                line(&mut out, &csv(&["user"], &[vec![rude.to_owned()]]));
                out
            })
            .unwrap(),
            laid_out(&["user"], &[vec![rude.to_owned()], vec!["x".to_owned()]], &[]),
        ] {
            let hidden = |letter: &char| letter.is_control() && !['\n', '\t'].contains(letter);
            assert_eq!(printed.chars().find(hidden), None, "{printed:?}");
            assert!(printed.contains("\\u001b[2J"), "{printed}");
        }
        let mut out = Vec::new();
        line(&mut out, &serde_json::json!({"user": rude}).to_string());
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap()["user"], rude, "JSON stays what it was");
        let table = laid_out(&["user"], &[vec!["a\nb\tc".to_owned()]], &[]);
        assert_eq!(table.lines().count(), 2, "{table}");
    }

    #[test]
    fn columns_stand_closer_where_they_would_be_too_wide() {
        let row = |width: usize| vec![vec!["x".repeat(width), "1".to_owned()]];
        assert_eq!(laid_out(&["a", "n"], &row(3), &[1]), "a    n\nxxx  1");
        assert_eq!(laid_out(&["a", "n"], &row(119), &[1]).lines().last().unwrap(), format!("{} 1", "x".repeat(119)));
    }
}
