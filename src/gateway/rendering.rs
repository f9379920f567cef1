//! A request as one choice of its prompt makes it, and as it came where it names none: what it asks, and what it is reckoned to
//! use.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::feed::Feed;
use super::incoming::Incoming;
use crate::cache::Keys;
use crate::chat::{self, Emulated, Error, Format, MadeBy, ProofPlaces, Structured, Undo, Usage, Used};
use crate::routing::{CacheScope, Target};
use crate::upstream::{Operation, ProviderClient};
use crate::wire::dialect::{AnswerContext, Asked, ClientCodec};
use crate::wire::endpoint::{Endpoint, Task};
use crate::wire::fields::MOST_TOKENS;
use crate::wire::form::Form;
use crate::wire::json::{Edits, Object};
use crate::wire::prompt::{Brought, Prompted};
use crate::wire::token_estimate::estimate_tokens;
use crate::wire::{DialectId, ProviderDialect, openai};

const OPENAI: DialectId = DialectId::OpenAiChat;

/// How many tokens an answer is reckoned at where nothing limits it.
const UNLIMITED_OUTPUT: u64 = 1_024;

/// How many tokens an answer has at most that the gateway asks for of its own, where nothing else limits it.
const OWN_BOUND: u64 = 4_096;

/// What a model reads beside the conversation, in any dialect.
const PROMPTING: [&str; 6] =
    ["system", "instructions", "systemInstruction", "system_instruction", "tools", "functions"];

/// A request in its caller's dialect: with what is chosen of its prompt in front, or as it came.
pub struct Rendering {
    /// Which route.
    pub endpoint: Endpoint,
    /// The request.
    pub asked: Asked,
    /// The most tokens to write, for all choices.
    pub max_tokens: Option<u64>,
    /// What the prompt brought that is in front of it.
    pub brought: Option<Arc<Brought>>,
    /// The form that the caller sent, where that is one.
    pub form: Option<Form>,
    /// The whole request in the internal form, for targets of other dialects.
    meant: OnceLock<Result<(chat::Request, Emulated), Error>>,
    tokens: OnceLock<u64>,
    /// The first key that was asked of it.
    pub(super) keyed: OnceLock<Keyed>,
}

/// A key of the cache, and for whom and what it is.
pub struct Keyed {
    pub(super) scope: CacheScope,
    pub(super) owner: Arc<str>,
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) adapter: Option<u32>,
    pub(super) structured: Option<Structured>,
    pub(super) keys: Keys,
}

impl Rendering {
    /// A request as it came.
    pub fn of(endpoint: Endpoint, asked: Asked) -> Self {
        let max_tokens = asked.max_tokens.map(|tokens| tokens.saturating_mul(asked.choices));
        let (meant, tokens, keyed) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { endpoint, asked, max_tokens, brought: None, form: None, meant, tokens, keyed }
    }

    /// The same, where the caller sent a form.
    pub fn with_form(self, form: Option<Form>) -> Self {
        Self { form, ..self }
    }

    /// A request with a prompt in front of it.
    pub fn of_prompt(endpoint: Endpoint, prompted: Prompted) -> Self {
        let Prompted { asked, brought } = prompted;
        Self { brought: Some(Arc::new(brought)), ..Self::of(endpoint, asked) }
    }

    /// The request of which the answer is to be looked at before its caller gets it: whole, and with log-probabilities where
    /// `logprobs` asks for them; whether the caller did not ask for these. `None` where it is that already.
    pub fn to_check(&self, logprobs: bool) -> Option<(Self, bool)> {
        let mut edits = Edits::default();
        if self.asked.stream {
            ["stream", "stream_options"].into_iter().for_each(|name| edits.remove(name));
        }
        let asks = logprobs && self.codec().ask_logprobs(self.object(), &mut edits);
        // A dialect that cannot say it may still be translated into one that can.
        let meant = if logprobs && !asks { self.internal_with_logprobs() } else { None };
        let is_new = asks || meant.is_some();
        if !is_new && !self.asked.stream {
            return None;
        }
        let asked = Asked { object: self.object().with(&edits).ok()?, stream: false, ..self.asked.clone() };
        let mut checked = Self::of(self.endpoint, asked);
        checked.brought.clone_from(&self.brought);
        if let Some(meant) = meant {
            checked.meant = OnceLock::from(Ok(meant));
        }
        Some((checked, is_new))
    }

    /// The request in the internal form, asking for log-probabilities; `None` where it asks for them already.
    fn internal_with_logprobs(&self) -> Option<(chat::Request, Emulated)> {
        let (request, emulated) = self.internal().as_ref().ok().filter(|(request, _)| request.logprobs.is_none())?;
        Some((chat::Request { logprobs: Some(0), stream: false, ..request.clone() }, emulated.clone()))
    }

    /// The whole request in the internal form, with what had to be emulated for that.
    pub fn internal(&self) -> &Result<(chat::Request, Emulated), Error> {
        self.meant.get_or_init(|| {
            let mut emulated = Emulated::default();
            let mut request = self.codec().read_request(&self.asked, &mut emulated)?;
            chat::order_results(&mut request.messages);
            if let Some(brought) = &self.brought {
                brought.put_back(&mut request, &mut emulated);
            }
            Ok((request, emulated))
        })
    }

    /// The caller's dialect.
    pub fn codec(&self) -> &'static dyn ClientCodec {
        self.endpoint.dialect().codec()
    }

    /// The body's fields.
    pub fn object(&self) -> &Object {
        &self.asked.object
    }

    /// The field that holds what the model reads.
    pub fn conversation(&self) -> &'static str {
        self.endpoint.input()
    }

    /// The text that rules see: the user's last words.
    pub fn text(&self) -> String {
        if !self.passes() {
            return self.codec().last_user_text(self.object());
        }
        let named = |name: &str| self.object().get(name).and_then(|json| serde_json::from_str(json).ok());
        // A reranker's documents are no words of the user's.
        named("query").or_else(|| named(self.conversation())).unwrap_or_default()
    }

    /// Whether the provider may act on the request, and twice where it is made twice.
    pub fn acts(&self) -> bool {
        self.codec().acts(self.object())
    }

    /// Whether an answer may be shared with an equal request.
    pub fn may_be_cached(&self) -> bool {
        self.endpoint.passing().is_none_or(|passing| passing.may_be_cached(&self.asked))
    }

    /// Whether it passes, so that its answers go down as they are.
    pub fn passes(&self) -> bool {
        self.endpoint.passing().is_some()
    }

    /// A feed for a stream of answers to this in a provider's dialect.
    pub fn feed(
        &self,
        target: &Target,
        (from, undo): (ProviderDialect, Undo),
        (keep_usage, by_choice): (bool, bool),
        context: &AnswerContext,
    ) -> Feed {
        let own = self.endpoint.dialect();
        match self.endpoint.task() {
            Task::Pass(passing) => Feed::Same(passing.tap(keep_usage, by_choice), self.asked.choices),
            Task::Converse if by_choice && undo.is_empty() && own == OPENAI && from == OPENAI.into() => {
                Feed::Same(Box::new(openai::StreamTap::new(keep_usage).by_choice(true)), self.asked.choices)
            }
            _ => {
                let by = MadeBy { maker: from.codec().maker(), provider: target.provider.clone() };
                Feed::new((from, own), (by, self.proof_places()), undo, (keep_usage, context))
            }
        }
    }

    /// Where the caller reads proofs, beside thoughts. The proof of a text is worth a part of its own to a caller that has
    /// tools, whose conversation goes on; others take the last part for the text.
    pub fn proof_places(&self) -> ProofPlaces {
        let places = self.codec().proof_places();
        ProofPlaces { texts: places.texts || self.object().get("tools").is_none(), ..places }
    }

    /// Whether `client` counts the tokens of each of several answers by itself.
    pub fn is_counted_by_choice(&self, client: &ProviderClient) -> bool {
        self.asked.choices > 1 && client.provider().server.row().counts_by_choice
    }

    /// The usage of a whole answer from `client`, which reports `usage`.
    pub fn usage_of(&self, client: &ProviderClient, body: &Bytes, usage: Usage) -> Usage {
        if !self.is_counted_by_choice(client) {
            return usage;
        }
        match Object::read_answer(body.clone()) {
            Ok(answer) => openai::of_all_choices(&answer, usage, self.asked.max_tokens),
            Err(_) => usage,
        }
    }

    /// What an answer used, by what it reports and by what is known without it.
    pub fn used(&self, reported: Used, estimated_output: u64) -> Used {
        let Some(passing) = self.endpoint.passing() else { return reported };
        let estimated =
            || Usage { input: self.input_tokens(), output: estimated_output, estimated: true, ..Usage::default() };
        let usage = reported.usage.or_else(|| passing.has_tokens().then(estimated));
        Used { usage, units: reported.units.or(passing.asked_units(&self.asked)) }
    }

    /// Estimated tokens of the request.
    pub fn input_tokens(&self) -> u64 {
        *self.tokens.get_or_init(|| {
            let conversation = self.conversation();
            let texts = PROMPTING.iter().chain([&conversation]).filter_map(|field| self.object().get(field));
            estimate_tokens(texts)
        })
    }

    /// What a call is reckoned to use, until it is known, of a model that writes at most `most` tokens.
    pub fn reserve(&self, most: Option<u64>) -> Used {
        let each = self.asked.max_tokens.unwrap_or(UNLIMITED_OUTPUT).min(most.unwrap_or(MOST_TOKENS));
        self.reckoned(each, if self.asked.max_tokens.is_some() { self.asked.choices } else { 1 })
    }

    /// The most tokens of each answer that the gateway asks for of its own, of a model that writes at most `most`; `None` where
    /// the request says it already.
    pub fn own_bound(&self, most: Option<u64>) -> Option<u64> {
        (!self.is_bounded()).then(|| most.unwrap_or(OWN_BOUND).clamp(1, MOST_TOKENS))
    }

    /// What a call is reckoned to use at most that the gateway makes of its own, with [`Self::own_bound`] in it.
    pub fn own_reserve(&self, most: Option<u64>) -> Used {
        match self.own_bound(most) {
            Some(each) => self.reckoned(each, self.asked.choices),
            None => self.reserve(most),
        }
    }

    fn reckoned(&self, each: u64, choices: u64) -> Used {
        let output = each.saturating_mul(choices).min(MOST_TOKENS);
        let usage = Usage { input: self.input_tokens(), output, estimated: true, ..Usage::default() };
        match self.endpoint.passing() {
            Some(passing) => Used { usage: Some(usage), units: passing.asked_units(&self.asked) },
            None => usage.into(),
        }
    }

    /// Whether the request says how much may be written at most.
    pub fn is_bounded(&self) -> bool {
        self.asked.max_tokens.is_some()
    }

    /// What an answer's writer needs to know of the call.
    pub fn answer_context(&self, incoming: &Incoming) -> AnswerContext {
        AnswerContext {
            model: self.asked.model.clone(),
            include_usage: self.asked.include_usage,
            choices: self.asked.choices,
            input_tokens: self.input_tokens(),
            created: incoming.started_at.0 / 1_000_000,
            id: incoming.id.text().as_str().to_owned(),
            request: (self.endpoint.row().repeats_request || self.has_custom_tools()).then(|| self.object().clone()),
        }
    }

    /// Whether the translated request has custom tools, whose calls the answer's writer must know.
    fn has_custom_tools(&self) -> bool {
        let noted = self.meant.get().and_then(|meant| meant.as_ref().ok()).map(|(_, emulated)| emulated.names());
        noted.is_some_and(|names| names.contains(&openai::CUSTOM))
    }

    /// The form that the answer is to have.
    pub fn format(&self) -> Option<Format> {
        let Task::Converse = self.endpoint.task() else { return None };
        let brought = || self.brought.as_ref().and_then(|brought| brought.format()).cloned();
        self.codec().format(self.object()).or_else(brought)
    }

    /// What asks a provider to count the request's tokens as its caller does, where that is what it wants.
    pub fn counts(&self) -> Option<Operation> {
        if let Task::Count(_) = self.endpoint.task() { Operation::count_in(self.endpoint.dialect()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::dialect::Addressed;

    fn rendering(endpoint: Endpoint, more: &Value) -> Rendering {
        let turns = json!([{"role": "user", "content": "Hi"}]);
        let mut body = match endpoint.dialect() {
            DialectId::OpenAiChat => json!({"model": "m", "messages": turns}),
            DialectId::OpenAiResponses => json!({"model": "m", "input": "Hi"}),
            DialectId::Anthropic => json!({"model": "m", "max_tokens": 9, "messages": turns}),
            DialectId::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
        };
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let addressed = Addressed { model: Some("m".to_owned()), stream: false };
        Rendering::of(endpoint, endpoint.dialect().codec().read(body.to_string().into(), &addressed).unwrap())
    }

    #[test]
    fn a_request_acts_whose_tools_its_provider_runs_or_that_leaves_something_there() {
        let typed = |kind: &str| json!({"tools": [{"type": "function", "name": "f"}, {"type": kind, "name": "g"}]});
        let gemini = |tool: &str| json!({"tools": [{"functionDeclarations": []}, {tool: {}}]});
        let cases = [
            (Endpoint::Chat, json!({}), false),
            (Endpoint::Chat, json!({"store": false}), false),
            (Endpoint::Chat, typed("custom"), false),
            (Endpoint::Chat, typed("web_search"), true),
            (Endpoint::Chat, json!({"store": true}), true),
            (Endpoint::Chat, json!({"web_search_options": {}}), true),
            (Endpoint::Chat, json!({"plugins": [{"id": "web"}]}), true),
            (Endpoint::Responses, json!({}), false),
            (Endpoint::Responses, typed("custom"), false),
            (Endpoint::Responses, typed("mcp"), true),
            (Endpoint::Responses, typed("web_search_preview"), true),
            (Endpoint::Responses, typed("code_interpreter"), true),
            (Endpoint::Responses, typed("local_shell"), true),
            (Endpoint::Responses, json!({"store": false}), false),
            (Endpoint::Responses, json!({"store": true}), true),
            (Endpoint::Messages, json!({"tools": [{"name": "f", "input_schema": {}}]}), false),
            (Endpoint::Messages, json!({"tools": [{"type": "custom", "name": "f", "input_schema": {}}]}), false),
            (Endpoint::Messages, json!({"tools": [{"type": "bash_20250124", "name": "bash"}]}), false),
            (Endpoint::Messages, json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), true),
            (Endpoint::Messages, json!({"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}), true),
            (Endpoint::Generate, json!({"tools": [{"functionDeclarations": []}]}), false),
            (Endpoint::Generate, gemini("google_search"), true),
            (Endpoint::Generate, gemini("codeExecution"), true),
        ];
        for (endpoint, more, acts) in cases {
            assert_eq!(rendering(endpoint, &more).acts(), acts, "{more}");
        }
    }

    #[test]
    fn a_request_of_our_own_is_bounded_and_reserves_its_bound_for_each_choice() {
        let cases = [
            (Endpoint::Chat, json!({"n": 3}), None, Some(4_096), 3 * 4_096),
            (Endpoint::Chat, json!({"n": 3}), Some(64), Some(64), 3 * 64),
            (Endpoint::Chat, json!({"n": 3, "max_tokens": 7}), Some(64), None, 3 * 7),
            (Endpoint::Responses, json!({}), None, Some(4_096), 4_096),
            (Endpoint::Messages, json!({}), None, None, 9),
            (Endpoint::Generate, json!({"generationConfig": {"topP": 1}}), Some(500), Some(500), 500),
        ];
        for (endpoint, more, most, bound, output) in cases {
            let rendering = rendering(endpoint, &more);
            assert_eq!(rendering.own_bound(most), bound, "{more}");
            assert_eq!(rendering.own_reserve(most).usage.unwrap().output, output, "{more}");
            let Some(bound) = bound else { continue };
            let mut edits = Edits::default();
            rendering.codec().bound(rendering.object(), ("max_tokens", bound), &mut edits);
            let addressed = Addressed { model: Some("m".to_owned()), stream: false };
            let again = rendering.codec().read(rendering.object().edited(&edits), &addressed).unwrap();
            assert_eq!(again.max_tokens, Some(bound), "{more}");
        }
    }
}
