//! Each name shows its family, and the guide says what the code does.

use super::family::Choosing;
use super::{Capabilities, Schemas, Thinking, claude, google, nearest, openai, other};
use crate::chat::{Effort, Emulated, Reasoning, Request, Sampling};

fn family(name: &str) -> &'static str {
    Capabilities::named(name).family
}

fn check(family_name: &str, names: &[&str]) {
    for name in names {
        assert_eq!(family(name), family_name, "{name}");
    }
}

#[test]
fn a_claude_is_known_by_every_name_it_is_served_under() {
    check(
        "Claude before 3.7",
        &[
            "claude-2.1",
            "claude-instant-v1",
            "anthropic.claude-v2:1",
            "claude-3-haiku-20240307",
            "claude-3-5-sonnet-latest",
            "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "claude-3-5-sonnet-v2@20241022",
        ],
    );
    check(
        "Claude 3.7, Sonnet 4",
        &[
            "claude-3-7-sonnet-latest",
            "anthropic/claude-3.7-sonnet:thinking",
            "claude-sonnet-4",
            "claude-sonnet-4-20250514",
            "anthropic/claude-4-sonnet",
        ],
    );
    check(
        "Claude Opus 4",
        &[
            "claude-opus-4@20250514",
            "anthropic/claude-4-opus",
            "claude-opus-4-0",
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-20250514-v1:0",
        ],
    );
    check("Claude Opus 4.1", &["claude-opus-4-1", "claude-opus-4.1", "eu.anthropic.claude-opus-4-1-20250805-v1:0"]);
    check(
        "Claude Sonnet 4.5, Haiku 4.5",
        &[
            "claude-haiku-4-5",
            "claude-sonnet-4-5-20250929",
            "anthropic/claude-haiku-4.5",
            "claude-sonnet-4-5@20250929",
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "Claude-Haiku-4-5",
        ],
    );
    check("Claude Opus 4.5", &["claude-opus-4-5", "anthropic/claude-opus-4.5", "claude-opus-4-5-20251101"]);
}

#[test]
fn a_claude_from_4_6_on_is_known_by_every_name_it_is_served_under() {
    check(
        "Claude 4.6",
        &[
            "claude-opus-4-6",
            "claude-sonnet-4-6",
            "anthropic/claude-4.6-opus",
            "claude-opus-4-6@default",
            "global.anthropic.claude-opus-4-6-v1",
            "databricks-claude-sonnet-4-6",
        ],
    );
    check("Claude Opus 4.7", &["claude-opus-4-7", "anthropic/claude-opus-4.7"]);
    check("Claude Opus 4.8", &["claude-opus-4-8", "claude-opus-4-9"]);
    check("Claude Opus 5", &["claude-opus-5"]);
    check("Claude Sonnet 5, Haiku 5.5", &["claude-sonnet-5", "claude-haiku-5-5", "claude-haiku-6"]);
    check("Claude Sonnet 5.5", &["claude-sonnet-5-5", "anthropic.claude-sonnet-5-5", "claude-sonnet-6"]);
    check(
        "Claude Fable, Mythos, Opus 5.5",
        &["claude-fable-5", "claude-mythos-preview", "claude-opus-5-5", "claude-opus-6"],
    );
    check("any other", &["claude-latest", "my-model", "m", ""]);
}

#[test]
fn a_gemini_is_known_by_every_name_it_is_served_under() {
    check(
        "Gemini 2.0 and before",
        &[
            "gemini-2.0-flash",
            "gemini-1.5-pro-002",
            "gemini-pro",
            "models/gemini-2.0-flash-lite",
            "gemini-2.5-flash-image",
            "gemini-exp-1206",
        ],
    );
    check("Gemini 2.5 Pro", &["gemini-2.5-pro", "models/gemini-2.5-pro-preview-05-06", "google/gemini-2.5-pro"]);
    check(
        "Gemini 2.5 Flash",
        &["gemini-2.5-flash", "gemini-2.5-flash-preview-09-2025", "google/gemini-2.5-flash:free"],
    );
    check("Gemini 2.5 Flash-Lite", &["gemini-2.5-flash-lite", "gemini-2.5-flash-lite-preview-09-2025"]);
    check("Gemini 3 Pro", &["gemini-3-pro-preview", "gemini-3-pro", "publishers/google/models/gemini-3-pro-preview"]);
    check("Gemini 3.1 Pro", &["gemini-3.1-pro-preview", "gemini-pro-latest"]);
    check(
        "Gemini 3 to 3.5 Flash, 3.1 Flash-Lite",
        &["gemini-3-flash-preview", "gemini-3.5-flash", "gemini-3.1-flash-lite"],
    );
    check(
        "Gemini 3.6 Flash, 3.5 Flash-Lite",
        &["gemini-3.6-flash", "gemini-3.5-flash-lite", "gemini-flash-lite-latest"],
    );
    check("Gemini 3.7 Flash and later", &["gemini-3.8-flash", "gemini-flash-latest", "gemini-4-argon"]);
    check("any other", &["gemini-robotics-er-2", "gemma-3-27b-it"]);
}

#[test]
fn openais_models_are_known_by_every_name_they_are_served_under() {
    let classic = "GPT-4o, GPT-4.1 and before, GPT-5 Chat";
    check(
        classic,
        &[
            "gpt-4o",
            "gpt-4o-mini-2024-07-18",
            "gpt-4.1-nano",
            "gpt-4-turbo",
            "gpt-3.5-turbo",
            "gpt-35-turbo-16k",
            "openai/gpt-4.1",
            "ft:gpt-4o-mini-2024-07-18:acme::x1",
            "gpt-5-chat-latest",
            "chatgpt-4o-latest",
        ],
    );
    check(
        "o3, o4-mini, codex-mini",
        &[
            "o3",
            "o3-mini",
            "o4-mini-2025-04-16",
            "ft:o4-mini-2025-04-16:acme::x1",
            "openai/o3-pro",
            "azure/o4-mini",
            "team-o4-mini",
            "codex-mini-latest",
            "openrouter/openai/o3",
            "openai/ft:o4-mini-2025-04-16:acme:name:id",
            "o4-mini-2025-04-16.ft-0123456789",
        ],
    );
    check("o1", &["o1", "o1-2024-12-17", "openai/o1-pro", "us.openai.o1"]);
    check("o1-mini, o1-preview", &["o1-mini", "o1-preview-2024-09-12"]);
}

#[test]
fn the_generations_from_gpt_5_on_and_other_vendors_models_are_known_by_their_names() {
    check(
        "GPT-5, mini, nano",
        &[
            "gpt-5",
            "gpt-5-mini-2025-08-07",
            "ft:gpt-5-mini-2025-08-07:acme::x2",
            "openai/gpt-5-nano",
            "prod-gpt-5-mini",
        ],
    );
    check("GPT-5 Pro", &["gpt-5-pro", "gpt-5-pro-2025-10-06"]);
    check("GPT-5 and 5.1 Codex", &["gpt-5-codex", "gpt-5.1-codex", "gpt-5.1-codex-mini"]);
    check("GPT-5.1 Codex Max, 5.2 Codex and later", &["gpt-5.1-codex-max", "gpt-5.2-codex", "gpt-5.3-codex"]);
    check("GPT-5.1", &["gpt-5.1", "gpt-5.1-2025-11-13", "openai/gpt-5.1"]);
    check("GPT-5.2 to 5.4", &["gpt-5.2", "gpt-5.4-mini-2026-03-17"]);
    check("GPT-5.5, 5.6", &["gpt-5.5", "gpt-5.6-sol", "us.openai.gpt-5.6-luna"]);
    check("GPT-5.2 Pro and later", &["gpt-5.2-pro", "gpt-5.5-pro-2026-04-23"]);
    check(
        "deep research, GPT-5.1 Chat and later",
        &["o3-deep-research", "o4-mini-deep-research-2025-06-26", "gpt-5.2-chat-latest"],
    );
    check("GPT-6 and later", &["gpt-6-sol", "openai/gpt-6-luna", "gpt-7"]);
    check("GPT-6 Astra, GPT-6.1 Sol", &["gpt-6-astra-2026-09-03", "gpt-6.1-sol"]);
    check("gpt-oss", &["openai/gpt-oss-120b", "openai.gpt-oss-20b-1:0"]);
    check("Grok 4, 4 Fast, 4.1 Fast, Code Fast", &["grok-4", "xai/grok-4-0709", "grok-4-1-fast-reasoning"]);
    check(
        "any other",
        &["marco-o1", "llama-o3", "gpt-audio-1.5", "gpt-image-1", "deepseek-v4-flash", "grok-4.20", "foo1", "gpt-x"],
    );
}

#[test]
fn an_effort_that_a_model_lacks_becomes_the_next_lower_one_and_is_named() {
    use Effort::{High, Low, Max, Medium, Minimal, None, XHigh};
    for (efforts, wanted, taken) in [
        (&[Low, Medium, High][..], Medium, Medium),
        (&[Low, Medium, High], XHigh, High),
        (&[Low, Medium, High], None, Low),
        (&[None, Low, High], None, None),
        (&[None, Low, High], Minimal, Low),
        (&[Medium, High, XHigh], Low, Medium),
        (&[High], None, High),
        (&[Low, Medium, High, Max], XHigh, High),
    ] {
        let mut emulated = Emulated::default();
        assert_eq!(nearest(efforts, wanted, &mut emulated), taken, "{efforts:?} {wanted:?}");
        assert_eq!(emulated.names().is_empty(), wanted == taken);
    }
}

#[test]
fn sampling_that_a_model_refuses_is_left_out_and_named_unless_it_is_its_own_value() {
    let set = Sampling { temperature: Some(0.2), top_p: Some(0.9), top_k: Some(5), ..Sampling::default() };
    let sampled = |model: &str, effort, sampling| {
        let reasoning = Some(Reasoning { effort: Some(effort), ..Reasoning::default() });
        let request = Request { model: model.to_owned(), reasoning, sampling, ..Request::default() };
        let mut emulated = Emulated::default();
        let left = Capabilities::of(&request).sampling(&request, &mut emulated);
        ([left.temperature.is_some(), left.top_p.is_some(), left.top_k.is_some()], emulated.names().to_vec())
    };
    let all = vec!["temperature", "top_p", "top_k"];
    for (model, effort, left, named) in [
        ("claude-sonnet-4", Effort::None, [true, true, true], vec![]),
        ("claude-sonnet-4", Effort::High, [false; 3], all.clone()),
        ("claude-sonnet-4-5", Effort::None, [true, false, true], vec!["top_p"]),
        ("claude-opus-4-7", Effort::None, [false; 3], all.clone()),
        ("gpt-5", Effort::Low, [false; 3], all.clone()),
        ("gpt-5.2", Effort::None, [true, true, true], vec![]),
        ("gpt-5.2", Effort::Low, [false; 3], all),
        ("gpt-4o", Effort::Low, [true, true, true], vec![]),
        ("some-model", Effort::High, [true, true, true], vec![]),
    ] {
        assert_eq!(sampled(model, effort, set), (left, named), "{model} {effort:?}");
    }
    let own = Sampling { temperature: Some(1.0), top_p: Some(1.0), ..Sampling::default() };
    assert_eq!(sampled("o3", Effort::High, own), ([false; 3], vec![]));
}

/// The guide's row of a family, without the last cell, which names its source.
fn row(known: &Capabilities) -> String {
    let thinking = match known.thinking {
        Thinking::Unknown => "as asked".to_owned(),
        Thinking::Never => "never asked to".to_owned(),
        Thinking::Budget { least, most, off } => {
            format!("a budget, {least} to {most}{}", if off { "" } else { "; never off" })
        }
        Thinking::Adaptive { budget, off } => {
            let off = off.map_or_else(|| "never off".to_owned(), |off| format!("off as `{off}`"));
            format!("adaptive{}; {off}", if budget { ", or a budget" } else { "" })
        }
        Thinking::Effort => "by an effort".to_owned(),
    };
    let efforts: Vec<&str> = known.efforts.iter().map(|effort| effort.text()).collect();
    let choosing = match known.choosing {
        Choosing::All => "all",
        Choosing::Unthinking => "all, unless it thinks",
        Choosing::One => "`temperature` or `top_p`, unless it thinks",
        Choosing::None => "none",
    };
    let schemas = match known.schemas {
        Schemas::Native => "yes",
        Schemas::Alone => "not beside tools",
        Schemas::None => "no",
    };
    let efforts = if efforts.is_empty() { "-".to_owned() } else { efforts.join(", ") };
    format!("| {} | {thinking} | {efforts} | {choosing} | {schemas} |", known.family)
}

#[test]
fn the_guide_has_a_row_of_each_family_that_says_what_the_code_does() {
    let guide = include_str!("../../../docs/guides/dialects.md");
    let rows = [&claude::ROWS[..], &google::ROWS, &openai::ROWS, &other::ROWS, &[&super::UNKNOWN]].concat();
    let missing: Vec<String> = rows.into_iter().map(row).filter(|row| !guide.contains(row)).collect();
    assert!(missing.is_empty(), "docs/guides/dialects.md lacks:\n{}", missing.join("\n"));
}
