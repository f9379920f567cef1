//! What the ledger has of an experiment's arms, on both databases.

use super::pen::Pen;
use super::*;
use crate::db::query;
use crate::db::scratch::on_each;
use crate::types::Timestamp;
use crate::usage::store::trials::{Trial, arm_totals, reported, slow_latency, slower_than};

fn one(at: Timestamp, (arm, unit): (&str, i64), (status, cost, latency_us): (Status, Option<i64>, u64)) -> Settlement {
    let mut one = settlement(at);
    let assignment = Assignment { experiment: "e".into(), arm: arm.into(), propensity: 500_000, unit };
    let (cost, unpriced) = (cost.map(Nanos), cost.is_none());
    *one.request =
        RequestRow { assigned: Some(Box::new(assignment)), status, cost, unpriced, latency_us, ..*one.request };
    one
}

#[tokio::test]
async fn each_unit_counts_once_in_its_arm() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let start = now();
        let later = start.plus(Duration::from_secs(1));
        let (ok, failed, lost) = (Status::Ok, Status::Error, Status::Unknown);
        let mut shadow = one(later, ("a", 9), (ok, Some(5), 5));
        shadow.request.purpose = Some(Purpose::Shadow);
        let mut other = one(later, ("a", 9), (ok, Some(5), 5));
        other.request.assigned.as_mut().unwrap().experiment = "other".into();
        pen.settle(&[
            one(later, ("a", 1), (ok, Some(1_000_000_000), 10)),
            one(later, ("a", 1), (failed, Some(3_000_000_000), 90)),
            one(later, ("a", 2), (ok, None, 20)),
            one(later, ("a", 2), (lost, None, 0)),
            one(later, ("b", -3), (failed, Some(1), 30)),
            one(later, ("b", -4), (Status::ClientClosed, Some(1), 30)),
            one(start, ("b", 5), (failed, Some(1), 30)),
            one(later.plus(Duration::from_secs(1)), ("b", 6), (failed, Some(1), 30)),
            shadow,
            other,
            settlement(later),
        ])
        .await;
        let trial = Trial { experiment: "e", from: later, until: later.plus(Duration::from_secs(1)) };
        let totals = arm_totals(db, trial).await.unwrap();
        let [a, b] = &totals[..] else { panic!("{totals:?}") };
        assert_eq!((a.arm.as_str(), a.units, a.requests, b.arm.as_str(), b.units, b.requests), ("a", 2, 4, "b", 2, 2));
        // Unit 1 failed once in two, unit 2 never as far as is known; only unit 1 has a price.
        assert_eq!((a.errors.n, a.errors.sum, a.errors.squares), (2, 0.5, 0.25));
        assert_eq!((a.cost.n, a.cost.sum, a.cost.squares), (1, 2.0, 4.0));
        assert_eq!((b.errors.n, b.errors.sum), (2, 1.0));
        assert_eq!(slow_latency(db, trial, "a").await.unwrap(), Some(10));
        assert_eq!(slow_latency(db, trial, "none").await.unwrap(), None);
        let slow = slower_than(db, trial, 15).await.unwrap();
        assert_eq!(slow.len(), 1, "nothing of arm b was answered");
        assert_eq!((slow[0].0.as_str(), slow[0].1.n, slow[0].1.sum), ("a", 2, 1.0));
        assert!(arm_totals(db, Trial { experiment: "none", ..trial }).await.unwrap().is_empty());
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_callers_report_counts_once_for_each_unit() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let at = now();
        let fine = (Status::Ok, Some(1), 1);
        let rows = [one(at, ("a", 1), fine), one(at, ("a", 1), fine), one(at, ("a", 2), fine), one(at, ("b", 3), fine)];
        pen.settle(&rows).await;
        let report = async |n: usize, metric: &str, number: Option<f64>| {
            let sql = "insert into feedback (id, request_id, project, key_id, metric, kind, number, at) \
                       values ($1, $2, 'p', 'k', $3, 'float', $4, 1)";
            let insert = query(sql).bind(format!("{n}-{metric}")).bind(rows[n].request.id.to_string()).bind(metric);
            insert.bind(number).execute(db).await.unwrap();
        };
        for (n, number) in [(0, Some(1.0)), (1, Some(0.0)), (2, Some(1.0)), (3, None)] {
            report(n, "resolved", number).await;
        }
        report(3, "stars", Some(5.0)).await;
        let trial = Trial { experiment: "e", from: at, until: at.plus(Duration::from_secs(1)) };
        let (resolved, is_bounded) = reported(db, trial, "resolved").await.unwrap();
        assert_eq!((resolved.len(), resolved[0].0.as_str(), is_bounded), (1, "a", true));
        assert_eq!((resolved[0].1.n, resolved[0].1.sum, resolved[0].1.squares), (2, 1.5, 1.25));
        let (stars, is_bounded) = reported(db, trial, "stars").await.unwrap();
        assert_eq!((stars[0].0.as_str(), stars[0].1.sum, is_bounded), ("b", 5.0, false));
        assert!(reported(db, trial, "none").await.unwrap().0.is_empty());
        pen.close().await;
    })
    .await;
}
