//! The counter of changes by topic, which shows other processes that there is something to read.

use super::{Db, Error, Tx, query};

impl Db {
    /// How often `topic` was changed, by any process: a reader that sees another number reads again.
    ///
    /// # Errors
    /// Where the query fails.
    pub async fn revision(&self, topic: &str) -> Result<i64, Error> {
        let row = query("select n from revisions where topic = $1").bind(topic).fetch_optional(self).await?;
        row.map_or(Ok(0), |row| row.get("n"))
    }
}

impl Tx {
    /// Counts a change of `topic`, so that other processes read it again.
    ///
    /// # Errors
    /// Where the statement fails.
    pub async fn bump(&mut self, topic: &str) -> Result<(), Error> {
        let bump =
            "insert into revisions (topic, n) values ($1, 1) on conflict (topic) do update set n = revisions.n + 1";
        query(bump).bind(topic).execute(self).await.map(drop)
    }
}
