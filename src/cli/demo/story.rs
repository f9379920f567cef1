//! What the demo changes while calls run: a prompt's version and label, and a key.

use http::Method;
use serde_json::{Value, json};

use super::super::client::Client;
use super::super::outcome::Failure;
use super::call::Outcome;
use super::run::Run;
use super::traffic;

const PROMPT: &str = "support-reply";

/// The sentence that the new version adds, and that its test wants.
const SENTENCE: &str = "Thank the customer first.";

/// A version of a prompt that went live and was taken back.
#[derive(Clone, Debug)]
pub struct Release {
    pub prompt: &'static str,
    pub old: u64,
    pub new: u64,
    /// Why a draft that fails its own test was refused; none where it was not.
    pub refusal: Option<String>,
    /// What the new version adds, as the difference of the two shows it.
    pub added: String,
    /// The version under the label at the end.
    pub live: u64,
}

/// Refuses a draft, releases a version, sends calls to it, and takes it back.
pub async fn release(run: &mut Run<'_>) -> Result<Release, Failure> {
    let admin = run.admin;
    let at = format!("/api/v1/prompts/{PROMPT}");
    let live = admin.get(&format!("{at}/versions/production")).await?;
    let add = format!("{at}/versions");
    let refusal = match admin.send(Method::POST, &add, &draft(&live, false)).await {
        Err(Failure::Input(reason)) => Some(reason),
        Err(failure) => return Err(failure),
        Ok(_) => None,
    };
    let made = admin.send(Method::POST, &add, &draft(&live, true)).await?;
    let (old, new) = (version(&live), version(&made));
    label(admin, &at, new, "Kinder").await?;
    run.send("a new version of a prompt", traffic::kinder()).await;
    label(admin, &at, old, "Back").await?;
    run.send("the old version again", traffic::back()).await;
    let diff = admin.get(&format!("{at}/diff?from={old}&to={new}")).await?;
    let added = added_sentence(diff["unified"].as_str().unwrap_or_default());
    let live = version(&admin.get(&format!("{at}/versions/production")).await?);
    Ok(Release { prompt: PROMPT, old, new, refusal, added, live })
}

/// The sentence in a line that the difference adds; empty where there is none.
fn added_sentence(unified: &str) -> String {
    let added = unified.lines().find(|line| line.starts_with('+') && line.contains(SENTENCE)).unwrap_or_default();
    added.split('"').find(|part| part.contains(SENTENCE)).unwrap_or_default().trim().to_owned()
}

fn version(row: &Value) -> u64 {
    row["version"].as_u64().unwrap_or_default()
}

async fn label(admin: &Client, at: &str, version: u64, reason: &str) -> Result<(), Failure> {
    let body = json!({"version": version, "reason": reason});
    admin.send(Method::PUT, &format!("{at}/labels/production"), &body).await.map(drop)
}

/// The live version with a test that wants the new sentence, and with the sentence or without it.
fn draft(live: &Value, with_sentence: bool) -> Value {
    let mut draft = json!({"message": SENTENCE, "parent": live["version"]});
    for part in ["description", "messages", "variables", "settings", "tests"] {
        if !live[part].is_null() {
            draft[part] = live[part].clone();
        }
    }
    let test = json!({"variables": {"product": "Kettle One", "ticket": "Where is my order?"}, "contains": [SENTENCE]});
    match draft["tests"].as_array_mut() {
        Some(tests) => tests.push(test),
        None => draft["tests"] = json!([test]),
    }
    if let (true, Some(messages)) = (with_sentence, draft["messages"].as_array_mut()) {
        messages.insert(0, json!({"role": "system", "content": SENTENCE}));
    }
    draft
}

/// The calls of a key with limits, and those after its revocation.
#[derive(Clone, Debug, Default)]
pub struct Limited {
    pub answered: usize,
    pub over_limit: usize,
    pub wrong_model: usize,
    /// Calls with the revoked key that were refused as such.
    pub shut_out: usize,
}

/// Calls with the intern's key, which `id` names, revokes it, and calls again.
pub async fn limits(run: &mut Run<'_>, id: &str) -> Result<Limited, Failure> {
    let mut outcomes = Vec::new();
    for calls in traffic::intern() {
        outcomes.extend(run.send("a key with limits", calls).await);
    }
    run.admin.send(Method::DELETE, &format!("/api/v1/keys/{id}"), &Value::Null).await?;
    let after = run.send("a revoked key", traffic::revoked()).await;
    Ok(Limited {
        answered: outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Served { .. })).count(),
        over_limit: refused(&outcomes, "rate_limit_exceeded"),
        wrong_model: refused(&outcomes, "model_not_allowed"),
        shut_out: refused(&after, "invalid_api_key"),
    })
}

fn refused(outcomes: &[Outcome], wanted: &str) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused { code, .. } if code == wanted)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_version_adds_is_read_from_the_difference() {
        let unified = format!("--- 1\n+++ 2\n+[[messages]]\n+content = \"{SENTENCE}\"\n");
        assert_eq!(added_sentence(&unified), SENTENCE);
        assert_eq!(added_sentence(&unified.replace("+content", " content")), "");
    }

    #[test]
    fn only_the_whole_draft_has_what_its_test_wants() {
        let live = json!({"version": 4, "messages": [{"role": "user", "content": "{{ ticket }}"}], "tests": null});
        let (broken, whole) = (draft(&live, false), draft(&live, true));
        assert_eq!((&broken["tests"], &broken["parent"]), (&whole["tests"], &json!(4)));
        assert!(!broken["messages"].to_string().contains(SENTENCE));
        assert_eq!(whole["messages"].as_array().map(Vec::len), Some(2));
    }
}
