//! A provider as the configuration describes it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::vendor::Vendor;
use crate::types::{Nanos, Secret};

/// The kind of a provider: its wire format, its addresses, and where its key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenAI's own, spoken by many servers.
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
    /// OpenAI's, at addresses and with keys of Azure's.
    Azure,
    /// Amazon Bedrock's Converse.
    Bedrock,
    /// None: answers are made up in this process, always the same for the same request.
    Simulated,
}

/// The software behind a local `openai` provider, where it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the servers say all")]
pub enum Server {
    #[default]
    Generic,
    Vllm,
    LlamaCpp,
    Ollama,
    Lorax,
}

/// The limits of one call, each with its own meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the answer's head; `None` for as long as the first token may take.
    pub headers: Option<Duration>,
    /// Until the answer begins: a stream with its first event that has content, a whole answer with its first byte.
    pub first_token: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// For the whole call.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            headers: None,
            first_token: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

/// What calls of Amazon's services need beside an address.
#[derive(Clone, Debug)]
pub struct Aws {
    /// The region that is called, such as `eu-central-1`.
    pub region: Arc<str>,
    /// The keys that calls are signed with. `None` where calls carry a Bedrock API key instead.
    pub credentials: Option<AwsCredentials>,
}

/// A pair of Amazon's keys, with a token where they hold for a time only.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are Amazon's own")]
pub struct AwsCredentials {
    pub access_key_id: Secret,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

impl AwsCredentials {
    /// The secrets, which must not be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        [&self.access_key_id, &self.secret_access_key].into_iter().chain(&self.session_token)
    }
}

impl Provider {
    /// Whether OpenAI's own models answer, in OpenAI's own words: at OpenAI, and at Azure.
    #[must_use]
    pub fn is_openais_own(&self) -> bool {
        self.kind == Kind::Azure || self.vendor.is_some_and(|vendor| vendor.name == "openai")
    }
}

impl Provider {
    /// The same provider for a script in its place: with these keys and limits, and nothing that is asked of a server. Amazon's
    /// own frames are not scripted, so its models speak as OpenAI's do.
    #[must_use]
    pub fn scripted(self, api_keys: Vec<Secret>, timeouts: Timeouts) -> Self {
        let kind = if self.kind == Kind::Bedrock { Kind::OpenAi } else { self.kind };
        let profile = Some(self.name.clone());
        let (server, list_models, native_batches) = (Server::Generic, false, false);
        Self {
            kind,
            server,
            aws: None,
            ca_file: None,
            list_models,
            native_batches,
            api_keys,
            timeouts,
            profile,
            ..self
        }
    }
}

/// One provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The provider's name in the configuration.
    pub name: Arc<str>,
    /// The provider's kind.
    pub kind: Kind,
    /// The vendor whose words it speaks, as the configuration says or the address shows; `None` where neither does.
    pub vendor: Option<&'static Vendor>,
    /// The software of a local server.
    pub server: Server,
    /// The base URL, without a slash at the end. Empty where the models answer in this process.
    pub base_url: String,
    /// Certificates in PEM that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Azure's version of its API.
    pub api_version: Option<Arc<str>>,
    /// The keys, used in turn. May be empty for a local server.
    pub api_keys: Vec<Secret>,
    /// Whether the keys are tokens of Entra's, for Azure.
    pub entra_tokens: bool,
    /// For Bedrock: where, and what calls are signed with.
    pub aws: Option<Aws>,
    /// Whether the provider speaks OpenAI's Chat Completions.
    pub chat: bool,
    /// Whether the provider speaks OpenAI's Responses.
    pub responses: bool,
    /// Whether the provider runs inside the organisation, so that private traffic may go there.
    pub local: bool,
    /// Whether its name may lead to addresses of a private network.
    pub allow_private: bool,
    /// Price of an hour of its machine, for local servers.
    pub gpu_hour: Option<Nanos>,
    /// Measured throughput of that machine.
    pub requests_per_second: Option<f64>,
    /// Limits of one call.
    pub timeouts: Timeouts,
    /// How long a call for embeddings waits for others like it, to be one call with them; `None` where none does.
    pub batch_window: Option<Duration>,
    /// The most calls at once.
    pub max_in_flight: usize,
    /// Whether batches all of whose lines lead here are handed to its own batch API.
    pub native_batches: bool,
    /// Whether `GET /v1/models` lists what the provider's server lists.
    pub list_models: bool,
    /// Faults that a simulated provider shows on every model, such as `slow` or `error-500`; empty for none.
    pub profile: Option<Arc<str>>,
}
