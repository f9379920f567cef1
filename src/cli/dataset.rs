//! `fulcrum dataset`: items to evaluate and to train with.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, encoded};
use super::outcome::{Failure, Outcome, Where};
use super::output::{Form, Format, cell, json as print_json, list as print_list, say};
use super::usage::added;
use crate::datasets;

/// The longest file that is imported, in bytes, as the API has it.
const LONGEST: u64 = 1 << 30;

/// Datasets: items to evaluate and to train with, in versions that never change.
#[derive(Subcommand)]
pub enum Dataset {
    /// Make a dataset without items
    Create(Create),
    /// List the datasets
    List(List),
    /// Show a version of a dataset: its items by part, and where they come from
    Show(Show),
    /// Add the items of a file as the next version: all of them, or none
    Import(Import),
    /// Write a version's items, or those of one part, as lines of JSON or as CSV
    Export(Export),
    /// Read a file as an import would, and name every line that is no item; nothing is stored
    Validate(Validate),
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum dataset create tickets")]
pub struct Create {
    /// The dataset's name
    name: String,
    #[command(flatten)]
    of: Of,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

/// Whose a dataset is.
#[derive(Args)]
struct Of {
    /// The project that it is of, for an admin [default: the key's own]
    #[arg(long)]
    project: Option<String>,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum dataset list")]
pub struct List {
    #[command(flatten)]
    of: Of,
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum dataset show tickets --at 2")]
pub struct Show {
    /// The dataset's name
    name: String,
    /// Which version [default: the newest]
    #[arg(long, value_name = "VERSION")]
    at: Option<u32>,
    #[command(flatten)]
    of: Of,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Jsonl,
    Csv,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }

    /// What is named, or what the file's name says: lines of JSON, unless it ends in `.csv`.
    fn of(named: Option<Self>, file: &Path) -> Self {
        let is_csv = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        named.unwrap_or(if is_csv { Self::Csv } else { Self::Jsonl })
    }
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum dataset import tickets tickets.jsonl\n\
    Example: fulcrum dataset import tickets tickets.csv")]
pub struct Import {
    /// The dataset's name
    name: String,
    /// Lines of JSON: {"variables" or "messages", "expected", "tags", "weight", "unit"}; or CSV with a head; - for standard input
    file: PathBuf,
    /// The form of the file [default: by its name, or else jsonl]
    #[arg(long = "as", value_name = "FORM")]
    kind: Option<Kind>,
    #[command(flatten)]
    of: Of,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum dataset export tickets --split test --file test.jsonl")]
pub struct Export {
    /// The dataset's name
    name: String,
    /// Which version [default: the newest]
    #[arg(long, value_name = "VERSION")]
    at: Option<u32>,
    /// Only one part: train, validation or test
    #[arg(long)]
    split: Option<String>,
    /// The file to write, which must not be there; without it the items are printed
    #[arg(long)]
    file: Option<PathBuf>,
    /// The form [default: by the file's name, or else jsonl]
    #[arg(long = "as", value_name = "FORM")]
    kind: Option<Kind>,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum dataset validate tickets.jsonl")]
pub struct Validate {
    /// Lines of JSON, or CSV with a head
    file: PathBuf,
    /// The form of the file [default: by its name, or else jsonl]
    #[arg(long = "as", value_name = "FORM")]
    kind: Option<Kind>,
}

impl Dataset {
    pub async fn run(self) -> Outcome {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Import(command) => command.run().await,
            Self::Export(command) => command.run().await,
            Self::Validate(command) => command.run(),
        }
    }
}

/// A dataset's route, with the parameters that are named.
fn path(name: &str, rest: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let path = format!("/api/v1/datasets/{}{rest}?", encoded(name));
    let named = parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    named.fold(path, added)
}

impl Create {
    async fn run(self) -> Outcome {
        let body = json!({"name": self.name, "project": self.of.project});
        let made = Client::to(&self.place).await?.send(Method::POST, "/api/v1/datasets", &body).await?;
        match self.format {
            Form::Json => print_json(&made),
            Form::Table => {
                say(&format!("made the dataset {} in {}", cell(made.get("name")), cell(made.get("project"))));
            }
        }
        Ok(())
    }
}

impl List {
    async fn run(self) -> Outcome {
        let project = self.of.project.iter().map(|project| ("project", project.as_str()));
        let path = project.fold("/api/v1/datasets?".to_owned(), added);
        let list = Client::to(&self.place).await?.get(&path).await?;
        let rows = list["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let heads = ["name", "project", "version", "created_at"];
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| heads.iter().map(|head| cell(row.get(*head))).collect()).collect();
        if rows.is_empty() && self.format == Format::Table {
            say("no datasets");
            return Ok(());
        }
        print_list(&list, self.format, &["name", "project", "version", "created"], &cells, &[2]);
        Ok(())
    }
}

impl Show {
    async fn run(self) -> Outcome {
        let version = self.at.map(|version| version.to_string());
        let parameters = [("version", version.as_deref()), ("project", self.of.project.as_deref())];
        let shown = Client::to(&self.place).await?.get(&path(&self.name, "", &parameters)).await?;
        match self.format {
            Form::Json => print_json(&shown),
            Form::Table => show(&shown),
        }
        Ok(())
    }
}

fn show(shown: &Value) {
    for name in ["name", "project", "version", "items", "equal_inputs"] {
        say(&format!("{:<16}{}", name.replace('_', " "), cell(shown.get(name))));
    }
    for split in datasets::Split::ALL {
        say(&format!("{:<16}{}", split.text(), cell(shown["splits"].get(split.text()))));
    }
    for version in shown["versions"].as_array().into_iter().flatten() {
        let at: String = cell(version.get("at")).chars().take(16).collect::<String>().replace('T', " ");
        let name = format!("version {}", cell(version.get("version")));
        let (added, source) = (cell(version.get("added")), cell(version.get("source")));
        say(&format!("{name:<16}{added} added by {source}, {at}"));
    }
}

impl Import {
    async fn run(self) -> Outcome {
        let kind = Kind::of(self.kind, &self.file);
        let text = text_of(&self.file)?;
        let parameters = [("format", Some(kind.name())), ("project", self.of.project.as_deref())];
        let client = Client::to(&self.place).await?;
        let version = client.send_text(&path(&self.name, "/items", &parameters), text).await?;
        match self.format {
            Form::Json => print_json(&version),
            Form::Table => say(&format!(
                "imported {} items as version {} of {}",
                cell(version.get("added")),
                cell(version.get("version")),
                self.name
            )),
        }
        Ok(())
    }
}

/// The text of a file, or of standard input.
fn text_of(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Input(format!("cannot read {}: {error}", file.display())))?;
    Ok(text)
}

impl Export {
    async fn run(self) -> Outcome {
        let kind = Kind::of(self.kind, self.file.as_deref().unwrap_or(Path::new("")));
        let version = self.at.map(|version| version.to_string());
        let parameters = [
            ("format", Some(kind.name())),
            ("version", version.as_deref()),
            ("split", self.split.as_deref()),
            ("project", self.of.project.as_deref()),
        ];
        let client = Client::to(&self.place).await?;
        let text = client.get_text(&path(&self.name, "/export", &parameters)).await?;
        let Some(file) = &self.file else {
            say(text.trim_end());
            return Ok(());
        };
        let written = File::create_new(file).and_then(|mut open| open.write_all(text.as_bytes()));
        written.map_err(|error| Failure::Input(format!("cannot write {}: {error}", file.display())))?;
        say(&format!("wrote {}", file.display()));
        Ok(())
    }
}

impl Validate {
    fn run(self) -> Outcome {
        let form = match Kind::of(self.kind, &self.file) {
            Kind::Jsonl => datasets::Form::Jsonl,
            Kind::Csv => datasets::Form::Csv,
        };
        let unreadable = |error| Failure::Input(format!("cannot read {}: {error}", self.file.display()));
        let file = File::open(&self.file).map_err(unreadable)?;
        let checked = datasets::check(file, form).map_err(unreadable)?;
        checked.problems.iter().for_each(|problem| say(problem));
        match checked.problems.len() {
            0 => {
                say(&format!("{} items, ok", checked.items));
                Ok(())
            }
            _ => Err(Failure::Negative(format!("{} is not imported as it is", self.file.display()))),
        }
    }
}
