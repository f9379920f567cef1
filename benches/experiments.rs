//! Assigning arms to calls, and looking at a million samples.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the times")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use fulcrum::db::Db;
use fulcrum::experiments::{Author, Caller, Experiments, Samples, Spec, Tally};
use fulcrum::stats::paired_e_value;
use fulcrum::types::{PromptName, Timestamp};
use serde_json::json;

/// The gateway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn Error + Send + Sync>;

const CALLS: usize = 200_000;
const SAMPLES: u64 = 1_000_000;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let db = Db::open(&format!("sqlite://{}/f.db", folder.path().display()), false).await?;
    let experiments = Experiments::open(db).await?;
    let prompt: PromptName = "p".parse()?;
    assigning("no experiment", &experiments, &prompt);
    let spec = Spec::from_json(&spec()).map_err(|_| "the experiment is wrong")?;
    let by = || (Author { key_id: "k".to_owned(), name: "bench".to_owned(), admin: true }, Timestamp(1));
    let made = experiments.create(spec.clone(), "019abd2c7f107a33b2c45d6e7f8090a1".to_owned(), by()).await?;
    experiments.start(&made.spec.name, None, by()).await?;
    assigning("one of four arms", &experiments, &prompt);
    looking(&spec);
    pairs();
    Ok(())
}

fn spec() -> serde_json::Value {
    let arm = |n: u32| json!({"name": format!("arm-{n}"), "version": n});
    let arms = json!([arm(1), arm(2), arm(3), arm(4)]);
    json!({"name": "e", "prompt": "p", "arms": arms, "metric": {"name": "error_rate"}, "holdback": 0.05})
}

fn assigning(what: &str, experiments: &Experiments, prompt: &PromptName) {
    let users: Vec<String> = (0..1_000).map(|n| format!("user-{n}@example.com")).collect();
    let mut times = Vec::with_capacity(CALLS);
    for n in 0..CALLS {
        let caller = Caller { user: Some(&users[n % users.len()]), ..Caller::default() };
        let began = Instant::now();
        black_box(experiments.assign(prompt, "production", &caller));
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e9;
    println!("assign, {what:>18}: p50 {:>5.0} ns, p99 {:>5.0} ns", at(0.5), at(0.99));
}

/// A look after every sample of a million.
fn looking(spec: &Spec) {
    let mut tallies: Vec<Tally> = (0..4)
        .map(|_| Tally { goal: Samples { is_bounded: true, ..Samples::default() }, ..Tally::default() })
        .collect();
    let began = Instant::now();
    for n in 0..SAMPLES {
        let tally = &mut tallies[(n % 4) as usize];
        tally.units += 1;
        tally.goal.sums.add(if n % 10 < 2 { 1.0 } else { 0.0 });
    }
    let added = began.elapsed();
    let began = Instant::now();
    for _ in 0..SAMPLES / 10 {
        black_box(spec.look(black_box(&tallies), Duration::from_secs(86_400)));
    }
    println!("{SAMPLES} samples added in {added:.2?}; {} looks at four arms in {:.2?}", SAMPLES / 10, began.elapsed());
}

fn pairs() {
    let began = Instant::now();
    for wins in 0..SAMPLES {
        black_box(paired_e_value(black_box(wins / 2), black_box(wins / 2)));
    }
    println!("{SAMPLES} paired e-values in {:.2?}", began.elapsed());
}
