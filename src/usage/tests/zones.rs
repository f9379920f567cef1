//! On both databases, groups and dates are those of the zone that is named, and lists have their order page by page.

use super::pen::Pen;
use super::*;
use crate::db::scratch::on_each;

/// Groups and requests of a report.
async fn groups(db: &Db, parameters: &[(&str, &str)]) -> Vec<(String, i64)> {
    let query = Query::parse(parameters.iter().copied(), "2026-11-28T18:20:00Z".parse().unwrap()).unwrap();
    let report = report(db, &query).await.unwrap();
    let shown = |row: &ReportRow| row.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    report.rows.iter().map(|row| (shown(row), row.totals.requests)).collect()
}

#[tokio::test]
async fn times_are_grouped_in_the_zone_that_is_named() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let at = [
            "2026-10-31T22:59:59Z",
            "2026-10-31T23:10:00Z",
            "2026-11-01T18:20:00Z",
            "2026-11-01T18:40:00Z",
            "2026-11-08T23:30:00Z",
        ];
        let all: Vec<_> = at.iter().map(|at| settlement(at.parse().unwrap())).collect();
        pen.settle(&all).await;
        let by =
            async |by: &'static str, tz: &'static str| groups(db, &[("by", by), ("from", "2026-10"), ("tz", tz)]).await;
        let expect = |pairs: &[(&str, i64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!(by("month", "UTC").await, expect(&[("2026-10", 2), ("2026-11", 3)]));
        assert_eq!(by("month", "Europe/Berlin").await, expect(&[("2026-10", 1), ("2026-11", 4)]));
        assert_eq!(
            by("day", "Europe/Berlin").await,
            expect(&[("2026-10-31", 1), ("2026-11-01", 3), ("2026-11-09", 1)])
        );
        assert_eq!(by("week", "UTC").await, expect(&[("2026-10-26", 4), ("2026-11-02", 1)]));
        assert_eq!(by("week", "Europe/Berlin").await, expect(&[("2026-10-26", 4), ("2026-11-09", 1)]));
        let hours = by("hour", "Europe/Berlin").await;
        assert_eq!(hours[1..3], expect(&[("2026-11-01T00:00:00+01:00", 1), ("2026-11-01T19:00:00+01:00", 2)]));
        // Half an hour apart: the hourly sums cannot answer, the rows do.
        let days = by("day", "Asia/Kolkata").await;
        assert_eq!(days, expect(&[("2026-11-01", 3), ("2026-11-02", 1), ("2026-11-09", 1)]));
        let hours = by("hour", "Asia/Kolkata").await;
        assert_eq!(hours[1..3], expect(&[("2026-11-01T23:00:00+05:30", 1), ("2026-11-02T00:00:00+05:30", 1)]));
        for (tz, name, value, count) in [
            ("Europe/Berlin", "month", "2026-11", 4),
            ("Europe/Berlin", "day", "2026-10-31", 1),
            ("Asia/Kolkata", "day", "2026-11-01", 3),
            ("Asia/Kolkata", "hour", "2026-11-01T18:15:00Z", 1),
            ("Europe/Berlin", "week", "2026-11-15", 1),
        ] {
            let found = groups(db, &[("tz", tz), (name, value)]).await;
            assert_eq!(found[0].1, count, "{tz} {name}={value}");
            let listing = Listing::parse([("tz", tz), (name, value)], now()).unwrap();
            assert_eq!(requests(db, &listing).await.unwrap().rows.len() as i64, count, "{tz} {name}={value}");
        }
        let month = [("from", "2026-11-01"), ("to", "2026-12-01"), ("tz", "Europe/Berlin")];
        assert_eq!(requests(db, &Listing::parse(month, now()).unwrap()).await.unwrap().rows.len(), 4);
        pen.close().await;
    })
    .await;
}

/// All rows in this order, read page by page.
async fn by_pages(db: &Db, sort: &str, size: &str) -> Vec<RequestRow> {
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let more = cursor.as_deref().map(|cursor| ("cursor", cursor));
        let parameters = [("sort", sort), ("limit", size)].into_iter().chain(more);
        let page = requests(db, &Listing::parse(parameters, now()).unwrap()).await.unwrap();
        rows.extend(page.rows);
        let Some(next) = page.next_cursor else { return rows };
        cursor = Some(next.to_string());
    }
}

#[tokio::test]
async fn lists_have_their_order_page_by_page() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let costs = [Some(5), None, Some(7), Some(5), Some(0), None, Some(7), Some(5), Some(900), Some(1)];
        let all: Vec<_> = costs
            .iter()
            .enumerate()
            .map(|(n, cost)| {
                let mut one = settlement(Timestamp(now().0 + n as i64));
                one.request.cost = cost.map(Nanos);
                one.request.unpriced = cost.is_none();
                one.request.latency_us = [30, 10, 20][n % 3];
                one.request.status = if n == 4 { Status::Unknown } else { Status::Ok };
                one.request.user = Some(format!("u{n}_a%").into());
                one
            })
            .collect();
        pen.settle(&all).await;
        for (sort, amount) in [
            ("started", (|_| 0) as fn(&RequestRow) -> i64),
            ("cost", |row| row.cost.map_or(-1, |cost| cost.0)),
            ("latency", |row| if row.status == Status::Unknown { -1 } else { row.latency_us as i64 }),
        ] {
            let mut expected: Vec<_> = all.iter().map(|one| (amount(&one.request), one.request.id)).collect();
            expected.sort_by(|a, b| b.cmp(a));
            for size in ["1", "3", "10", "500"] {
                let rows = by_pages(db, sort, size).await;
                let seen: Vec<_> = rows.iter().map(|row| (amount(row), row.id)).collect();
                assert_eq!(seen, expected, "{sort} by {size}");
            }
        }
        let count = async |parameters: &[(&str, &str)]| {
            let listing = Listing::parse(parameters.iter().copied(), now()).unwrap();
            requests(db, &listing).await.unwrap().rows.len()
        };
        let id = all[3].request.id.to_string();
        assert_eq!(count(&[("min_cost", "0.000000005")]).await, 6);
        assert_eq!(count(&[("min_cost", "0")]).await, 8, "an unknown cost is not 0");
        assert_eq!(count(&[("id", &id)]).await, 1);
        assert_eq!(
            (count(&[("q", "U3_A%")]).await, count(&[("q", "3%a")]).await, count(&[("q", "nobody")]).await),
            (1, 0, 0)
        );
        assert_eq!((count(&[("last", "1h")]).await, count(&[("to", "1h")]).await), (10, 0));
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn rates_and_another_models_price_stand_beside_the_cost() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let calls: [(Status, CacheState, Option<u64>, Option<i64>); 5] = [
            (Status::Ok, CacheState::Miss, Some(100), Some(3_000)),
            (Status::Ok, CacheState::Hit, Some(100), Some(0)),
            (Status::Error, CacheState::Miss, None, Some(0)),
            (Status::Ok, CacheState::Miss, Some(999), None),
            (Status::Unknown, CacheState::Miss, None, Some(700)),
        ];
        let all: Vec<_> = calls
            .into_iter()
            .map(|(status, cache, input, cost)| {
                let mut one = settlement(now());
                one.request.status = status;
                one.request.cache = cache;
                one.request.usage = input.map(|input| Usage { input, ..Usage::default() });
                one.request.cost = cost.map(Nanos);
                one.request.unpriced = cost.is_none();
                one
            })
            .collect();
        pen.settle(&all).await;
        let query = Query::parse([("by", "status"), ("as_if", "m"), ("sort", "cost")], now()).unwrap();
        let charge = |usage: &Usage| (usage.input < 500).then(|| Nanos(usage.input as i64 * 2));
        let report = report_as_if(db, &query, Some(&charge)).await.unwrap();
        // 200 for the miss; the hit and the error cost nothing; of the long one and of the cut one nobody knows.
        let as_if = AsIf { usd: Some(NanoSum(200)), unknown_requests: 2 };
        assert_eq!(report.total.as_if, Some(as_if));
        let total = &report.total;
        assert_eq!((total.error_rate, total.cache_hit_rate), (Some(0.2), Some(0.2)));
        assert_eq!((total.cost_usd, total.cost_per_request_usd), (Some(NanoSum(3_700)), None), "one is unpriced");
        let shares: Vec<_> = report.rows.iter().map(|row| (row.groups[0].to_string(), row.totals.cost_share)).collect();
        let share = |name: &str, share| (name.to_owned(), Some(share));
        assert_eq!(shares, [share("ok", 0.810_810), share("unknown", 0.189_189), share("error", 0.0)]);
        let unknown = &report.json()["rows"][1];
        assert_eq!((&unknown["as_if_usd"], &unknown["as_if_unknown_requests"]), (&serde_json::Value::Null, &1.into()));
        let csv = report.csv().unwrap();
        assert!(csv.lines().next().unwrap().ends_with("semantic_wrong,as_if_usd,as_if_unknown_requests"), "{csv}");
        let plain = Query { as_if: None, limit: Some(1), ..query };
        let plain = super::super::report(db, &plain).await.unwrap();
        assert_eq!((plain.rows.len(), plain.left_out, plain.total.requests), (1, 2, 5));
        assert!(plain.json()["total"].get("as_if_usd").is_none());
        pen.close().await;
    })
    .await;
}
