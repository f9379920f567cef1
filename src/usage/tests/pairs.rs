//! On both databases, pairs of answers are read as they were stored, listed and deleted, and what a shadow spent is known.

use bytes::Bytes;

use super::pen::{Pen, number};
use super::*;
use crate::db::scratch::on_each;

/// A pair that was stored at a time, of the project and the route of these names.
fn pair(stored_at: i64, project: &str, route: &str) -> Pair {
    Pair {
        request: RequestId::new(),
        shadow: RequestId::new(),
        project: project.to_owned(),
        route: route.to_owned(),
        model: "openai/gpt".to_owned(),
        shadow_model: "house/llama".to_owned(),
        answer: vec![0, b'a', 255].into(),
        shadow_answer: Some("ä".into()),
        error_code: None,
        is_cut: false,
        cost: Some(Nanos(7)),
        shadow_cost: Some(Nanos(i64::MAX)),
        latency_us: 1,
        shadow_latency_us: 2,
        stored_at: Timestamp(stored_at),
    }
}

/// A listing with these parameters.
fn listing(parameters: &[(&str, &str)]) -> Listing {
    Listing::parse(parameters.iter().copied(), now()).unwrap()
}

#[tokio::test]
async fn a_pair_is_read_as_it_was_stored() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let full = pair(1, "p", "r");
        let failed = Pair {
            answer: Bytes::new(),
            shadow_answer: None,
            error_code: Some("upstream_error".to_owned()),
            is_cut: true,
            cost: None,
            shadow_cost: None,
            ..pair(2, "p", "r")
        };
        for pair in [&full, &failed] {
            store_pair(db, pair).await.unwrap();
        }
        let found = pairs(db, &Listing::default(), None).await.unwrap();
        assert_eq!(found, Pairs { rows: vec![failed.clone(), full], next_cursor: None });
        assert!(store_pair(db, &failed).await.is_err(), "a request has one pair");
    })
    .await;
}

#[tokio::test]
async fn pairs_are_listed_by_project_route_and_time_a_page_at_a_time() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let day = 86_400_000_000;
        let all: Vec<Pair> = [("p", "r"), ("p", "s"), ("q", "r"), ("p", "r"), ("p", "r")]
            .into_iter()
            .zip(0..)
            .map(|((project, route), n)| pair(n * day, project, route))
            .collect();
        for pair in &all {
            store_pair(db, pair).await.unwrap();
        }
        for (parameters, project, expected) in [
            (&[][..], None, &[4, 3, 2, 1, 0][..]),
            (&[("route", "r")], None, &[4, 3, 2, 0]),
            (&[("project", "q")], None, &[2]),
            (&[("route", "r"), ("project", "p")], None, &[4, 3, 0]),
            (&[("route", "r")], Some("p"), &[4, 3, 0]),
            (&[("project", "q")], Some("p"), &[]),
            (&[("from", "1970-01-02"), ("to", "1970-01-04")], None, &[2, 1]),
            (&[("from", "1970-01-02"), ("to", "1970-01-04"), ("route", "s")], Some("p"), &[1]),
        ] {
            let found = pairs(db, &listing(parameters), project).await.unwrap();
            let expected: Vec<&Pair> = expected.iter().map(|n| &all[*n]).collect();
            assert_eq!(found.rows.iter().collect::<Vec<_>>(), expected, "{parameters:?} {project:?}");
        }
        let mut page = Listing { limit: Some(2), ..listing(&[("route", "r")]) };
        let mut seen = Vec::new();
        loop {
            let found = pairs(db, &page, Some("p")).await.unwrap();
            assert!(found.rows.len() <= 2);
            seen.extend(found.rows);
            let Some(last) = found.next_cursor else { break };
            let cursor = last.to_string();
            page.cursor = listing(&[("cursor", &cursor)]).cursor;
        }
        assert_eq!(seen.iter().collect::<Vec<_>>(), [&all[4], &all[3], &all[0]]);
        assert!(pairs(db, &listing(&[("user", "x")]), None).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn pairs_are_deleted_with_their_texts_and_with_old_rows() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let count = async || number(db, "select count(*) from shadow_pairs").await;
        let all: Vec<Pair> = (0..4).map(|n| pair(n, "p", "r")).collect();
        for pair in &all {
            store_pair(db, pair).await.unwrap();
        }
        erase(db, &[all[0].request, all[1].request, all[2].shadow]).await.unwrap();
        let left = pairs(db, &Listing::default(), None).await.unwrap().rows;
        assert_eq!(left, [all[3].clone()]);
        let mut pen = Pen::of(db).await;
        let mut old = settlement(Timestamp(now().hour().0 - 1));
        old.request.id = all[3].request;
        pen.settle(&[old]).await;
        assert_eq!(prune(db, now()).await.unwrap(), 1);
        assert_eq!(count().await, 0);
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_shadows_spend_is_of_its_route_and_of_today() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let noon = Timestamp(now().0.div_euclid(24 * HOUR) * 24 * HOUR + 12 * HOUR);
        let row = |purpose: Option<Purpose>, route: &str, started_at: Timestamp, cost: Option<i64>| {
            let mut one = settlement(started_at);
            one.request.purpose = purpose;
            one.request.route = Some(route.into());
            one.request.cost = cost.map(Nanos);
            one
        };
        let shadow = Some(Purpose::Shadow);
        let mut cut_off = row(shadow, "r", noon, Some(1_000));
        cut_off.request.status = Status::Unknown;
        pen.settle(&[
            row(shadow, "r", noon, Some(1)),
            row(shadow, "r", Timestamp(noon.0 - 12 * HOUR), Some(10)),
            row(shadow, "r", Timestamp(noon.0 - 3 * HOUR / 2), Some(100)),
            cut_off,
            row(shadow, "r", noon, None),
            // Of yesterday, of another route, of another purpose, of a caller.
            row(shadow, "r", Timestamp(noon.0 - 12 * HOUR - 1), Some(1 << 40)),
            row(shadow, "s", noon, Some(1 << 41)),
            row(Some(Purpose::Verify), "r", noon, Some(1 << 42)),
            row(None, "r", noon, Some(1 << 43)),
        ])
        .await;
        let later = Timestamp(noon.0 + HOUR);
        assert_eq!(
            spent_by_shadow(db, "r", later).await.unwrap(),
            Nanos(1_111 + 9_000),
            "what is unknown counts as it was reserved"
        );
        assert_eq!(spent_by_shadow(db, "none", later).await.unwrap(), Nanos(0));
        assert_eq!(spent_by_shadow(db, "r", Timestamp(noon.0 + 12 * HOUR)).await.unwrap(), Nanos(0), "a new day");
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn no_pair_of_a_shadow_is_stored_behind_the_erasure_of_its_request() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let all = [settlement(now()), settlement(now())];
        pen.settle(&all).await;
        let [erased, left] = all.map(|settled| Pair { request: settled.request.id, ..pair(1, "p", "r") });
        for _ in 0..2 {
            erase(db, &[erased.request]).await.unwrap();
        }
        for pair in [&erased, &left] {
            store_pair(db, pair).await.unwrap();
        }
        let stored = pairs(db, &Listing::default(), None).await.unwrap().rows;
        assert_eq!(stored, std::slice::from_ref(&left));
        assert_eq!(super::pair(db, left.request).await.unwrap(), Some(left));
        assert_eq!(super::pair(db, erased.request).await.unwrap(), None);
        pen.close().await;
    })
    .await;
}
