//! Who reads reports: periods, orders, names and other prices over the admin API.

use serde_json::{Value, json};

use crate::app::{TestApp, hello};
use crate::client::Call;
use crate::upstream::{Script, WHOLE};

async fn get(app: &TestApp, path: &str) -> Value {
    let answer = app.admin(Call::get(&format!("/api/v1{path}"))).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_value_that_no_request_can_have_is_refused_by_reports_and_lists() {
    let app = TestApp::start().await;
    for parameter in [
        "status=bad",
        "cache=bad",
        "tz=Mars%2FOlympus",
        "last=7",
        "last=7d&from=today",
        "from=soon",
        "sort=colour",
        "limit=0",
        "limit=x",
        "format=xml",
        "week=48",
        "version=x",
    ] {
        for path in ["usage", "requests"] {
            let answer = app.admin(Call::get(&format!("/api/v1/{path}?{parameter}"))).await;
            assert_eq!(answer.status, 400, "{path}?{parameter}: {}", answer.text());
        }
    }
    for parameter in ["min_cost=-1", "min_cost=x", "id=x", "q=", "cursor=x", "limit=501", "as_if=fast"] {
        let answer = app.admin(Call::get(&format!("/api/v1/requests?{parameter}"))).await;
        assert_eq!(answer.status, 400, "{parameter}: {}", answer.text());
    }
    for model in ["nobody", "openai/nobody", "", "nobody/gpt-4o"] {
        let answer = app.admin(Call::get(&format!("/api/v1/usage?as_if={model}"))).await;
        assert_eq!(answer.status, 400, "{model}: {}", answer.text());
    }
    app.close().await;
}

#[tokio::test]
async fn requests_are_listed_by_cost_in_a_period_and_as_csv() {
    let app = TestApp::start().await;
    for model in ["fast", "spare", "fast", "spare"] {
        app.hello(model).await;
    }
    app.up.next(Script::error(400, "no"));
    app.hello("fast").await;
    app.rows(5).await;
    let costs = |page: &Value| -> Vec<String> {
        page["rows"].as_array().unwrap().iter().map(|row| row["cost_usd"].as_str().unwrap_or("-").to_owned()).collect()
    };
    let first = get(&app, "/requests?sort=cost&limit=3&last=1h").await;
    assert_eq!(costs(&first), ["0.000039", "0.000039", "0.000015"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = get(&app, &format!("/requests?sort=cost&limit=3&last=1h&cursor={cursor}")).await;
    assert_eq!((costs(&rest)[0].as_str(), &rest["next_cursor"]), ("0.000015", &Value::Null));
    assert_eq!(costs(&rest).len(), 2);
    let other = app.admin(Call::get(&format!("/api/v1/requests?sort=latency&cursor={cursor}"))).await;
    assert_eq!(other.status, 400, "a cursor is of its order");
    assert_eq!(costs(&get(&app, "/requests?min_cost=0.00002").await).len(), 2);
    assert_eq!(costs(&get(&app, "/requests?from=yesterday&to=today").await).len(), 0);
    assert_eq!(costs(&get(&app, "/requests?status=error&from=yesterday").await).len(), 1);
    let csv = app.admin(Call::get("/api/v1/requests?format=csv&sort=cost&limit=2")).await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let lines: Vec<&str> = csv.text().lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("id,started_at,") && lines[1].contains(",0.000039,"), "{lines:?}");
    let next = csv.header("x-fulcrum-next-cursor").unwrap();
    let more = app.admin(Call::get(&format!("/api/v1/requests?format=csv&sort=cost&cursor={next}"))).await;
    assert_eq!((more.text().lines().count(), more.header("x-fulcrum-next-cursor")), (4, None));
    app.close().await;
}

#[tokio::test]
async fn a_report_names_keys_and_sorts_and_says_its_period() {
    let app = TestApp::start().await;
    for model in ["fast", "spare", "spare", "up/house"] {
        app.hello(model).await;
    }
    let report = get(&app, "/usage?by=model&sort=cost&limit=2&last=24h&tz=Europe/Berlin").await;
    let rows = report["rows"].as_array().unwrap();
    assert_eq!((&rows[0]["cost_usd"], &rows[1]["cost_usd"]), (&json!("0.000078"), &json!("0.000015")), "{report}");
    assert_eq!(
        (&report["left_out"], &report["tz"], &report["total"]["requests"]),
        (&json!(1), &json!("Europe/Berlin"), &json!(4))
    );
    assert_eq!((&rows[0]["error_rate"], &rows[0]["cache_hit_rate"]), (&json!(0.0), &json!(0.0)));
    assert_eq!((&rows[0]["cost_share"], &rows[0]["cost_per_request_usd"]), (&json!(0.838_709), &json!("0.000039")));
    let keyed = get(&app, "/usage?by=key,model").await;
    let keys = app.admin(Call::get("/api/v1/keys")).await.json();
    for row in keyed["rows"].as_array().unwrap() {
        let key = keys["rows"].as_array().unwrap().iter().find(|key| key["id"] == row["key"]).unwrap();
        assert_eq!(row["key_name"], key["name"], "{row}");
    }
    let csv = app.admin(Call::get("/api/v1/usage?by=model,key&format=csv")).await;
    assert!(csv.text().starts_with("model,key,key_name,requests,"), "{}", csv.text());
    app.close().await;
}

#[tokio::test]
async fn stored_tokens_are_priced_as_if_another_model_had_answered() {
    let app = TestApp::start().await;
    for model in ["fast", "spare", "up/house"] {
        app.hello(model).await;
    }
    // 9 tokens in and 3 out at the prices of each.
    for (model, usd) in [("fast", "0.000045"), ("spare", "0.000117")] {
        let report = get(&app, &format!("/usage?by=model&as_if={model}")).await;
        assert_eq!(report["total"]["as_if_usd"], usd, "{report}");
        assert_eq!((&report["as_if"], &report["total"]["as_if_unknown_requests"]), (&json!(model), &json!(0)));
    }
    let booked = get(&app, "/usage?as_if=openai/gpt-4o-mini").await;
    // 3 × (9 × $0.15 + 3 × $0.60) for a million.
    assert_eq!(booked["total"]["as_if_usd"], "0.00000945", "{booked}");
    let unknown = get(&app, "/usage?by=model&as_if=up/house").await;
    let total = &unknown["total"];
    assert_eq!((&total["as_if_usd"], &total["as_if_unknown_requests"]), (&Value::Null, &json!(3)), "{unknown}");
    app.close().await;
}

#[tokio::test]
async fn an_explanation_says_whether_the_output_is_bounded_and_a_targets_place() {
    let more = "[[routes]]\nname = \"in-turn\"\nmodels = [\"in-turn\"]\nstrategy = \"priority\"\n\
        targets = [{ model = \"fast\" }, { model = \"spare\" }]\n";
    let app = TestApp::with(more).await;
    let mut body = hello("in-turn");
    body.as_object_mut().unwrap().remove("max_tokens");
    for (limit, bounded) in [(None, false), (Some(50), true)] {
        if let Some(limit) = limit {
            body["max_tokens"] = json!(limit);
        }
        let explained = app.send(Call::post("/v1/explain", &body).key(&app.key)).await.json();
        assert_eq!(explained["tokens"]["bounded"], bounded, "{explained}");
        assert_eq!(explained["candidates"][0]["reason"], "target, first of 2", "{explained}");
        assert_eq!(explained["candidates"][1]["reason"], "target, second of 2", "{explained}");
    }
    app.close().await;
}

#[tokio::test]
async fn what_callers_write_into_a_row_is_bounded_and_runs_nowhere() {
    let app = TestApp::start().await;
    app.up.always(Script::json(200, WHOLE));
    let starts = ["=", "+", "-", "@", "\t", "\r", "\n", "\u{ff1d}"];
    for start in starts {
        let mut body = hello("fast");
        body["user"] = json!(format!("{start}1+cmd|'/c x'!A1\u{1b}[2J\u{7f}\u{9b}\0{}", "é".repeat(500_000)));
        let call = Call::chat(&body).key(&app.key);
        let call = match start.trim() {
            "=" | "+" | "-" | "@" => {
                let long = "x".repeat(3_000);
                call.header("x-fulcrum-session", &format!("{start}s{long}"))
                    .header("x-fulcrum-tags", &format!("t={start}v"))
            }
            _ => call,
        };
        let answer = app.send(call).await;
        assert!([200, 400].contains(&answer.status), "{start:?}: {}", answer.text());
    }
    // A model that nobody has, of a megabyte.
    let answer = app.chat(&hello(&format!("=m\u{1b}[2J{}", "m".repeat(1 << 20)))).await;
    assert!(answer.status >= 400 && answer.text().len() < 2_000, "{}", answer.status);
    let rows = app.rows(starts.len() + 1).await;
    let texts = ["user", "session", "requested_model", "error_code"];
    for row in &rows {
        for name in texts {
            assert!(row[name].as_str().is_none_or(|text| text.len() <= 256), "{name}");
        }
        assert!(row["tags"].to_string().len() < 1_024, "{row}");
    }
    assert!(rows.iter().filter(|row| row["user"].is_string()).count() >= starts.len(), "{rows:#?}");
    for path in [
        "/api/v1/usage?by=user&format=csv",
        "/api/v1/usage?by=session,user&format=csv",
        "/api/v1/usage?by=tag:t&format=csv",
        "/api/v1/requests?format=csv",
    ] {
        let answer = app.admin(Call::get(path)).await;
        let mut reader = csv::Reader::from_reader(answer.text().as_bytes());
        let width = reader.headers().unwrap().len();
        let mut lines = 0;
        for record in reader.records() {
            let record = record.unwrap();
            assert_eq!(record.len(), width, "{path}: {record:?}");
            let runs = |cell: &&str| cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}']);
            let found = record.iter().filter(|cell| cell.parse::<f64>().is_err()).find(runs);
            assert_eq!(found, None, "{path}");
            lines += 1;
        }
        assert!(lines > 1, "{path}: {}", answer.text());
    }
    app.close().await;
}
