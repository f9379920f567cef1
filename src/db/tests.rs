//! What both databases must do alike.

mod schema;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::oneshot;

use super::scratch::{Scratch, on_each};
use super::*;

async fn n_of(db: &Db, topic: &str) -> i64 {
    db.revision(topic).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_value_is_read_as_it_was_written() {
    on_each(async |scratch| {
        let db = &scratch.db;
        query("insert into prompts (name, created_at, last_used_at) values ($1, $2, $3)")
            .bind("p")
            .bind(i64::MIN)
            .bind(None::<i64>)
            .execute(db)
            .await
            .unwrap();
        let row = query("select name, created_at, last_used_at from prompts").fetch_one(db).await.unwrap();
        assert_eq!(row.get::<String>("name").unwrap(), "p");
        assert_eq!(row.get::<&str>(0).unwrap(), "p");
        assert_eq!(row.get::<i64>("created_at").unwrap(), i64::MIN);
        assert_eq!(row.get::<Option<i64>>("last_used_at").unwrap(), None);
        assert!(row.get::<i64>("absent").is_err());
        let insert = "insert into idempotency (name, fingerprint, request_id, at, state, model, is_stream, body) \
                      values ($1, $2, 'r', 0, 's', $3, $4, $5)";
        let (bytes, none) = ([0_u8, 255, b'x'], None::<&[u8]>);
        let insert = query(insert).bind(&bytes[..]).bind(&bytes[..]).bind(None::<&str>).bind(true).bind(none);
        insert.execute(db).await.unwrap();
        let row = query("select name, model, is_stream, body from idempotency").fetch_one(db).await.unwrap();
        assert_eq!(row.get::<Vec<u8>>("name").unwrap(), bytes);
        assert_eq!(row.get::<&[u8]>("name").unwrap(), bytes);
        assert_eq!(row.get::<Option<String>>("model").unwrap(), None);
        assert!(row.get::<bool>("is_stream").unwrap());
        assert_eq!(row.get::<Option<Vec<u8>>>("body").unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_null_has_the_type_of_the_column_it_is_inserted_into() {
    on_each(async |scratch| {
        let mut db = Executor::from(&scratch.db);
        let insert = query("insert into prompts (name, created_at, last_used_at) values ($1, $2, $3), ($4, $5, $6)");
        let insert = insert.bind("p").bind(1).bind(Value::Null).bind("q").bind(1).bind(7);
        assert_eq!(insert.execute(db.again()).await.unwrap(), 2);
        let insert = "insert into idempotency (name, fingerprint, request_id, at, state, model, body) \
                      values ($1, $1, 'p', 0, 's', $2, $3), ($4, $4, 'q', 0, 's', $5, $6)";
        let (one, two) = ([1_u8], [2_u8]);
        let insert = query(insert).bind(&one[..]).bind(Value::Null).bind(Value::Null);
        let insert = insert.bind(&two[..]).bind("m").bind(&two[..]);
        assert_eq!(insert.execute(db.again()).await.unwrap(), 2);
        let both = "select last_used_at, model, body from prompts join idempotency on request_id = prompts.name \
                    order by prompts.name";
        let rows = query(both).fetch_all(db).await.unwrap();
        for column in ["last_used_at", "model", "body"] {
            assert_eq!([&rows[0], &rows[1]].map(|row| row.is_null(column).unwrap()), [true, false], "{column}");
        }
        assert!(rows[0].is_null("absent").is_err());
    })
    .await;
}

#[tokio::test]
async fn the_members_of_an_object_are_read_as_rows() {
    on_each(async |scratch| {
        let db = &scratch.db;
        for (name, object) in [("1", Some(r#"{"b":"2","\"a":"é\\","b":"1"}"#)), ("2", None), ("3", Some("{}"))] {
            let insert = "insert into idempotency (name, fingerprint, request_id, at, state, kind) \
                          values ($1, $1, 'r', 0, 's', $2)";
            query(insert).bind(name.as_bytes()).bind(object).execute(db).await.unwrap();
        }
        let members = db.engine().members("kind");
        let sql = format!("select key, value from idempotency, {members} as member");
        let rows = assembled(sql).fetch_all(db).await.unwrap();
        let read = |row: &Row| (row.get::<String>("key").unwrap(), row.get::<String>("value").unwrap());
        let mut rows: Vec<_> = rows.iter().map(read).collect();
        rows.sort_unstable();
        let expected = [("\"a", "é\\"), ("b", "1"), ("b", "2")];
        assert_eq!(rows, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    })
    .await;
}

#[tokio::test]
async fn a_text_is_stored_as_far_as_the_database_takes_it() {
    on_each(async |scratch| {
        let db = &scratch.db;
        for text in ["a\u{0}b\u{0}", "plain"] {
            let stored = db.engine().storable(text);
            let insert = query("insert into projects (name, created_at) values ($1, 0)").bind(&*stored);
            insert.execute(db).await.unwrap();
            let found = query("select name from projects where name = $1").bind(&*stored).fetch_one(db).await.unwrap();
            assert_eq!(found.get::<&str>(0).unwrap(), stored);
            assert_eq!(stored.replace('\u{fffd}', "\u{0}"), text);
        }
    })
    .await;
}

#[tokio::test]
async fn rows_are_counted_gone_through_and_found_or_not() {
    on_each(async |scratch| {
        let db = &scratch.db;
        for n in 0..5 {
            let insert = query("insert into projects (name, created_at) values ($1, $2)");
            assert_eq!(insert.bind(format!("p{n}")).bind(n).execute(db).await.unwrap(), 1);
        }
        let mut seen = Vec::new();
        let all = query("select created_at from projects where created_at > $1 order by created_at").bind(1);
        let went = all.each(db, |row| {
            seen.push(row.get::<i64>(0)?);
            if seen.len() == 2 { Err(Error::NotSqlite) } else { Ok(()) }
        });
        assert!(matches!(went.await, Err(Error::NotSqlite)));
        assert_eq!(seen, [2, 3], "an error ends it");
        let gone = query("delete from projects where created_at < $1").bind(3);
        assert_eq!(gone.execute(db).await.unwrap(), 3);
        assert_eq!(query("select name from projects").fetch_all(db).await.unwrap().len(), 2);
        let missing = || query("select name from projects where name = $1").bind("p0");
        assert!(missing().fetch_optional(db).await.unwrap().is_none());
        assert!(missing().fetch_one(db).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_second_row_with_a_key_is_a_unique_violation() {
    on_each(async |scratch| {
        let insert = || query("insert into projects (name, created_at) values ('p', 1)").execute(&scratch.db);
        insert().await.unwrap();
        assert!(insert().await.unwrap_err().is_unique_violation());
        let other = query("insert into projects (name) values ('q')").execute(&scratch.db).await.unwrap_err();
        assert!(!other.is_unique_violation());
    })
    .await;
}

#[tokio::test]
async fn a_change_is_seen_when_it_is_committed_and_never_otherwise() {
    on_each(async |scratch| {
        let other = scratch.another().await;
        let mut change = scratch.db.begin("keys").await.unwrap();
        change.bump("keys").await.unwrap();
        assert_eq!(n_of(&other, "keys").await, 0);
        change.commit().await.unwrap();
        assert_eq!(n_of(&other, "keys").await, 1);
        let mut change = scratch.db.begin("keys").await.unwrap();
        change.bump("keys").await.unwrap();
        drop(change);
        assert_eq!(n_of(&scratch.db, "keys").await, 1);
        let mut change = scratch.db.begin("keys").await.unwrap();
        change.bump("keys").await.unwrap();
        change.commit().await.unwrap();
        assert_eq!(n_of(&other, "keys").await, 2);
        other.close().await;
    })
    .await;
}

/// Begins a change, says so, and gives the counter that it finds.
async fn count_in_a_change(db: Db, began: oneshot::Sender<()>) -> Option<i64> {
    let mut change = db.begin("keys").await.unwrap();
    began.send(()).unwrap();
    let row = query("select n from revisions where topic = 'keys'").fetch_optional(&mut change).await.unwrap();
    change.commit().await.unwrap();
    db.close().await;
    row.map(|row| row.get("n").unwrap())
}

#[tokio::test]
async fn a_change_waits_for_the_one_before_and_sees_what_it_did() {
    on_each(async |scratch| {
        let mut first = scratch.db.begin("keys").await.unwrap();
        let (began, mut begins) = oneshot::channel();
        let second = count_in_a_change(scratch.another().await, began);
        let first = async {
            first.bump("keys").await.unwrap();
            let early = tokio::time::timeout(Duration::from_millis(200), &mut begins).await;
            assert!(early.is_err(), "a second change began while the first had not ended");
            first.commit().await.unwrap();
        };
        let (counted, ()) = tokio::join!(second, first);
        assert_eq!(counted, Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_sees_the_database_as_it_was() {
    on_each(async |scratch| {
        let mut reading = scratch.db.snapshot().await.unwrap();
        let count = "select count(*) from projects";
        let before: i64 = query(count).fetch_one(&mut reading).await.unwrap().get(0).unwrap();
        query("insert into projects (name, created_at) values ('p', 1)").execute(&scratch.db).await.unwrap();
        let after: i64 = query(count).fetch_one(&mut reading).await.unwrap().get(0).unwrap();
        reading.commit().await.unwrap();
        assert_eq!((before, after), (0, 0));
        let now: i64 = query(count).fetch_one(&scratch.db).await.unwrap().get(0).unwrap();
        assert_eq!(now, 1);
    })
    .await;
}

#[tokio::test]
async fn texts_are_ordered_by_their_bytes() {
    on_each(async |scratch| {
        for name in ["ab", "a-c", "B", "b"] {
            let insert = query("insert into projects (name, created_at) values ($1, 0)").bind(name);
            insert.execute(&scratch.db).await.unwrap();
        }
        let rows = query("select name from projects order by name").fetch_all(&scratch.db).await.unwrap();
        let names: Vec<String> = rows.iter().map(|row| row.get(0).unwrap()).collect();
        assert_eq!(names, ["B", "a-c", "ab", "b"]);
    })
    .await;
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    on_each(async |scratch| {
        query(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
             values (99990101000000, 'later', true, $1, 0)",
        )
        .bind(&[0_u8][..])
        .execute(&scratch.db)
        .await
        .unwrap();
        let opened = Db::open(scratch.url(), false).await;
        assert!(matches!(opened, Err(Error::Newer { version: 99990101000000, .. })), "{opened:?}");
    })
    .await;
}

#[tokio::test]
async fn a_database_is_opened_again_by_many_at_once() {
    on_each(async |scratch| {
        let (one, two, three) = tokio::join!(scratch.another(), scratch.another(), scratch.another());
        for db in [one, two, three] {
            assert_eq!(n_of(&db, "keys").await, 0);
            db.close().await;
        }
    })
    .await;
}

/// Tables and views with their columns and what stands in them.
async fn columns(db: &Db) -> BTreeSet<(String, String, &'static str)> {
    let sql = match db {
        Db::Sqlite(_) => {
            "select m.name as place, c.name as name, lower(c.type) as type from sqlite_master m, pragma_table_info(m.name) c \
             where m.type in ('table', 'view')"
        }
        Db::Postgres(_) => {
            "select table_name::text as place, column_name::text as name, data_type::text as type \
             from information_schema.columns where table_schema = current_schema()"
        }
    };
    let rows = query(sql).fetch_all(db).await.unwrap();
    let read = |row: &Row| {
        let kind = match row.get::<&str>("type").unwrap() {
            "bigint" | "integer" | "int" => "number",
            "text" => "text",
            "blob" | "bytea" => "bytes",
            "boolean" => "flag",
            "double precision" => "real",
            // SQLite knows no type of a view's expression.
            "" => "any",
            other => panic!("a column of type {other}"),
        };
        (row.get("place").unwrap(), row.get("name").unwrap(), kind)
    };
    let own = |(place, _, _): &(String, String, _)| !place.starts_with("_sqlx") && !place.starts_with("sqlite_");
    rows.iter().filter(|row| !row.get::<&str>("place").unwrap().starts_with("_sqlx")).map(read).filter(own).collect()
}

#[tokio::test]
async fn both_folders_of_migrations_give_the_same_tables_and_columns() {
    let sqlite = Scratch::sqlite().await;
    let on_sqlite = columns(&sqlite.db).await;
    assert!(on_sqlite.len() > 100, "{on_sqlite:?}");
    on_each(async |scratch| {
        let here = columns(&scratch.db).await;
        let names = |columns: &BTreeSet<(String, String, &'static str)>| -> BTreeSet<(String, String)> {
            columns.iter().map(|(place, name, _)| (place.clone(), name.clone())).collect()
        };
        assert_eq!(names(&here), names(&on_sqlite));
        for (place, name, kind) in &on_sqlite {
            let same = here.contains(&(place.clone(), name.clone(), kind));
            assert!(same || *kind == "any", "{place}.{name} is not a {kind} on {}", scratch.url());
        }
    })
    .await;
}

#[test]
fn migrations_of_both_folders_come_in_pairs() {
    // SQLite's later changes of the first tables are part of PostgreSQL's first, which came after them.
    const WITHIN: [i64; 3] = [20261125000020, 20261125000040, 20261125000050];
    let versions = |migrations: &'static sqlx::migrate::Migrator| -> Vec<i64> {
        migrations.iter().map(|migration| migration.version).filter(|version| !WITHIN.contains(version)).collect()
    };
    assert_eq!(versions(&sqlite::MIGRATIONS), versions(&postgres::MIGRATIONS));
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::sqlite().await;
    let path = scratch.db.sqlite().unwrap().path();
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    scratch.db.close().await;
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_keeps_its_rights() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = Db::open(&format!("sqlite://{}", path.display()), false).await.unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
}

#[tokio::test]
async fn what_is_no_database_url_is_refused_without_its_password() {
    for url in ["mysql://x", "sqlite://", "sqlite://f.db?mode=ro", "f.db"] {
        assert!(matches!(Db::open(url, false).await, Err(Error::Url(_))), "{url}");
    }
    let wrong = Db::open("postgres://me:secret@host:port/x", false).await.unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "`postgres://…@host:port/x` is not a database URL; use sqlite://PATH or postgres://USER@HOST/DATABASE"
    );
}

#[tokio::test]
async fn a_file_that_others_could_read_is_its_owners_alone_once_opened() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let db = Db::open(&format!("sqlite://{}", path.display()), false).await.unwrap();
    query("insert into prompts (name, created_at) values ('p', 1)").execute(&db).await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.path().display());
    }
    db.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_reported_with_its_path_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.db");
    let url = format!("sqlite://{}", path.display());
    std::fs::write(&path, vec![b'x'; 8 << 10]).unwrap();
    let text = Db::open(&url, false).await.unwrap_err().to_string();
    assert!(text.contains(&*path.to_string_lossy()) && text.contains("restore it from a backup"), "{text}");
    // Damaged in the middle.
    std::fs::remove_file(&path).unwrap();
    Db::open(&url, false).await.unwrap().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..8 << 10].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let text = Db::open(&url, false).await.unwrap_err().to_string();
    assert!(text.contains(&*path.to_string_lossy()) && text.contains("; "), "{text}");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let text = Db::open(&url, false).await.unwrap_err().to_string();
    assert!(text.contains(&*path.to_string_lossy()), "{text}");
}

#[tokio::test]
async fn what_is_busy_or_full_passes_and_a_mistake_does_not() {
    use sqlx::Executor;
    let scratch = Scratch::sqlite().await;
    let db = scratch.db.sqlite().unwrap();
    let (mut one, mut other) = (db.connect().await.unwrap(), db.connect().await.unwrap());
    one.execute("pragma busy_timeout = 0").await.unwrap();
    other.execute("begin exclusive").await.unwrap();
    let insert = "insert into prompts (name, created_at) values (hex(zeroblob(100000)), 1)";
    let busy: Error = one.execute(insert).await.unwrap_err().into();
    assert!(busy.is_passing(), "{busy}");
    other.execute("rollback").await.unwrap();
    one.execute("pragma max_page_count = 1").await.unwrap();
    let full: Error = one.execute(insert).await.unwrap_err().into();
    assert!(full.is_passing(), "{full}");
    let wrong: Error = one.execute("select nothing from nowhere").await.unwrap_err().into();
    assert!(!wrong.is_passing(), "{wrong}");
}

#[tokio::test]
async fn a_full_database_refuses_each_change_until_there_is_room_and_recovers_by_itself() {
    let scratch = Scratch::sqlite().await;
    let db = &scratch.db;
    assert!(db.is_writable());
    let insert = "insert into prompts (name, created_at) values (hex(zeroblob(100000)), 1)";
    for _ in 0..3 {
        // A connection's own limit stands for a full disk; the connection that comes after it has none.
        query("pragma max_page_count = 1").execute(db).await.unwrap();
        let mut change = db.begin("prompts").await.unwrap();
        let full = query(insert).execute(&mut change).await.unwrap_err();
        assert!(full.is_passing(), "{full}");
        assert!(!db.is_writable(), "readiness tells it");
        drop(change);
    }
    query("pragma max_page_count = 1").execute(db).await.unwrap();
    assert!(query(insert).execute(db).await.unwrap_err().is_passing());
    let mut change = db.begin("prompts").await.unwrap();
    query("insert into prompts (name, created_at) values ('p', 1)").execute(&mut change).await.unwrap();
    change.commit().await.unwrap();
    assert!(db.is_writable());
}

#[tokio::test]
async fn a_database_that_is_full_is_tried_until_it_can_be_written() {
    let scratch = Scratch::sqlite().await;
    let db = &scratch.db;
    query("pragma max_page_count = 1").execute(db).await.unwrap();
    let insert = "insert into prompts (name, created_at) values (hex(zeroblob(100000)), 1)";
    query(insert).execute(db).await.unwrap_err();
    assert!(!db.is_writable());
    db.look().await;
    assert!(db.is_writable());
}
