//! The object of an answer. It repeats fields of its request: clients read the format and the tools there.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::usage::write_usage;
use crate::chat::Usage;
use crate::wire::dialect::AnswerContext;
use crate::wire::exact_numbers;
use crate::wire::json::Object;

/// An answer as it is written.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    id: &'a str,
    object: &'a str,
    created_at: i64,
    status: &'a str,
    background: bool,
    error: (),
    incomplete_details: Option<Incomplete<'a>>,
    instructions: Field<'a, ()>,
    max_output_tokens: Field<'a, ()>,
    model: &'a str,
    output: &'a [Value],
    parallel_tool_calls: Field<'a, bool>,
    previous_response_id: (),
    reasoning: Field<'a, Reasoning>,
    store: bool,
    temperature: Field<'a, ()>,
    text: Field<'a, Text<'a>>,
    tool_choice: Field<'a, &'a str>,
    tools: Field<'a, [(); 0]>,
    top_p: Field<'a, ()>,
    truncation: Field<'a, &'a str>,
    usage: Option<Value>,
    user: Field<'a, ()>,
    metadata: Field<'a, Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tool_calls: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
}

#[derive(Serialize)]
struct Incomplete<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
struct Reasoning {
    effort: (),
    summary: (),
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'a str,
}

#[derive(Serialize)]
struct Metadata {}

impl<'a> Answer<'a> {
    /// The same answer, by this tier of service.
    pub(super) fn by_tier(self, service_tier: Option<&'a str>) -> Self {
        Self { service_tier, ..self }
    }
}

/// An answer's status, and why it is incomplete where it is.
pub(super) type Status = (&'static str, Option<&'static str>);

/// The fields of an answer beside its output.
#[derive(Debug)]
pub(super) struct Head {
    /// The answer's id.
    pub(super) id: String,
    /// The model that answers.
    pub(super) model: String,
    /// When the answer was made, in Unix seconds.
    pub(super) created: i64,
    repeated: Repeated,
}

impl Head {
    /// The fields that are known before the provider answers.
    pub(super) fn of(context: &AnswerContext) -> Self {
        Self {
            id: context.id.clone(),
            model: context.model.clone(),
            created: context.created,
            repeated: context.request.as_ref().map(Repeated::of).unwrap_or_default(),
        }
    }

    /// The request's tools.
    pub(super) fn tools(&self) -> Option<&Value> {
        self.repeated.get("tools")
    }

    /// The answer, with this output.
    pub(super) fn answer<'a>(
        &'a self,
        output: &'a [Value],
        usage: Option<&Usage>,
        (status, reason): Status,
    ) -> Answer<'a> {
        let repeated = &self.repeated;
        Answer {
            id: &self.id,
            object: "response",
            created_at: self.created,
            status,
            background: false,
            error: (),
            incomplete_details: reason.map(|reason| Incomplete { reason }),
            instructions: repeated.field("instructions", ()),
            max_output_tokens: repeated.field("max_output_tokens", ()),
            model: &self.model,
            output,
            parallel_tool_calls: repeated.field("parallel_tool_calls", true),
            previous_response_id: (),
            reasoning: repeated.field("reasoning", Reasoning { effort: (), summary: () }),
            store: false,
            temperature: repeated.field("temperature", ()),
            text: repeated.field("text", Text { format: Format { r#type: "text" } }),
            tool_choice: repeated.field("tool_choice", "auto"),
            tools: repeated.field("tools", []),
            top_p: repeated.field("top_p", ()),
            truncation: repeated.field("truncation", "disabled"),
            usage: usage.map(write_usage),
            user: repeated.field("user", ()),
            metadata: repeated.field("metadata", Metadata {}),
            max_tool_calls: repeated.get("max_tool_calls"),
            prompt_cache_key: repeated.get("prompt_cache_key"),
            safety_identifier: repeated.get("safety_identifier"),
            top_logprobs: repeated.get("top_logprobs"),
            service_tier: None,
        }
    }
}

/// The request's fields that an answer repeats.
const FIELDS: [&str; 16] = [
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// A request's values of the fields that its answer repeats.
#[derive(Debug, Default)]
struct Repeated(Map<String, Value>);

/// A field as the request has it, or its default: the SDKs require the field.
#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a, T> {
    Repeated(&'a Value),
    Default(T),
}

impl Repeated {
    /// The values of `request`.
    fn of(request: &Object) -> Self {
        let field = |name: &str| {
            exact_numbers::read(request.get(name)?.as_bytes()).ok().filter(|value: &Value| !value.is_null())
        };
        let mut fields: Map<String, Value> =
            FIELDS.into_iter().filter_map(|name| Some((name.to_owned(), field(name)?))).collect();
        let defaults = [
            ("text", "format", json!({"type": "text"})),
            ("reasoning", "effort", Value::Null),
            ("reasoning", "summary", Value::Null),
        ];
        for (name, inner, value) in defaults {
            if let Some(Value::Object(inside)) = fields.get_mut(name) {
                inside.entry(inner).or_insert(value);
            }
        }
        Self(fields)
    }

    /// The field `name`, which is `default` where the request does not have it.
    fn field<T>(&self, name: &str, default: T) -> Field<'_, T> {
        self.0.get(name).map_or(Field::Default(default), Field::Repeated)
    }

    /// The field `name`, where the request has it.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}
