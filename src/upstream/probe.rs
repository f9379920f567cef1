//! A question to a provider that costs nothing: whether it is there, and takes our keys.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::{Instant, timeout};

use super::address::Operation;
use super::client::SideCall;
use super::failure::{Failure, refuses_key};
use super::provider_client::{Call, ProviderClient};
use super::vendor::vendor_at;

/// The most bytes that are read of a list of models.
const LONGEST: usize = 16 << 20;

/// A model that nobody has. Amazon checks who asks before it looks for a model.
const NOBODYS: &str = "fulcrum.probe";

/// How a provider answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It is there, and takes the keys.
    Ok,
    /// It refuses a key.
    RefusedKey,
    /// Nobody answers at its address, or not in time.
    Unreachable,
    /// A server answers, which has no such API at that address.
    WrongPath,
    /// It answers with an error.
    Failed,
}

/// What a probe found.
#[derive(Clone, Debug)]
pub struct Probe {
    /// How it answered.
    pub probed: Probed,
    /// More about that; empty where there is no more to say. Without secrets.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
}

impl Probed {
    /// The outcome in words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::RefusedKey => "refused key",
            Self::Unreachable => "cannot be reached",
            Self::WrongPath => "wrong path",
            Self::Failed => "failed",
        }
    }
}

type Found = (Probed, String);

impl ProviderClient {
    /// Asks the provider for its list of models with each of its keys, or for what else its kind has that costs nothing.
    pub async fn probe(&self, limit: Duration) -> Probe {
        let began = Instant::now();
        let (probed, detail) = timeout(limit, self.ask_what_it_has())
            .await
            .unwrap_or_else(|_| (Probed::Unreachable, format!("no answer within {limit:?}")));
        Probe { probed, detail: self.redacted_text(detail), took: began.elapsed() }
    }

    async fn ask_what_it_has(&self) -> Found {
        let provider = self.provider();
        if provider.kind.row().in_process {
            return (Probed::Ok, "its models answer in this process".to_owned());
        }
        let Some(list) = provider.kind.row().list else { return self.ask_a_model().await };
        let (url, keys) = (list(provider), self.key_headers());
        let count = keys.len();
        let mut last = (Probed::Ok, String::new());
        for (n, headers) in keys.into_iter().enumerate() {
            last = self.ask_for_models(&url, headers).await;
            if last.0 != Probed::Ok {
                let which = if count > 1 { format!("key {} of {count}: ", n + 1) } else { String::new() };
                return (last.0, format!("{which}{}", last.1));
            }
        }
        last
    }

    async fn ask_for_models(&self, url: &str, headers: HeaderMap) -> Found {
        let call = SideCall { method: Method::GET, url, headers, body: Bytes::new() };
        let asked = async {
            let mut reply = self.side()?.send(call).await?;
            let mut body = BytesMut::new();
            while let Some(piece) = reply.data().await?.filter(|_| body.len() < LONGEST) {
                body.extend_from_slice(&piece);
            }
            Ok::<_, Failure>((reply.status(), body))
        };
        match asked.await {
            Ok((status, body)) => self.meaning(url, status, &body),
            Err(failure) => unanswered(&failure),
        }
    }

    /// What an answer to a question for models says of the provider.
    fn meaning(&self, url: &str, status: StatusCode, body: &[u8]) -> Found {
        let said = format!("GET {url} answered {}", status.as_u16());
        match status.as_u16() {
            200..=299
                if serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok()
                    || serde_json::from_slice::<Vec<serde_json::Value>>(body).is_ok() =>
            {
                (Probed::Ok, String::new())
            }
            200..=299 => (Probed::WrongPath, format!("{said} with what is no list of models; check base_url")),
            code if refuses_key(code, body) || code == 403 => (Probed::RefusedKey, said),
            429 => (Probed::Ok, format!("{said}: it limits the rate of calls")),
            // The address of a vendor is known to be right; not every one has a list of models.
            404 | 405
                if vendor_at(&self.provider().base_url)
                    .is_some_and(|vendor| self.provider().base_url == vendor.base_url) =>
            {
                (Probed::Ok, "it has no list of models, so its key was not tried".to_owned())
            }
            300..=399 | 404 | 405 => (Probed::WrongPath, format!("{said}; check base_url")),
            _ => (Probed::Failed, said),
        }
    }

    /// Asks for an answer of a model that is not there: who is refused for that was taken for who they are.
    async fn ask_a_model(&self) -> Found {
        let operation = Operation::in_dialect(self.provider().kind.row().dialect);
        let body = Bytes::from_static(br#"{"messages":[{"role":"user","content":[{"text":"-"}]}]}"#);
        let (headers, stream, deadline, background) = (HeaderMap::new(), false, None, false);
        let own = std::sync::Arc::from("fulcrum");
        let (project, shares) = (&own, false);
        let call = Call { operation, model: NOBODYS, stream, headers, body, deadline, project, shares, background };
        match self.send(call).await {
            Ok(_) | Err(Failure::Refused { .. }) => (Probed::Ok, String::new()),
            Err(failure) => unanswered(&failure),
        }
    }
}

fn unanswered(failure: &Failure) -> Found {
    match failure {
        Failure::Auth { status, .. } => (Probed::RefusedKey, format!("answered {status}")),
        Failure::Throttled { .. } => (Probed::Ok, "it limits the rate of calls".to_owned()),
        Failure::Connect(reason) => (Probed::Unreachable, reason.clone()),
        Failure::TimedOut(_) => (Probed::Unreachable, "no answer in time".to_owned()),
        Failure::Protocol(reason) => {
            (Probed::WrongPath, format!("what answers is no HTTP server, or broke off: {reason}"))
        }
        failure => (Probed::Failed, failure.status().map_or_else(String::new, |status| format!("answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::upstream::address::tests::at;
    use crate::upstream::provider::Kind;
    use crate::upstream::{InProcessModels, ProviderKeys};

    #[tokio::test]
    async fn a_provider_that_does_not_answer_in_time_cannot_be_reached() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for kind in [Kind::OpenAi, Kind::Anthropic, Kind::Gemini, Kind::Azure, Kind::Bedrock] {
            let provider = at(kind, &format!("http://{}", silent.local_addr().unwrap()));
            let client = ProviderClient::new(provider, &InProcessModels::default(), &ProviderKeys::default()).unwrap();
            let Probe { probed, detail, .. } = client.probe(Duration::from_millis(20)).await;
            assert_eq!((probed, &*detail), (Probed::Unreachable, "no answer within 20ms"), "{kind:?}");
        }
    }
}
