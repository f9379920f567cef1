//! `logprobsResult` and OpenAI's shape of the same, which the internal form keeps.

use serde_json::{Value, json};

/// Reads a `logprobsResult`.
pub(super) fn read_logprobs(result: &Value) -> Option<Value> {
    let chosen = result["chosenCandidates"].as_array()?;
    let tops = result["topCandidates"].as_array();
    let content = chosen.iter().enumerate().map(|(n, token)| {
        let top = tops.and_then(|tops| tops.get(n)?["candidates"].as_array());
        let mut read = read_token(token);
        read["top_logprobs"] = top.into_iter().flatten().map(read_token).collect();
        read
    });
    Some(json!({"content": content.collect::<Vec<_>>()}))
}

fn read_token(token: &Value) -> Value {
    let text = token["token"].as_str().unwrap_or_default();
    json!({"token": text, "logprob": token["logProbability"], "bytes": text.as_bytes()})
}

/// Writes a `logprobsResult`.
pub(super) fn write_logprobs(logprobs: &Value) -> Value {
    let tokens = || logprobs["content"].as_array().into_iter().flatten();
    let tops = tokens().map(|token| {
        let top = token["top_logprobs"].as_array().into_iter().flatten();
        json!({"candidates": top.map(write_token).collect::<Vec<_>>()})
    });
    json!({
        "topCandidates": tops.collect::<Vec<_>>(),
        "chosenCandidates": tokens().map(write_token).collect::<Vec<_>>(),
    })
}

fn write_token(token: &Value) -> Value {
    json!({"token": token["token"], "logProbability": token["logprob"]})
}
