//! The results, as a table on the screen, as JSON and as Markdown.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::Result;
use crate::options::Options;

/// Figures of one contender in one scenario.
#[derive(Clone)]
pub(crate) struct Row {
    scenario: String,
    contender: String,
    figures: Vec<(&'static str, f64)>,
    /// The CPU per call of each round.
    cpu_rounds: Vec<f64>,
}

/// All rows and how they came about.
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    /// Name and description.
    pub(crate) contenders: Vec<(String, String)>,
    machine: Vec<(&'static str, String)>,
}

impl Row {
    pub(crate) fn new(scenario: &str, contender: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            contender: contender.to_owned(),
            figures: Vec::new(),
            cpu_rounds: Vec::new(),
        }
    }

    pub(crate) fn set(&mut self, name: &'static str, value: f64) {
        self.figures.push((name, value));
    }

    /// Each figure's median over the rounds.
    pub(crate) fn median(rounds: &[Self]) -> Option<Self> {
        let first = rounds.first()?;
        let mut row = Self::new(&first.scenario, &first.contender);
        for (name, _) in &first.figures {
            let mut values: Vec<f64> = rounds.iter().filter_map(|round| round.get(name)).collect();
            values.sort_by(f64::total_cmp);
            row.set(name, values[values.len() / 2]);
        }
        row.cpu_rounds = rounds.iter().filter_map(|round| round.get("cpu_us_per_call")).collect();
        Some(row)
    }

    /// One line for the screen.
    pub(crate) fn line(&self) -> String {
        let figures: Vec<String> =
            self.figures.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
        format!("{}: {}", self.contender, figures.join(", "))
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(figure, _)| *figure == name).map(|(_, value)| *value)
    }

    fn json(&self) -> Value {
        let figures: Map<String, Value> =
            self.figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({"scenario": self.scenario, "contender": self.contender, "figures": figures, "cpu_us_per_call_rounds": self.cpu_rounds})
    }
}

/// The ratios that matter: what they are called, the contender's scenario, nginx's scenario, the figure.
const RATIOS: &[(&str, &str, &str, &str)] = &[
    ("CPU per whole call, concurrency 64", "whole64", "whole64", "cpu_us_per_call"),
    ("CPU per 100-chunk stream, concurrency 16", "stream16", "stream16", "cpu_us_per_call"),
    ("CPU per paced 100-chunk stream, concurrency 16", "paced16", "paced16", "cpu_us_per_call"),
    ("CPU per whole call, 2,000 a second, open loop", "open2000", "open2000", "cpu_us_per_call"),
    ("CPU per cache hit, beside an nginx call", "cached64", "whole64", "cpu_us_per_call"),
];

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        let command = arguments.map(|argument| without_folder(&argument)).collect::<Vec<_>>().join(" ");
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("?", |(_, name)| name);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let machine = vec![
            ("date", jiff::Timestamp::now().to_string()),
            ("command", format!("scripts/bench {command}").trim().to_owned()),
            ("cpu", format!("{cpu}, {cores} cores")),
            ("kernel", output_of("uname", &["-sr"])),
            ("rust", output_of("rustc", &["--version"])),
            ("commit", output_of("git", &["describe", "--always", "--dirty"])),
            ("node", output_of("node", &["--version"])),
            ("load before", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()),
            ("rounds", format!("{}, the median is reported", options.rounds)),
        ];
        Self { rows: Vec::new(), contenders: Vec::new(), machine }
    }

    /// Prints the tables and writes both files.
    pub(crate) fn write(&self, options: &Options) -> Result<()> {
        let markdown = self.markdown();
        println!("{markdown}");
        fs::create_dir_all(&options.out)?;
        let day = jiff::Timestamp::now().strftime("%Y-%m-%d");
        let quick = if options.quick { "-quick" } else { "" };
        let name = options.out.join(format!("{day}-{}{quick}", host()));
        let machine: Map<String, Value> = self.machine.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        let contenders: Map<String, Value> = self.contenders.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let whole = json!({"machine": machine, "contenders": contenders, "rows": rows});
        fs::write(name.with_extension("json"), serde_json::to_string_pretty(&whole)? + "\n")?;
        fs::write(name.with_extension("md"), markdown)?;
        eprintln!("written: {}.json and .md", name.display());
        Ok(())
    }

    fn row(&self, scenario: &str, contender: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.scenario == scenario && row.contender == contender)
    }

    fn markdown(&self) -> String {
        let mut text = String::from("# Benchmark of the gateway\n\n## Times nginx\n\n");
        text.push_str(&self.ratios());
        for scenario in [
            "whole1", "whole64", "stream1", "stream16", "paced16", "cached64", "open2000", "pairs", "memory", "startup",
        ] {
            text.push_str(&self.table(scenario));
        }
        text.push_str("\n## How\n\n");
        for (name, value) in &self.machine {
            text.push_str(&format!("- {name}: {value}\n"));
        }
        for (name, about) in &self.contenders {
            text.push_str(&format!("- {name}: {about}\n"));
        }
        text.push_str(
            "\nCPU is user and system time of the contender's whole process tree from `/proc`, divided by the calls. All run on the \
             same machine beside the load and the mock upstream, so calls per second are a comparison, not a capacity. \
             `direct` is the mock without anything between. `first` is the time to the body's first byte, `delay` the time \
             from a chunk's sending by the mock to its arrival; chunks of `stream…` follow each other at once and queue, those of \
             `paced…` are 2 ms apart. `clock_late` is how late the open loop itself was.\n",
        );
        text
    }

    fn ratios(&self) -> String {
        let names: Vec<&str> =
            self.contenders.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "direct").collect();
        let mut text = format!("| | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len()));
        for (title, own, base, figure) in RATIOS {
            let Some(nginx) = self.row(base, "nginx").and_then(|row| row.get(figure)) else { continue };
            let ratio = |name: &&str| match self.row(own, name).and_then(|row| row.get(figure)) {
                Some(value) => format!("{:.2} × ({})", value / nginx, short(value)),
                None => "–".to_owned(),
            };
            text.push_str(&format!("| {title} (µs) | {} |\n", names.iter().map(ratio).collect::<Vec<_>>().join(" | ")));
        }
        for (title, scenario, figure, base) in [
            ("added at p50, concurrency 1 (µs)", "whole1", "p50_us", "direct"),
            ("added at p50, 2,000 a second, open loop (µs)", "open2000", "p50_us", "direct"),
            ("added at p99, 2,000 a second, open loop (µs)", "open2000", "p99_us", "direct"),
            (
                "time to first byte of a stream over nginx's, p50, concurrency 1 (µs)",
                "stream1",
                "first_p50_us",
                "nginx",
            ),
            (
                "time to first byte of a paced stream over nginx's, p50, concurrency 16 (µs)",
                "paced16",
                "first_p50_us",
                "nginx",
            ),
            ("delay of a paced chunk over nginx's, p99 (µs)", "paced16", "delay_p99_us", "nginx"),
        ] {
            let Some(base) = self.row(scenario, base).and_then(|row| row.get(figure)) else { continue };
            let added = |name: &&str| match self.row(scenario, name).and_then(|row| row.get(figure)) {
                Some(value) => format!("{:+.0}", value - base),
                None => "–".to_owned(),
            };
            text.push_str(&format!("| {title} | {} |\n", names.iter().map(added).collect::<Vec<_>>().join(" | ")));
        }
        text
    }

    fn table(&self, scenario: &str) -> String {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.scenario == scenario).collect();
        let Some(widest) = rows.iter().max_by_key(|row| row.figures.len()) else {
            return String::new();
        };
        let columns: Vec<&str> = widest.figures.iter().map(|(name, _)| *name).collect();
        let mut text =
            format!("\n## {scenario}\n\n| | {} |\n|---|{}\n", columns.join(" | "), "---:|".repeat(columns.len()));
        for row in rows {
            let cells: Vec<String> =
                columns.iter().map(|column| row.get(column).map_or("–".to_owned(), short)).collect();
            text.push_str(&format!("| {} | {} |\n", row.contender, cells.join(" | ")));
        }
        text
    }
}

fn short(value: f64) -> String {
    if value == value.round() || value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// An argument without the folders of this machine, which mean nothing elsewhere.
fn without_folder(argument: &str) -> String {
    match argument.rsplit_once('/') {
        Some((before, name)) if before.contains('=') => {
            format!("{}={name}", before.split('=').next().unwrap_or_default())
        }
        Some((_, name)) => name.to_owned(),
        None => argument.to_owned(),
    }
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The processor's architecture and cores: enough to tell machines apart without naming one.
fn host() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}-{cores}-cores", std::env::consts::ARCH)
}
