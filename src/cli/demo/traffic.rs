//! The demo's calls: the same ones in the same order every time.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::call::{Call, Caller, Reading, Wanted};
use super::material::{CODE, CONTRACTS, PRODUCTS, QUESTIONS, SENTENCES, TICKETS};

const SEED: u64 = 20_261_123;
const USERS: u32 = 24;

/// Calls that are sent together.
pub struct Wave {
    /// What they are, for people.
    pub name: &'static str,
    pub calls: Vec<Call>,
}

/// All calls of the demo.
pub fn waves() -> Vec<Wave> {
    let mut dice = StdRng::seed_from_u64(SEED);
    let mut daily = Vec::new();
    daily.extend((0..72).map(|_| support(&mut dice)));
    daily.extend((0..60).map(|_| product(&mut dice)));
    daily.extend((0..28).map(|n| code(&mut dice, n)));
    daily.extend((0..16).map(contract));
    daily.extend((0..40).map(|n| question(&mut dice, n)));
    daily.extend((0..10).map(tool));
    daily.extend((0..16).map(|_| embedding(&mut dice)));
    daily.extend((0..14).map(|_| private(&mut dice)));
    daily.extend((0..4).map(long));
    daily.shuffle(&mut dice);
    vec![
        Wave { name: "everyday traffic", calls: daily },
        Wave { name: "the same call eight times at once", calls: vec![at_once(); 8] },
        Wave { name: "mistakes and faults", calls: mistakes() },
    ]
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

fn pick<T: Copy>(dice: &mut StdRng, from: &[T]) -> T {
    from[dice.random_range(0..from.len())]
}

/// Tickets come back word for word as people press a button twice: the cache answers those.
fn support(dice: &mut StdRng) -> Call {
    let (product, fact, ticket) = pick(dice, TICKETS);
    let tone = pick(dice, &["friendly and brief", "friendly and brief", "formal"]);
    let number = dice.random_range(0..USERS);
    let body = json!({
        "model": "prompt/support-reply",
        "prompt": {"variables": {"product": product, "ticket": ticket, "tone": tone, "facts": [fact]}},
        "user": format!("customer-{number}"),
    });
    let call = Call::chat(Caller::Shop, body)
        .header("x-fulcrum-session", format!("conversation-{number}"))
        .header("x-fulcrum-tags", format!("team=support,channel={}", pick(dice, &["mail", "chat", "chat"])));
    if dice.random_ratio(1, 3) { call.streamed() } else { call }
}

fn product(dice: &mut StdRng) -> Call {
    let (title, brand, description) = pick(dice, PRODUCTS);
    let variables = json!({"title": title, "brand": brand, "description": description});
    let body = json!({"model": "auto", "prompt": {"id": "product-categoriser", "variables": variables}});
    Call::chat(Caller::Shop, body).header("x-fulcrum-tags", "team=catalogue")
}

fn code(dice: &mut StdRng, n: usize) -> Call {
    let (language, file, code) = CODE[n % CODE.len()];
    let audience = pick(dice, &["public", "internal"]);
    let variables = json!({"language": language, "file": file, "code": code, "audience": audience});
    let body = json!({"model": "prompt/code-documenter@production", "prompt": {"variables": variables}});
    let call = Call::chat(Caller::Office, body).header("x-fulcrum-tags", "team=engineering");
    if n.is_multiple_of(2) { call.streamed() } else { call }
}

fn contract(n: usize) -> Call {
    let (side, contract) = CONTRACTS[n % CONTRACTS.len()];
    let body = json!({
        "model": "prompt/contract-clauses@1",
        "prompt": {"variables": {"contract": contract, "side": side}},
    });
    Call::chat(Caller::Office, body).header("x-fulcrum-tags", "team=legal").header("x-fulcrum-user", "paralegal-1")
}

fn question(dice: &mut StdRng, n: usize) -> Call {
    let model = ["fast", "auto", "fast", "smart", "simulated/mini-fast"][n % 5];
    let mut body = json!({"model": model, "messages": user(pick(dice, QUESTIONS))});
    body["max_tokens"] = 120.into();
    let call = Call::chat(Caller::Shop, body).header("x-fulcrum-user", format!("colleague-{}", n % 6));
    if n.is_multiple_of(2) { call.streamed() } else { call }
}

fn tool(n: usize) -> Call {
    let city = ["Oslo", "Porto", "Lyon", "Graz", "Turku"][n % 5];
    let parameters = json!({
        "type": "object", "required": ["city"],
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    });
    let function = json!({"name": "get_weather", "description": "The weather in a city now", "parameters": parameters});
    let question = format!("What is the weather in {city}?");
    let mut body =
        json!({"model": "fast", "messages": user(&question), "tools": [{"type": "function", "function": function}]});
    if n >= 5 {
        let call = json!({"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": json!({"city": city}).to_string()}});
        body["messages"] = json!([
            {"role": "user", "content": question},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "14 degrees, light rain"},
        ]);
    }
    Call::chat(Caller::Shop, body).header("x-fulcrum-tags", "team=assistant")
}

fn embedding(dice: &mut StdRng) -> Call {
    let input: Vec<&str> = (0..dice.random_range(1..4)).map(|_| pick(dice, SENTENCES)).collect();
    Call::chat(Caller::Shop, json!({"model": "embed", "input": input})).at("/v1/embeddings")
}

/// A call that must stay with local providers.
fn private(dice: &mut StdRng) -> Call {
    let (product, fact, ticket) = pick(dice, TICKETS);
    let body = json!({
        "model": "prompt/support-reply", "metadata": {"privacy": "internal"},
        "prompt": {"variables": {"product": product, "ticket": ticket, "facts": [fact]}},
    });
    Call::chat(Caller::Shop, body).header("x-fulcrum-user", "customer-vip").header("x-fulcrum-tags", "team=support")
}

/// Long enough for the rule that reads the request's size.
fn long(n: usize) -> Call {
    let (_, contract) = CONTRACTS[n % CONTRACTS.len()];
    let text = format!("Compare the versions of this clause.\n{}", format!("{contract}\n").repeat(70));
    Call::chat(Caller::Shop, json!({"model": "auto", "messages": user(&text), "max_tokens": 60}))
}

fn at_once() -> Call {
    let contract =
        "5. The supplier answers within four hours on working days. 6. Credits are ten percent of the month's fee.";
    let body = json!({
        "model": "prompt/contract-clauses", "prompt": {"variables": {"contract": contract, "side": "customer"}},
    });
    Call::chat(Caller::Office, body).header("x-fulcrum-tags", "team=legal")
}

fn mistakes() -> Vec<Call> {
    let hello = |model: &str| json!({"model": model, "messages": user("Hello!")});
    let with = |prompt: &str, variables: Value| json!({"model": prompt, "prompt": {"variables": variables}});
    let refused = |caller, body, code| Call::chat(caller, body).wants(Wanted::Refusal(code));
    let mut calls = vec![
        refused(Caller::Shop, with("prompt/support-reply", json!({"product": "Kettle One"})), "invalid_variables"),
        refused(
            Caller::Shop,
            with("prompt/support-reply", json!({"product": "Kettle One", "ticket": "Hi", "max_sentences": 99})),
            "invalid_variables",
        ),
        refused(
            Caller::Shop,
            with("prompt/product-categoriser", json!({"title": "Mug", "colour": "blue"})),
            "invalid_variables",
        ),
        refused(Caller::Shop, with("prompt/suport-reply", json!({})), "prompt_not_found"),
        refused(Caller::Shop, with("prompt/support-reply@staging", json!({})), "prompt_not_found"),
        refused(Caller::Shop, hello("fastt"), "model_not_found"),
        refused(Caller::Office, hello("smart"), "model_not_allowed"),
        refused(Caller::Office, hello("simulated/large"), "model_not_allowed"),
        refused(Caller::Stranger, hello("fast"), "invalid_api_key"),
        refused(Caller::Shop, json!({"model": "fast", "messages": "Hello!"}), "invalid_request"),
    ];
    calls.extend((0..2).map(|_| refused(Caller::Shop, hello("simulated-faulty/down-error-503"), "overloaded")));
    let cut = Call::chat(Caller::Shop, hello("simulated-faulty/cut-fast")).streamed().wants(Wanted::Break);
    let hang_up = Call::chat(Caller::Shop, hello("essay")).streamed().read(Reading::HangUp);
    calls.extend([cut.clone(), cut, hang_up.clone(), hang_up]);
    calls
}

/// Calls of the prompt whose new version is live.
pub fn kinder() -> Vec<Call> {
    let mut dice = StdRng::seed_from_u64(SEED + 1);
    (0..18).map(|_| support(&mut dice)).collect()
}

/// Calls of the same prompt after the new version was taken back.
pub fn back() -> Vec<Call> {
    let mut dice = StdRng::seed_from_u64(SEED + 2);
    (0..6).map(|_| support(&mut dice)).collect()
}

/// Calls of a key with limits: of a model that it may not call, then more than it may make in a minute.
pub fn intern() -> [Vec<Call>; 2] {
    let other = intern_call("smart").wants(Wanted::Refusal("model_not_allowed"));
    let many = intern_call("fast").wants(Wanted::Either("rate_limit_exceeded"));
    [vec![other; 2], vec![many; 6]]
}

/// Calls of the same key after its revocation.
pub fn revoked() -> Vec<Call> {
    vec![intern_call("fast").wants(Wanted::Refusal("invalid_api_key")); 2]
}

fn intern_call(model: &str) -> Call {
    Call::chat(Caller::Intern, json!({"model": model, "messages": user("Hello!")}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_are_a_few_hundred_and_always_the_same() {
        let outcome =
            || waves().iter().flat_map(|wave| wave.calls.iter().map(|call| format!("{call:?}"))).collect::<Vec<_>>();
        assert_eq!(outcome(), outcome());
        assert!((250..=350).contains(&outcome().len()), "{}", outcome().len());
    }

    #[test]
    fn the_prompts_that_come_along_take_the_variables_of_the_calls() {
        for wave in waves() {
            for call in wave.calls.iter().filter(|call| call.wanted == Wanted::Answer) {
                let named = call.body["model"].as_str().unwrap().strip_prefix("prompt/");
                let Some(name) = named.or(call.body["prompt"]["id"].as_str()) else { continue };
                let name = name.split('@').next().unwrap();
                let (_, text) = super::super::sandbox::PROMPTS.iter().find(|(known, _)| *known == name).unwrap();
                let draft: toml::Table = toml::from_str(text).unwrap();
                for variable in call.body["prompt"]["variables"].as_object().unwrap().keys() {
                    assert!(draft["variables"].get(variable).is_some(), "{name}: {variable}");
                }
            }
        }
    }
}
