//! Both folders of migrations give the same columns, keys, indexes and references, and views with the same order of columns.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A part of the schema by the table it is of, each with the words that describe it.
type Parts = BTreeMap<String, Vec<String>>;

/// Tables and views with their columns in order: which must hold something, and which place in the primary key one has.
const COLUMNS: (&str, &str) = (
    "select m.name as place, m.type as part, c.name as name, c.\"notnull\" as required, c.pk as key \
     from sqlite_master m, pragma_table_info(m.name) c where m.type in ('table', 'view') order by m.name, c.cid",
    "select cast(c.relname as text) as place, case c.relkind when 'v' then 'view' else 'table' end as part, \
         cast(a.attname as text) as name, cast(cast(a.attnotnull as int) as bigint) as required, \
         cast(coalesce((select array_position(cast(i.indkey as int2[]), a.attnum) + 1 from pg_index i \
             where i.indrelid = c.oid and i.indisprimary), 0) as bigint) as key \
     from pg_class c join pg_attribute a on a.attrelid = c.oid \
     where c.relnamespace = cast(current_schema() as regnamespace) and c.relkind in ('r', 'v') and a.attnum > 0 \
     order by c.relname, a.attnum",
);

/// The columns of indexes in order, primary keys apart; a constraint's index has a name of the database's.
const INDEXES: (&str, &str) = (
    "select m.name as place, case l.origin when 'c' then l.name else '' end as name, l.\"unique\" as is_unique, \
         i.name as col from sqlite_master m, pragma_index_list(m.name) l, pragma_index_info(l.name) i \
     where m.type = 'table' and l.origin <> 'pk' order by m.name, l.name, i.seqno",
    "select cast(t.relname as text) as place, cast(i.indisunique as int)::bigint as is_unique, \
         case when exists (select 1 from pg_constraint k where k.conindid = x.oid and k.contype = 'u') then '' \
             else cast(x.relname as text) end as name, cast(a.attname as text) as col \
     from pg_index i join pg_class x on x.oid = i.indexrelid join pg_class t on t.oid = i.indrelid \
         join pg_attribute a on a.attrelid = x.oid \
     where t.relnamespace = cast(current_schema() as regnamespace) and not i.indisprimary \
     order by t.relname, x.relname, a.attnum",
);

/// Which columns refer to which.
const REFERENCES: (&str, &str) = (
    "select m.name as place, f.\"from\" as col, f.\"table\" as target, f.\"to\" as target_col \
     from sqlite_master m, pragma_foreign_key_list(m.name) f where m.type = 'table'",
    "select cast(t.relname as text) as place, cast(a.attname as text) as col, cast(r.relname as text) as target, \
         cast(b.attname as text) as target_col \
     from pg_constraint k join pg_class t on t.oid = k.conrelid join pg_class r on r.oid = k.confrelid \
         cross join lateral unnest(k.conkey, k.confkey) as pair (here, there) \
         join pg_attribute a on a.attrelid = t.oid and a.attnum = pair.here \
         join pg_attribute b on b.attrelid = r.oid and b.attnum = pair.there \
     where k.contype = 'f' and t.relnamespace = cast(current_schema() as regnamespace)",
);

/// Reads a part of the schema, without what the library keeps for itself.
async fn read(db: &Db, sql: (&'static str, &'static str), words: impl Fn(&Row) -> Vec<String>) -> Parts {
    let sql = if db.engine() == Engine::Sqlite { sql.0 } else { sql.1 };
    let mut parts = Parts::new();
    for row in query(sql).fetch_all(db).await.unwrap() {
        let place: String = row.get("place").unwrap();
        if !place.starts_with("_sqlx") && !place.starts_with("sqlite_") {
            parts.entry(place).or_default().extend(words(&row));
        }
    }
    parts
}

fn text(row: &Row, column: &'static str) -> String {
    row.get(column).unwrap()
}

/// The columns of views in their order, and those of tables by name: SQLite adds a table's later columns behind the others.
async fn columns_of(db: &Db) -> Parts {
    let mut parts = read(db, COLUMNS, |row| {
        let (required, key): (i64, i64) = (row.get("required").unwrap(), row.get("key").unwrap());
        let must = if required > 0 || key > 0 { "not null" } else { "null" };
        vec![format!("{} {} {must} {key}", text(row, "part"), text(row, "name"))]
    })
    .await;
    let tables = parts.values_mut().filter(|columns| columns[0].starts_with("table "));
    tables.for_each(|columns| columns.sort_unstable());
    parts
}

async fn indexes_of(db: &Db) -> BTreeSet<String> {
    let word = |row: &Row| {
        let unique: i64 = row.get("is_unique").unwrap();
        vec![format!("{} {unique}", text(row, "name")), text(row, "col")]
    };
    let parts = read(db, INDEXES, word).await;
    // A table's indexes stand one behind the other: each column after the name of its index.
    parts.into_iter().flat_map(|(place, words)| by_index(&place, &words)).collect()
}

fn by_index(place: &str, words: &[String]) -> Vec<String> {
    let mut indexes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for pair in words.chunks(2) {
        indexes.entry(&pair[0]).or_default().push(&pair[1]);
    }
    indexes.into_iter().map(|(name, columns)| format!("{place}: {name} ({})", columns.join(", "))).collect()
}

async fn references_of(db: &Db) -> BTreeSet<String> {
    let word = |row: &Row| vec![format!("{} -> {}.{}", text(row, "col"), text(row, "target"), text(row, "target_col"))];
    let parts = read(db, REFERENCES, word).await;
    parts.into_iter().flat_map(|(place, words)| words.into_iter().map(move |word| format!("{place}.{word}"))).collect()
}

#[tokio::test]
async fn both_folders_of_migrations_give_the_same_schema() {
    let sqlite = Scratch::sqlite().await;
    let (columns, indexes, references) =
        (columns_of(&sqlite.db).await, indexes_of(&sqlite.db).await, references_of(&sqlite.db).await);
    assert!(columns.len() > 20 && indexes.len() > 7 && references.len() > 5, "{columns:?} {indexes:?} {references:?}");
    on_each(async |scratch| {
        let db = &scratch.db;
        let here = columns_of(db).await;
        assert_eq!(here.keys().collect::<Vec<_>>(), columns.keys().collect::<Vec<_>>());
        for (place, expected) in &columns {
            assert_eq!(&here[place], expected, "{place}");
        }
        assert_eq!(indexes_of(db).await, indexes);
        assert_eq!(references_of(db).await, references);
    })
    .await;
}

#[tokio::test]
async fn texts_of_primary_keys_are_ordered_by_their_bytes() {
    on_each(async |scratch| {
        if scratch.db.engine() == Engine::Sqlite {
            return;
        }
        let others = query(
            "select cast(t.relname as text) as place, cast(a.attname as text) as name \
             from pg_index i join pg_class t on t.oid = i.indrelid \
                 join pg_attribute a on a.attrelid = t.oid and a.attnum = any (i.indkey) \
             where t.relnamespace = cast(current_schema() as regnamespace) and i.indisprimary and t.relname <> 'revisions' \
                 and a.atttypid = cast('text' as regtype) and a.attcollation <> cast('\"C\"' as regcollation)",
        );
        let others = others.fetch_all(&scratch.db).await.unwrap();
        let others: Vec<_> = others.iter().map(|row| format!("{}.{}", text(row, "place"), text(row, "name"))).collect();
        assert!(others.is_empty(), "{others:?} are not collated as \"C\"");
    })
    .await;
}
