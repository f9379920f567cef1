//! How similar a call's text is to the examples that rules name.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::super::incoming::Incoming;
use super::super::state::{Live, Parts};
use super::judged::Judged;
use super::known::{Model, Set};
use crate::routing::{Plan, Similarity};

/// The most bytes of a text that are compared: embedding models read no more.
const LONGEST: usize = 8 << 10;

/// Says how similar a call's text is to examples, and notes what was read of that.
pub struct Judge<'a> {
    parts: &'a Parts,
    live: &'a Live,
    incoming: &'a Incoming,
    text: &'a str,
    read: Mutex<Vec<(Arc<str>, Similarity)>>,
}

impl<'a> Judge<'a> {
    /// The judge of a text.
    pub fn of((parts, live): (&'a Parts, &'a Live), incoming: &'a Incoming, text: &'a str) -> Self {
        let text = &text[..text.floor_char_boundary(LONGEST)];
        Self { parts, live, incoming, text, read: Mutex::default() }
    }

    /// The text as it is compared.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// How similar the text is to the nearest sentence of a set.
    pub fn similarity(&self, set: &str) -> Similarity {
        let similarity = self.compared(set);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if !read.iter().any(|(known, _)| **known == *set) {
            read.push((set.into(), similarity));
        }
        similarity
    }

    fn compared(&self, set: &str) -> Similarity {
        // A call without words is like nothing.
        if self.text.trim().is_empty() {
            return Similarity::Known(0.0);
        }
        let routes = &self.live.routes;
        let found = || {
            let target = routes.embedding()?;
            let client = self.live.clients.get(&target.provider)?;
            let set = routes.examples().iter().find(|known| *known.name == *set)?;
            Some((Model { provider: client.provider(), model: &target.model }, set))
        };
        let Some((model, set)) = found() else { return Similarity::Unknown };
        let judged = self.incoming.judged.as_deref();
        let vector = match judged {
            Some(Judged::Known(vector)) => Some(vector.clone()),
            _ => self.parts.meaning.text(&model.key("text", &self.incoming.key.project, [self.text])),
        };
        let examples = self.parts.meaning.set(&model.key_of_set(set), Instant::now());
        match (vector, examples, judged) {
            (Some(vector), Set::Ready(examples), _) => {
                Similarity::Known(examples.iter().map(|example| vector.cosine(example)).fold(-1.0, f64::max))
            }
            (_, Set::Failed, _) | (_, _, Some(Judged::Known(_) | Judged::Failed(_))) => Similarity::Unknown,
            _ => Similarity::Open,
        }
    }

    /// The plan with what was read for it: as JSON for the trace, and whether some of it is not known.
    pub fn noted(&self, mut plan: Plan) -> Plan {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.is_empty() {
            return plan;
        }
        plan.is_unjudged = read.iter().any(|(_, similarity)| !matches!(similarity, Similarity::Known(_)));
        let shown = |(set, similarity): &(Arc<str>, Similarity)| {
            let similarity = match similarity {
                Similarity::Known(similarity) => json!((similarity * 1e4).round() / 1e4),
                Similarity::Open | Similarity::Unknown => Value::Null,
            };
            (set.to_string(), similarity)
        };
        let mut note: Map<String, Value> = read.iter().map(shown).collect();
        if let Some(Judged::Failed(reason)) = self.incoming.judged.as_deref().filter(|_| plan.is_unjudged) {
            note.insert("failed".to_owned(), (*reason).into());
        }
        plan.similar = Some(Value::Object(note).to_string().into());
        plan
    }
}
