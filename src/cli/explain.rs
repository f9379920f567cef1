//! `fulcrum explain`: what a request would get.

use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use super::client::{Client, encoded};
use super::outcome::{Failure, Outcome, Where};
use super::output::{Form, cell, json as print_json, say, table};
use super::prompt::typed;
use crate::prompts::{DEFAULT_LABEL, halves, names_prompt};

/// The user message where none is given: a call without messages is none.
const USUAL_MESSAGE: &str = "Hello";

/// The headers that are the command's own.
const OWN_HEADERS: [HeaderName; 6] =
    [AUTHORIZATION, CONTENT_TYPE, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, HeaderName::from_static("x-api-key")];

/// Shows the rule, target, prompt, cache key and cost that a request would get; no provider is called.
#[derive(Args)]
#[command(
    after_help = "Example: fulcrum explain --model prompt/support-reply --var product=Acme --var ticket='Where is my order?'\n\
    Example: fulcrum explain --session chat-7 --header x-region=eu\n\
    Example: fulcrum explain --body request.json"
)]
pub struct Explain {
    /// The model to name
    #[arg(long, default_value = "auto")]
    model: String,
    /// The user message; a short one where this is left out and no prompt is named
    #[arg(long)]
    message: Option<String>,
    /// A variable of the prompt, as name=value; a value is read as the variable's schema asks
    #[arg(long = "var")]
    variables: Vec<String>,
    /// A metadata field, as name=value
    #[arg(long = "metadata")]
    metadata: Vec<String>,
    /// A header of the call, as name=value, where rules read it; as often as there are headers
    #[arg(long = "header")]
    headers: Vec<String>,
    /// The session that the call names in x-fulcrum-session
    #[arg(long)]
    session: Option<String>,
    /// The user that the call names in x-fulcrum-user
    #[arg(long)]
    user: Option<String>,
    /// A file with a whole request body instead; `-` is standard input
    #[arg(long, conflicts_with_all = ["message", "variables", "metadata"])]
    body: Option<String>,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

impl Explain {
    pub async fn run(self) -> Outcome {
        let (mut body, headers) = (self.request()?, self.headers()?);
        let client = Client::configured(&self.place).await?;
        if let Some(reference) = self.model.strip_prefix("prompt/").filter(|_| self.body.is_none()) {
            body["prompt"] = json!({"variables": typed(&self.variables, &schemas(&client, reference).await)?});
        }
        let (explanation, refused) = client.send_and_read("/v1/explain", &body, headers).await?;
        // A refusal has the rules where none takes the call.
        match (self.format, explanation["trace"].is_object()) {
            (_, false) => {}
            (Form::Json, true) => print_json(&explanation),
            (_, true) if refused.is_some() => rules(&explanation),
            (_, true) => show(&explanation),
        }
        refused.map_or(Ok(()), Err)
    }

    /// The headers of the call.
    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for text in &self.headers {
            let (name, value) =
                text.split_once('=').ok_or_else(|| Failure::Input(format!("--header `{text}` must be name=value")))?;
            let name = name.trim();
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Failure::Input(format!("--header `{name}`: no header has such a name")))?;
            if OWN_HEADERS.contains(&parsed) {
                return Err(Failure::Input(format!(
                    "--header `{name}`: the command sets that itself; --key names a key"
                )));
            }
            headers.append(parsed, header_value(&format!("--header `{name}`"), value)?);
        }
        let named = [("x-fulcrum-session", "--session", &self.session), ("x-fulcrum-user", "--user", &self.user)];
        for (name, option, value) in named {
            if let Some(value) = value {
                headers.insert(name, header_value(option, value)?);
            }
        }
        Ok(headers)
    }

    fn request(&self) -> Result<Value, Failure> {
        if let Some(path) = &self.body {
            let text = match path.as_str() {
                "-" => std::io::read_to_string(std::io::stdin()),
                path => std::fs::read_to_string(path),
            };
            let text = text.map_err(|error| Failure::Input(format!("{path}: {error}")))?;
            return serde_json::from_str(&text).map_err(|error| Failure::Input(format!("{path}: {error}")));
        }
        let mut body = json!({"model": self.model, "metadata": pairs(&self.metadata)?});
        let message = self.message.as_deref().or_else(|| (!names_prompt(&self.model)).then_some(USUAL_MESSAGE));
        if let Some(message) = message {
            body["messages"] = json!([{"role": "user", "content": message}]);
        }
        Ok(body)
    }
}

fn header_value(option: &str, value: &str) -> Result<HeaderValue, Failure> {
    let wrong = |_| Failure::Input(format!("{option}: the value has letters that no header has"));
    HeaderValue::from_str(value).map_err(wrong)
}

/// The schemas of a prompt's variables; none where the prompt cannot be read, which the explanation says better.
async fn schemas(client: &Client, reference: &str) -> Value {
    let (name, at) = halves(reference);
    let path = format!("/api/v1/prompts/{}/versions/{}", encoded(name), encoded(at.unwrap_or(DEFAULT_LABEL)));
    client.get(&path).await.map(|version| version["variables"].clone()).unwrap_or_default()
}

/// `name=value` texts as an object.
fn pairs(texts: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut pairs = Map::new();
    for text in texts {
        let (name, value) =
            text.split_once('=').ok_or_else(|| Failure::Input(format!("`{text}` must be name=value")))?;
        pairs.insert(name.to_owned(), value.into());
    }
    Ok(pairs)
}

/// What a call is reckoned to use and to cost. A bound is named where the request has one.
fn estimates(explanation: &Value) -> [String; 2] {
    let at = |path: &str| cell(explanation.pointer(path));
    let (input, output, cost) = (at("/tokens/input"), at("/tokens/max_output"), at("/estimated_cost_usd"));
    let is_bounded = explanation.pointer("/tokens/bounded").and_then(Value::as_bool).unwrap_or(true);
    let tokens = match is_bounded {
        true => format!("about {input} in, at most {output} out"),
        false => format!("about {input} in; the request sets no limit of what is written"),
    };
    let cost = match (cost.is_empty(), is_bounded) {
        (true, _) => "unknown: no price".to_owned(),
        (false, true) => format!("at most about ${cost}"),
        (false, false) => format!("about ${cost}, if {output} tokens are written"),
    };
    [format!("tokens     {tokens}"), format!("cost       {cost}")]
}

/// The score of the conversation, with the parts that it has, the largest first.
fn complexity(shown: &Value) -> String {
    let parts = shown["parts"].as_object().into_iter().flatten();
    let mut parts: Vec<(&str, f64)> = parts.filter_map(|(name, part)| Some((name.as_str(), part.as_f64()?))).collect();
    parts.retain(|(_, part)| *part >= 0.005);
    parts.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    let parts: Vec<String> = parts.iter().map(|(name, part)| format!("{name} {part:.2}")).collect();
    format!("complexity {:.2} {}", shown["score"].as_f64().unwrap_or_default(), parts.join(", ")).trim_end().to_owned()
}

/// Prints an explanation.
pub fn show(explanation: &Value) {
    let at = |path: &str| cell(explanation.pointer(path));
    say(&format!("model      {}", at("/requested_model")));
    if explanation["prompt"].is_object() {
        say(&format!("prompt     {}@{} (label {})", at("/prompt/name"), at("/prompt/version"), at("/prompt/label")));
    }
    say(&format!(
        "route      {}",
        if explanation["route"].is_null() { "none: called directly".to_owned() } else { at("/route") }
    ));
    say(&format!("cache      {} {}", at("/cache/mode"), at("/cache/key")));
    say(&complexity(&explanation["complexity"]));
    estimates(explanation).iter().for_each(|line| say(line));
    summaries(explanation).iter().for_each(|line| say(line));
    say("");
    rules(explanation);
    say("");
    let candidates = ["model", "reason", "state", "estimated_cost_usd"];
    table(&candidates, &rows(explanation, "/candidates", &candidates), &[3]);
    checks(explanation).iter().for_each(|line| say(line));
    scores(explanation).iter().for_each(|line| say(line));
    reasons(explanation).iter().for_each(|line| say(line));
}

/// Prints each route with its rule and what that found.
fn rules(explanation: &Value) {
    let heads = ["route", "when", "result"];
    table(&heads, &rows(explanation, "/trace/rules", &heads), &[]);
}

fn rows(explanation: &Value, path: &str, heads: &[&str]) -> Vec<Vec<String>> {
    let list = explanation.pointer(path).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().map(|row| heads.iter().map(|head| cell(row.get(*head))).collect()).collect()
}

/// What features say of the call, a line each.
fn summaries(explanation: &Value) -> Vec<String> {
    let parts = explanation.as_object().into_iter().flatten();
    let line = |(name, part): (&String, &Value)| {
        Some(format!("{:<11}{}", name.replace('_', " "), part.get("summary")?.as_str()?))
    };
    parts.filter_map(line).collect()
}

/// What the answers of a cascade's candidates must be, a line each.
fn checks(explanation: &Value) -> Vec<String> {
    let candidates = explanation["candidates"].as_array().into_iter().flatten();
    let line = |candidate: &Value| {
        let (model, accept) = (candidate["model"].as_str()?, candidate.get("accept")?.as_object()?);
        let checks: Vec<String> = accept.iter().map(|(name, value)| format!("{name} {}", cell(Some(value)))).collect();
        Some(format!("accept     {model}: {}", checks.join(", ")))
    };
    candidates.filter_map(line).collect()
}

/// Why candidates cool, a line each.
fn reasons(explanation: &Value) -> Vec<String> {
    let candidates = explanation["candidates"].as_array().into_iter().flatten();
    let line = |candidate: &Value| {
        let (model, cooling) = (candidate["model"].as_str()?, candidate.get("cooling")?);
        let at = |name: &str| cell(cooling.get(name));
        Some(format!("{model} cools for {}, {} s more: {}", at("for"), at("seconds"), at("why")))
    };
    candidates.filter_map(line).collect()
}

/// How the route's strategy rates each candidate, where that goes by figures.
fn scores(explanation: &Value) -> Vec<String> {
    let candidates = explanation["candidates"].as_array().into_iter().flatten();
    let rated = candidates.filter(|candidate| candidate["score"].is_object());
    let line = |candidate: &Value| {
        let score = |name: &str| cell(candidate["score"].get(name));
        let value = if candidate["score"]["value"].is_null() { "unknown".to_owned() } else { score("value") };
        format!("score      {}: {value} {}; {}", cell(candidate.get("model")), score("unit"), score("why"))
    };
    rated.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_score_stand_by_their_size() {
        let shown = json!({"score": 0.4321, "parts": {"length": 0.0321, "tools": 0.0, "work": 0.4}});
        assert_eq!(complexity(&shown), "complexity 0.43 work 0.40, length 0.03");
        assert_eq!(complexity(&json!({"score": 0.0, "parts": {"work": 0.0}})), "complexity 0.00");
    }

    #[test]
    fn parts_with_a_summary_and_cooling_candidates_have_a_line() {
        let explanation = json!({
            "route": "r", "on_budget": {"summary": "half is used"}, "other": {"x": 1},
            "candidates": [
                {"model": "p/a"},
                {"model": "p/b", "cooling": {"until": "x", "seconds": 9, "for": "this key", "why": "it answers 503"}},
            ],
        });
        assert_eq!(summaries(&explanation), ["on budget  half is used"]);
        assert_eq!(reasons(&explanation), ["p/b cools for this key, 9 s more: it answers 503"]);
    }

    #[test]
    fn a_candidate_of_a_cascade_has_its_checks() {
        let accept = json!({"not_refusal": true, "max_chars": 9, "judge": "p/j"});
        let explanation = json!({"candidates": [{"model": "p/a", "accept": accept}, {"model": "p/b"}]});
        assert_eq!(checks(&explanation), ["accept     p/a: not_refusal true, max_chars 9, judge p/j"]);
    }

    #[test]
    fn a_score_is_shown_with_its_unit_and_reason() {
        let score = |value: Value| json!({"value": value, "unit": "usd", "why": "no price is known"});
        let candidates = json!([{"model": "a/b", "score": score(json!("0.01"))}, {"model": "c/d"}, {"model": "e/f", "score": score(Value::Null)}]);
        assert_eq!(
            scores(&json!({ "candidates": candidates })),
            ["score      a/b: 0.01 usd; no price is known", "score      e/f: unknown usd; no price is known"]
        );
    }

    #[test]
    fn a_bound_is_named_only_where_the_request_has_one() {
        let lines = |bounded: bool, cost: Value| {
            estimates(
                &json!({"tokens": {"input": 8, "max_output": 1_024, "bounded": bounded}, "estimated_cost_usd": cost}),
            )
        };
        assert_eq!(lines(true, json!("0.01026"))[0], "tokens     about 8 in, at most 1024 out");
        assert_eq!(lines(true, json!("0.01026"))[1], "cost       at most about $0.01026");
        assert_eq!(lines(false, json!("0.01026"))[1], "cost       about $0.01026, if 1024 tokens are written");
        assert!(!lines(false, json!("0.01026")).concat().contains("at most"));
        assert_eq!(lines(false, Value::Null)[1], "cost       unknown: no price");
    }
}
