//! A request for an answer.

use serde_json::{Map, Value, json};

use super::{CacheTtl, Emulated, Message};

/// A request. `None` and empty mean that the caller did not set the field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The model's name at its provider.
    pub model: String,
    /// The model that `model` stands for, where the configuration says so: an alias or a deployment may have any name.
    pub base_model: Option<String>,
    /// The conversation. System and developer messages stand at their places in it.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// Whether the model must call a tool.
    pub tool_choice: Option<ToolChoice>,
    /// Whether the model may call several tools at once.
    pub parallel_tools: Option<bool>,
    /// The format of the answer.
    pub format: Option<Format>,
    /// The most tokens to write.
    pub max_tokens: Option<u64>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// How many answers are asked for.
    pub choices: Option<u64>,
    /// Log-probabilities wanted: of how many alternatives, 0 for the chosen tokens only.
    pub logprobs: Option<u64>,
    /// How much to think.
    pub reasoning: Option<Reasoning>,
    /// Whether `reasoning` leaves to the model whether it thinks, and says only how hard it works (Anthropic's `effort`).
    pub leaves_thinking: bool,
    /// How wordy to be: `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// Whether the answer is to be a stream.
    pub stream: bool,
    /// Whether a stream is to report its usage.
    pub include_usage: bool,
    /// The caller's own user.
    pub user: Option<String>,
    /// OpenAI's `metadata`: texts by name.
    pub metadata: Map<String, Value>,
    /// The tier of service: `auto`, `default`, `flex`, `priority`, `standard_only`, ….
    pub service_tier: Option<String>,
    /// A hint that keeps requests with one prefix together.
    pub prompt_cache_key: Option<String>,
    /// Caches the prefix without a mark in a message (Anthropic's top-level `cache_control`).
    pub cache: Option<CacheTtl>,
    /// Whether the provider may store the answer for later requests.
    pub store: Option<bool>,
}

impl Request {
    /// The request for a target that cannot be told which of the tools are allowed: with those tools alone, which is noted.
    /// `None` where the request allows all of its tools.
    #[must_use]
    pub fn with_allowed_only(&self, emulated: &mut Emulated) -> Option<Self> {
        let Some(ToolChoice::Allowed { names, must }) = &self.tool_choice else { return None };
        emulated.note("allowed_tools");
        let tools = self.tools.iter().filter(|tool| names.contains(&tool.name)).cloned().collect();
        let choice = if *must { ToolChoice::Any } else { ToolChoice::Auto };
        Some(Self { tools, tool_choice: Some(choice), ..self.clone() })
    }

    /// Sets a setting, by OpenAI's name of it, as `other` has it, unless this request has its own; whether it was set.
    pub fn fill(&mut self, name: &str, other: &Self) -> bool {
        match name {
            "tools" if self.tools.is_empty() && !other.tools.is_empty() => {
                self.tools.clone_from(&other.tools);
                put(&mut self.tool_choice, &other.tool_choice);
                put(&mut self.parallel_tools, &other.parallel_tools);
                true
            }
            "stop" if self.stop.is_empty() && !other.stop.is_empty() => {
                self.stop.clone_from(&other.stop);
                true
            }
            "metadata" if self.metadata.is_empty() && !other.metadata.is_empty() => {
                self.metadata.clone_from(&other.metadata);
                true
            }
            // Some dialects have both in one field.
            "tool_choice" => {
                put(&mut self.parallel_tools, &other.parallel_tools);
                put(&mut self.tool_choice, &other.tool_choice)
            }
            "parallel_tool_calls" => put(&mut self.parallel_tools, &other.parallel_tools),
            "response_format" => put(&mut self.format, &other.format),
            "max_tokens" => put(&mut self.max_tokens, &other.max_tokens),
            "reasoning_effort" | "reasoning" => put(&mut self.reasoning, &other.reasoning),
            "verbosity" => put(&mut self.verbosity, &other.verbosity),
            "user" => put(&mut self.user, &other.user),
            "service_tier" => put(&mut self.service_tier, &other.service_tier),
            "prompt_cache_key" => put(&mut self.prompt_cache_key, &other.prompt_cache_key),
            "store" => put(&mut self.store, &other.store),
            _ => self.sampling.fill(name, &other.sampling),
        }
    }

    /// Takes a setting out, by the same name; whether it was there.
    pub fn clear(&mut self, name: &str) -> bool {
        match name {
            "tools" => {
                (self.tool_choice, self.parallel_tools) = (None, None);
                !std::mem::take(&mut self.tools).is_empty()
            }
            "stop" => !std::mem::take(&mut self.stop).is_empty(),
            "metadata" => !std::mem::take(&mut self.metadata).is_empty(),
            "tool_choice" => {
                self.parallel_tools = None;
                self.tool_choice.take().is_some()
            }
            "parallel_tool_calls" => self.parallel_tools.take().is_some(),
            "response_format" => self.format.take().is_some(),
            "max_tokens" => self.max_tokens.take().is_some(),
            "reasoning_effort" | "reasoning" => self.reasoning.take().is_some(),
            "verbosity" => self.verbosity.take().is_some(),
            "user" => self.user.take().is_some(),
            "service_tier" => self.service_tier.take().is_some(),
            "prompt_cache_key" => self.prompt_cache_key.take().is_some(),
            "store" => self.store.take().is_some(),
            _ => self.sampling.clear(name),
        }
    }
}

fn put<T: Clone>(place: &mut Option<T>, from: &Option<T>) -> bool {
    let is_open = place.is_none() && from.is_some();
    if is_open {
        place.clone_from(from);
    }
    is_open
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2, or to 1 at Anthropic.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// A whole number.
    pub top_k: Option<u64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// For the same answer twice, where the provider can.
    pub seed: Option<i64>,
}

impl Sampling {
    fn fill(&mut self, name: &str, other: &Self) -> bool {
        match name {
            "temperature" => put(&mut self.temperature, &other.temperature),
            "top_p" => put(&mut self.top_p, &other.top_p),
            "top_k" => put(&mut self.top_k, &other.top_k),
            "frequency_penalty" => put(&mut self.frequency_penalty, &other.frequency_penalty),
            "presence_penalty" => put(&mut self.presence_penalty, &other.presence_penalty),
            "seed" => put(&mut self.seed, &other.seed),
            _ => false,
        }
    }

    fn clear(&mut self, name: &str) -> bool {
        match name {
            "temperature" => self.temperature.take().is_some(),
            "top_p" => self.top_p.take().is_some(),
            "top_k" => self.top_k.take().is_some(),
            "frequency_penalty" => self.frequency_penalty.take().is_some(),
            "presence_penalty" => self.presence_penalty.take().is_some(),
            "seed" => self.seed.take().is_some(),
            _ => false,
        }
    }
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// The tool's name.
    pub name: String,
    /// What the tool does, for the model.
    pub description: Option<String>,
    /// JSON Schema of the arguments, with its fields in the caller's order. `None` where the request has none.
    pub schema: Option<Value>,
    /// Whether arguments must match the schema.
    pub strict: Option<bool>,
    /// Whether the provider is asked to cache the prompt up to this tool.
    pub cache: Option<CacheTtl>,
}

impl Tool {
    /// The schema of the arguments where the request has one, with `"type": "object"` as in [`Self::object_schema`].
    #[must_use]
    pub fn typed_schema(&self) -> Option<Value> {
        self.schema.is_some().then(|| self.object_schema())
    }

    /// The schema of the arguments, with `"type": "object"`, which some APIs require.
    #[must_use]
    pub fn object_schema(&self) -> Value {
        match &self.schema {
            Some(Value::Object(schema)) if schema.contains_key("type") => schema.clone().into(),
            Some(Value::Object(schema)) => {
                let mut typed = Map::from_iter([("type".to_owned(), "object".into())]);
                typed.extend(schema.clone());
                typed.into()
            }
            _ => json!({"type": "object", "properties": {}}),
        }
    }
}

/// Whether the model must call a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model may call a tool.
    Auto,
    /// The model must not call a tool.
    None,
    /// The model must call a tool.
    Any,
    /// The model must call this tool.
    Tool(String),
    /// The model may call these of the request's tools and no others.
    Allowed {
        /// Their names.
        names: Vec<String>,
        /// Whether one of them must be called.
        must: bool,
    },
}

/// The format of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Words.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that matches a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// What the answer is for, for the model.
        description: Option<String>,
        /// The schema, with its fields in the caller's order.
        schema: Value,
        /// Whether the answer must match, as opposed to should.
        strict: Option<bool>,
    },
}

/// How much to think.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// As hard as this.
    pub effort: Option<Effort>,
    /// At most this many tokens.
    pub budget: Option<u64>,
    /// Whether the answer is to show the thoughts, or a summary of them.
    pub tell: Option<bool>,
}

impl Reasoning {
    /// Whether the model is not to think at all.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.effort == Some(Effort::None) || self.budget == Some(0)
    }
}

/// How hard to think, from not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    const ALL: [(Self, &'static str); 7] = [
        (Self::None, "none"),
        (Self::Minimal, "minimal"),
        (Self::Low, "low"),
        (Self::Medium, "medium"),
        (Self::High, "high"),
        (Self::XHigh, "xhigh"),
        (Self::Max, "max"),
    ];

    /// The effort's name in every dialect that has it.
    #[must_use]
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(effort, _)| *effort == self).map_or("medium", |(_, text)| text)
    }

    /// The effort of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, text)| *text == name).map(|(effort, _)| *effort)
    }
}
