//! Tables that fit a terminal: the least important columns are left out, then names are shortened.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use super::output::visible;

/// The width of a terminal that nobody made wider.
pub const WIDTH: usize = 80;
/// A name is not made shorter than this.
const SHORTEST: usize = 6;

/// A column of a table.
pub struct Column {
    /// What stands above it.
    pub head: String,
    /// Its cells, from the top.
    pub cells: Vec<String>,
    /// What is left out first has the highest; 0 is never left out.
    pub rank: u8,
    /// Whether it stands to the right.
    pub is_number: bool,
    /// Whether its cells are never shortened.
    pub is_whole: bool,
}

/// A table, and what it leaves out.
pub struct Fitted {
    /// The table.
    pub table: String,
    /// The heads of the columns that did not fit.
    left_out: Vec<String>,
}

impl Fitted {
    /// The columns that did not fit, and how to see them.
    pub fn note(&self) -> Option<String> {
        let heads = self.left_out.join(", ");
        (!heads.is_empty()).then(|| format!("left out to fit {WIDTH} columns: {heads}; --wide shows them"))
    }
}

/// The columns as a table of at most `width` columns of a terminal, where that is possible; without `width` all as they are.
pub fn fitted(mut columns: Vec<Column>, width: Option<usize>) -> Fitted {
    for column in &mut columns {
        // A line break would begin a row that is none.
        column.cells.iter_mut().for_each(|cell| *cell = visible(cell, &[]).into_owned());
    }
    let Some(width) = width else { return Fitted { table: table(&columns, 2), left_out: Vec::new() } };
    let (columns, others) = chosen(columns, width);
    let left_out = others.into_iter().map(|column| column.head).collect();
    let table = match needed(&columns, 2) > width {
        true => table(&shortened(columns, width), 1),
        false => table(&columns, 2),
    };
    Fitted { table, left_out }
}

/// The columns that fit, by rank, and the others: where one does not, none of a higher rank is shown either.
fn chosen(columns: Vec<Column>, width: usize) -> (Vec<Column>, Vec<Column>) {
    let mut ranks: Vec<u8> = columns.iter().map(|column| column.rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let fits = |rank: u8| {
        let shown: Vec<&Column> = columns.iter().filter(|column| column.rank <= rank).collect();
        needed(&shown, 2) <= width
    };
    let last = ranks.into_iter().take_while(|rank| *rank == 0 || fits(*rank)).last().unwrap_or(0);
    columns.into_iter().partition(|column| column.rank <= last)
}

/// Shortens the longest names until the table fits.
fn shortened(mut columns: Vec<Column>, width: usize) -> Vec<Column> {
    while needed(&columns, 1) > width {
        let longest = |column: &Column| column.cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let names = columns.iter_mut().filter(|column| !column.is_whole && longest(column) > SHORTEST);
        let Some(column) = names.max_by_key(|column| longest(column)) else { break };
        let most = longest(column) - 1;
        for cell in column.cells.iter_mut().filter(|cell| cell.chars().count() > most) {
            *cell = cell.chars().take(most - 1).chain(['…']).collect();
        }
    }
    columns
}

/// How wide a table of these is.
fn needed<C: std::borrow::Borrow<Column>>(columns: &[C], gap: usize) -> usize {
    let widths = columns.iter().map(|column| wide(column.borrow()));
    widths.sum::<usize>() + gap * columns.len().saturating_sub(1)
}

fn wide(column: &Column) -> usize {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([&column.head]);
    column.cells.iter().for_each(|cell| {
        table.add_row([cell]);
    });
    table.column_max_content_widths().first().copied().map_or(0, usize::from)
}

fn table(columns: &[Column], gap: u16) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(columns.iter().map(|column| &column.head));
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    for n in 0..rows {
        table.add_row(columns.iter().map(|column| column.cells.get(n).map_or("", String::as_str)));
    }
    for (shown, column) in table.column_iter_mut().zip(columns) {
        shown.set_padding((0, gap));
        if column.is_number {
            shown.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(head: &str, cell: &str, rank: u8) -> Column {
        let is_number = cell.starts_with(|letter: char| letter.is_ascii_digit());
        Column {
            head: head.to_owned(),
            cells: vec![cell.to_owned(), String::new()],
            rank,
            is_number,
            is_whole: is_number,
        }
    }

    #[test]
    fn a_table_leaves_out_columns_by_rank_then_shortens_names() {
        let columns = || {
            vec![column("name", "a-long-name", 0), column("n", "123", 0), column("x", "4567", 2), column("y", "8", 1)]
        };
        let head = |width| {
            fitted(columns(), width).table.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(head(None), "name n x y");
        assert_eq!(head(Some(25)), "name n x y");
        assert_eq!(head(Some(24)), "name n y");
        assert_eq!(head(Some(18)), "name n");
        assert!(fitted(columns(), Some(25)).note().is_none() && fitted(columns(), None).note().is_none());
        let note = fitted(columns(), Some(18)).note();
        assert_eq!(note.as_deref(), Some("left out to fit 80 columns: x, y; --wide shows them"));
        assert_eq!(fitted(columns(), Some(12)).table.lines().nth(1), Some("a-long-… 123"));
        assert_eq!(fitted(columns(), Some(3)).table.lines().nth(1), Some("a-lon… 123"), "a number is never cut");
    }

    #[test]
    fn wide_letters_and_control_characters_keep_the_table_in_its_width() {
        for name in ["\u{1b}[2J\nname", "名前の長いモデルの名前の長いモデルの名前"] {
            for width in 20..60 {
                let lines = fitted(vec![column("name", name, 0), column("n", "123", 0)], Some(width)).table;
                assert_eq!(lines.lines().count(), 2, "the head and a row; the empty one is trimmed: {lines}");
                assert!(!lines.contains('\u{1b}'));
                let mut again = Table::new();
                again.load_style(NOTHING).add_row([&lines]);
                assert!(usize::from(again.column_max_content_widths()[0]) <= width, "{width}\n{lines}");
            }
        }
    }
}
