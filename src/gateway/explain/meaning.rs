//! What a call means, as far as that is known without a question to the embedding model.

use serde_json::{Map, Value, json};

use super::subject::Subject;
use crate::cache::{Difference, Nearest};
use crate::gateway::meaning::Compared;

/// Why something is not known.
const NEEDS_A_CALL: &str = "that needs a call of the embedding model, and explain calls nobody";

/// How similar the text is to the sets of examples that rules read; null where that is not known.
pub(super) fn similar(subject: &Subject<'_>) -> Option<Value> {
    let sets: Map<String, Value> = serde_json::from_str(subject.call.plan.similar.as_deref()?).ok()?;
    let shown = |(set, similarity): (&String, &Value)| match similarity {
        Value::Null => format!("{set} not known: {NEEDS_A_CALL}"),
        similarity => format!("{set} {similarity}"),
    };
    let summary: Vec<String> = sets.iter().filter(|(name, _)| *name != "failed").map(shown).collect();
    Some(json!({"sets": sets, "summary": summary.join(", ")}))
}

/// What the cache compares by meaning where no equal question has an answer: the texts, the key of all else, how many stored
/// questions have that, and how similar the nearest of them is, where that is known. Nothing where only an equal question may have
/// the answer.
pub(super) fn by_meaning(subject: &Subject<'_>) -> Option<Value> {
    let call = subject.call;
    let target = call.plan.targets.first().filter(|_| call.looks_by_meaning())?;
    let compared = call.compared(target)?;
    let threshold = call.plan.cache.threshold;
    let candidates = call.parts.cache.similar_size(&compared.bucket);
    let question = call.known_question(&compared).filter(|_| candidates > 0);
    let nearest = question.as_ref().and_then(|question| call.parts.cache.nearest(question));
    let found = match (candidates, &question) {
        (0, _) => String::new(),
        (_, None) => format!("; how similar they are is not known: {NEEDS_A_CALL}"),
        (_, Some(_)) => nearest.as_ref().map_or_else(String::new, |nearest| said(nearest, threshold.number())),
    };
    let Compared { bucket, texts } = compared;
    let counted = format!("texts {}, compared with {candidates} stored questions, at {threshold} or more", texts.len());
    let shown = |nearest: Nearest| json!({"similarity": rounded(nearest.similarity), "differs": nearest.differs.map(Difference::text)});
    Some(json!({
        "key": bucket.to_string(), "threshold": threshold, "texts": texts, "candidates": candidates,
        "nearest": nearest.map(shown), "summary": counted + &found,
    }))
}

/// What comes of the most similar stored question.
fn said(nearest: &Nearest, threshold: f64) -> String {
    let similarity = rounded(nearest.similarity);
    match (nearest.similarity >= threshold, nearest.differs) {
        (false, _) => format!("; the nearest is at {similarity}: a miss"),
        (true, None) => format!("; the nearest is at {similarity}: a hit"),
        (true, Some(differs)) => {
            format!("; the nearest is at {similarity}, and differs in a {}: a miss", differs.text())
        }
    }
}

fn rounded(similarity: f64) -> f64 {
    (similarity * 1e4).round() / 1e4
}
