//! The key of an answer by its question in the internal form: equal questions have one key in every dialect.

use serde_json::Value;

use super::key::{begin, length};
use super::semantic::may_vary;
use super::{CacheKey, Scope};
use crate::chat::{
    Citation, Content, Effort, Format, Message, Part, Reasoning, Request, Role, Sampling, Source, Tool, ToolChoice,
    Unit,
};

/// The key of a target's answer to `request`, within a scope; the target is a provider's model with what `beside` says, such as
/// its adapter.
///
/// Fields that do not change the answer are left out: the model's name as the caller wrote it, whether the answer is a stream,
/// the user, and what a provider may cache or store. So is what equals an absent field, such as one choice.
#[must_use]
pub fn question_key(scope: Scope<'_>, (provider, model): (&str, &str), beside: &str, request: &Request) -> CacheKey {
    let hasher = begin("fulcrum question 3", scope, [provider, model, beside]);
    let mut question = Question { hasher, conversation: &request.messages, varies: None };
    question.request(request);
    CacheKey::of(&question.hasher)
}

/// The key of all of a question but the texts that are compared by meaning: only answers to questions with an equal one are
/// looked at. `meaning` is whose vectors are compared.
#[must_use]
pub fn bucket_key(
    scope: Scope<'_>,
    (provider, model): (&str, &str),
    (beside, meaning): (&str, &str),
    request: &Request,
) -> CacheKey {
    let hasher = begin("fulcrum bucket 1", scope, [provider, model, beside, meaning]);
    let mut question = Question { hasher, conversation: &request.messages, varies: Some(may_vary) };
    question.request(request);
    CacheKey::of(&question.hasher)
}

/// A request on its way into a hash. Before each text stands its length, before each
/// list its own, before each choice a byte, so that no two requests are hashed as the same bytes.
struct Question<'a> {
    hasher: blake3::Hasher,
    conversation: &'a [Message],
    /// Which texts are left out, by their author's role.
    varies: Option<fn(Role, &str) -> bool>,
}

impl Question<'_> {
    fn request(&mut self, request: &Request) {
        // Every field by name, so that a new one must be decided on.
        let Request {
            messages,
            tools,
            tool_choice,
            parallel_tools,
            format,
            max_tokens,
            sampling,
            stop,
            choices,
            logprobs,
            reasoning,
            leaves_thinking,
            verbosity,
            service_tier,
            model: _,
            base_model: _,
            stream: _,
            include_usage: _,
            user: _,
            metadata: _,
            prompt_cache_key: _,
            cache: _,
            store: _,
        } = request;
        self.list(messages, Self::message);
        self.list(tools, Self::tool);
        self.choice(tool_choice.as_ref());
        self.flag(parallel_tools.filter(|several| !several));
        self.format(format.as_ref());
        self.maybe(*max_tokens);
        self.sampling(*sampling);
        self.list(stop, |question, text| question.text(text));
        self.maybe(choices.filter(|choices| *choices != 1));
        self.maybe(*logprobs);
        self.reasoning(reasoning.as_ref());
        self.flag(leaves_thinking.then_some(true));
        self.maybe_text(verbosity.as_deref());
        self.maybe_text(service_tier.as_deref().filter(|tier| *tier != "auto"));
    }

    fn message(&mut self, message: &Message) {
        let Message { role, parts, name } = message;
        self.byte(match role {
            Role::System => 1,
            Role::Developer => 2,
            Role::User => 3,
            Role::Assistant => 4,
            Role::Tool => 5,
        });
        self.maybe_text(name.as_deref());
        self.list(parts, |question, part| match (question.varies, part.as_text()) {
            (Some(varies), Some(text)) if varies(*role, text) => question.byte(10),
            _ => question.part(part),
        });
    }

    fn part(&mut self, part: &Part) {
        let Part { content, cache: _, signature } = part;
        self.maybe_text(signature.as_deref());
        match content {
            Content::Text { text, citations } => {
                self.byte(1);
                self.text(text);
                self.list(citations, Self::citation);
            }
            Content::Refusal(text) => self.named(2, &[text]),
            Content::Image { source, detail } => {
                self.byte(3);
                self.source(source);
                self.maybe_text(detail.as_deref());
            }
            Content::Document { source, name, cite } => {
                self.byte(4);
                self.source(source);
                self.maybe_text(name.as_deref());
                self.flag(Some(*cite));
            }
            Content::Audio { data, format } => self.named(5, &[data, format]),
            Content::Thinking(text) => self.named(6, &[text]),
            Content::RedactedThinking(data) => self.named(7, &[data]),
            Content::ToolCall { id, name, arguments } => self.named(8, &[id, name, arguments]),
            Content::ToolResult { id, name, parts, is_error } => {
                // The call has the tool's name already; only some dialects repeat it in the result.
                let own_name = name.as_deref().filter(|name| !self.called(id, name));
                self.named(9, &[id]);
                self.maybe_text(own_name);
                self.list(parts, Self::part);
                self.flag(Some(*is_error));
            }
        }
    }

    /// Whether a call of the conversation has this id and calls this tool.
    fn called(&self, id: &str, name: &str) -> bool {
        let mut parts = self.conversation.iter().flat_map(|message| &message.parts);
        parts.any(|part| {
            matches!(&part.content, Content::ToolCall { id: called, name: tool, .. } if called == id && tool == name)
        })
    }

    fn citation(&mut self, citation: &Citation) {
        let Citation { url, title, quoted, document, start, end, unit } = citation;
        for text in [url, title, quoted] {
            self.maybe_text(text.as_deref());
        }
        for number in [*document, *start, *end] {
            self.maybe(number);
        }
        self.byte(match unit {
            None => 0,
            Some(Unit::Char) => 1,
            Some(Unit::Page) => 2,
            Some(Unit::Block) => 3,
            Some(Unit::Answer) => 4,
        });
    }

    fn source(&mut self, source: &Source) {
        match source {
            Source::Base64 { media_type, data } => self.named(1, &[media_type, data]),
            Source::Url(url) => self.named(2, &[url]),
            Source::File(id) => self.named(3, &[id]),
            Source::Text(text) => self.named(4, &[text]),
        }
    }

    fn tool(&mut self, tool: &Tool) {
        let Tool { name, description, schema, strict, cache: _ } = tool;
        self.text(name);
        self.maybe_text(description.as_deref());
        self.json(schema.as_ref());
        self.flag(strict.filter(|strict| *strict));
    }

    fn choice(&mut self, choice: Option<&ToolChoice>) {
        match choice {
            None | Some(ToolChoice::Auto) => self.byte(0),
            Some(ToolChoice::None) => self.byte(1),
            Some(ToolChoice::Any) => self.byte(2),
            Some(ToolChoice::Tool(name)) => self.named(3, &[name]),
            Some(ToolChoice::Allowed { names, must }) => {
                self.byte(if *must { 5 } else { 4 });
                self.maybe(Some(names.len() as u64));
                names.iter().for_each(|name| self.text(name));
            }
        }
    }

    fn format(&mut self, format: Option<&Format>) {
        match format {
            None | Some(Format::Text) => self.byte(0),
            Some(Format::JsonObject) => self.byte(1),
            Some(Format::JsonSchema { name, description, schema, strict }) => {
                self.named(2, &[name]);
                self.maybe_text(description.as_deref());
                self.json(Some(schema));
                self.flag(strict.filter(|strict| *strict));
            }
        }
    }

    fn sampling(&mut self, sampling: Sampling) {
        let Sampling { temperature, top_p, top_k, frequency_penalty, presence_penalty, seed } = sampling;
        for number in [temperature, top_p, frequency_penalty, presence_penalty] {
            self.maybe(number.map(f64::to_bits));
        }
        self.maybe(top_k);
        self.maybe(seed.map(i64::cast_unsigned));
    }

    fn reasoning(&mut self, reasoning: Option<&Reasoning>) {
        // To think as the model likes is not the same as to say nothing: some models do not think unless asked.
        self.byte(u8::from(reasoning.is_some()));
        let Reasoning { effort, budget, tell } = reasoning.cloned().unwrap_or_default();
        self.maybe_text(effort.map(Effort::text));
        self.maybe(budget);
        self.flag(tell);
    }

    /// Hashes a schema in the order of its fields, which reaches the model.
    fn json(&mut self, json: Option<&Value>) {
        self.maybe_text(json.map(Value::to_string).as_deref());
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.maybe(Some(items.len() as u64));
        for item in items {
            each(self, item);
        }
    }

    fn named(&mut self, kind: u8, texts: &[&String]) {
        self.byte(kind);
        texts.iter().for_each(|text| self.text(text));
    }

    fn maybe_text(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        text.into_iter().for_each(|text| self.text(text));
    }

    fn text(&mut self, text: &str) {
        self.hasher.update(&length(text.len()));
        self.hasher.update(text.as_bytes());
    }

    fn flag(&mut self, flag: Option<bool>) {
        self.byte(flag.map_or(0, |flag| 1 + u8::from(flag)));
    }

    fn maybe(&mut self, number: Option<u64>) {
        self.byte(u8::from(number.is_some()));
        if let Some(number) = number {
            self.hasher.update(&number.to_le_bytes());
        }
    }

    fn byte(&mut self, byte: u8) {
        self.hasher.update(&[byte]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::chat::{Effort, Emulated};
    use crate::wire::DialectId::{self, Anthropic, Gemini, OpenAiChat, OpenAiResponses};
    use crate::wire::dialect::Addressed;

    const HOME: Scope<'_> = Scope::Project("default");

    fn key(request: &Request) -> CacheKey {
        question_key(HOME, ("openai", "gpt"), "", request)
    }

    fn read(dialect: DialectId, body: &Value) -> Request {
        let codec = dialect.codec();
        let addressed = Addressed { model: Some("m".to_owned()), stream: false };
        let asked = codec.read(Bytes::from(body.to_string()), &addressed).unwrap();
        codec.read_request(&asked, &mut Emulated::default()).unwrap()
    }

    #[test]
    fn scope_target_and_adapter_count() {
        let request = Request { messages: vec![Message::text(Role::User, "Hi")], ..Request::default() };
        let keys = [
            question_key(HOME, ("p", "m"), "", &request),
            question_key(Scope::Project("other"), ("p", "m"), "", &request),
            question_key(Scope::Key("default"), ("p", "m"), "", &request),
            question_key(HOME, ("q", "m"), "", &request),
            question_key(HOME, ("p", "n"), "", &request),
            question_key(HOME, ("pm", ""), "", &request),
            question_key(HOME, ("p", "m"), "0", &request),
            question_key(HOME, ("p", "m"), "1", &request),
        ];
        assert_eq!(std::collections::BTreeSet::from(keys).len(), keys.len());
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table, or one conversation in two forms")]
    fn the_same_question_has_one_key_in_every_dialect() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let four = |rows: [(DialectId, Value); 4]| rows;
        let questions = [
            four([
                (OpenAiChat, json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "user": "ada"})),
                (
                    OpenAiChat,
                    json!({"model": "o", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "n": 1}),
                ),
                (OpenAiResponses, json!({"model": "m", "input": "Hi", "store": false, "metadata": {"a": "b"}})),
                (Gemini, json!({"contents": [{"parts": [{"text": "Hi"}]}]})),
            ]),
            four([
                (
                    OpenAiChat,
                    json!({"model": "m", "max_tokens": 9, "stop": "x", "temperature": 0.5, "messages": [
                    {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}),
                ),
                (
                    Anthropic,
                    json!({"model": "m", "max_tokens": 9, "stop_sequences": ["x"], "temperature": 0.5, "system": "Be brief.",
                    "metadata": {"user_id": "ada"}, "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}]}),
                ),
                (
                    Anthropic,
                    json!({"model": "m", "max_tokens": 9, "stop_sequences": ["x"], "temperature": 0.50, "stream": true,
                    "system": [{"type": "text", "text": "Be brief."}], "messages": [{"role": "user", "content": "Hi"}]}),
                ),
                (
                    Gemini,
                    json!({"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [{"role": "user",
                    "parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 9, "stopSequences": ["x"], "temperature": 0.5}}),
                ),
            ]),
            four([
                (
                    OpenAiChat,
                    json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "tool_choice": "auto",
                    "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}),
                ),
                (
                    OpenAiResponses,
                    json!({"model": "m", "max_output_tokens": 9, "input": [{"role": "user", "content": "Hi"}],
                    "tools": [{"type": "function", "name": "f", "parameters": schema, "strict": false}]}),
                ),
                (
                    Anthropic,
                    json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}],
                    "tools": [{"name": "f", "input_schema": schema}]}),
                ),
                (
                    Gemini,
                    json!({"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 9},
                    "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}]}),
                ),
            ]),
        ];
        for question in questions {
            let keys = question.map(|(dialect, body)| key(&read(dialect, &body)));
            assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        }
    }

    fn words() -> impl Strategy<Value = String> {
        "[ab]{0,2}"
    }

    fn source() -> impl Strategy<Value = Source> {
        prop_oneof![
            (words(), words()).prop_map(|(media_type, data)| Source::Base64 { media_type, data }),
            words().prop_map(Source::Url),
            words().prop_map(Source::File),
            words().prop_map(Source::Text),
        ]
    }

    fn content() -> impl Strategy<Value = Content> {
        let leaf =
            prop_oneof![
                words().prop_map(|text| Content::Text { text, citations: Vec::new() }),
                words().prop_map(|text| {
                    let citation = Citation { url: Some(text.clone()), ..Citation::default() };
                    Content::Text { text, citations: vec![citation] }
                }),
                words().prop_map(Content::Refusal),
                (source(), prop::option::of(words())).prop_map(|(source, detail)| Content::Image { source, detail }),
                (source(), prop::option::of(words()), any::<bool>())
                    .prop_map(|(source, name, cite)| Content::Document { source, name, cite }),
                (words(), words()).prop_map(|(data, format)| Content::Audio { data, format }),
                words().prop_map(Content::Thinking),
                words().prop_map(Content::RedactedThinking),
                (words(), words(), words()).prop_map(|(id, name, arguments)| Content::ToolCall { id, name, arguments }),
            ];
        leaf.prop_recursive(1, 4, 2, |inner| {
            let parts = prop::collection::vec(inner.prop_map(Part::new), 0..3);
            (words(), parts, any::<bool>()).prop_map(|(id, parts, is_error)| Content::ToolResult {
                id,
                name: None,
                parts,
                is_error,
            })
        })
    }

    fn part() -> impl Strategy<Value = Part> {
        (content(), prop::option::of(words())).prop_map(|(content, signature)| Part { signature, ..Part::new(content) })
    }

    fn message() -> impl Strategy<Value = Message> {
        let role = prop::sample::select(vec![Role::System, Role::Developer, Role::User, Role::Assistant]);
        (role, prop::collection::vec(part(), 0..3), prop::option::of(words())).prop_map(|(role, parts, name)| Message {
            role,
            parts,
            name,
        })
    }

    fn schema() -> impl Strategy<Value = Value> {
        prop::sample::select(vec![json!({}), json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1})])
    }

    fn tool() -> impl Strategy<Value = Tool> {
        (words(), prop::option::of(words()), prop::option::of(schema()), prop::option::of(Just(true)))
            .prop_map(|(name, description, schema, strict)| Tool { name, description, schema, strict, cache: None })
    }

    fn format() -> impl Strategy<Value = Format> {
        prop_oneof![
            Just(Format::JsonObject),
            (words(), prop::option::of(words()), schema(), prop::option::of(Just(true))).prop_map(
                |(name, description, schema, strict)| Format::JsonSchema { name, description, schema, strict }
            ),
        ]
    }

    fn reasoning() -> impl Strategy<Value = Reasoning> {
        let effort = prop::sample::select(vec![None, Some(Effort::None), Some(Effort::High)]);
        (effort, prop::option::of(0u64..3), any::<Option<bool>>()).prop_map(|(effort, budget, tell)| Reasoning {
            effort,
            budget,
            tell,
        })
    }

    fn small() -> impl Strategy<Value = Option<u64>> {
        prop::option::of(2u64..5)
    }

    fn sampling() -> impl Strategy<Value = Sampling> {
        let number = || prop::option::of(prop::sample::select(vec![0.0, 0.5, 1.0]));
        (number(), number(), small(), number(), number(), prop::option::of(-1i64..2)).prop_map(
            |(temperature, top_p, top_k, frequency_penalty, presence_penalty, seed)| Sampling {
                temperature,
                top_p,
                top_k,
                frequency_penalty,
                presence_penalty,
                seed,
            },
        )
    }

    /// A request without a field that has its default value.
    fn request() -> impl Strategy<Value = Request> {
        let allowed = (prop::collection::vec(words(), 0..3), any::<bool>())
            .prop_map(|(names, must)| ToolChoice::Allowed { names, must });
        let choice =
            prop_oneof![Just(ToolChoice::None), Just(ToolChoice::Any), words().prop_map(ToolChoice::Tool), allowed];
        let first = (
            prop::collection::vec(message(), 0..3),
            prop::collection::vec(tool(), 0..3),
            prop::option::of(choice),
            prop::option::of(Just(false)),
            prop::option::of(format()),
            small(),
        );
        let second = (
            sampling(),
            prop::collection::vec(words(), 0..3),
            small(),
            small(),
            prop::option::of(reasoning()),
            prop::option::of(words()),
            prop::option::of(words()),
        );
        (first, second).prop_map(|(first, second)| {
            let (messages, tools, tool_choice, parallel_tools, format, max_tokens) = first;
            let (sampling, stop, choices, logprobs, reasoning, verbosity, service_tier) = second;
            let base =
                Request { messages, tools, tool_choice, parallel_tools, format, max_tokens, ..Request::default() };
            Request { sampling, stop, choices, logprobs, reasoning, verbosity, service_tier, ..base }
        })
    }

    /// `other` with all fields of `request` but the one at `place`.
    fn but_for(request: &Request, other: &Request, place: usize) -> Request {
        let mut one = request.clone();
        match place {
            0 => one.messages.clone_from(&other.messages),
            1 => one.tools.clone_from(&other.tools),
            2 => one.tool_choice.clone_from(&other.tool_choice),
            3 => one.parallel_tools = other.parallel_tools,
            4 => one.format.clone_from(&other.format),
            5 => one.max_tokens = other.max_tokens,
            6 => one.sampling = other.sampling,
            7 => one.stop.clone_from(&other.stop),
            8 => one.choices = other.choices,
            9 => one.logprobs = other.logprobs,
            10 => one.reasoning.clone_from(&other.reasoning),
            11 => one.verbosity.clone_from(&other.verbosity),
            _ => one.service_tier.clone_from(&other.service_tier),
        }
        one
    }

    proptest! {
        #[test]
        fn different_questions_have_different_keys(one in request(), other in request()) {
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }

        #[test]
        fn any_one_field_that_differs_counts(one in request(), other in request(), place in 0usize..13) {
            let other = but_for(&one, &other, place);
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }

        #[test]
        fn a_part_more_or_less_counts(parts in prop::collection::vec(part(), 1..4), at in 0usize..4, other in part()) {
            let of = |parts: &[Part]| {
                let message = Message { role: Role::User, parts: parts.to_vec(), name: None };
                key(&Request { messages: vec![message], ..Request::default() })
            };
            let mut changed = parts.clone();
            let at = at % changed.len();
            changed[at] = other;
            prop_assert_eq!(of(&parts) == of(&changed), parts == changed);
            changed.remove(at);
            prop_assert_ne!(of(&parts), of(&changed));
        }

        #[test]
        fn who_asks_and_how_the_answer_comes_do_not_count(request in request(), text in words(), flag in any::<bool>()) {
            let other = Request {
                model: text.clone(),
                stream: flag,
                include_usage: flag,
                user: Some(text.clone()),
                metadata: serde_json::Map::from_iter(BTreeMap::from([(text.clone(), Value::from(flag))])),
                prompt_cache_key: Some(text),
                store: Some(flag),
                ..request.clone()
            };
            prop_assert_eq!(key(&request), key(&other));
        }
    }
}
