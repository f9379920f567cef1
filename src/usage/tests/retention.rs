//! On both databases, retention deletes what is old and nothing else.

use super::pen::{Pen, number};
use super::*;
use crate::db::scratch::on_each;

#[tokio::test]
async fn retention_deletes_whole_hours_and_nothing_younger() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let base = now().hour();
        for micros in [-2 * HOUR, -HOUR, -1, 0, 1] {
            // Ids are of now, so this is also a clock that went back.
            pen.settle(&[settlement(Timestamp(base.0 + micros))]).await;
        }
        assert_eq!(prune(db, Timestamp(base.0 + 5)).await.unwrap(), 3);
        assert_eq!(number(db, "select count(*) from full_requests").await, 2);
        assert_eq!(number(db, "select count(*) from full_attempts").await, 2);
        assert_eq!(number(db, "select cast(sum(requests) as bigint) from full_rollups").await, 2);
        let later = Timestamp(base.0 + HOUR);
        pen.settle(&[settlement(later)]).await;
        assert_eq!(prune(db, later).await.unwrap(), 2);
        for sql in
            ["select count(*) from full_requests", "select count(*) from full_attempts", "select count(*) from kinds"]
        {
            assert_eq!(number(db, sql).await, 1, "{sql}");
        }
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn retention_deletes_more_than_one_transaction_takes_from_every_table() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let base = now().hour();
        let old: Vec<_> = (0..1_201).map(|n| wide(n, Timestamp(base.0 - 1))).collect();
        let young: Vec<_> = (0..5).map(|n| wide(n, base)).collect();
        for some in old.chunks(300) {
            pen.settle(some).await;
        }
        pen.settle(&young).await;
        assert_eq!(prune(db, base).await.unwrap(), 1_201);
        for (sql, left) in [
            ("select count(*) from requests", 5),
            ("select count(*) from attempts", 10),
            ("select count(*) from bodies", 5),
            ("select count(*) from kinds", 5),
            ("select count(*) from rollups", 5),
        ] {
            assert_eq!(number(db, sql).await, left, "{sql}");
        }
        assert_eq!(prune(db, base).await.unwrap(), 0);
        assert_eq!(requests(db, &Listing::default()).await.unwrap().rows.len(), 5);
        pen.close().await;
    })
    .await;
}

/// A settlement with rows of its own in every table.
fn wide(n: usize, at: Timestamp) -> Settlement {
    let mut one = settlement(at);
    one.request.route = Some(format!("r{n}").into());
    one.attempts.push(AttemptRow { n: 2, ..one.attempts[0].clone() });
    one.bodies = Some(Bodies { request: "ask".into(), response: "answer".into() });
    one
}
