//! Items as rows of CSV: the head says which column is what.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::item::{Input, Item};

/// The columns that are no variables. `messages` and `expected` may hold JSON.
const KNOWN: [&str; 6] = ["messages", "expected", "weight", "unit", "request_id", "split"];
/// What a tag's column begins with.
const TAG: &str = "tag:";
/// What a variable's column begins with, where its name is one of those above.
const VARIABLE: &str = "variables.";

/// What stands in the columns of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head(Vec<Place>);

/// In the order of an export.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Variable(String),
    Known(&'static str),
    Tag(String),
}

impl Head {
    /// Reads the first row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(row: &[u8]) -> Result<Self, String> {
        let mut seen = BTreeSet::new();
        let mut places = Vec::new();
        for name in cells(row)? {
            let name = name.trim();
            if name.is_empty() || !seen.insert(name.to_owned()) {
                return Err(format!("the head names a column twice, or a column has no name: `{name}`"));
            }
            places.push(match KNOWN.into_iter().find(|known| *known == name) {
                Some(known) => Place::Known(known),
                None => match (name.strip_prefix(TAG), name.strip_prefix(VARIABLE)) {
                    (Some(tag), _) => Place::Tag(tag.to_owned()),
                    (None, Some(variable)) => Place::Variable(variable.to_owned()),
                    (None, None) => Place::Variable(name.to_owned()),
                },
            });
        }
        Ok(Self(places))
    }

    /// The columns that some items need.
    pub(super) fn of<'a>(items: impl IntoIterator<Item = &'a Item>) -> Self {
        let (mut variables, mut tags, mut has_messages) = (BTreeSet::new(), BTreeSet::new(), false);
        for item in items {
            match &item.input {
                Input::Variables(named) => variables.extend(named.keys().cloned()),
                Input::Messages(_) => has_messages = true,
            }
            tags.extend(item.tags.keys().cloned());
        }
        let known = KNOWN.into_iter().filter(|name| *name != "messages" || has_messages).map(Place::Known);
        let places = variables.into_iter().map(Place::Variable).chain(known).chain(tags.into_iter().map(Place::Tag));
        Self(places.collect())
    }

    /// Adds the columns that others need.
    pub(super) fn join(&mut self, other: Self) {
        let mut places: Vec<Place> = std::mem::take(&mut self.0);
        places.extend(other.0);
        places.sort();
        places.dedup();
        self.0 = places;
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |place: &Place| match place {
            Place::Known(name) => (*name).to_owned(),
            Place::Tag(name) => format!("{TAG}{name}"),
            Place::Variable(name) if is_taken(name) => {
                format!("{VARIABLE}{name}")
            }
            Place::Variable(name) => name.clone(),
        };
        self.0.iter().map(name).collect()
    }

    /// Reads a row as the JSON of an item. A cell of `messages` is JSON; of `expected` and of a variable it is JSON where that is an
    /// object or a list, and else a text.
    ///
    /// # Errors
    /// What is wrong with it, and in which column.
    pub(super) fn item(&self, row: &[u8]) -> Result<Vec<u8>, String> {
        let cells = cells(row)?;
        if cells.len() != self.0.len() {
            return Err(format!("the row has {} cells, and the head {}", cells.len(), self.0.len()));
        }
        let (mut item, mut variables, mut tags) = (Map::new(), Map::new(), Map::new());
        for (place, cell) in self.0.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            match place {
                Place::Tag(name) => drop(tags.insert(name.clone(), cell.into())),
                Place::Variable(name) => drop(variables.insert(name.clone(), text_or_json(cell))),
                Place::Known("expected") => drop(item.insert("expected".to_owned(), text_or_json(cell))),
                Place::Known(name @ ("messages" | "weight")) => {
                    let value = serde_json::from_str(&cell).map_err(|error| format!("`{name}`: {error}"))?;
                    item.insert((*name).to_owned(), value);
                }
                Place::Known(name) => drop(item.insert((*name).to_owned(), cell.into())),
            }
        }
        if !item.contains_key("messages") || !variables.is_empty() {
            item.insert("variables".to_owned(), variables.into());
        }
        if !tags.is_empty() {
            item.insert("tags".to_owned(), tags.into());
        }
        serde_json::to_vec(&item).map_err(|error| error.to_string())
    }

    /// An item's cells.
    pub(super) fn cells(&self, item: &Item) -> Vec<String> {
        let cell = |place: &Place| match (place, &item.input) {
            (Place::Known("messages"), Input::Messages(messages)) => Value::Array(messages.clone()).to_string(),
            (Place::Known("expected"), _) => item.expected.as_ref().map(shown).unwrap_or_default(),
            (Place::Known("weight"), _) => item.weight.to_string(),
            (Place::Known("unit"), _) => item.unit.clone().unwrap_or_default(),
            (Place::Known("request_id"), _) => item.request_id.clone().unwrap_or_default(),
            (Place::Known("split"), _) => item.split().text().to_owned(),
            (Place::Tag(name), _) => item.tags.get(name).cloned().unwrap_or_default(),
            (Place::Variable(name), Input::Variables(variables)) => variables.get(name).map(shown).unwrap_or_default(),
            (Place::Known(_) | Place::Variable(_), _) => String::new(),
        };
        self.0.iter().map(cell).collect()
    }
}

/// Whether a variable's own name would mean another column.
fn is_taken(name: &str) -> bool {
    KNOWN.contains(&name) || name.starts_with(TAG) || name.starts_with(VARIABLE)
}

/// The cells of one row.
fn cells(row: &[u8]) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(row);
    let mut record = csv::StringRecord::new();
    if !reader.read_record(&mut record).map_err(|error| problem(&error))? {
        return Err("the row is empty".to_owned());
    }
    Ok(record.iter().map(ToOwned::to_owned).collect())
}

fn problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is no UTF-8".to_owned(),
        _ => "it is no row of CSV".to_owned(),
    }
}

/// What a cell holds: an object or a list as JSON, all else as a text.
fn text_or_json(cell: String) -> Value {
    if cell.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(&cell)
    {
        return value;
    }
    cell.into()
}

/// A value as a cell.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<Value> {
        let mut lines = text.lines();
        let head = Head::read(lines.next().unwrap().as_bytes()).unwrap();
        lines.map(|row| serde_json::from_slice(&head.item(row.as_bytes()).unwrap()).unwrap()).collect()
    }

    #[test]
    fn the_head_says_what_the_columns_are() {
        assert_eq!(
            read("ticket,expected,tag:language,weight,unit\n\"Where, please?\",delivery,en,2,ann\nx,,,,"),
            [
                json!({"expected": "delivery", "weight": 2, "unit": "ann", "variables": {"ticket": "Where, please?"},
                    "tags": {"language": "en"}}),
                json!({"variables": {"ticket": "x"}}),
            ]
        );
        assert_eq!(
            read("messages,expected\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"x\"\"}]\",\"{\"\"a\"\":1}\""),
            [json!({"messages": [{"role": "user", "content": "x"}], "expected": {"a": 1}})]
        );
        assert_eq!(read("variables.expected\nx"), [json!({"variables": {"expected": "x"}})]);
        let head = Head::read(b"a,b").unwrap();
        assert!(head.item(b"1").unwrap_err().contains("1 cells, and the head 2"));
        assert!(Head::read(b"a,a").is_err() && Head::read(b"a,,b").is_err());
        let head = Head::read(b"messages").unwrap();
        assert!(head.item(b"x").unwrap_err().starts_with("`messages`"));
    }

    #[test]
    fn what_is_exported_is_read_back() {
        let item = |json: Value| Item::read(json.to_string().as_bytes()).unwrap();
        let items = [
            item(
                json!({"variables": {"expected": "v", "a": {"b": [1]}}, "expected": "x, \"y\"\nz", "tags": {"t": "u"}}),
            ),
            item(
                json!({"messages": [{"role": "user", "content": "Hi"}], "expected": [1], "weight": 0.5, "unit": "ann"}),
            ),
        ];
        let head = Head::of(&items);
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(head.names()).unwrap();
        items.iter().for_each(|item| writer.write_record(head.cells(item)).unwrap());
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let (names, rows) = text.split_once('\n').unwrap();
        let head = Head::read(names.as_bytes()).unwrap();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(rows.as_bytes());
        for (item, row) in items.iter().zip(reader.records()) {
            let mut written = csv::Writer::from_writer(Vec::new());
            written.write_record(&row.unwrap()).unwrap();
            let json = head.item(&written.into_inner().unwrap()).unwrap();
            assert_eq!(&Item::read(&json).unwrap(), item);
        }
    }
}
