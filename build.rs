//! Rebuilds when a migration is added, and notes for `fulcrum --version` which commit is built and when that was made.
//!
//! The same commit gives the same bytes: the date is the commit's, or what `SOURCE_DATE_EPOCH` says. A source without its
//! repository names its commit by `FULCRUM_COMMIT`, or has none.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-env-changed=FULCRUM_COMMIT");
    let has_repository = is_top_of_repository();
    if has_repository {
        // Cargo takes a file that is not there for one that changed: only those that are there are named.
        let files = ["HEAD", "logs/HEAD"].iter().filter_map(|name| git(&["rev-parse", "--git-path", name]));
        files.filter(|file| Path::new(file).exists()).for_each(|file| println!("cargo:rerun-if-changed={file}"));
    }
    let of_repository = |arguments: &[&str]| has_repository.then(|| git(arguments)).flatten();
    let commit = variable("FULCRUM_COMMIT").or_else(|| of_repository(&["rev-parse", "--short=12", "HEAD"]));
    let commit = commit.filter(|commit| commit.bytes().all(|byte| byte.is_ascii_alphanumeric())).unwrap_or_default();
    let epoch = variable("SOURCE_DATE_EPOCH").or_else(|| of_repository(&["log", "-1", "--format=%ct"]));
    let date = epoch.and_then(|epoch| epoch.parse().ok()).map(day).unwrap_or_default();
    println!("cargo:rustc-env=FULCRUM_COMMIT={commit}");
    println!("cargo:rustc-env=FULCRUM_DATE={date}");
    let shown = match (commit.is_empty(), date.is_empty()) {
        (true, true) => "unknown commit".to_owned(),
        (true, false) => format!("unknown commit, {date}"),
        (false, true) => commit,
        (false, false) => format!("{commit} {date}"),
    };
    println!("cargo:rustc-env=FULCRUM_VERSION={} ({shown})", variable("CARGO_PKG_VERSION").unwrap_or_default());
}

/// Whether this folder is the top of a repository: one around it says nothing of this source.
fn is_top_of_repository() -> bool {
    let canonical = |path: String| PathBuf::from(path).canonicalize().ok();
    let top = git(&["rev-parse", "--show-toplevel"]).and_then(canonical);
    top.is_some() && top == variable("CARGO_MANIFEST_DIR").and_then(canonical)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The day of a time in seconds since 1970, in UTC, after Howard Hinnant's `civil_from_days`.
fn day(seconds: u32) -> String {
    let days = i64::from(seconds) / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
