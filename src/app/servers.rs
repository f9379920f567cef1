//! Local servers that report their health: asked beside the calls, and left alone while they are not well.

use std::sync::Arc;

use crate::gateway::{Gateway, Parts};
use crate::types::now;
use crate::upstream::{ProviderClient, REPORT_COUNTS, ServerHealth};

/// Asks each local server whose report is due, each in a task of its own.
pub(super) fn ask_for_health(gateway: &Gateway) {
    let parts = gateway.parts();
    for client in gateway.live().clients.values().filter(|client| client.is_health_due()) {
        let (client, its) = (client.clone(), parts.clone());
        parts.tasks.spawn(async move { note(&its, &client).await });
    }
}

async fn note(parts: &Arc<Parts>, client: &ProviderClient) {
    let name = &client.provider().name;
    match client.ask_health().await {
        ServerHealth::Well => {
            if parts.health.server_is_well(name, now()) {
                tracing::warn!(provider = %name, "the server of {name} is well again");
            }
        }
        ServerHealth::Down(reason) => {
            if parts.health.server_is_down(name, &reason, now().plus(REPORT_COUNTS)) {
                tracing::warn!(provider = %name, reason, "{name} is left alone: {reason}");
            }
        }
        ServerHealth::Unknown => {}
    }
}
