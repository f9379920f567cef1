//! Makes up the answer to a chat completion: its text, how it ends, and its tokens.

use serde_json::{Value, json};

use super::ask::{Ask, Format};
use super::dice::Dice;
use super::prose::{self, Scene};
use super::schema;
use super::tokens;
use super::tools::{self, Call};
use super::traits::{Fault, Traits};
use super::words::Facts;

/// One of the `n` answers.
pub(super) struct Choice {
    /// None where tools are called instead.
    pub(super) content: Option<String>,
    pub(super) calls: Vec<Call>,
    pub(super) finish: &'static str,
    /// The tokens, without hidden ones.
    pub(super) tokens: usize,
}

/// What a request counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: usize,
    pub(super) cached: usize,
    pub(super) completion: usize,
    pub(super) reasoning: usize,
}

impl Usage {
    /// OpenAI's `usage` object.
    pub(super) fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning, "audio_tokens": 0},
        })
    }
}

/// All answers and their usage.
pub(super) fn compose(ask: &Ask<'_>, traits: Traits, dice: &Dice) -> (Vec<Choice>, Usage) {
    let facts = Facts::of(ask.last_user());
    let system = ask.system();
    let hidden = if traits.reasons { (64 + dice.fork("reasoning").below(449)).min(ask.limit / 2) } else { 0 };
    let scene = Scene { system: &system, facts: &facts, tool_result: ask.tool_result(), long: traits.long };
    let choices: Vec<Choice> = (0..ask.n)
        .map(|i| {
            let mut dice = dice.fork(&format!("choice {i}"));
            let mut choice = one(ask, &scene, ask.limit - hidden, &mut dice);
            if traits.fault == Some(Fault::Filtered) {
                choice.cut_to(choice.tokens / 2, "content_filter");
            }
            choice
        })
        .collect();
    let shown: usize = choices.iter().map(|choice| choice.tokens).sum();
    let (prompt, cached) = prompt_tokens(ask);
    (choices, Usage { prompt, cached, completion: shown + hidden * ask.n, reasoning: hidden * ask.n })
}

fn one(ask: &Ask<'_>, scene: &Scene<'_>, limit: usize, dice: &mut Dice) -> Choice {
    let calls = tools::calls(ask, scene.facts, dice);
    if !calls.is_empty() {
        let tokens = calls.iter().map(|call| 4 + tokens::count(&call.name) + tokens::count(&call.arguments)).sum();
        let mut choice = Choice { content: None, calls, finish: "tool_calls", tokens };
        choice.cut_to(limit, "length");
        return choice;
    }
    let mut content = match ask.format {
        Format::Text => prose::text(scene, dice),
        Format::Json => json!({"topic": scene.facts.topic, "answer": prose::sentence(scene.facts, dice)}).to_string(),
        Format::Schema(schema) => schema::instance(schema, scene.facts, 0, dice).to_string(),
    };
    let stop = ask.stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| content.find(stop)).min();
    content.truncate(stop.unwrap_or(content.len()));
    let mut choice =
        Choice { tokens: tokens::count(&content), content: Some(content), calls: Vec::new(), finish: "stop" };
    choice.cut_to(limit, "length");
    choice
}

impl Choice {
    /// Ends it early where it has more than `limit` tokens.
    fn cut_to(&mut self, limit: usize, finish: &'static str) {
        if self.tokens <= limit {
            return;
        }
        (self.finish, self.tokens) = (finish, limit);
        if let Some(content) = &mut self.content {
            let length = tokens::split(content).into_iter().take(limit).map(str::len).sum();
            content.truncate(length);
        }
        let mut left = limit;
        for call in &mut self.calls {
            left = left.saturating_sub(4 + tokens::count(&call.name));
            let first: Vec<&str> = tokens::split(&call.arguments).into_iter().take(left).collect();
            left -= first.len();
            call.arguments = first.concat();
        }
    }
}

/// Tokens of the prompt, and how many of them a provider would have had in its cache: all before the last message, in
/// steps of 128, from 1,024 on. A prefix seen for the first time counts too, so that the same request always costs the same.
fn prompt_tokens(ask: &Ask<'_>) -> (usize, usize) {
    let tools = ask.tools.iter().map(|tool| {
        8 + tokens::count(tool.name) + tokens::count(tool.description) + tokens::count(&tool.parameters.to_string())
    });
    let schema = match ask.format {
        Format::Schema(schema) => tokens::count(&schema.to_string()),
        _ => 0,
    };
    let fixed = tools.sum::<usize>() + schema;
    let total = 3 + fixed + ask.turns.iter().map(|turn| turn.tokens).sum::<usize>();
    let prefix = total - ask.turns.last().map_or(0, |turn| turn.tokens);
    (total, if prefix >= 1024 { prefix - prefix % 128 } else { 0 })
}
