//! What a scraper reads.

use serde_json::json;

use crate::app::{TestApp, hello};
use crate::binary::{Binary, config, fulcrum};
use crate::client::{Answer, Call, Open};
use crate::upstream::{Script, Upstream};

/// The value of the one sample that begins so.
fn sample(page: &str, beginning: &str) -> f64 {
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(beginning)).collect();
    let [line] = lines[..] else { panic!("{} lines begin with {beginning}:\n{page}", lines.len()) };
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn page(app: &TestApp) -> String {
    app.admin(Call::get("/metrics")).await.text().to_owned()
}

#[tokio::test]
async fn requests_tokens_and_cost_have_a_provider_a_model_and_a_project() {
    let app = TestApp::with("[defaults]\nretries = 0\n[[routes]]\nmodels = [\"auto\"]\ntargets = [{ model = \"fast\" }]\nfallbacks = [\"spare\"]\n").await;
    let key = app.new_key(&json!({"name": "b", "project": "team-b"})).await;
    let before = page(&app).await;
    let cost = "fulcrum_cost_dollars_total{provider=\"up\",model=\"up/gpt-x\",project=\"team-b\"}";
    assert_eq!(sample(&before, cost), 0.0, "a counter is there before it counts");
    app.send(Call::chat(&hello("fast")).key(&key)).await;
    app.up.next(Script::error(500, "down"));
    app.send(Call::chat(&hello("auto")).key(&key)).await;
    let page = page(&app).await;
    let call = "{endpoint=\"/v1/chat/completions\",provider=\"up\",model=\"up/gpt-x\",project=\"team-b\",status=\"ok\"";
    assert_eq!(sample(&page, &format!("fulcrum_requests_total{call}")), 1.0);
    assert_eq!(sample(&page, "fulcrum_attempts_total{provider=\"other\",model=\"spare-x\",outcome=\"ok\"}"), 1.0);
    assert_eq!(
        sample(&page, "fulcrum_tokens_total{provider=\"up\",model=\"up/gpt-x\",project=\"team-b\",kind=\"input\"}"),
        9.0
    );
    let of_other = "fulcrum_cost_dollars_total{provider=\"other\",model=\"other/spare-x\",project=\"team-b\"}";
    assert!(
        sample(&page, cost) > 0.0 && sample(&page, of_other) > 0.0,
        "each attempt costs at its own provider: {page}"
    );
    assert!(
        page.contains(
            "fulcrum_latency_seconds_count{endpoint=\"/v1/chat/completions\",provider=\"up\",model=\"up/gpt-x\"} 1"
        ),
        "{page}"
    );
    app.close().await;
}

#[tokio::test]
async fn a_fresh_gateway_shows_its_state_and_every_counter_at_zero() {
    let app = TestApp::start().await;
    let page = page(&app).await;
    for (zero, name) in [
        (true, "fulcrum_refused_total{endpoint=\"/v1/chat/completions\"}"),
        (true, "fulcrum_attempts_total{provider=\"up\",model=\"gpt-x\",outcome=\"ok\"}"),
        (true, "fulcrum_batch_lines_total{result=\"completed\"}"),
        (true, "fulcrum_target_cooling{provider=\"up\",model=\"gpt-x\",scope=\"all\"}"),
        (true, "fulcrum_cache_hits_total"),
        (true, "fulcrum_ledger_queue"),
        (false, "fulcrum_ledger_writable"),
        (false, "fulcrum_database_size_bytes{file=\"database\"}"),
        (false, "process_resident_memory_bytes"),
        (false, "process_open_fds"),
        (false, "process_start_time_seconds"),
        (false, "process_max_fds"),
    ] {
        assert_eq!(sample(&page, name) == 0.0, zero, "{name} in {page}");
    }
    let version = concat!("fulcrum_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",commit=\"");
    assert_eq!(sample(&page, version), 1.0);
    assert!(sample(&page, "process_cpu_seconds_total") >= 0.0);
    app.close().await;
}

#[tokio::test]
async fn a_target_that_cools_is_on_the_page() {
    let app = TestApp::start().await;
    app.up.always(Script::throttled("retry-after: 50\r\n"));
    app.hello("fast").await;
    app.hello("dead/x").await;
    let page = page(&app).await;
    assert_eq!(sample(&page, "fulcrum_target_cooling{provider=\"up\",model=\"gpt-x\",scope=\"all\"}"), 1.0);
    assert_eq!(sample(&page, "fulcrum_target_cooling{provider=\"other\",model=\"spare-x\",scope=\"all\"}"), 0.0);
    app.close().await;
}

#[tokio::test]
async fn a_scraper_gets_the_form_that_it_reads() {
    let app = TestApp::start().await;
    let get = async |accept: &str| app.admin(Call::get("/metrics").header("accept", accept)).await;
    let open = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(open.text().contains("# TYPE fulcrum_requests counter\n") && open.text().ends_with("# EOF\n"));
    let plain = get("text/plain").await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.text().contains("# TYPE fulcrum_requests_total counter\n") && !plain.text().contains("# EOF"));
    app.close().await;
}

#[tokio::test]
async fn a_scraper_of_the_same_machine_needs_no_key_where_that_is_configured() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let text = format!("{}[telemetry]\nmetrics_listen = \"127.0.0.1:0\"\n", config(up.address));
    std::fs::write(dir.path().join("fulcrum.toml"), text).unwrap();
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    assert_eq!(binary.send(Call::chat(&hello("fast"))).await.status, 200);
    let line = binary.says("metrics without a key at http://").await;
    let place = line.split("metrics without a key at http://").nth(1).unwrap().split('/').next().unwrap();
    let place = place.parse().unwrap();
    let get = async |path: &str| -> Answer { Open::of_call(place, Call::get(path)).await };
    let open = get("/metrics").await;
    assert!(open.status == 200 && open.text().contains("fulcrum_requests_total{"), "{}", open.text());
    for path in ["/", "/v1/models", "/api/v1/keys", "/metrics/x"] {
        assert_eq!(get(path).await.status, 404, "{path}");
    }
    let chat = Open::of_call(place, Call::chat(&hello("fast"))).await;
    assert_eq!(chat.status, 404, "nothing else is served there");
    let without = Open::of_call(binary.address, Call::get("/metrics")).await;
    assert_eq!(without.status, 401, "elsewhere a key is needed as before");
    binary.signal("TERM");
    assert!(binary.ended().await.success());
}
