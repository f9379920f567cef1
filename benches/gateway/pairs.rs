//! What a call costs whose caller and provider speak different dialects, beside one where they speak the same.

use std::time::Duration;

use crate::contenders::{Asked, Contender};
use crate::dialect::{ALL, Dialect, PIECES};
use crate::load::closed;
use crate::options::Options;
use crate::process::Process;
use crate::report::{Report, Row};
use crate::scenarios::micros;

const WHOLE_CALLS: usize = 6_000;
const STREAMS: usize = 400;

/// Every caller's dialect with every provider's.
pub(crate) async fn measure(options: &Options, contender: &Contender, report: &mut Report) {
    let mut rounds: Vec<Vec<Row>> = Vec::new();
    for round in 0..=options.rounds.max(1) {
        let mut rows = Vec::new();
        for caller in ALL {
            for provider in ALL {
                rows.push(once(options, contender, caller, provider).await);
            }
        }
        // The first only warms up.
        if round > 0 {
            rounds.push(rows);
        }
    }
    let at = |place: usize| Row::median(&rounds.iter().map(|rows| rows[place].clone()).collect::<Vec<Row>>());
    for place in 0..ALL.len() * ALL.len() {
        // Beside the caller's dialect with itself.
        let same = at(place / ALL.len() * (ALL.len() + 1));
        let (Some(mut row), Some(same)) = (at(place), same) else { continue };
        for (name, figure) in [("call_times_same", "cpu_us_per_call"), ("stream_times_same", "cpu_us_per_stream")] {
            if let (Some(own), Some(same)) = (row.get(figure), same.get(figure)) {
                row.set(name, own / same);
            }
        }
        eprintln!("pairs {}", row.line());
        report.rows.push(row);
    }
}

async fn once(options: &Options, contender: &Contender, caller: Dialect, provider: Dialect) -> Row {
    let mut row = Row::new("pairs", &format!("{} to {}", caller.name(), provider.name()));
    let model = format!("{}/bench", provider.name());
    let calls = |calls: usize| if options.quick { calls / 10 } else { calls };
    let whole = (calls(WHOLE_CALLS), 64, false);
    let stream = (calls(STREAMS), 16, true);
    for (figure, errors, (calls, concurrency, stream)) in
        [("cpu_us_per_call", "errors", whole), ("cpu_us_per_stream", "stream_errors", stream)]
    {
        let request = contender.call(&caller.path(&model, stream), &caller.request(&model, stream));
        let used = || contender.process.as_ref().map(Process::used).unwrap_or_default().cpu;
        let before = used();
        let outcome = closed(contender.address(Asked::Whole), &request, (concurrency, calls), stream).await;
        // What it still has to write belongs to these calls.
        tokio::time::sleep(Duration::from_millis(150)).await;
        let spent = micros(used().saturating_sub(before)) / outcome.calls.max(1) as f64;
        row.set(figure, spent);
        row.set(errors, outcome.errors as f64);
        if stream {
            row.set("cpu_us_per_event", spent / PIECES as f64);
        }
    }
    row
}
