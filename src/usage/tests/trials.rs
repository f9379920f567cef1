//! What the ledger has of an experiment's arms, on both databases.

use super::pen::Pen;
use super::*;
use crate::db::scratch::on_each;
use crate::types::Timestamp;
use crate::usage::store::trials::{Trial, arm_totals, slow_latency, slower_than};

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
