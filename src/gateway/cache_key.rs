//! The keys under which the answer to a call may be cached.

use std::borrow::Cow;
use std::cell::RefCell;

use super::planned::Planned;
use super::rendering::{Keyed, Rendering};
use crate::cache::{CacheKey, Keyer, Keys, Scope, question_key};
use crate::chat::{self, Content, Emulated, Part};
use crate::experiments::Assigned;
use crate::routing::{CacheScope, Target};
use crate::types::QuickMap;
use crate::wire::dialect::Asked;
use crate::wire::json::{Edits, Object};

/// Fields that do not change an answer, so that they are no part of its key.
pub(super) const NOT_KEYED: [&str; 9] = [
    "model",
    "stream",
    "stream_options",
    "user",
    "metadata",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];

/// How many questions a worker remembers; then it forgets them all.
const MOST_QUESTIONS: usize = 4_096;

thread_local! {
    /// The key of the question behind a request's own fields, so that the internal form is read once for equal fields.
    static QUESTIONS: RefCell<QuickMap<CacheKey, Option<CacheKey>>> = RefCell::default();
}

impl Planned {
    /// The keys of this call's answer by `target`.
    pub fn keys(&self, target: &Target) -> Keys {
        // Beside the fields, headers count in some dialects.
        let rendering = &*self.rendering(Some(target));
        if self.counting_headers().next().is_some() {
            return Keys { question: None, own: self.own_key(target, rendering, &self.beside(target)) };
        }
        let scope = self.plan.cache.scope;
        let owner = match scope {
            CacheScope::Project => &self.incoming.key.project,
            CacheScope::Key => &self.incoming.key.id,
        };
        let keyed = rendering.keyed.get_or_init(|| Keyed {
            scope,
            owner: owner.clone(),
            provider: target.provider.clone(),
            model: target.model.clone(),
            adapter: target.adapter,
            structured: target.structured,
            keys: self.made_keys(target, rendering),
        });
        let same = keyed.scope == scope
            && keyed.owner == *owner
            && keyed.provider == target.provider
            && keyed.model == target.model
            && keyed.adapter == target.adapter
            && keyed.structured == target.structured;
        if same { keyed.keys } else { self.made_keys(target, rendering) }
    }

    fn made_keys(&self, target: &Target, rendering: &Rendering) -> Keys {
        let beside = self.beside(target);
        let own = self.own_key(target, rendering, &beside);
        if !rendering.endpoint.is_answer() {
            return Keys { question: None, own };
        }
        let known = QUESTIONS.with_borrow(|questions| questions.get(&own).copied());
        let question = known.unwrap_or_else(|| {
            let question = rendering
                .question()
                .map(|request| question_key(self.scope(), (&target.provider, &target.model), &beside, &request));
            QUESTIONS.with_borrow_mut(|questions| {
                if questions.len() >= MOST_QUESTIONS {
                    questions.clear();
                }
                questions.insert(own, question);
            });
            question
        });
        Keys { question, own }
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        match self.plan.cache.scope {
            CacheScope::Project => Scope::Project(&self.incoming.key.project),
            CacheScope::Key => Scope::Key(&self.incoming.key.id),
        }
    }

    /// What a key has beside the target's name and the request, as JSON; empty where there is nothing. An answer to a prompt is
    /// for that version alone, also where another renders alike: a purge of the version takes all that its callers may get.
    pub(super) fn beside(&self, target: &Target) -> String {
        let resolved = self.request.prompt();
        let prompt = resolved.map(|resolved| (&resolved.version.name, resolved.version.version));
        let variant = resolved.and_then(|resolved| resolved.assigned.as_ref()).map(Assigned::variant);
        match (target.adapter, target.structured, prompt) {
            (None, None, None) => String::new(),
            (adapter, structured, prompt) => {
                let structured = structured.map(|how| format!("{how:?}"));
                let prompt = prompt.map(|(name, version)| format!("{name}@{version}"));
                match variant {
                    // No arm answers with what another's calls left, nor the label with an arm's.
                    Some(variant) => serde_json::json!([adapter, structured, prompt, variant]).to_string(),
                    None => serde_json::json!([adapter, structured, prompt]).to_string(),
                }
            }
        }
    }

    fn own_key(&self, target: &Target, rendering: &Rendering, beside: &str) -> CacheKey {
        let mut keyer = Keyer::new(self.scope(), &target.provider, &target.model, rendering.endpoint.name());
        if !beside.is_empty() {
            keyer.field("fulcrum beside", beside.as_bytes());
        }
        for (name, value) in self.counting_headers() {
            keyer.field(name, value);
        }
        for (name, value) in rendering.object().iter().filter(|(name, _)| !NOT_KEYED.contains(name)) {
            keyer.field(name, value.as_bytes());
        }
        keyer.finish()
    }

    /// The caller's headers that change an answer.
    pub(super) fn counting_headers(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let codec = self.request.endpoint.dialect().codec();
        let value = |name: &&'static str| Some((*name, self.incoming.headers.get(*name)?.as_bytes()));
        let headers = codec.headers().iter().filter_map(value);
        headers.filter(move |(name, value)| codec.header_counts(name, value))
    }
}

impl Rendering {
    /// The request in the internal form, where that holds all that decides its answer.
    pub(super) fn question(&self) -> Option<Cow<'_, chat::Request>> {
        if self.brought.as_ref().is_some_and(|brought| brought.is_beyond()) {
            return None;
        }
        let request = match self.internal() {
            Ok((request, noted)) if noted.is_empty() => Cow::Borrowed(request),
            // What has no word in the internal form may be a field that does not change the answer.
            _ => Cow::Owned(self.without_unkeyed()?),
        };
        let is_common = !request.messages.iter().flat_map(|message| &message.parts).any(is_thought);
        (is_common && self.codec().reads_all(&self.asked, &request)).then_some(request)
    }

    /// The request without the fields that are no part of a key, where it has one and nothing else is in the way.
    fn without_unkeyed(&self) -> Option<chat::Request> {
        let mut edits = Edits::default();
        let unkeyed = |name: &&&str| !["model", "stream"].contains(*name) && self.object().get(name).is_some();
        NOT_KEYED.iter().filter(unkeyed).for_each(|name| edits.remove(name));
        let object = Object::read(self.object().edited(&edits)).ok()?;
        let asked = Asked { object, ..self.asked.clone() };
        let mut noted = Emulated::default();
        let request = self.codec().read_request(&asked, &mut noted).ok()?;
        noted.is_empty().then_some(request)
    }
}

/// Whether a part is a thought or carries a proof of one: whose it is depends on the dialect that it came in.
fn is_thought(part: &Part) -> bool {
    part.signature.is_some() || matches!(part.content, Content::Thinking(_) | Content::RedactedThinking(_))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::wire::DialectId::{self, Anthropic, Gemini, OpenAiChat, OpenAiResponses};
    use crate::wire::ProviderDialect;
    use crate::wire::dialect::Addressed;
    use crate::wire::endpoint::Endpoint;

    const CALLERS: [(DialectId, Endpoint); 4] = [
        (OpenAiChat, Endpoint::Chat),
        (OpenAiResponses, Endpoint::Responses),
        (Anthropic, Endpoint::Messages),
        (Gemini, Endpoint::Generate),
    ];

    /// What callers may ask, by topic: each row is what a request says about it in one dialect, in several ways.
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn topics(dialect: DialectId) -> [Vec<Value>; 9] {
        // One that OpenAI takes as strict, so that no target has to leave `strict` out.
        let schema = json!({"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"],
            "additionalProperties": false});
        let config = |fields: Value| json!({"generationConfig": fields});
        match dialect {
            OpenAiChat => [
                vec![
                    json!({"reasoning_effort": null}),
                    json!({"reasoning_effort": "none"}),
                    json!({"reasoning_effort": "low"}),
                    json!({"reasoning_effort": "medium"}),
                    json!({"reasoning_effort": "high"}),
                ],
                vec![json!({"stop": "x"}), json!({"stop": ["x"]}), json!({"stop": []}), json!({"stop": ["x", "y"]})],
                vec![json!({"temperature": 0.5}), json!({"temperature": 1}), json!({"temperature": null})],
                vec![
                    json!({"response_format": {"type": "text"}}),
                    json!({"response_format": {"type": "json_object"}}),
                    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": schema, "strict": true}}}),
                    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}}),
                ],
                vec![
                    json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}),
                    json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema, "strict": false}}], "tool_choice": "auto"}),
                    json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}], "tool_choice": "required"}),
                    json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}], "parallel_tool_calls": false}),
                ],
                vec![
                    json!({"logprobs": false}),
                    json!({"logprobs": true}),
                    json!({"logprobs": true, "top_logprobs": 0}),
                    json!({"logprobs": true, "top_logprobs": 2}),
                ],
                vec![json!({"max_tokens": 3000}), json!({"max_completion_tokens": 3000})],
                vec![
                    json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]}),
                    json!({"messages": [{"role": "developer", "content": "s"}, {"role": "user", "content": "q"}]}),
                    json!({"messages": [{"role": "user", "content": "q"}, {"role": "system", "content": "s"}]}),
                ],
                vec![
                    json!({"n": 1}),
                    json!({"n": 2}),
                    json!({"user": "u", "metadata": {"a": "b"}}),
                    json!({"service_tier": "auto"}),
                    json!({"verbosity": "low"}),
                    json!({"seed": 3}),
                    json!({"modalities": ["text"], "logit_bias": {}}),
                ],
            ],
            OpenAiResponses => [
                vec![
                    json!({"reasoning": {}}),
                    json!({"reasoning": null}),
                    json!({"reasoning": {"effort": null}}),
                    json!({"reasoning": {"effort": "none"}}),
                    json!({"reasoning": {"effort": "low"}}),
                    json!({"reasoning": {"summary": "auto"}}),
                    json!({"reasoning": {"summary": "detailed"}}),
                    json!({"reasoning": {"effort": "low", "summary": "auto"}}),
                    json!({"reasoning": {"effort": "low", "generate_summary": "concise"}}),
                ],
                vec![json!({"background": false}), json!({"truncation": "disabled"})],
                vec![json!({"temperature": 0.5}), json!({"temperature": 1.0})],
                vec![
                    json!({"text": {"format": {"type": "text"}}}),
                    json!({"text": {"format": {"type": "json_object"}}}),
                    json!({"text": {"format": {"type": "json_schema", "name": "response", "schema": schema, "strict": true}}}),
                    json!({"text": {"format": {"type": "json_schema", "name": "response", "schema": schema}}}),
                ],
                vec![
                    json!({"tools": [{"type": "function", "name": "f", "parameters": schema, "strict": false}]}),
                    json!({"tools": [{"type": "function", "name": "f", "parameters": schema}]}),
                    json!({"tools": [{"type": "function", "name": "f", "parameters": schema, "strict": false}], "tool_choice": "required"}),
                ],
                vec![json!({"include": ["message.output_text.logprobs"]}), json!({"top_logprobs": 2})],
                vec![json!({"max_output_tokens": 3000})],
                vec![
                    json!({"instructions": "s"}),
                    json!({"input": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]}),
                    json!({"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "q"}]}]}),
                ],
                vec![
                    json!({"store": false}),
                    json!({"metadata": {"a": "b"}}),
                    json!({"text": {"verbosity": "low"}}),
                    json!({"include": ["reasoning.encrypted_content"]}),
                ],
            ],
            Anthropic => [
                vec![
                    json!({"thinking": null}),
                    json!({"thinking": {"type": "adaptive"}}),
                    json!({"thinking": {"type": "disabled"}}),
                    json!({"output_config": {"effort": "low"}}),
                    json!({"output_config": {"effort": "high"}}),
                    json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
                    json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}),
                    json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
                    json!({"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "summarized"}}),
                    json!({"thinking": {"type": "adaptive", "display": "summarized"}}),
                ],
                vec![json!({"stop_sequences": ["x"]}), json!({"stop_sequences": []})],
                vec![json!({"temperature": 0.5}), json!({"temperature": 1})],
                vec![
                    json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}),
                    json!({"output_config": {}}),
                ],
                vec![
                    json!({"tools": [{"name": "f", "input_schema": schema}]}),
                    json!({"tools": [{"type": "custom", "name": "f", "input_schema": schema}]}),
                    json!({"tools": [{"name": "f", "input_schema": schema}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": false}}),
                    json!({"tools": [{"name": "f", "input_schema": schema}], "tool_choice": {"type": "any"}}),
                    json!({"tools": [{"name": "f", "input_schema": schema, "strict": true}]}),
                ],
                vec![json!({"top_k": 5})],
                vec![json!({"max_tokens": 3000})],
                vec![
                    json!({"system": "s"}),
                    json!({"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]}),
                    json!({"system": ""}),
                    json!({"system": []}),
                ],
                vec![
                    json!({"metadata": {"user_id": "u"}}),
                    json!({"service_tier": "auto"}),
                    json!({"service_tier": "standard_only"}),
                    json!({"cache_control": {"type": "ephemeral"}}),
                    json!({"speed": "standard"}),
                ],
            ],
            Gemini => [
                vec![
                    config(json!({"thinkingConfig": {}})),
                    config(json!({"thinkingConfig": {"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}})),
                    config(json!({"thinkingConfig": {"thinkingLevel": "LOW"}})),
                    config(json!({"thinkingConfig": {"thinkingLevel": "high"}})),
                    config(json!({"thinkingConfig": {"thinkingBudget": 0}})),
                    config(json!({"thinkingConfig": {"thinkingBudget": -1}})),
                    config(json!({"thinkingConfig": {"thinkingBudget": 1024}})),
                    config(json!({"thinkingConfig": {"includeThoughts": true}})),
                ],
                vec![config(json!({"stopSequences": ["x"]})), config(json!({"stopSequences": []}))],
                vec![config(json!({"temperature": 0.5})), config(json!({"temperature": 1}))],
                vec![
                    config(json!({"responseMimeType": "text/plain"})),
                    config(json!({"responseMimeType": "application/json"})),
                    config(json!({"responseMimeType": "application/json", "responseJsonSchema": schema})),
                    config(json!({"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT",
                        "propertyOrdering": ["y", "x"], "properties": {"x": {"type": "INTEGER"}, "y": {"type": "INTEGER"}}}})),
                    config(json!({"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT",
                        "propertyOrdering": ["x", "y"], "properties": {"x": {"type": "INTEGER"}, "y": {"type": "INTEGER"}}}})),
                ],
                vec![
                    json!({"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}]}),
                    json!({"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "INTEGER"}}, "required": ["x"], "additionalProperties": false}}]}]}),
                    json!({"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}],
                        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}}),
                    json!({"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}],
                        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
                ],
                vec![
                    config(json!({"responseLogprobs": true})),
                    config(json!({"responseLogprobs": true, "logprobs": 2})),
                ],
                vec![config(json!({"maxOutputTokens": 3000}))],
                vec![
                    json!({"systemInstruction": {"parts": [{"text": "s"}]}}),
                    json!({"contents": [{"parts": [{"fileData": {"fileUri": "https://a.b/c", "mimeType": "application/pdf"}}]}]}),
                    json!({"contents": [{"parts": [{"fileData": {"fileUri": "https://a.b/c", "mimeType": "text/html"}}]}]}),
                ],
                vec![config(json!({"candidateCount": 1})), config(json!({"seed": 3})), json!({"store": true})],
            ],
        }
    }

    /// A request with these topics at these places; a place beyond a topic's ways leaves the topic out.
    fn request((dialect, endpoint): (DialectId, Endpoint), said: &[(usize, usize)]) -> Option<Rendering> {
        let mut body = match dialect {
            OpenAiResponses => json!({"model": "m", "max_output_tokens": 2000, "input": "q"}),
            OpenAiChat | Anthropic => {
                json!({"model": "m", "max_tokens": 2000, "messages": [{"role": "user", "content": "q"}]})
            }
            Gemini => {
                json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}], "generationConfig": {"maxOutputTokens": 2000}})
            }
        };
        let topics = topics(dialect);
        for more in said.iter().filter_map(|(topic, place)| topics[*topic].get(*place)) {
            if more.get("max_completion_tokens").is_some() {
                body.as_object_mut().unwrap().remove("max_tokens");
            }
            merge(&mut body, more);
        }
        let addressed = Addressed { model: Some("m".to_owned()), stream: false };
        let asked = dialect.codec().read(Bytes::from(body.to_string()), &addressed).ok()?;
        Some(Rendering::of(endpoint, asked))
    }

    /// Adds fields to others. An object with a `type` is one of several kinds, so it takes the place of another: a mixture of two
    /// has fields that its kind does not read.
    fn merge(into: &mut Value, more: &Value) {
        match (into, more) {
            (Value::Object(into), Value::Object(more)) if !more.contains_key("type") => {
                more.iter().for_each(|(name, value)| merge(into.entry(name.as_str()).or_insert(Value::Null), value));
            }
            (into, more) => *into = more.clone(),
        }
    }

    fn key(request: &Rendering) -> Option<CacheKey> {
        request.question().map(|request| question_key(Scope::Project("p"), ("up", "m"), "", &request))
    }

    /// What a target gets of a request, without what the decision about keys leaves out (ADR 0011).
    fn body(request: &Rendering, dialect: ProviderDialect) -> Option<Value> {
        let body = if dialect == request.endpoint.dialect().into() {
            request.codec().pass(&request.asked, "m")
        } else {
            let (request, mut emulated) = request.internal().clone().ok()?;
            dialect.codec().write_request(&request, &mut emulated).ok()?.body
        };
        Some(plain(serde_json::from_slice(&body).unwrap()))
    }

    /// A body in which equal meanings are equal: without hints, defaults and silence, and with one way to say a text.
    fn plain(mut body: Value) -> Value {
        let fields = body.as_object_mut().unwrap();
        NOT_KEYED.iter().for_each(|name| drop(fields.remove(*name)));
        if let Some(limit) = fields.remove("max_completion_tokens") {
            fields.insert("max_tokens".to_owned(), limit);
        }
        if let Some(Value::String(stop)) = fields.get("stop") {
            fields["stop"] = json!([stop]);
        }
        if let Some(Value::String(input)) = fields.get("input") {
            fields["input"] = json!([{"role": "user", "content": input}]);
        }
        if let Some(system) = fields.remove("instructions") {
            let input = fields["input"].as_array_mut().unwrap();
            input.insert(0, json!({"role": "system", "content": system}));
        }
        if let Some(Value::Array(include)) = fields.get_mut("include") {
            include.retain(|wanted| wanted != "reasoning.encrypted_content");
        }
        tidied(body).unwrap_or_default()
    }

    fn tidied(value: Value) -> Option<Value> {
        match value {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::Number(number) => number.as_f64().map(Value::from),
            Value::Array(items) => {
                let items: Vec<Value> = items.into_iter().filter_map(tidied).collect();
                (!items.is_empty()).then(|| items.into())
            }
            Value::Object(fields) => {
                let fields: Map<String, Value> = fields
                    .into_iter()
                    .filter(|(name, value)| !is_silence(name, value))
                    .filter_map(tidied_field)
                    .collect();
                (!fields.is_empty()).then(|| fields.into())
            }
            value => Some(value),
        }
    }

    fn is_silence(name: &str, value: &Value) -> bool {
        let silent = [
            ("n", json!(1)),
            ("candidateCount", json!(1)),
            ("logprobs", json!(false)),
            ("top_logprobs", json!(0)),
            ("tool_choice", json!("auto")),
            ("tool_choice", json!({"type": "auto"})),
            ("tool_choice", json!({"type": "auto", "disable_parallel_tool_use": false})),
            ("toolConfig", json!({"functionCallingConfig": {"mode": "AUTO"}})),
            ("strict", json!(false)),
            ("parallel_tool_calls", json!(true)),
            ("service_tier", json!("auto")),
            ("response_format", json!({"type": "text"})),
            ("format", json!({"type": "text"})),
            ("responseMimeType", json!("text/plain")),
            ("type", json!("custom")),
            ("type", json!("message")),
            ("role", json!("user")),
            ("modalities", json!(["text"])),
            ("background", json!(false)),
            ("truncation", json!("disabled")),
            ("speed", json!("standard")),
            ("thinkingLevel", json!("THINKING_LEVEL_UNSPECIFIED")),
        ];
        ["cache_control", "cachePoint"].contains(&name)
            || silent.iter().any(|(silent, default)| *silent == name && default == value)
    }

    fn tidied_field((name, value): (String, Value)) -> Option<(String, Value)> {
        let value = match (name.as_str(), value) {
            ("content" | "system", Value::String(text)) if !text.is_empty() => json!([{"type": "text", "text": text}]),
            ("type", Value::String(kind)) if kind == "input_text" => "text".into(),
            ("type", Value::String(kind)) => kind.to_lowercase().into(),
            ("thinkingLevel", Value::String(level)) => level.to_uppercase().into(),
            (_, value) => value,
        };
        let name = if name == "parametersJsonSchema" { "parameters".to_owned() } else { name };
        Some((name, tidied(value)?))
    }

    /// What a target gets of two requests with one key that is not the same.
    fn differ(one: &Rendering, other: &Rendering) -> Option<String> {
        if key(one).is_none() || key(one) != key(other) {
            return None;
        }
        let targets =
            [OpenAiChat.into(), OpenAiResponses.into(), Anthropic.into(), Gemini.into(), ProviderDialect::Bedrock];
        targets.into_iter().find_map(|dialect| {
            // What one of them is refused for is looked at before a stored answer is given.
            let (first, second) = (body(one, dialect)?, body(other, dialect)?);
            let text = |request: &Rendering| String::from_utf8_lossy(request.object().bytes()).into_owned();
            let differ = || format!("{dialect:?}: {} gives {first}, {} gives {second}", text(one), text(other));
            (first != second).then(differ)
        })
    }

    #[test]
    fn requests_with_one_key_say_the_same_to_every_target() {
        let mut asked = Vec::new();
        for caller in CALLERS {
            let places = |topic: usize| (0..topics(caller.0)[topic].len()).map(move |place| (topic, place));
            let all = [(0, 99)].into_iter().chain((0..9).flat_map(places));
            asked.extend(all.filter_map(|said| request(caller, &[said])));
        }
        assert!(asked.len() > 100, "{}", asked.len());
        let equal = asked.iter().flat_map(|one| asked.iter().map(move |other| (one, other)));
        let equal: Vec<_> = equal.filter(|(one, other)| key(one).is_some() && key(one) == key(other)).collect();
        assert!(equal.len() > asked.len() * 3, "{}", equal.len());
        let differing: Vec<String> = equal.into_iter().filter_map(|(one, other)| differ(one, other)).collect();
        assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    }

    #[test]
    fn to_think_is_another_question_than_to_say_nothing_or_to_be_brief() {
        let asked = |more: Value| {
            let mut body = json!({"model": "m", "max_tokens": 2000, "messages": [{"role": "user", "content": "q"}]});
            merge(&mut body, &more);
            let addressed = Addressed { model: None, stream: false };
            let asked = Anthropic.codec().read(Bytes::from(body.to_string()), &addressed).unwrap();
            key(&Rendering::of(Endpoint::Messages, asked))
        };
        let adaptive = asked(json!({"thinking": {"type": "adaptive"}}));
        assert!(adaptive.is_some());
        assert_ne!(adaptive, asked(json!({})));
        let low = json!({"output_config": {"effort": "low"}});
        assert_eq!(asked(low), None);
        let both = asked(json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}));
        assert!(both.is_some() && both != adaptive);
        assert_eq!(both, request(CALLERS[0], &[(0, 2)]).and_then(|request| key(&request)));
    }

    proptest! {
        #[test]
        fn also_where_they_say_several_things(
            callers in (0usize..4, 0usize..4),
            said in prop::collection::vec((0usize..9, 0usize..10), 1..4),
            change in (0usize..3, 0usize..10),
        ) {
            let mut other = said.clone();
            let at = change.0 % other.len();
            other[at].1 = change.1;
            let pair = (request(CALLERS[callers.0], &said), request(CALLERS[callers.1], &other));
            if let (Some(one), Some(other)) = pair {
                prop_assert_eq!(differ(&one, &other), None);
            }
        }
    }
}
