//! `fulcrum demo`: one screen, whose figures are those of its own run.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::binary::{fulcrum, run};
use crate::client::{Call, Open};

const LAST: &str = "Next: docs/guides/getting-started.md";

fn demo(dir: &Path, more: &[&str]) -> Command {
    let mut command = fulcrum(dir);
    command.args(["demo", "--listen", "127.0.0.1:0"]).args(more).stderr(Stdio::null());
    command
}

/// The number before or behind `mark` in the screen, whose lines are joined.
fn before(screen: &str, mark: &str) -> u64 {
    let head = screen.split(mark).next().unwrap();
    head.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("no number before `{mark}`: {screen}"))
}

fn behind<'s>(screen: &'s str, mark: &str) -> &'s str {
    let rest = screen.split(mark).nth(1).unwrap_or_else(|| panic!("no `{mark}`: {screen}"));
    rest.split_whitespace().next().unwrap().trim_end_matches(['.', ',', ')'])
}

/// A demo that stays up: its screen, and its address and key. Killed when this goes.
struct Shown {
    child: Child,
    lines: Vec<String>,
    address: SocketAddr,
    key: String,
}

impl Drop for Shown {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Shown {
    fn new(dir: &Path) -> Self {
        let mut child = demo(dir, &[]).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        for line in output.lines().map_while(Result::ok) {
            lines.push(line);
            if lines.last().unwrap() == LAST {
                break;
            }
        }
        let all = lines.join(" ");
        let address = behind(&all, "curl -si http://").split('/').next().unwrap().parse().unwrap();
        let key = behind(&all, "export K=").to_owned();
        Self { child, lines, address, key }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = Open::of_call(self.address, Call::get(path).key(&self.key)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }
}

fn assert_fits(lines: &[String]) {
    assert!((18..=24).contains(&lines.len()), "{} lines: {lines:#?}", lines.len());
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
}

#[tokio::test]
async fn the_demo_shows_one_screen_whose_figures_are_those_of_its_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let shown = Shown::new(dir.path());
    assert_fits(&shown.lines);
    let screen = shown.lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    assert!(!screen.contains("DID NOT HAPPEN"), "{screen}");
    let total = shown.get("/api/v1/usage?by=status").await["total"].take();
    let rows = shown.get("/api/v1/requests?limit=500").await["rows"].take();
    let rows = rows.as_array().unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let dollars = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();

    let versions = shown.get("/api/v1/usage?by=version&prompt=support-reply").await;
    let second = versions["rows"].as_array().unwrap().iter().find(|row| row["version"] == 2).unwrap().clone();
    assert_eq!(before(&screen, " calls, and was taken back"), number(&second["requests"]));
    assert_eq!(shown.get("/api/v1/prompts/support-reply/versions/production").await["version"], 1);

    let mut failed = 0;
    for row in rows.iter().filter(|row| row["route"] == "support" && row["cache"] == "miss") {
        let row = shown.get(&format!("/api/v1/requests/{}", row["id"].as_str().unwrap())).await;
        failed += u64::from(row["attempts"][0]["status"] == "error" && row["status"] == "ok");
    }
    assert!(failed > 0);
    assert_eq!((before(&screen, " times;"), before(&screen, " (median")), (failed, failed));

    let all = before(&screen, " calls came from the cache");
    assert_eq!(all, number(&total["requests"]));
    assert_eq!(before(&screen, &format!(" of {all} calls came")), number(&total["cache_hits"]));
    let saved = dollars(&total["saved_usd"]);
    let would = saved + dollars(&total["cost_usd"]);
    assert_eq!(behind(&screen, "cache: "), format!("${saved:.4}"));
    assert_eq!(behind(&screen, "saved ("), format!("{:.0}%", 100.0 * saved / would));

    let keys = shown.get("/api/v1/keys").await["rows"].take();
    let intern = keys.as_array().unwrap().iter().find(|key| key["name"] == "intern").unwrap().clone();
    let of_key =
        shown.get(&format!("/api/v1/usage?by=error&key={}", intern["id"].as_str().unwrap())).await["rows"].take();
    let counted = |code: Value| {
        of_key.as_array().unwrap().iter().find(|row| row["error"] == code).map(|row| number(&row["requests"]))
    };
    assert_eq!(counted(Value::Null), Some(before(&screen, " answered, ")));
    assert_eq!(counted("model_not_allowed".into()), Some(before(&screen, " for another model")));
    assert!(!intern["revoked_at"].is_null(), "{intern}");

    assert_eq!(before(&screen, " rows add up"), rows.len() as u64);
    assert_eq!(behind(&screen, "the report's "), format!("${}", total["cost_usd"].as_str().unwrap()));
    let dearest = rows
        .iter()
        .map(|row| row["cost_usd"].as_str().unwrap_or("0"))
        .max_by(|a, b| a.parse::<f64>().unwrap().total_cmp(&b.parse::<f64>().unwrap()));
    assert!(screen.contains(&format!("= ${}. The", dearest.unwrap())), "{screen}");
}

#[tokio::test]
async fn a_demo_that_ends_prints_no_line_to_paste_and_its_tables_only_where_they_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let (code, short) = run(&mut demo(dir.path(), &["--exit"]));
    let lines: Vec<String> = short.lines().map(str::to_owned).collect();
    assert_eq!(code, 0, "{short}");
    assert_fits(&lines);
    let (code, full) = run(&mut demo(dir.path(), &["--exit", "--full"]));
    assert_eq!(code, 0, "{full}");
    for printed in [&short, &full] {
        let has_key = printed.split("fk-").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
        assert!(!has_key && !printed.contains("curl"), "{printed}");
    }
    let (screen, tables) = full.split_once("\n== The gateway").unwrap();
    assert!(screen.trim_end().ends_with(LAST) && !short.contains("=="), "{full}");
    for title in ["Usage by route", "Usage by model", "Usage by prompt", "What happened"] {
        assert!(tables.contains(title), "{title}: {tables}");
    }
    let all: Vec<&str> = tables.lines().find(|line| line.starts_with("all ")).unwrap().split_whitespace().collect();
    let screen = screen.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let requests: f64 = all[1].parse().unwrap();
    let hits = before(&screen, &format!(" of {requests} calls came from the cache"));
    let share = f64::from(u32::try_from(hits).unwrap()) * 100.0 / requests;
    assert_eq!(format!("{share:.1}"), all[3], "{full}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert!(left.is_empty(), "the demo left {left:?}");
}

#[tokio::test]
async fn a_demo_in_which_one_of_the_five_does_not_happen_fails_and_names_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("prompts")).unwrap();
    let own = "[[messages]]\nrole = \"user\"\ncontent = \"Hello\"\n";
    std::fs::write(dir.path().join("prompts/support-reply.toml"), own).unwrap();
    let (code, printed) = run(&mut demo(dir.path(), &["--exit"]));
    let missing = "1 A prompt changes without a release, and back\n   THIS DID NOT HAPPEN: ";
    assert!(code == 1 && printed.contains(missing), "{code} {printed}");
    assert!(printed.contains("calls came from the cache"), "the others are shown: {printed}");
    // One that stays up ends in the same way.
    let mut child = demo(dir.path(), &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with(LAST) {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the demo ended by itself");
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    output.read_to_string(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
