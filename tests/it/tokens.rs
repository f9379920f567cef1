//! Tokens and what they cost, of every provider's dialect as each caller's is served, whole and streamed: by the provider's
//! own convention, from wherever it reports them, and to the nano-dollar.

use std::path::Path;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Answer;
use crate::dialects::{CLIENTS, PROVIDERS, call};
use crate::upstream::Script;

/// A provider's model for each dialect of the golden table.
const SPEAKERS: [(&str, &str); 4] =
    [("chat", "plain/m"), ("responses", "answers/m"), ("messages", "claude/m"), ("gemini", "gem/m")];

/// Rates in millionths of a dollar for a million tokens: input, read, written, written for an hour, output.
const RATES: [u128; 5] = [3_333_333, 333_333, 4_166_667, 6_666_667, 15_123_457];

/// The same models with these prices.
fn priced() -> String {
    let dollars = |micros: u128| format!("\"{}.{:06}\"", micros / 1_000_000, micros % 1_000_000);
    let [input, read, written, hour, output] = RATES.map(dollars);
    let price = format!(
        "{{ input = {input}, output = {output}, cache_read = {read}, cache_write = {written}, cache_write_1h = {hour} }}"
    );
    let model = |(name, target): &(&str, &str)| {
        let provider = target.split('/').next().unwrap();
        format!("[models.priced-{name}]\nprovider = \"{provider}\"\nmodel = \"m\"\nprice = {price}\n")
    };
    let models: String = SPEAKERS.iter().map(model).collect();
    // Tables of tables may stand anywhere but within another.
    format!("{PROVIDERS}{models}")
}

/// A file of the golden table; `None` where the case has none for the dialect.
fn fixture(case: &str, file: &str) -> Option<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire/answers");
    std::fs::read(folder.join(case).join(file)).ok()
}

/// The provider's answer of a case.
fn script(case: &str, speaker: &str, stream: bool) -> Option<Script> {
    if stream {
        fixture(case, &format!("{speaker}.sse")).map(|bytes| Script::stream([bytes]))
    } else {
        fixture(case, &format!("{speaker}.json")).map(|bytes| Script::json(200, bytes))
    }
}

/// Calls `model` from `client` and reads the answer and its row.
async fn served(app: &TestApp, client: &str, model: &str, script: Script, stream: bool) -> (Answer, Value) {
    app.up.next(script);
    let answer = app.send(call(client, model, stream).key(&app.key)).await;
    let row = app.row(answer.id()).await;
    (answer, row)
}

fn counts(row: &Value) -> [u64; 5] {
    ["input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]
        .map(|name| row[name].as_u64().unwrap_or_else(|| panic!("{name} of {row:#}")))
}

/// What the tokens cost, in nano-dollars: by hand, in whole picodollars, rounded once, half up.
fn cost([plain, read, written, hour, output]: [u128; 5]) -> String {
    let picos: u128 = [plain, read, written, hour, output].iter().zip(RATES).map(|(tokens, rate)| tokens * rate).sum();
    let nanos = (picos + 500) / 1_000;
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[tokio::test]
async fn cached_tokens_are_counted_once_and_priced_to_the_nano_dollar_in_every_dialect() {
    let app = TestApp::with(&priced()).await;
    for (speaker, _) in SPEAKERS {
        // 1,000 tokens in: 600 of them read from the cache, 300 written to it, 100 of these for an hour; 50 out, 20 thought.
        let (written, hour) = match speaker {
            "messages" => (300, 100),
            "chat" | "responses" => (300, 0),
            _ => (0, 0),
        };
        let fresh = 1_000 - 600 - written;
        let expected = cost([fresh, 600, written - hour, hour, 50]);
        for client in CLIENTS {
            for stream in [false, true] {
                let script = script("usage_cache", speaker, stream).unwrap();
                let (answer, row) = served(&app, client, &format!("priced-{speaker}"), script, stream).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                let about = format!("{client} from {speaker}, stream {stream}");
                let written = u64::try_from(written).unwrap();
                assert_eq!(counts(&row), [1_000, 600, written, 50, 20], "{about}");
                assert_eq!(row["cost_usd"], json!(expected), "{about}");
                assert_eq!(row["attempts"][0]["cost_usd"], json!(expected), "{about}");
                // The head of a stream goes down before its cost is known.
                let header = (!stream).then_some(expected.as_str());
                assert_eq!(answer.header("x-fulcrum-cost-usd"), header, "{about}");
                assert_eq!(row["estimated"], json!(false), "{about}");
            }
        }
    }
    app.close().await;
}

/// Input, read, written, output, thought; `None` where they are estimated.
type Expected = Option<[u64; 5]>;

/// The reports of usage by providers, and the counts that the ledger must have.
const REPORTS: &[(&str, &str, Expected)] = &[
    ("text", "chat", Some([9, 0, 0, 7, 0])),
    ("text", "responses", Some([9, 0, 0, 7, 0])),
    ("text", "messages", Some([9, 0, 0, 7, 0])),
    ("text", "gemini", Some([9, 0, 0, 7, 0])),
    ("usage_zero", "chat", Some([0, 0, 0, 0, 0])),
    ("usage_zero", "responses", Some([0, 0, 0, 0, 0])),
    ("usage_zero", "messages", Some([0, 0, 0, 0, 0])),
    ("usage_zero", "gemini", Some([0, 0, 0, 0, 0])),
    ("usage_missing", "chat", None),
    ("usage_missing", "responses", None),
    ("usage_missing", "messages", None),
    ("usage_missing", "gemini", None),
    ("usage_negative", "chat", None),
    ("usage_negative", "responses", None),
    ("usage_negative", "messages", None),
    ("usage_negative", "gemini", None),
    ("usage_huge", "chat", None),
    ("usage_huge", "responses", None),
    ("usage_huge", "messages", None),
    ("usage_huge", "gemini", None),
    ("usage_odd_cache", "chat", None),
    ("usage_odd_cache", "responses", None),
    ("usage_odd_cache", "messages", None),
    ("usage_odd_cache", "gemini", None),
    ("usage_start_disagrees", "messages", Some([170, 100, 50, 8, 0])),
    ("usage_start_only_input", "messages", Some([8, 1, 2, 8, 0])),
    ("usage_start_zero", "messages", Some([20, 0, 0, 8, 0])),
    ("usage_end_without", "messages", None),
    ("usage_in_the_finish_chunk", "chat", Some([9, 0, 0, 7, 0])),
    ("usage_in_every_chunk", "chat", Some([9, 0, 0, 7, 0])),
    ("usage_after_the_finish", "gemini", Some([9, 0, 0, 7, 0])),
    ("usage_at_groq", "chat", Some([9, 0, 0, 7, 0])),
    ("stop_length", "responses", Some([9, 0, 0, 2, 0])),
    ("blocked_prompt", "gemini", Some([9, 0, 0, 0, 0])),
];

#[tokio::test]
async fn tokens_are_counted_wherever_a_provider_tells_them_and_estimated_only_where_it_does_not() {
    let app = TestApp::with(PROVIDERS).await;
    for (case, speaker, expected) in REPORTS {
        let (_, model) = SPEAKERS.iter().find(|(name, _)| name == speaker).unwrap();
        let ways = CLIENTS.into_iter().flat_map(|client| [(client, false), (client, true)]);
        for (client, stream) in ways {
            let Some(script) = script(case, speaker, stream) else { continue };
            let (answer, row) = served(&app, client, model, script, stream).await;
            let about = format!("{case} of {speaker} for {client}, stream {stream}: {}", answer.text());
            assert_eq!(answer.status, 200, "{about}");
            assert_eq!(row["estimated"], json!(expected.is_none()), "{about}");
            let counted = counts(&row);
            let is_plausible = counted[0] > 0 && counted[0] < 1_000 && counted[3] > 0 && counted[3] < 1_000;
            assert!(expected.map_or(is_plausible, |counts| counted == counts), "{counted:?}: {about}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn tokens_of_a_failed_response_are_counted() {
    let app = TestApp::with(PROVIDERS).await;
    for client in CLIENTS {
        let script = script("error_in_stream", "responses", true).unwrap();
        let (answer, row) = served(&app, client, "answers/m", script, true).await;
        assert_eq!(
            (&row["status"], &row["estimated"]),
            (&json!("error"), &json!(false)),
            "{client}: {}",
            answer.text()
        );
        assert_eq!(counts(&row), [9, 0, 0, 2, 0], "{client}");
    }
    app.close().await;
}
