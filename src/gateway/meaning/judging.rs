//! Embeds the text of a call before its plan, where a rule reads what that means.

use super::super::incoming::Incoming;
use super::super::meter::Meter;
use super::super::state::{Live, Parts};
use super::embedder::{Embedder, Unembedded};
use super::judged::Judged;

/// Embeds the text of a call whose rules want that, and their examples; whether it was to be embedded. The call goes on without a
/// vector where there is none in time.
pub async fn judged((parts, live): (&Parts, &Live), incoming: &mut Incoming, meter: &Meter) -> bool {
    let Some(Judged::Wanted(text)) = incoming.judged.as_deref() else { return false };
    let embedded = match Embedder::of((parts, live), incoming, meter) {
        Some(embedder) => {
            embedder.learn(live.routes.examples()).await;
            embedder.vectors(&[text]).await
        }
        None => Err(Unembedded("no_embedding_model")),
    };
    let vector = embedded.and_then(|vectors| vectors.into_iter().next().ok_or(Unembedded("no_vector")));
    let judged = match vector {
        Ok(vector) => Judged::Known(vector),
        Err(Unembedded(reason)) => Judged::Failed(reason),
    };
    incoming.judged = Some(Box::new(judged));
    true
}
