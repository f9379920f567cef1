//! Bedrock, which no caller speaks: what it gets of each request of the table, and what its answers are to each caller.

use std::fmt::Write as _;

use fulcrum::chat::{Emulated, Event, Request};
use fulcrum::wire::Spoken;
use fulcrum::wire::sse;
use serde_json::Value;

use crate::fixtures::{CALLERS, TONGUES, Tongue, cases, golden, strays, told};
use crate::requests::read;
use crate::show;

const MODEL: &str = "us.anthropic.claude-sonnet-5";

/// An answer with all that Bedrock's have, whole.
const WHOLE: &str = r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"Hm.","signature":"c2ln"}}},{"reasoningContent":{"redactedContent":"c2VjcmV0"}},{"citationsContent":{"content":[{"text":"Sunny."}],"citations":[{"title":"Report","sourceContent":[{"text":"sun"}],"location":{"documentChar":{"documentIndex":0,"start":1,"end":4}}}]}},{"toolUse":{"toolUseId":"tooluse_1","name":"look","input":{"city":"Bern"}}}]}},"stopReason":"tool_use","usage":{"inputTokens":5,"outputTokens":7,"totalTokens":22,"cacheReadInputTokens":4,"cacheWriteInputTokens":6,"cacheDetails":[{"ttl":"1h","inputTokens":2},{"ttl":"5m","inputTokens":4}]},"serviceTier":{"type":"default"},"metrics":{"latencyMs":12}}"#;

/// The same as a stream.
const EVENTS: [(&str, &str); 12] = [
    ("messageStart", r#"{"role":"assistant","p":"ab"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm."}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"c2VjcmV0"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"Sunny."}}"#),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":2,"delta":{"citation":{"title":"Report","sourceContent":[{"text":"sun"}],"location":{"documentChar":{"documentIndex":0,"start":1,"end":4}}}}}"#,
    ),
    ("contentBlockStart", r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"tooluse_1","name":"look"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{\"city\":\"Bern\"}"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
    ("messageStop", r#"{"stopReason":"tool_use"}"#),
    (
        "metadata",
        r#"{"usage":{"inputTokens":5,"outputTokens":7,"totalTokens":22,"cacheReadInputTokens":4,"cacheWriteInputTokens":6,"cacheDetails":[{"ttl":"1h","inputTokens":2},{"ttl":"5m","inputTokens":4}]},"metrics":{"latencyMs":12}}"#,
    ),
];

/// What Bedrock gets of a request in the internal form, or why it gets nothing.
fn written(request: Request, mut emulated: Emulated) -> String {
    let request = Request { model: MODEL.to_owned(), include_usage: true, ..request };
    match Spoken::Bedrock.upstream().write_request(&request, &mut emulated) {
        Ok(written) => {
            let names = emulated.names();
            let emulated = if names.is_empty() { String::new() } else { format!("emulated: {}\n", names.join(", ")) };
            let body: Value = serde_json::from_slice(&written.body).unwrap();
            format!("{emulated}{}\n", show::json(&body))
        }
        Err(error) => format!("{} {} at {}\n", error.status(), error.message, error.param.as_deref().unwrap_or("-")),
    }
}

#[test]
fn every_request_goes_to_bedrock_as_the_golden_files_say() {
    let cases = cases("requests");
    for case in &cases {
        let mut sections = Vec::new();
        for from in TONGUES {
            let mut emulated = Emulated::default();
            let Some(Ok(asked)) = read(case, from) else { continue };
            let Ok(request) = from.dialect().read_request(&asked, &mut emulated) else { continue };
            sections.push((from.name.to_owned(), written(request, emulated)));
        }
        golden(&format!("bedrock-{}", case.name), &show::grouped(sections));
    }
    assert_eq!(strays("bedrock", &cases), ["answer"]);
}

/// The stream as a caller gets it.
fn streamed(to: Tongue) -> Vec<u8> {
    let (mut reader, mut writer) = (Spoken::Bedrock.upstream().stream_reader(), to.dialect().stream_writer(&told()));
    let (mut meant, mut out) = (Vec::new(), Vec::new());
    for (name, data) in EVENTS {
        reader.read(&sse::Event::named(name, data.as_bytes()), &mut meant).unwrap();
    }
    assert_eq!(meant.last(), Some(&Event::End));
    meant.into_iter().for_each(|event| writer.write(event, &mut out));
    out
}

#[test]
fn an_answer_of_bedrocks_comes_down_as_the_golden_file_says() {
    let response = Spoken::Bedrock.upstream().read_response(WHOLE.as_bytes()).unwrap();
    let mut out = String::new();
    for to in CALLERS {
        let whole = to.dialect().write_response(&response, &told());
        write!(out, "# {} hears\nwhole: {}", to.name, show::answer(to.name, &whole)).unwrap();
        write!(out, "stream:\n{}\n", show::stream(to.name, &streamed(*to))).unwrap();
    }
    golden("bedrock-answer", &out);
}
