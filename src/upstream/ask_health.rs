//! Asks a local server for its health, beside the calls.

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::{Instant, timeout};

use super::client::SideCall;
use super::failure::{Failure, Phase};
use super::provider_client::ProviderClient;
use super::server_health::{LIMIT, LONGEST, ServerHealth};

impl ProviderClient {
    /// Whether the provider is a local server that reports its health.
    #[must_use]
    pub fn reports_health(&self) -> bool {
        self.provider().local && self.provider().server.row().health.is_some()
    }

    /// Whether its server is to be asked for its health now; whoever is told so asks.
    #[must_use]
    pub fn is_health_due(&self) -> bool {
        if !self.reports_health() {
            return false;
        }
        self.reports.is_due(Instant::now())
    }

    /// Asks its server for its health, for a bounded time.
    pub async fn ask_health(&self) -> ServerHealth {
        let answer = timeout(LIMIT, self.read_health()).await.unwrap_or(Err(Failure::TimedOut(Phase::Total)));
        self.reports.note(answer)
    }

    async fn read_health(&self) -> Result<(u16, Vec<u8>), Failure> {
        let base = &self.provider().base_url;
        let root = base.strip_suffix("/v1").unwrap_or(base);
        let url = format!("{root}{}", self.provider().server.row().health.unwrap_or_default());
        let headers: HeaderMap = self.key_headers().into_iter().next().unwrap_or_default();
        let call = SideCall { method: Method::GET, url: &url, headers, body: Bytes::new() };
        let mut reply = self.side()?.send(call).await?;
        let mut body = Vec::new();
        while body.len() < LONGEST
            && let Some(piece) = reply.data().await?
        {
            body.extend_from_slice(&piece);
        }
        Ok((reply.status().as_u16(), body))
    }
}
