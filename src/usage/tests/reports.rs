//! On both databases, reports by every dimension equal what their rows say, folded in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::pen::Pen;
use super::*;
use crate::db::scratch::on_each;

/// A settlement from a few numbers, around the edges of three hours.
fn varied((seed, at, size): (u32, i64, u64), base: Timestamp) -> Settlement {
    let pick = |shift: u32, count: u32| (seed >> shift) % count;
    let some = |shift: u32, name: &str| -> Option<Arc<str>> {
        let n = pick(shift, 3);
        (n > 0).then(|| format!("{name}{n}").into())
    };
    let mut one = settlement(Timestamp(base.0 + at));
    let priced = pick(1, 4) > 0;
    *one.request = RequestRow {
        project: format!("p{}", pick(3, 2)).into(),
        key_id: format!("k{}", pick(5, 2)).into(),
        user: some(7, "u"),
        session: some(8, "s"),
        tags: some(9, "t").map(|tag| ("team".into(), tag)).into_iter().collect(),
        provider: some(11, "pr"),
        model: some(11, "m"),
        route: some(13, "r"),
        prompt: some(15, "prompt"),
        version: some(15, "prompt").map(|_| pick(17, 3)),
        status: Status::ALL[pick(19, 4) as usize],
        error_code: (pick(19, 4) == 1).then(|| "upstream_error".into()),
        cache: CacheState::ALL[pick(21, 6) as usize],
        usage: (pick(23, 5) > 0).then(|| Usage {
            input: size * 4,
            cached_input: size,
            cache_write: size / 2,
            cache_write_1h: 0,
            output: size * 2,
            reasoning: size / 3,
            ..Usage::default()
        }),
        cost: priced.then(|| Nanos(size as i64 * 7)),
        unpriced: !priced,
        saved: Nanos(size as i64),
        latency_us: size * 1_000,
        first_token_us: (pick(24, 2) > 0).then_some(size),
        overhead_us: (pick(25, 2) > 0).then_some(size / 2),
        purpose: [None, None, Some(Purpose::Shadow), Some(Purpose::Verify)][pick(27, 4) as usize],
        assigned: some(28, "arm").map(|arm| {
            let experiment = format!("e{}", pick(30, 2)).into();
            Box::new(Assignment { experiment, arm, propensity: 500_000, unit: i64::from(pick(2, 4)) })
        }),
        ..*one.request
    };
    one
}

/// What a report must say, from the settlements themselves.
fn expected(by: &[Dimension], rows: &[&RequestRow]) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut groups: BTreeMap<Vec<String>, Vec<&RequestRow>> = BTreeMap::new();
    for row in rows {
        groups.entry(by.iter().map(|dimension| name_of(dimension, row)).collect()).or_default().push(row);
    }
    groups.into_iter().map(|(group, rows)| (group, figures(&rows))).collect()
}

fn name_of(dimension: &Dimension, row: &RequestRow) -> String {
    let or = |text: &Option<Arc<str>>| text.as_deref().unwrap_or("").to_owned();
    let time = row.started_at.to_string();
    match dimension.to_string().as_str() {
        "hour" => format!("{}:00:00Z", &time[..13]),
        "day" => time[..10].to_owned(),
        "month" => time[..7].to_owned(),
        "project" => row.project.to_string(),
        "key" => row.key_id.to_string(),
        "user" => or(&row.user),
        "session" => or(&row.session),
        "provider" => or(&row.provider),
        "model" => row.provider.as_ref().map_or(String::new(), |p| format!("{p}/{}", or(&row.model))),
        "route" => or(&row.route),
        "prompt" => or(&row.prompt),
        "version" => row.version.map_or(String::new(), |version| version.to_string()),
        "experiment" => row.assigned.as_ref().map_or(String::new(), |to| to.experiment.to_string()),
        "arm" => row.assigned.as_ref().map_or(String::new(), |to| to.arm.to_string()),
        "status" => row.status.text().to_owned(),
        "error" => or(&row.error_code),
        "cache" => row.cache.text().unwrap_or("").to_owned(),
        "purpose" => row.purpose.map_or("", Purpose::text).to_owned(),
        tag if tag.starts_with("tag:") => row.tags.first().map_or(String::new(), |(_, value)| value.to_string()),
        other => panic!("{other}"),
    }
}

/// The figures without percentiles, which have their own test.
fn figures(rows: &[&RequestRow]) -> Vec<String> {
    let count = |fits: &dyn Fn(&RequestRow) -> bool| rows.iter().filter(|row| fits(row)).count().to_string();
    let tokens =
        |of: &dyn Fn(&Usage) -> u64| rows.iter().filter_map(|row| row.usage.as_ref().map(of)).sum::<u64>().to_string();
    let cost: Vec<_> = rows.iter().filter_map(|row| row.cost).collect();
    let hit = |row: &RequestRow| matches!(row.cache.text(), Some("hit" | "semantic" | "coalesced"));
    vec![
        rows.len().to_string(),
        count(&|row| row.status == Status::Error),
        count(&hit),
        tokens(&|usage| usage.input),
        tokens(&|usage| usage.cached_input),
        tokens(&|usage| usage.cache_write),
        tokens(&|usage| usage.output),
        tokens(&|usage| usage.reasoning),
        if cost.is_empty() { String::new() } else { cost.iter().copied().sum::<Nanos>().to_string() },
        rows.iter().map(|row| row.saved).sum::<Nanos>().to_string(),
        count(&|row| row.unpriced),
    ]
}

/// A span: where it begins after the first row's hour, how long it is, and which of its edges lie on something.
type Span = (i64, i64, u8);

#[test]
fn reports_by_every_dimension_equal_their_rows() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let numbers = (any::<u32>(), -HOUR..2 * HOUR, 1u64..5_000);
    let cases = prop::collection::vec(numbers, 1..60);
    let edges = (-HOUR..2 * HOUR, 0..3 * HOUR, any::<u8>());
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let holds = |(cases, span): (Vec<(u32, i64, u64)>, Span)| {
        let base = now().hour();
        let all: Vec<_> = cases.into_iter().map(|case| varied(case, base)).collect();
        // What the first database says, the second must say in the same words.
        let said = std::cell::RefCell::new(None);
        runtime.block_on(on_each(async |scratch| {
            let says = compare(&scratch.db, (&all, base), span).await.unwrap();
            let before = said.borrow_mut().get_or_insert_with(|| says.clone()).clone();
            assert_eq!(says, before);
        }));
        Ok(())
    };
    runner.run(&(cases, edges), holds).unwrap();
}

/// Compares reports with what the settlements say; gives their JSON and CSV.
async fn compare(
    db: &Db,
    (all, base): (&[Settlement], Timestamp),
    (from, span, snap): Span,
) -> Result<Vec<String>, TestCaseError> {
    let mut pen = Pen::of(db).await;
    // The second batch adds to the sums of the first.
    for some in [&all[..all.len() / 2], &all[all.len() / 2..]] {
        pen.settle(some).await;
    }
    // Edges lie on whole hours, on a row exactly, or anywhere.
    let from = Timestamp(base.0 + if snap % 3 == 0 { from / HOUR * HOUR } else { from });
    let from = if snap % 3 == 1 { all[0].request.started_at } else { from };
    let to = Timestamp(from.0 + if snap % 2 == 0 { span / HOUR * HOUR } else { span });
    let user = all[0].request.user.as_deref().unwrap_or("").to_owned();
    let names = "hour day month project key user session provider model route prompt version experiment arm status error cache purpose tag:team";
    let mut asked: Vec<Vec<Dimension>> = names.split(' ').map(|name| vec![name.parse().unwrap()]).collect();
    asked.extend([
        vec![],
        ["day", "model", "status"].map(|name| name.parse().unwrap()).to_vec(),
        ["hour", "user"].map(|name| name.parse().unwrap()).to_vec(),
    ]);
    let mut says = Vec::new();
    for by in asked {
        for filtered in [false, true] {
            let filters = filtered.then(|| Filter::parse("user", &user).unwrap()).into_iter().collect();
            let query = Query { by: by.clone(), from, to, filters, ..Query::default() };
            let fits = |row: &&RequestRow| {
                let inside = row.started_at >= from && row.started_at < to;
                inside && (!filtered || row.user.as_deref().unwrap_or("") == user)
            };
            let rows: Vec<_> = all.iter().map(|one| &*one.request).filter(fits).collect();
            let report = report(db, &query).await.unwrap();
            says.extend([report.json().to_string(), report.csv().unwrap()]);
            let width = by.len();
            let found = report.rows.iter().map(|row| {
                let cells = report.cells(row);
                (cells[..width].to_vec(), cells[width..width + 11].to_vec())
            });
            prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), expected(&by, &rows), "{:?}", by);
            let total = report.total_cells()[width..width + 11].to_vec();
            if !rows.is_empty() {
                prop_assert_eq!(total, figures(&rows));
                check_percentiles(&report.total, &rows)?;
            }
        }
    }
    pen.close().await;
    Ok(says)
}

fn check_percentiles(total: &Totals, rows: &[&RequestRow]) -> Result<(), TestCaseError> {
    let mut values: Vec<u64> =
        rows.iter().filter(|row| row.status != Status::Unknown).map(|row| row.latency_us).collect();
    values.sort_unstable();
    for (percent, found) in [(50, total.latency_ms.p50), (95, total.latency_ms.p95), (99, total.latency_ms.p99)] {
        let Some(found) = found else {
            prop_assert!(values.is_empty());
            continue;
        };
        let exact = values[(values.len() * percent).div_ceil(100).max(1) - 1] as f64 / 1_000.0;
        prop_assert!((found - exact).abs() <= exact * 0.02, "{found} for {exact}");
    }
    Ok(())
}

#[tokio::test]
async fn requests_of_our_own_are_left_out_of_reports_that_do_not_ask_for_them() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let at = now().hour();
        let caller = settlement(at);
        let mut shadow = settlement(at);
        (shadow.request.purpose, shadow.request.of) = (Some(Purpose::Shadow), Some(caller.request.id));
        pen.settle(&[caller.clone(), shadow.clone()]).await;
        let asked = async |parameters: &[(&str, &str)]| {
            // From hourly sums, and from rows.
            let parameters = || parameters.iter().copied();
            let sums = report(db, &Query::parse(parameters(), now()).unwrap()).await.unwrap().total;
            let narrowed = parameters().chain([("tag:none", "")]);
            let rows = report(db, &Query::parse(narrowed, now()).unwrap()).await.unwrap().total;
            assert_eq!(sums, rows);
            (sums.requests, sums.cost_usd.unwrap_or_default())
        };
        assert_eq!(asked(&[("by", "model")]).await, (1, NanoSum(4_500)));
        assert_eq!(asked(&[("by", "model"), ("key", "k1")]).await, (1, NanoSum(4_500)));
        assert_eq!(asked(&[("by", "purpose")]).await, (2, NanoSum(9_000)));
        assert_eq!(asked(&[("purpose", "shadow")]).await, (1, NanoSum(4_500)));
        assert_eq!(asked(&[("purpose", "verify")]).await.0, 0);

        let found = request(db, caller.request.id).await.unwrap().unwrap();
        assert_eq!(found.own, [(shadow.request.id, Purpose::Shadow)]);
        let found = request(db, shadow.request.id).await.unwrap().unwrap();
        assert_eq!((found.request.of, &found.own), (Some(caller.request.id), &Vec::new()));
        assert_eq!(found.json()["purpose"], "shadow");
        let list = async |parameters: &[(&str, &str)]| {
            requests(db, &Listing::parse(parameters.iter().copied(), now()).unwrap()).await.unwrap().rows.len()
        };
        assert_eq!([list(&[]).await, list(&[("purpose", "shadow")]).await, list(&[("purpose", "")]).await], [2, 1, 1]);
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_verified_hits_is_counted_with_them_and_is_no_request_of_a_caller() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let at = now().hour();
        let of = |cache: CacheState, purpose: Option<Purpose>, code: Option<&str>| {
            let mut one = settlement(at);
            (one.request.cache, one.request.purpose) = (cache, purpose);
            one.request.error_code = code.map(Into::into);
            one
        };
        let verify = |code| of(CacheState::None, Some(Purpose::Verify), code);
        let mut failed = verify(Some("upstream_error"));
        failed.request.status = Status::Error;
        let hits = [(); 3].map(|()| of(CacheState::Semantic, None, None));
        let verified = [verify(None), verify(Some(SEMANTIC_WRONG)), verify(Some(SEMANTIC_UNCOMPARED)), failed];
        pen.settle(&[&hits[..], &verified[..], &[of(CacheState::Hit, None, None)][..]].concat()).await;
        for narrowed in [&[][..], &[("tag:none", "")][..]] {
            let asked = async |parameters: &[(&str, &str)]| {
                let parameters = parameters.iter().chain(narrowed).copied();
                report(db, &Query::parse(parameters, now()).unwrap()).await.unwrap()
            };
            let found = asked(&[("by", "cache")]).await;
            let total = &found.total;
            assert_eq!((total.requests, total.errors, total.cost_usd), (4, 0, Some(NanoSum(18_000))));
            assert_eq!((total.semantic_hits, total.semantic_verified, total.semantic_wrong), (3, 2, 1));
            let groups: Vec<_> =
                found.rows.iter().map(|row| (row.totals.requests, row.totals.semantic_verified)).collect();
            assert_eq!(groups, [(1, 0), (3, 2)], "hits by hits, what verified them with them");
            assert_eq!(asked(&[("by", "error")]).await.rows.len(), 1);
            let own = asked(&[("purpose", "verify")]).await.total;
            assert_eq!((own.requests, own.semantic_verified, own.semantic_wrong), (4, 2, 1));
        }
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn erasing_a_request_erases_the_texts_of_those_that_we_made_on_its_account() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let mut all = [settlement(now()), settlement(now()), settlement(now())];
        let first = all[0].request.id;
        all[1].request.of = Some(first);
        for one in &mut all {
            one.bodies = Some(Bodies { request: "ask".into(), response: "answer".into() });
        }
        pen.settle(&all).await;
        assert_eq!(erase(db, &[first]).await.unwrap().requests, 2);
        assert!(texts(db, all[1].request.id).await.unwrap().is_none());
        assert!(texts(db, all[2].request.id).await.unwrap().is_some());
        pen.close().await;
    })
    .await;
}

/// Writes feedback as its own slice does.
async fn measure(db: &Db, request: RequestId, (metric, number, words): (&str, Option<f64>, Option<&str>)) {
    let insert = "insert into feedback (id, request_id, project, key_id, metric, kind, number, words, at) \
                  values ($1, $2, 'p', 'k', $3, 'any', $4, $5, 0)";
    let insert = crate::db::query(insert).bind(RequestId::new().to_string()).bind(request.to_string());
    insert.bind(metric).bind(number).bind(words).execute(db).await.unwrap();
}

#[tokio::test]
async fn feedback_is_counted_in_the_group_of_its_request_and_averaged_where_it_is_a_number() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let base = Timestamp(now().hour().0 - 2 * HOUR);
        let all: Vec<_> = (0..6_u32)
            .map(|n| {
                let mut one = settlement(Timestamp(base.0 + i64::from(n) * HOUR / 2 + 1));
                one.request.prompt = Some(format!("prompt{}", n % 2).into());
                one.request.tags = vec![("team".into(), format!("t{}", n % 2).into())];
                one.request.purpose = (n == 5).then_some(Purpose::Shadow);
                one
            })
            .collect();
        pen.settle(&all).await;
        for (n, one) in (0_i32..).zip(&all) {
            measure(db, one.request.id, ("score", Some(f64::from(n) / 4.0), None)).await;
            measure(db, one.request.id, ("other", Some(1.0), None)).await;
        }
        measure(db, all[0].request.id, ("why", None, Some("words"))).await;
        let asked = async |parameters: &[(&str, &str)]| {
            let query = Query::parse(parameters.iter().copied(), now())?;
            report(db, &query).await
        };
        for by in ["prompt", "tag:team", "prompt,hour"] {
            let found = asked(&[("by", by), ("metric", "score")]).await.unwrap();
            let total = found.total.metric.unwrap();
            // 0, 1, 2, 3 and 4 quarters; the sixth is the gateway's own.
            assert_eq!((total.n, total.mean), (5, Some(0.5)), "{by}");
            let n: i64 = found.rows.iter().map(|row| row.totals.metric.unwrap().n).sum();
            assert_eq!((n, found.total.requests), (5, 5), "{by}");
        }
        let by_prompt = asked(&[("by", "prompt"), ("metric", "score")]).await.unwrap();
        let means: Vec<_> = by_prompt.rows.iter().map(|row| row.totals.metric.unwrap()).collect();
        assert_eq!(means, [Measured { n: 3, mean: Some(0.5) }, Measured { n: 2, mean: Some(0.5) }]);
        let narrowed = asked(&[("by", "prompt"), ("metric", "score"), ("prompt", "prompt1")]).await.unwrap();
        assert_eq!(narrowed.total.metric.unwrap().n, 2);
        let to = Timestamp(base.0 + HOUR).to_string();
        let first_hour = asked(&[("metric", "score"), ("from", &base.to_string()), ("to", &to)]).await.unwrap();
        assert_eq!(first_hour.total.metric, Some(Measured { n: 2, mean: Some(0.125) }));
        let notes = asked(&[("by", "prompt"), ("metric", "why")]).await.unwrap();
        assert_eq!(notes.total.metric, Some(Measured { n: 1, mean: None }));
        assert_eq!(asked(&[("by", "prompt")]).await.unwrap().total.metric, None);
        let unknown = asked(&[("metric", "scor")]).await.unwrap_err().to_string();
        assert!(unknown.contains("other, score, why; did you mean `score`?"), "{unknown}");
        assert_eq!(erase(db, &[all[0].request.id]).await.unwrap().feedback, 1);
        assert_eq!(asked(&[("metric", "score")]).await.unwrap().total.metric.unwrap().n, 5);
        prune(db, Timestamp(base.0 + HOUR)).await.unwrap();
        assert_eq!(asked(&[("metric", "score")]).await.unwrap().total.metric.unwrap().n, 3);
        pen.close().await;
    })
    .await;
}
