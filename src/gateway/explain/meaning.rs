//! What a call means, as far as that is known without a question to the embedding model.

use serde_json::{Map, Value, json};

use super::subject::Subject;
use crate::gateway::meaning::Compared;

/// How similar the text is to the sets of examples that rules read; null where that is not known.
pub(super) fn similar(subject: &Subject<'_>) -> Option<Value> {
    let sets: Map<String, Value> = serde_json::from_str(subject.call.plan.similar.as_deref()?).ok()?;
    let shown = |(set, similarity): (&String, &Value)| match similarity {
        Value::Null => format!("{set} not known: explain calls nobody"),
        similarity => format!("{set} {similarity}"),
    };
    let summary: Vec<String> = sets.iter().filter(|(name, _)| *name != "failed").map(shown).collect();
    Some(json!({"sets": sets, "summary": summary.join(", ")}))
}

/// What the cache compares by meaning where no equal question has an answer: the texts, the key of all else, and how many stored
/// questions have that. Nothing where only an equal question may have the answer.
pub(super) fn by_meaning(subject: &Subject<'_>) -> Option<Value> {
    let call = subject.call;
    let target = call.plan.targets.first().filter(|_| call.looks_by_meaning())?;
    let Compared { bucket, texts } = call.compared(target)?;
    let candidates = call.parts.cache.similar_size(&bucket);
    let threshold = call.plan.cache.threshold;
    let summary = format!("texts {}, compared with {candidates} stored questions, at {threshold} or more", texts.len());
    Some(json!({
        "key": bucket.to_string(), "threshold": threshold, "texts": texts, "candidates": candidates, "summary": summary,
    }))
}
