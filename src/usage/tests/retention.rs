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
