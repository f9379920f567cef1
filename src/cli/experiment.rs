//! `fulcrum experiment`: A/B tests of prompts and models.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, encoded};
use super::outcome::{By, Failure, Outcome, Where};
use super::output::{Form, Format, cell, json as print_json, list, say, table};

/// The largest file of an experiment, in bytes.
const LARGEST: u64 = 1 << 20;

/// Experiments.
#[derive(Subcommand)]
pub enum Experiment {
    /// Make an experiment from a file; it is a draft until it is started
    Create(Create),
    /// List the experiments, the newest first
    List(List),
    /// Show an experiment with its arms' figures
    Show(Show),
    /// Start a draft, go on with a frozen one, or give a running one a larger share
    Start(Start),
    /// End an experiment for good; calls get what their label says
    Stop(Stop),
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum experiment create support-v4.toml")]
pub struct Create {
    /// A file with the fields of POST /api/v1/experiments, as TOML or JSON
    file: PathBuf,
    #[command(flatten)]
    by: By,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum experiment list --format json")]
pub struct List {
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum experiment show support-v4")]
pub struct Show {
    /// The experiment
    name: String,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum experiment start support-v4 --share 0.2")]
pub struct Start {
    /// The experiment
    name: String,
    /// The part of each arm's units that takes part from now on, above 0 and at most 1
    #[arg(long)]
    share: Option<f64>,
    #[command(flatten)]
    by: By,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum experiment stop support-v4")]
pub struct Stop {
    /// The experiment
    name: String,
    #[command(flatten)]
    by: By,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

impl Experiment {
    pub async fn run(self) -> Outcome {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Start(command) => command.run().await,
            Self::Stop(command) => command.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Outcome {
        let body = read_file(&self.file)?;
        let client = Client::to(&self.place).await?.by(&self.by.author);
        let made = client.send(Method::POST, "/api/v1/experiments", &body).await?;
        let name = cell(made.get("name"));
        print(
            self.format,
            &made,
            &format!("made experiment {name}, a draft; fulcrum experiment start {name} begins it"),
        );
        Ok(())
    }
}

/// Reads a file by its ending: `.json` is JSON, anything else TOML.
fn read_file(path: &Path) -> Result<Value, Failure> {
    let shown = path.display();
    let failed = |error: &dyn std::fmt::Display| Failure::Input(format!("{shown}: {error}"));
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > LARGEST {
        return Err(failed(&format!("has {size} bytes, and an experiment at most {LARGEST}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    match path.extension().is_some_and(|ending| ending == "json") {
        true => serde_json::from_str(&text).map_err(|error| failed(&error)),
        false => toml::from_str(&text).map_err(|error: toml::de::Error| failed(&error.to_string().trim_end())),
    }
}

impl List {
    async fn run(self) -> Outcome {
        let found = Client::to(&self.place).await?.get("/api/v1/experiments").await?;
        let heads = ["name", "prompt", "label", "state", "share", "metric", "arms", "started_at"];
        let row = |experiment: &Value| {
            let at = |pointer: &str| cell(experiment.pointer(pointer));
            let arms = experiment["arms"].as_array().into_iter().flatten().map(|arm| cell(arm.get("name")));
            let arms = arms.collect::<Vec<_>>().join(", ");
            vec![
                at("/name"),
                at("/prompt"),
                at("/label"),
                at("/state"),
                at("/share"),
                at("/metric/name"),
                arms,
                at("/started_at"),
            ]
        };
        let rows: Vec<_> = found["rows"].as_array().into_iter().flatten().map(row).collect();
        list(&found, self.format, &heads, &rows, &[4]);
        Ok(())
    }
}

impl Show {
    async fn run(self) -> Outcome {
        let path = format!("/api/v1/experiments/{}", encoded(&self.name));
        let found = Client::to(&self.place).await?.get(&path).await?;
        match self.format {
            Form::Json => print_json(&found),
            Form::Table => show(&found),
        }
        Ok(())
    }
}

/// Prints an experiment for people.
fn show(experiment: &Value) {
    let at = |pointer: &str| cell(experiment.pointer(pointer));
    say(&format!("{}: {} of {}@{}, by {}", at("/name"), at("/state"), at("/prompt"), at("/label"), at("/unit")));
    say(&format!("metric {} ({} is better), share {}", at("/metric/name"), at("/metric/better"), at("/share")));
    let heads = [
        "arm",
        "version",
        "model",
        "assigned",
        "n",
        "mean",
        "low",
        "high",
        "gain from",
        "to",
        "e-value",
        "cost_usd",
        "p95 ms",
    ];
    let row = |arm: &Value| {
        let name =
            if arm["is_off"] == true { format!("{} (off)", cell(arm.get("name"))) } else { cell(arm.get("name")) };
        let mut cells = vec![name, cell(arm.get("version")), cell(arm.get("model"))];
        cells.extend(["assigned", "n"].map(|field| cell(arm.get(field))));
        let figures = ["mean", "low", "high", "gain_low", "gain_high", "e_value", "cost_usd", "latency_ms"];
        cells.extend(figures.map(|field| figure(arm.get(field))));
        cells
    };
    let rows: Vec<_> = experiment["arms"].as_array().into_iter().flatten().map(row).collect();
    table(&heads, &rows, &[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    say(&format!("sample ratio: p = {}", figure(experiment.get("srm_p"))));
    match experiment.get("decision").filter(|decision| !decision.is_null()) {
        Some(decision) => say(&format!("{} {}", cell(decision.get("at")), cell(decision.get("reason")))),
        None => say("nothing is decided yet"),
    }
}

/// A figure with few digits.
fn figure(value: Option<&Value>) -> String {
    match value.and_then(Value::as_f64) {
        Some(number) if number != 0.0 && !(0.001..1e6).contains(&number.abs()) => format!("{number:.2e}"),
        Some(number) => format!("{}", (number * 10_000.0).round() / 10_000.0),
        None => String::new(),
    }
}

impl Start {
    async fn run(self) -> Outcome {
        let path = format!("/api/v1/experiments/{}/start", encoded(&self.name));
        let body = self.share.map_or_else(|| json!({}), |share| json!({ "share": share }));
        let started = Client::to(&self.place).await?.by(&self.by.author).send(Method::POST, &path, &body).await?;
        let said =
            format!("experiment {} runs with a share of {}", cell(started.get("name")), cell(started.get("share")));
        print(self.format, &started, &said);
        Ok(())
    }
}

impl Stop {
    async fn run(self) -> Outcome {
        let path = format!("/api/v1/experiments/{}/stop", encoded(&self.name));
        let stopped = Client::to(&self.place).await?.by(&self.by.author).send(Method::POST, &path, &json!({})).await?;
        print(self.format, &stopped, &format!("experiment {} is stopped", cell(stopped.get("name"))));
        Ok(())
    }
}

fn print(format: Form, answer: &Value, said: &str) {
    match format {
        Form::Json => print_json(answer),
        Form::Table => say(said),
    }
}
