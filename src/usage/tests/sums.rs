//! On both databases, no row makes a sum wrong: what reports add up equals a model of 128 bits, whatever stands in the rows.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::pen::{Pen, number, write};
use super::*;
use crate::db::scratch::on_each;
use crate::usage::settling::Amendment;

/// What a row may say at worst, and what it says mostly.
fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => Just(i64::MAX),
        1 => Just(i64::MAX / 2 + 1),
        1 => Just(Nanos::MOST.0),
        1 => Just(0),
        4 => 0i64..1_000_000,
    ]
}

/// A cost, savings, tokens, and which of two models, two users and two hours.
type Case = ((i64, i64), [i64; 5], (u8, u8, u8));

fn row(((cost, saved), tokens, (model, user, hour)): Case, base: Timestamp) -> Settlement {
    let mut one = settlement(Timestamp(base.0 + i64::from(hour) * HOUR));
    let [input, cached_input, cache_write, output, reasoning] = tokens.map(i64::unsigned_abs);
    *one.request = RequestRow {
        model: Some(format!("m{model}").into()),
        user: Some(format!("u{user}").into()),
        session: Some(format!("u{user}").into()),
        usage: Some(Usage { input, cached_input, cache_write, output, reasoning, estimated: true, ..Usage::default() }),
        cost: Some(Nanos(cost)),
        saved: Nanos(saved),
        ..*one.request
    };
    one
}

/// The sums of some rows: money in nano-dollars, then tokens.
fn model<'a>(cases: impl Iterator<Item = &'a Case>) -> [i128; 7] {
    let mut sums = [0; 7];
    for ((cost, saved), tokens, _) in cases {
        let all = [*cost, *saved].into_iter().chain(*tokens);
        sums.iter_mut().zip(all).for_each(|(sum, more)| *sum += i128::from(more));
    }
    sums
}

/// Billionths, written by long division.
fn dollars(nanos: i128) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn texts([cost, saved, tokens @ ..]: [i128; 7]) -> Vec<String> {
    // Every row counts as an estimate.
    let tokens = tokens.map(|count| count.to_string());
    [dollars(cost), dollars(saved), dollars(cost)].into_iter().chain(tokens).collect()
}

const FIGURES: [&str; 8] = [
    "cost_usd",
    "saved_usd",
    "estimated_usd",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
];

async fn compare(db: &Db, cases: &[Case], base: Timestamp) {
    let mut pen = Pen::of(db).await;
    let all: Vec<_> = cases.iter().map(|case| row(*case, base)).collect();
    // The second batch adds to the sums of the first.
    for some in [&all[..all.len() / 2], &all[all.len() / 2..]] {
        pen.settle(some).await;
    }
    type Group = fn(&Case) -> String;
    let groups: [(&str, Group); 5] = [
        ("model", |(.., (model, ..))| format!("openai/m{model}")),
        ("user", |(.., (_, user, _))| format!("u{user}")),
        // What only rows know.
        ("session", |(.., (_, user, _))| format!("u{user}")),
        ("project", |_| "default".to_owned()),
        ("status", |_| "ok".to_owned()),
    ];
    for (by, group) in groups {
        let query =
            Query { by: vec![by.parse().unwrap()], from: base, to: Timestamp(base.0 + 2 * HOUR), ..Query::default() };
        let report = report(db, &query).await.unwrap();
        let names = report.columns();
        let pick = |cells: Vec<String>| -> Vec<String> {
            FIGURES.iter().map(|name| cells[names.iter().position(|known| known == name).unwrap()].clone()).collect()
        };
        let found: BTreeMap<_, _> =
            report.rows.iter().map(|row| (row.groups[0].to_string(), pick(report.cells(row)))).collect();
        let mut expected = BTreeMap::new();
        for name in cases.iter().map(group) {
            let sums = texts(model(cases.iter().filter(|case| group(case) == name)));
            expected.insert(name, sums);
        }
        assert_eq!(found, expected, "{by}");
        assert_eq!(pick(report.total_cells()), texts(model(cases.iter())), "{by}");
        let json = report.json();
        assert_eq!(json["total"]["cost_usd"], dollars(model(cases.iter())[0]), "{by}");
    }
    pen.close().await;
}

#[test]
fn no_row_makes_a_sum_wrong() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let case = ((amount(), amount()), prop::array::uniform5(amount()), (0u8..2, 0u8..2, 0u8..2));
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let holds = |cases: Vec<Case>| {
        let base = now().hour();
        runtime.block_on(on_each(async |scratch| compare(&scratch.db, &cases, base).await));
        Ok(())
    };
    runner.run(&prop::collection::vec(case, 1..40), holds).unwrap();
}

#[tokio::test]
async fn an_attempt_that_was_cut_off_fits_beside_a_full_sum() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let (mut rich, poor) = (settlement(now()), settlement(now()));
        rich.request.cost = Some(Nanos(i64::MAX));
        let attempt = AttemptRow { n: 2, cost: Some(Nanos(5_000)), ..poor.attempts[0].clone() };
        let amendment = Amendment { request: *poor.request.clone(), attempt };
        write(db, &[&poor], &[]).await;
        // The attempt and the full sum are of the same group.
        write(db, &[&rich], &[amendment]).await;
        let query = Query { from: Timestamp(0), to: Timestamp(now().0 + HOUR), ..Query::default() };
        let report = report(db, &query).await.unwrap();
        let expected = i128::from(i64::MAX) + i128::from(poor.request.cost.unwrap().0) + 5_000;
        assert_eq!(report.json()["total"]["cost_usd"], dollars(expected));
        assert_eq!(number(db, "select count(*) from attempts").await, 3);
    })
    .await;
}
