//! On both databases, an import is a version once all of it is there, and no version changes afterwards.

use serde_json::json;

use super::*;
use crate::db::query;
use crate::db::scratch::on_each;

fn line(n: usize) -> String {
    format!("{}\n", json!({"variables": {"n": n}, "unit": format!("u{}", n % 50)}))
}

fn origin() -> Origin {
    Origin { source: "import", note: Some("{\"a\":1}".to_owned()), key_id: "k".into() }
}

async fn imported(of: (&Datasets, &Pool), dataset: &Dataset, text: &str) -> Result<Version, Error> {
    let mut import = of.0.import(of.1, dataset.clone(), Form::Jsonl);
    // In pieces, as a body comes.
    for piece in text.as_bytes().chunks(777) {
        if let Err(error) = import.push(piece).await {
            import.discard().await;
            return Err(error);
        }
    }
    import.finish(origin(), Timestamp(7)).await
}

async fn stored(db: &Db) -> i64 {
    query("select count(*) from dataset_items").fetch_one(db).await.unwrap().get(0).unwrap()
}

#[tokio::test]
async fn an_import_is_a_version_or_nothing() {
    on_each(async |scratch| {
        let (datasets, pool) = (Datasets::new(scratch.db.clone()), Pool::start().unwrap());
        let name = "tickets".parse().unwrap();
        let dataset = datasets.create("default", &name, "k", Timestamp(5)).await.unwrap();
        assert!(matches!(datasets.create("default", &name, "k", Timestamp(6)).await, Err(Error::Taken(_))));
        assert!(datasets.create("search", &name, "k", Timestamp(6)).await.is_ok());
        let text: String = (0..1_150).map(line).collect();
        for broken in [format!("{text}{{}}\n"), String::new(), format!("{text}{{\"variables\": ")] {
            assert!(imported((&datasets, &pool), &dataset, &broken).await.is_err());
            assert_eq!(stored(&scratch.db).await, 0);
        }
        let version = imported((&datasets, &pool), &dataset, &text).await.unwrap();
        assert_eq!((version.version, version.added, version.at), (1, 1_150, Timestamp(7)));
        assert_eq!(imported((&datasets, &pool), &dataset, &line(0)).await.unwrap().version, 2);
        let dataset = datasets.find("default", "tickets").await.unwrap();
        let overview = datasets.overview(dataset.clone(), None).await.unwrap();
        assert_eq!((overview.splits.iter().sum::<i64>(), overview.equal_inputs), (1_151, 1));
        let first = datasets.overview(dataset.clone(), Some(1)).await.unwrap();
        assert_eq!((first.splits.iter().sum::<i64>(), first.equal_inputs, first.versions.len()), (1_150, 0, 1));
        assert_eq!(first.versions[0].json()["note"], json!({"a": 1}));
        for version in [Some(0), Some(3), Some(-1)] {
            assert!(matches!(datasets.overview(dataset.clone(), version).await, Err(Error::NoSuchVersion { .. })));
        }
        assert!(matches!(datasets.find("other", "tickets").await, Err(Error::NoSuchDataset(_))));
        assert_eq!(datasets.list(None).await.unwrap().len(), 2);
        assert_eq!(datasets.list(Some("search")).await.unwrap()[0].newest, 0);
    })
    .await;
}

#[tokio::test]
async fn pages_and_parts_have_every_item_once() {
    on_each(async |scratch| {
        let (datasets, pool) = (Datasets::new(scratch.db.clone()), Pool::start().unwrap());
        let dataset = datasets.create("default", &"d".parse().unwrap(), "k", Timestamp(5)).await.unwrap();
        for some in 0..3 {
            let text: String = (some * 70..some * 70 + 70).map(line).collect();
            imported((&datasets, &pool), &dataset, &text).await.unwrap();
        }
        let dataset = datasets.find("default", "d").await.unwrap();
        let all = async |split: Option<Split>| {
            let (mut seen, mut behind) = datasets.items((&dataset, None), split, (None, Some(33))).await.unwrap();
            while behind.is_some() {
                let page = datasets.items((&dataset, None), split, (behind, Some(33))).await.unwrap();
                seen.extend(page.0);
                behind = page.1;
            }
            seen
        };
        let everything = all(None).await;
        let numbers: Vec<_> = everything.iter().map(|placed| placed.item.json()["variables"]["n"].clone()).collect();
        assert_eq!(numbers, (0..210).map(|n| json!(n)).collect::<Vec<_>>());
        let mut by_part = Vec::new();
        for split in Split::ALL {
            let part = all(Some(split)).await;
            assert!(part.iter().all(|placed| placed.split == split && placed.item.split() == split));
            by_part.push(part.len());
        }
        assert_eq!(by_part.iter().sum::<usize>(), 210);
        let mut export = datasets.export((dataset, Some(2)), None, Form::Jsonl).await.unwrap();
        let mut lines = 0;
        while let Some(piece) = export.piece().await.unwrap() {
            lines += String::from_utf8(piece).unwrap().lines().count();
        }
        assert_eq!(lines, 140);
    })
    .await;
}

#[tokio::test]
async fn what_an_import_left_that_never_ended_is_deleted_after_a_day() {
    on_each(async |scratch| {
        let (datasets, pool) = (Datasets::new(scratch.db.clone()), Pool::start().unwrap());
        let dataset = datasets.create("default", &"d".parse().unwrap(), "k", Timestamp(5)).await.unwrap();
        imported((&datasets, &pool), &dataset, &line(1)).await.unwrap();
        let mut left = datasets.import(&pool, dataset, Form::Jsonl);
        left.push_items(&[Item::read(line(2).as_bytes()).unwrap()]).await.unwrap();
        drop(left);
        let now = crate::types::now();
        datasets.tidy_up(now).await.unwrap();
        assert_eq!(stored(&scratch.db).await, 2);
        datasets.tidy_up(Timestamp(now.0 + LEFT_OVER + 10_000_000)).await.unwrap();
        assert_eq!(stored(&scratch.db).await, 1);
    })
    .await;
}

#[test]
fn a_file_is_checked_without_being_stored() {
    let text = format!("{}{{\n{}[]\n", line(1), line(2));
    let checked = check(text.as_bytes(), Form::Jsonl).unwrap();
    assert_eq!((checked.items, checked.problems.len()), (2, 2));
    assert!(checked.problems[0].starts_with("line 2: ") && checked.problems[1].starts_with("line 4: "), "{checked:?}");
    let checked = check(&b"a,b\n1,2\n3\n"[..], Form::Csv).unwrap();
    assert_eq!((checked.items, checked.problems.len()), (1, 1));
    let many = "x\n".repeat(100);
    assert_eq!(check(many.as_bytes(), Form::Jsonl).unwrap().problems.len(), 20);
    assert_eq!(check(&b""[..], Form::Csv).unwrap(), Checked::default());
}
