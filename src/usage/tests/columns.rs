//! The database's views say what the tables of columns say, and every column holds what its row says.

use super::*;
use crate::db::scratch::on_each;
use crate::db::{Engine, assembled, query};
use crate::usage::columns::{ATTEMPT, Alone, AttemptColumn, GROUPS, Home, REQUEST, RequestColumn, SUMS};

fn stands(column: &RequestColumn) -> String {
    let name = column.name;
    match column.home {
        Home::Shared => format!("k.{name}"),
        Home::Moved => format!("coalesce(r.{name}, k.{name}) as {name}"),
        Home::Own | Home::Summed => format!("r.{name}"),
    }
}

fn stands_alone(column: &AttemptColumn) -> String {
    let name = column.name;
    match column.home {
        Alone::Same => REQUEST.iter().find(|other| other.name == name).map(stands).unwrap(),
        Alone::Always(value) => format!("{value} as {name}"),
        Alone::Own(alone) if alone == name => format!("r.{name}"),
        Alone::Own(alone) => format!("r.{alone} as {name}"),
        Alone::Shared => format!("k.{name}"),
    }
}

fn full_requests() -> String {
    let columns: Vec<_> = REQUEST.iter().map(stands).collect();
    format!("create view full_requests as select {} from requests r join kinds k on k.id = r.kind", columns.join(", "))
}

fn full_attempts() -> String {
    let alone: Vec<_> = ATTEMPT.iter().map(stands_alone).collect();
    let apart: Vec<_> = ATTEMPT.iter().map(|column| column.name).collect();
    format!(
        "create view full_attempts as select r.id as request_id, {} from requests r join kinds k on k.id = r.kind \
         where r.sent_at is not null union all select request_id, {} from attempts",
        alone.join(", "),
        apart.join(", ")
    )
}

fn full_rollups() -> String {
    let of_group = |column: &RequestColumn| match column.home {
        Home::Summed => format!("s.{}", column.name),
        _ => format!("k.{}", column.name),
    };
    let groups: Vec<_> = GROUPS.iter().map(|column| of_group(column)).collect();
    let sums: Vec<_> = SUMS.iter().map(|column| format!("s.{}", column.name)).collect();
    format!(
        "create view full_rollups as select s.id, s.hour, {}, {} from rollups s join kinds k on k.id = s.kind",
        groups.join(", "),
        sums.join(", ")
    )
}

#[tokio::test]
async fn the_views_have_the_columns_that_are_declared() {
    on_each(async |scratch| {
        let db = &scratch.db;
        for (name, expected) in
            [("full_requests", full_requests()), ("full_attempts", full_attempts()), ("full_rollups", full_rollups())]
        {
            // The database that ran the migrations writes the text of the one expected as it writes its own.
            let declared = expected.replacen(name, "declared", 1);
            assembled(declared).execute(db).await.unwrap();
            let declared = text_of(db, "declared").await;
            query("drop view declared").execute(db).await.unwrap();
            let found = text_of(db, name).await;
            assert_eq!(found, declared, "a migration must restate the view:\n\ndrop view {name};\n\n{expected};\n");
        }
    })
    .await;
}

/// The text of a view without its name.
async fn text_of(db: &Db, view: &str) -> String {
    let text = match db.engine() {
        Engine::Sqlite => query("select sql from sqlite_master where type = 'view' and name = $1").bind(view),
        Engine::Postgres => query("select pg_get_viewdef(cast($1 as regclass)) as sql").bind(view),
    };
    let row = text.fetch_one(db).await.unwrap();
    let sql = row.get::<&str>("sql").unwrap().replacen("CREATE VIEW", "create view", 1);
    let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    sql.replacen(&format!("create view {view} as "), "", 1)
}

/// The name of a column, and what makes an attempt's another.
type Change = (&'static str, fn(&mut AttemptRow));

/// An attempt that its request's row can hold, but for one column.
#[test]
fn an_attempt_stands_alone_only_where_its_row_says_what_the_requests_does() {
    let mut one = settlement(now());
    one.request.error_code = Some("upstream_error".into());
    one.attempts[0].error_code = one.request.error_code.clone();
    assert!(one.only_attempt().is_some());
    let changes: [Change; 15] = [
        ("n", |row| row.n = 2),
        ("provider", |row| row.provider = "other".into()),
        ("model", |row| row.model = "other".into()),
        ("status", |row| row.status = Status::Error),
        ("http_status", |row| row.http_status = None),
        ("error_code", |row| row.error_code = None),
        ("retryable", |row| row.retryable = true),
        ("input_tokens", |row| row.usage.as_mut().unwrap().input += 1),
        ("cached_input_tokens", |row| row.usage.as_mut().unwrap().cached_input += 1),
        ("cache_write_tokens", |row| row.usage.as_mut().unwrap().cache_write += 1),
        ("output_tokens", |row| row.usage.as_mut().unwrap().output += 1),
        ("reasoning_tokens", |row| row.usage.as_mut().unwrap().reasoning += 1),
        ("estimated", |row| row.usage.as_mut().unwrap().estimated = true),
        ("cost", |row| row.cost = None),
        ("role", |row| row.role = Some(Role::Judge)),
    ];
    for column in ATTEMPT.iter().filter(|column| matches!(column.home, Alone::Same | Alone::Always(_))) {
        let Some((_, change)) = changes.iter().find(|(name, _)| *name == column.name) else {
            panic!("{} is compared by no line of this test", column.name);
        };
        let mut other = one.clone();
        change(&mut other.attempts[0]);
        assert!(other.only_attempt().is_none(), "{}", column.name);
    }
}
