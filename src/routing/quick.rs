//! Rules of simple forms, which need no interpreter: one variable compared with a literal, and what `&&`, `||` and `!` make of
//! such. Most rules are so, and a call may ask a hundred of them. None of these forms can meet a value of a wrong type.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use regex::Regex;
use serde_json::Value;

use super::facts::Facts;
use super::slots::{Fact, find};

/// A rule of a simple form.
#[derive(Debug)]
pub(super) enum Quick {
    All(Vec<Quick>),
    Any(Vec<Quick>),
    Not(Box<Quick>),
    /// A variable that is true or false.
    Truth(Fact),
    Text(Fact, Test),
    Count(Fact, Compare, i64),
    Share(Fact, Compare, f64),
    /// The value of the request's metadata at a path is this text.
    Metadata(Vec<String>, String),
}

/// What is asked of a text.
#[derive(Debug)]
pub(super) enum Test {
    Is(String),
    IsOneOf(Vec<String>),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Matches(Regex),
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Compare {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
}

impl Quick {
    /// The rule's quick form; `None` where it has none. `slots` are what `@0`, `@1` and so on stand for.
    pub(super) fn of(expr: &IdedExpr, slots: &[Fact]) -> Option<Self> {
        match &expr.expr {
            Expr::Ident(_) => truth(slot(expr, slots)?),
            Expr::Call(call) => Self::of_call(call, slots),
            _ => None,
        }
    }

    fn of_call(call: &CallExpr, slots: &[Fact]) -> Option<Self> {
        if let Some(text) = &call.target {
            let [literal] = call.args.as_slice() else { return None };
            return method(&call.func_name, slot(text, slots)?, literal);
        }
        let both = |left: &IdedExpr, right: &IdedExpr| Some(vec![Self::of(left, slots)?, Self::of(right, slots)?]);
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => Some(Self::All(both(left, right)?)),
            (operators::LOGICAL_OR, [left, right]) => Some(Self::Any(both(left, right)?)),
            (operators::LOGICAL_NOT, [only]) => Some(Self::Not(Box::new(Self::of(only, slots)?))),
            (operators::IN, [text, list]) => one_of(slot(text, slots)?, list),
            (operators::NOT_EQUALS, [left, right]) => {
                Some(Self::Not(Box::new(compared(operators::EQUALS, (left, right), slots)?)))
            }
            (name, [left, right]) => compared(name, (left, right), slots),
            _ => None,
        }
    }

    /// Whether the rule holds for the call.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::All(rules) => rules.iter().all(|rule| rule.holds(facts)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(facts)),
            Self::Not(rule) => !rule.holds(facts),
            Self::Truth(fact) => fact.holds(facts),
            Self::Text(fact, test) => text(fact, facts).is_some_and(|text| test.holds(text)),
            Self::Count(fact, compare, with) => count(fact, facts).is_some_and(|count| compare.holds(&count, with)),
            Self::Share(fact, compare, with) => share(fact, facts).is_some_and(|share| compare.holds(&share, with)),
            Self::Metadata(path, text) => match find(facts, path) {
                None => text.is_empty(),
                Some(Value::String(value)) => value == text,
                Some(_) => false,
            },
        }
    }
}

impl Test {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Is(literal) => text == literal,
            Self::IsOneOf(literals) => literals.iter().any(|literal| text == literal),
            Self::Contains(literal) => text.contains(literal.as_str()),
            Self::StartsWith(literal) => text.starts_with(literal.as_str()),
            Self::EndsWith(literal) => text.ends_with(literal.as_str()),
            Self::Matches(pattern) => pattern.is_match(text),
        }
    }
}

impl Compare {
    fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
            Self::Equal => left == right,
        }
    }

    fn of(operator: &str) -> Option<Self> {
        Some(match operator {
            operators::LESS => Self::Less,
            operators::LESS_EQUALS => Self::AtMost,
            operators::GREATER => Self::Greater,
            operators::GREATER_EQUALS => Self::AtLeast,
            operators::EQUALS => Self::Equal,
            _ => return None,
        })
    }

    /// The comparison with its sides exchanged.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::AtMost => Self::AtLeast,
            Self::Greater => Self::Less,
            Self::AtLeast => Self::AtMost,
            Self::Equal => Self::Equal,
        }
    }
}

/// What a slot's variable stands for.
fn slot<'a>(expr: &IdedExpr, slots: &'a [Fact]) -> Option<&'a Fact> {
    let Expr::Ident(name) = &expr.expr else { return None };
    slots.get(name.strip_prefix('@')?.parse::<usize>().ok()?)
}

/// A variable compared with a literal, on either side.
fn compared(operator: &str, (left, right): (&IdedExpr, &IdedExpr), slots: &[Fact]) -> Option<Quick> {
    let compare = Compare::of(operator)?;
    let (fact, literal, compare) = match (slot(left, slots), slot(right, slots)) {
        (Some(fact), None) => (fact, right, compare),
        (None, Some(fact)) => (fact, left, compare.turned()),
        _ => return None,
    };
    match (&literal.expr, fact) {
        (Expr::Literal(LiteralValue::String(text)), Fact::Metadata(path)) if !path.is_empty() => {
            matches!(compare, Compare::Equal).then(|| Quick::Metadata(path.clone(), text.inner().to_owned()))
        }
        (Expr::Literal(LiteralValue::String(text)), fact) if is_text(fact) => {
            matches!(compare, Compare::Equal).then(|| Quick::Text(fact.clone(), Test::Is(text.inner().to_owned())))
        }
        (Expr::Literal(LiteralValue::Int(int)), fact) if is_count(fact) => {
            Some(Quick::Count(fact.clone(), compare, *int.inner()))
        }
        (Expr::Literal(LiteralValue::Double(number)), Fact::BudgetUsed | Fact::Complexity) => {
            Some(Quick::Share(fact.clone(), compare, *number.inner()))
        }
        _ => None,
    }
}

fn method(name: &str, fact: &Fact, literal: &IdedExpr) -> Option<Quick> {
    let Expr::Literal(LiteralValue::String(text)) = &literal.expr else { return None };
    let text = text.inner().to_owned();
    let test = match name {
        "contains" => Test::Contains(text),
        "startsWith" => Test::StartsWith(text),
        "endsWith" => Test::EndsWith(text),
        _ => return None,
    };
    is_text(fact).then(|| Quick::Text(fact.clone(), test))
}

fn one_of(fact: &Fact, list: &IdedExpr) -> Option<Quick> {
    let Expr::List(list) = &list.expr else { return None };
    let text = |item: &IdedExpr| match &item.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    };
    let texts = list.elements.iter().map(text).collect::<Option<_>>()?;
    is_text(fact).then(|| Quick::Text(fact.clone(), Test::IsOneOf(texts)))
}

/// A variable that is true or false, and read without an interpreter.
fn truth(fact: &Fact) -> Option<Quick> {
    if let Fact::Matches(text, pattern) = fact {
        return is_text(text).then(|| Quick::Text((**text).clone(), Test::Matches(pattern.clone())));
    }
    let is_truth = matches!(
        fact,
        Fact::Stream
            | Fact::HasTools
            | Fact::HasImages
            | Fact::HasPrompt
            | Fact::HasMaxTokens
            | Fact::HasTag(_)
            | Fact::InMetadata(..)
    );
    is_truth.then(|| Quick::Truth(fact.clone()))
}

/// Whether a variable is a text that is borrowed from the call.
fn is_text(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Model
            | Fact::Text
            | Fact::PromptName
            | Fact::PromptLabel
            | Fact::KeyId
            | Fact::KeyName
            | Fact::KeyProject
            | Fact::Tag(_)
    )
}

fn text<'a>(fact: &Fact, facts: &Facts<'a>) -> Option<&'a str> {
    Some(match fact {
        Fact::Model => facts.model,
        Fact::Text => facts.text,
        Fact::PromptName => facts.prompt.map_or("", |prompt| prompt.name),
        Fact::PromptLabel => facts.prompt.map_or("", |prompt| prompt.label),
        Fact::KeyId => facts.key.id,
        Fact::KeyName => facts.key.name,
        Fact::KeyProject => facts.key.project,
        Fact::Tag(name) => facts.key.tags.get(name).map_or("", String::as_str),
        _ => return None,
    })
}

fn is_count(fact: &Fact) -> bool {
    matches!(fact, Fact::InputTokens | Fact::MaxTokens | Fact::PromptVersion | Fact::Hour | Fact::Weekday)
}

fn count(fact: &Fact, facts: &Facts<'_>) -> Option<i64> {
    let count = match fact {
        Fact::InputTokens => facts.input_tokens,
        Fact::MaxTokens => facts.max_tokens.unwrap_or(0),
        Fact::PromptVersion => facts.prompt.map_or(0, |prompt| u64::from(prompt.version)),
        Fact::Hour => return Some(facts.now.civil().hour().into()),
        Fact::Weekday => return Some(facts.now.civil().weekday().to_monday_one_offset().into()),
        _ => return None,
    };
    Some(i64::try_from(count).unwrap_or(i64::MAX))
}

fn share(fact: &Fact, facts: &Facts<'_>) -> Option<f64> {
    match fact {
        Fact::BudgetUsed => Some(facts.budget_used),
        Fact::Complexity => Some(facts.complexity),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::routing::facts::{KeyFacts, PromptFacts};
    use crate::routing::rule::{Rule, environment};
    use crate::types::Timestamp;

    /// Simple comparisons, each in a form that has a quick one.
    const LEAVES: [&str; 27] = [
        "request.text.matches(\"(?i)REFUND|^$\")",
        "now.hour >= 12",
        "now.weekday == 6",
        "budget_used > 0.5",
        "0.25 >= complexity",
        "request.stream",
        "request.has_tools",
        "request.has_images",
        "request.model == \"auto\"",
        "request.model != \"auto\"",
        "\"auto\" == request.model",
        "request.model in [\"auto\", \"fast\"]",
        "request.text.contains(\"refund\")",
        "request.text.startsWith(\"I want\")",
        "request.text.endsWith(\"please\")",
        "request.input_tokens > 1000",
        "1000 >= request.input_tokens",
        "request.max_tokens <= 0",
        "prompt.version == 3",
        "prompt.name == \"\"",
        "key.tags.team == \"x\"",
        "has(key.tags.team)",
        "has(metadata.level)",
        "metadata.privacy == \"internal\"",
        "metadata.level == \"\"",
        "metadata.deep.a != \"b\"",
        "\"x\" in metadata.list",
    ];

    fn rules() -> impl Strategy<Value = String> {
        let leaf = proptest::sample::select(&LEAVES[..]).prop_map(str::to_owned);
        leaf.prop_recursive(3, 12, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
                inner.prop_map(|rule| format!("!({rule})")),
            ]
        })
    }

    fn metadata() -> impl Strategy<Value = Value> {
        let value = prop_oneof![
            Just(json!("internal")),
            Just(json!("")),
            Just(json!("b")),
            Just(json!(3)),
            Just(json!(2.5)),
            Just(json!(u64::MAX)),
            Just(json!(true)),
            Just(json!(null)),
            Just(json!(["x", 1])),
            Just(json!({"a": "b", "x": 1})),
        ];
        proptest::collection::btree_map(proptest::sample::select(vec!["privacy", "level", "deep", "list"]), value, 0..4)
            .prop_map(|object| json!(object))
    }

    proptest! {
        #[test]
        fn a_quick_rule_holds_where_its_interpreted_form_does(
            text in rules(),
            metadata in metadata(),
            (model, words) in (proptest::sample::select(vec!["auto", "fast", ""]), proptest::sample::select(vec!["", "I want a refund, please", "please"])),
            (tokens, limit) in (0u64..2_000, proptest::option::of(0u64..3)),
            (flags, version) in (any::<[bool; 4]>(), 2u32..5),
            (hours, budget_used, complexity) in (0i64..400, 0.0..1.0f64, 0u8..5),
        ) {
            let env = environment();
            let rule = Rule::compile(&text, &env, &[]).map_err(|(_, bad)| TestCaseError::fail(bad.to_string()))?;
            let tags = if flags[3] { BTreeMap::from([("team".to_owned(), "x".to_owned())]) } else { BTreeMap::new() };
            let prompt = PromptFacts { name: "p", version, label: "" };
            let facts = Facts {
                model,
                stream: flags[0],
                input_tokens: tokens,
                max_tokens: limit,
                has_tools: flags[1],
                has_images: flags[2],
                text: words,
                prompt: flags[3].then_some(prompt),
                key: KeyFacts { id: "k", name: "n", project: "p", tags: &tags },
                metadata: metadata.as_object(),
                header: &|_| None,
                user: None,
                session: None,
                now: Timestamp(hours * 3_600_000_000),
                budget_used,
                complexity: f64::from(complexity) / 4.0,
                figures: None,
                similar: &|_| crate::routing::Similarity::Unknown,
            };
            prop_assert!(rule.is_quick(), "{} has a quick form", &text);
            let interpreted = rule.interpreted(&env, &facts).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let holds = rule.in_cel(&env, &facts).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(holds, interpreted, "{}", &text);
        }
    }

    #[test]
    fn what_may_meet_a_wrong_type_or_loops_is_interpreted() {
        for text in [
            "metadata.level > 2",
            "metadata.privacy == metadata.level",
            "metadata.exists(k, k == \"x\")",
            "header(\"x-team\").matches(\"x\")",
            "header(\"x-team\") == \"a\"",
            "request.model + \"x\" == \"ax\"",
            "now.hour + 1 > 3",
            "metadata.flag == true",
            "budget_used * 2.0 > 0.5 || request.stream",
        ] {
            assert!(!Rule::compile(text, &environment(), &[]).unwrap().is_quick(), "{text}");
        }
    }
}
