//! Hedges: how soon answers begin, and what that costs.

use super::*;

fn route(hedge: &str) -> String {
    format!(
        r#"
[[routes]]
name = "quick"
models = ["quick"]
strategy = "priority"
targets = [{{ model = "first" }}, {{ model = "second" }}]
{hedge}
"#
    )
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(600);

fn after(after: Duration) -> Play {
    Play { after, text: "Bern".to_owned(), confidence: None }
}

/// Answers begin after 3 to 9 ms, and one in 33 after 400.
fn bimodal(model: &str, n: usize) -> Play {
    let n = n as u64;
    let is_slow = if model == "first" { n % 33 == 30 } else { n % 33 == 3 };
    after(if is_slow { millis(400) } else { millis(3 + n * 5 % 7) })
}

/// The time within which 99 of 100 calls had their first byte, and the calls.
async fn p99(rig: &Rig, calls: usize) -> (Duration, Vec<RequestId>) {
    let (mut times, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..calls {
        let (id, first, text) = rig.call("quick", true).await;
        assert!(text.contains("Bern") && text.ends_with("data: [DONE]\n\n"), "{text}");
        times.push(first);
        ids.push(id);
    }
    times.sort_unstable();
    (times[calls * 99 / 100 - 1], ids)
}

fn attempts(row: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let list = row["attempts"].as_array().cloned().unwrap_or_default();
    list.iter().map(|one| [&one["model"], &one["role"], &one["error_code"]].map(text).join(" ")).collect()
}

fn dollars(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn hedges_cut_the_99th_percentile_by_half_within_what_they_may_cost() {
    const CALLS: usize = 400;
    let plain = Rig::new(&route(""), bimodal).await;
    let (without, _) = p99(&plain, CALLS).await;
    let rig = Rig::new(&route("hedge = { after = \"p95\", max_extra_spend = 0.05 }"), bimodal).await;
    let (with, ids) = p99(&rig, CALLS).await;
    assert!(without >= millis(400), "{without:?}");
    assert!(with <= without / 2, "{with:?} of {without:?}");
    let (mut extra, mut others, mut won) = (0.0, 0.0, 0);
    for id in ids {
        let row = rig.row(id).await;
        for attempt in row["attempts"].as_array().unwrap() {
            *(if attempt["role"] == "hedge" { &mut extra } else { &mut others }) += dollars(&attempt["cost_usd"]);
        }
        won += usize::from(row["trace"]["hedge"] == "won");
    }
    assert!(extra > 0.0 && extra <= 0.05 * others, "{extra} beside {others}");
    assert!(won >= CALLS / 33 / 2, "{won} hedges won");
    eprintln!("p99 {with:?} instead of {without:?}, at {:.1} % more, {won} won", 100.0 * extra / others);
}

#[tokio::test]
async fn the_first_answer_goes_down_and_the_other_call_is_ended_at_once() {
    // The first 40 calls of the first are quick, so that the route has spent something.
    let script = |model: &str, n: usize| match (model, n) {
        ("first", 0..40) => after(millis(1)),
        ("first", 40) => after(NEVER),
        ("first", _) => after(millis(400)),
        (_, 0) => after(millis(1)),
        _ => after(NEVER),
    };
    let rig = Rig::new(&route("hedge = { after = \"100ms\", max_extra_spend = 0.1 }"), script).await;
    for _ in 0..40 {
        assert!(rig.call("quick", true).await.1 < millis(100));
    }
    // The second wins: the first would never have answered.
    let (won, first, _) = rig.call("quick", true).await;
    assert!(first >= millis(100), "{first:?}");
    assert_eq!(rig.open.load(Ordering::SeqCst), 0, "the loser is asked no more");
    // The first wins, when the second has been asked.
    let (lost, first, _) = rig.call("quick", false).await;
    assert!(first >= millis(400), "{first:?}");
    assert_eq!(rig.open.load(Ordering::SeqCst), 0);
    let row = rig.row(won).await;
    assert_eq!(attempts(&row), ["first - hedge_lost", "second hedge -"], "{row:#}");
    assert_eq!((&row["model"], &row["trace"]["hedge"]), (&json!("b/second"), &json!("won")), "{row:#}");
    assert_eq!(row["attempts"][0]["cost_usd"], "0", "not a byte came: {row:#}");
    let row = rig.row(lost).await;
    assert_eq!(attempts(&row), ["first - -", "second hedge hedge_lost"], "{row:#}");
    assert_eq!((&row["model"], &row["trace"]["hedge"]), (&json!("a/first"), &json!("lost")), "{row:#}");
    // Two at once are waited for once.
    assert!(row["overhead_us"].as_f64().unwrap() < 300_000.0, "{row:#}");
}

#[tokio::test]
async fn a_hedge_that_would_cost_too_much_is_withheld() {
    let script = |model: &str, n: usize| match (model, n) {
        ("first", n) if n % 2 == 1 => after(millis(200)),
        _ => after(millis(1)),
    };
    let rig = Rig::new(&route("hedge = { after = \"50ms\", max_extra_spend = 0.05 }"), script).await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(rig.call("quick", false).await.0);
    }
    let mut seen = [0, 0, 0];
    for id in ids {
        let row = rig.row(id).await;
        let places = ["withheld", "won", "lost"];
        if let Some(place) = places.iter().position(|word| row["trace"]["hedge"] == *word) {
            seen[place] += 1;
            assert_eq!(attempts(&row).len(), if place == 0 { 1 } else { 2 }, "{row:#}");
        }
    }
    // Every second call is late, and one in twenty may be hedged.
    let [withheld, won, lost] = seen;
    assert!((3..=5).contains(&(won + lost)) && withheld >= 40, "{seen:?}");
}

#[tokio::test]
async fn a_caller_that_hangs_up_ends_both() {
    let script = |model: &str, n: usize| match (model, n) {
        ("first", 0..40) => after(millis(1)),
        _ => after(NEVER),
    };
    let rig = Rig::new(&route("hedge = { after = \"100ms\", max_extra_spend = 0.1 }"), script).await;
    for _ in 0..40 {
        rig.call("quick", true).await;
    }
    let incoming = Rig::incoming("quick", true);
    let id = incoming.id;
    {
        let mut call = std::pin::pin!(rig.app.0.gateway.call(incoming));
        let both = async {
            while rig.open.load(Ordering::SeqCst) < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut call => panic!("nothing answers"),
            () = both => {}
        }
    }
    assert_eq!(rig.open.load(Ordering::SeqCst), 0, "both are ended");
    // The room of the hedge is given back, or settled.
    let spend = rig.app.0.gateway.parts().hedges.spend_of(&"quick".into()).shown(now());
    assert_eq!(spend.extra_usd.to_string(), "0", "{spend:?}");
    let row = rig.row(id).await;
    assert_eq!(attempts(&row), ["first - client_closed", "second hedge client_closed"], "{row:#}");
}

#[tokio::test]
async fn both_fail_and_neither_is_asked_again() {
    let script = |model: &str, n: usize| match (model, n) {
        ("first", 0..40) => after(millis(1)),
        ("first", _) => Play { text: "error".to_owned(), ..after(millis(200)) },
        _ => Play { text: "error".to_owned(), ..after(millis(1)) },
    };
    let rig = Rig::new(&route("hedge = { after = \"50ms\", max_extra_spend = 0.1 }"), script).await;
    for _ in 0..40 {
        rig.call("quick", false).await;
    }
    let incoming = Rig::incoming("quick", false);
    let id = incoming.id;
    let reply = rig.app.0.gateway.call(incoming).await;
    assert_eq!(reply.head.status, 500);
    let row = rig.row(id).await;
    assert_eq!(attempts(&row), ["first - upstream_error", "second hedge upstream_error"], "{row:#}");
    assert_eq!(row["trace"]["hedge"], "failed");
}

#[tokio::test]
async fn without_enough_answers_a_percentile_hedges_nothing() {
    let script = |model: &str, n: usize| match (model, n) {
        ("first", 40) => after(NEVER),
        ("first", n) if n == 19 || n > 40 => after(millis(400)),
        _ => after(millis(1)),
    };
    let rig = Rig::new(&route("hedge = { after = \"p95\", max_extra_spend = 1 }"), script).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(rig.call("quick", true).await.0);
    }
    for id in ids {
        assert_eq!(attempts(&rig.row(id).await), ["first - -"]);
    }
    for _ in 20..40 {
        rig.call("quick", true).await;
    }
    // The p95 of 40 answers, of which one took 400 ms, is soon; the first would never have answered.
    let (id, ..) = rig.call("quick", true).await;
    assert_eq!(attempts(&rig.row(id).await), ["first - hedge_lost", "second hedge -"]);
    // Whole answers have times of their own, of which none is known.
    let (id, ..) = rig.call("quick", false).await;
    assert_eq!(attempts(&rig.row(id).await), ["first - -"]);
}

#[tokio::test]
async fn explain_says_when_a_second_target_would_be_asked_and_calls_nobody() {
    let rig = Rig::new(&route("hedge = { after = \"p95\", max_extra_spend = 0.05 }"), |_, _| after(millis(1))).await;
    let explained = async || {
        let shown = rig.app.0.gateway.explain(Rig::incoming("quick", true)).await.unwrap();
        serde_json::to_value(&shown).unwrap()["hedge"].clone()
    };
    let shown = explained().await;
    assert_eq!(shown["policy"], json!({"after": "p95", "max_extra_spend": 0.05}));
    assert_eq!(shown["summary"], "not asked: 0 of the 20 answers are known that a percentile needs", "{shown:#}");
    for _ in 0..40 {
        rig.call("quick", true).await;
    }
    let shown = explained().await;
    assert_eq!((&shown["second"], &shown["spend"]["calls"]), (&json!("b/second"), &json!(40)), "{shown:#}");
    assert!(shown["after_ms"].is_u64() && dollars(&shown["estimated_cost_usd"]) > 0.0, "{shown:#}");
    let summary = shown["summary"].as_str().unwrap();
    assert!(summary.starts_with("b/second is asked too where no answer began within"), "{summary}");
}
