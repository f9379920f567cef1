//! A share of the hits by meaning is asked anew off the caller's path, to see how often they are wrong.

use std::sync::Arc;

use bytes::Bytes;

use super::super::planned::Planned;
use super::super::side_call::SideCall;
use super::expected::Expected;
use crate::routing::Target;
use crate::usage::Purpose;

/// Draws whether a hit is verified, and has that done where it is: the request is made once more at `target`, and its answer
/// compared with the stored one, which is whole even where the caller gets a stream.
pub fn draw(call: &Planned, target: &Arc<Target>, stored: &Bytes) {
    let policy = call.plan.cache;
    // A caller who asked for a stored answer only wants nobody called.
    if call.incoming.cache.only || rand::random::<f64>() >= policy.verify_share.number() {
        return;
    }
    let Some(side) = SideCall::of(call, target, Purpose::Verify) else { return };
    let expected = Expected {
        stored: Bytes::copy_from_slice(stored),
        dialect: call.head.dialect,
        bound: policy.threshold.number(),
        local_only: call.plan.local_only,
    };
    call.parts.tasks.spawn(async move {
        let asked = side.ask().await;
        let code = match &asked.answer {
            Ok(answer) => expected.code_of(answer, asked.embedder()).await,
            Err(_) => None,
        };
        if let Err(error) = asked.settle(code).await.answer {
            tracing::debug!(%error, "a hit could not be verified: {error}");
        }
    });
}
