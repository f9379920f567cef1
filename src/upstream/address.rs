//! The path of a call below a provider's base URL, by the dialect of its server.

use std::fmt::Write as _;

use http::{HeaderValue, Uri};

use super::provider::Provider;
use crate::wire::passing::Passing;
use crate::wire::{DialectId, ProviderDialect};

/// What is asked of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's embeddings.
    Embeddings,
    /// Anthropic's Messages.
    Messages,
    /// Anthropic's count of tokens.
    CountTokens,
    /// Gemini's `generateContent`, or `streamGenerateContent`.
    Generate,
    /// Gemini's count of tokens.
    GeminiCount,
    /// Gemini's `embedContent`.
    EmbedContent,
    /// Gemini's `batchEmbedContents`.
    EmbedContents,
    /// Another of OpenAI's routes.
    Pass(Passing),
    /// Bedrock's `Converse`, or `ConverseStream`.
    Converse,
}

impl Operation {
    /// What asks for an answer in this dialect.
    #[must_use]
    pub fn in_dialect(dialect: ProviderDialect) -> Self {
        match dialect {
            ProviderDialect::Client(DialectId::OpenAiChat) => Self::Chat,
            ProviderDialect::Client(DialectId::OpenAiResponses) => Self::Responses,
            ProviderDialect::Client(DialectId::Anthropic) => Self::Messages,
            ProviderDialect::Client(DialectId::Gemini) => Self::Generate,
            ProviderDialect::Bedrock => Self::Converse,
        }
    }

    /// The operation that counts tokens in this dialect; `None` where there is none.
    #[must_use]
    pub fn count_in(dialect: DialectId) -> Option<Self> {
        match dialect {
            DialectId::Anthropic => Some(Self::CountTokens),
            DialectId::Gemini => Some(Self::GeminiCount),
            DialectId::OpenAiChat | DialectId::OpenAiResponses => None,
        }
    }

    /// Whether the operation is one of OpenAI's other routes, which pass.
    pub(super) fn passes(self) -> bool {
        matches!(self, Self::Pass(_))
    }

    /// The path below the base URL, where it is the same for every model.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Responses => "/responses",
            Self::Embeddings => "/embeddings",
            Self::Messages => "/messages",
            Self::CountTokens => "/messages/count_tokens",
            Self::Generate | Self::GeminiCount | Self::EmbedContent | Self::EmbedContents => "/models",
            Self::Pass(passing) => passing.route().strip_prefix("/v1").unwrap_or_default(),
            Self::Converse => "/model",
        }
    }
}

/// Azure's version of its API, where the configuration names none.
const AZURE_VERSION: &str = "2024-10-21";

/// Cohere's prefix of its routes like OpenAI's.
const COHERE: &str = "/compatibility/v1";

/// The path below the base URL, for OpenAI and most servers with OpenAI's API.
pub(super) fn openai(provider: &Provider, operation: Operation, _: &str, _: bool) -> String {
    let (base, path) = (&provider.base_url, operation.path());
    // Cohere's own route stands beside its routes like OpenAI's, not below them.
    if operation == Operation::Pass(Passing::Rerank) && base.ends_with(COHERE) {
        return format!("{}/v2{path}", base.trim_end_matches(COHERE));
    }
    format!("{base}{path}")
}

/// Where OpenAI's API lists its models.
pub(super) fn openai_models(provider: &Provider) -> String {
    format!("{}/models", provider.base_url)
}

pub(super) fn anthropic_models(provider: &Provider) -> String {
    let base = &provider.base_url;
    format!("{base}{}/models", if base.ends_with("/v1") { "" } else { "/v1" })
}

pub(super) fn gemini_models(provider: &Provider) -> String {
    format!("{}{}/models", provider.base_url, gemini_version(&provider.base_url))
}

pub(super) fn azure_models(provider: &Provider) -> String {
    let base = &provider.base_url;
    if base.ends_with("/openai/v1") {
        return openai_models(provider);
    }
    let version = provider.api_version.as_deref().unwrap_or(AZURE_VERSION);
    format!("{base}/openai/models?api-version={version}")
}

/// The version of Gemini's API, where the base URL names none.
fn gemini_version(base: &str) -> &'static str {
    if ["/v1", "/v1beta", "/v1alpha"].iter().any(|end| base.ends_with(end)) { "" } else { "/v1beta" }
}

pub(super) fn anthropic(provider: &Provider, operation: Operation, _: &str, _: bool) -> String {
    let (base, path) = (&provider.base_url, operation.path());
    let version = if base.ends_with("/v1") { "" } else { "/v1" };
    format!("{base}{version}{path}")
}

pub(super) fn gemini(provider: &Provider, operation: Operation, model: &str, stream: bool) -> String {
    let base = &provider.base_url;
    let version = gemini_version(base);
    let method = match operation {
        Operation::GeminiCount => "countTokens",
        Operation::EmbedContent => "embedContent",
        Operation::EmbedContents => "batchEmbedContents",
        _ if stream => "streamGenerateContent?alt=sse",
        _ => "generateContent",
    };
    format!("{base}{version}/models/{}:{method}", escaped(model))
}

/// At a deployment's own address with the API's version, or, where the base URL is of OpenAI's form, as at OpenAI.
pub(super) fn azure(provider: &Provider, operation: Operation, model: &str, stream: bool) -> String {
    let (base, path) = (&provider.base_url, operation.path());
    if base.ends_with("/openai/v1") {
        return openai(provider, operation, model, stream);
    }
    let version = provider.api_version.as_deref().unwrap_or(AZURE_VERSION);
    match operation {
        Operation::Responses => format!("{base}/openai/responses?api-version={version}"),
        _ => format!("{base}/openai/deployments/{}{path}?api-version={version}", escaped(model)),
    }
}

pub(super) fn bedrock(provider: &Provider, operation: Operation, model: &str, stream: bool) -> String {
    let method = if stream { "converse-stream" } else { "converse" };
    format!("{}{}/{}/{method}", provider.base_url, operation.path(), escaped(model))
}

/// A model's name as one segment of a path, escaped so that it cannot lead to another path.
pub(super) fn escaped(model: &str) -> String {
    let mut out = String::with_capacity(model.len());
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
    if out.bytes().all(|byte| byte == b'.') { out.replace('.', "%2E") } else { out }
}

/// An address, and the `Host` of its calls.
pub(super) fn parsed(text: &str) -> Result<(Uri, HeaderValue), String> {
    let url: Uri = text.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let host = host_of(&url).ok_or("it must begin with http:// or https:// and a host")?;
    Ok((url, host))
}

/// The `Host` of calls of `url`: with its port only where that is not the usual one. `None` where the address has no host.
fn host_of(url: &Uri) -> Option<HeaderValue> {
    let usual = match url.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = url.host()?;
    match url.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{host}:{port}").parse().ok(),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::upstream::provider::{Kind, Server, Timeouts};

    pub(in crate::upstream) fn at(kind: Kind, base_url: &str) -> Provider {
        Provider {
            name: "p".into(),
            kind,
            server: Server::Generic,
            vendor: None,
            base_url: base_url.to_owned(),
            ca_file: None,
            api_version: None,
            api_keys: Vec::new(),
            entra_tokens: false,
            aws: None,
            chat: true,
            responses: true,
            local: false,
            allow_private: false,
            gpu_hour: None,
            requests_per_second: None,
            timeouts: Timeouts::default(),
            max_in_flight: 1,
            native_batches: false,
            batch_window: None,
            list_models: false,
            profile: None,
        }
    }

    fn address(provider: &Provider, operation: Operation, model: &str, stream: bool) -> String {
        (provider.kind.row().address)(provider, operation, model, stream)
    }

    #[test]
    fn every_kind_has_its_own_addresses() {
        let cases = [
            (Kind::OpenAi, "http://h/v1", Operation::Chat, false, "http://h/v1/chat/completions"),
            (Kind::OpenAi, "http://h/v1", Operation::Responses, true, "http://h/v1/responses"),
            (Kind::Anthropic, "http://h", Operation::Messages, true, "http://h/v1/messages"),
            (Kind::Anthropic, "http://h/v1", Operation::CountTokens, false, "http://h/v1/messages/count_tokens"),
            (Kind::Gemini, "http://h", Operation::Generate, false, "http://h/v1beta/models/m:generateContent"),
            (
                Kind::Gemini,
                "http://h/v1",
                Operation::Generate,
                true,
                "http://h/v1/models/m:streamGenerateContent?alt=sse",
            ),
            (Kind::Gemini, "http://h", Operation::GeminiCount, false, "http://h/v1beta/models/m:countTokens"),
            (Kind::Gemini, "http://h", Operation::EmbedContents, false, "http://h/v1beta/models/m:batchEmbedContents"),
            (
                Kind::Azure,
                "http://h",
                Operation::Chat,
                false,
                "http://h/openai/deployments/m/chat/completions?api-version=2024-10-21",
            ),
            (Kind::OpenAi, "http://h/v1", Operation::Pass(Passing::Speech), false, "http://h/v1/audio/speech"),
            (Kind::OpenAi, "http://h/compatibility/v1", Operation::Pass(Passing::Rerank), false, "http://h/v2/rerank"),
            (
                Kind::Azure,
                "http://h",
                Operation::Pass(Passing::Transcriptions),
                false,
                "http://h/openai/deployments/m/audio/transcriptions?api-version=2024-10-21",
            ),
            (Kind::Bedrock, "http://h", Operation::Converse, false, "http://h/model/m/converse"),
            (Kind::Bedrock, "http://h", Operation::Converse, true, "http://h/model/m/converse-stream"),
            (Kind::Azure, "http://h/openai/v1", Operation::Embeddings, false, "http://h/openai/v1/embeddings"),
        ];
        for (kind, base, operation, stream, expected) in cases {
            assert_eq!(address(&at(kind, base), operation, "m", stream), expected);
        }
    }

    #[test]
    fn a_models_name_leads_nowhere_else() {
        let provider = at(Kind::Gemini, "http://h/v1");
        for (model, segment) in [("../../files", "..%2F..%2Ffiles"), ("..", "%2E%2E"), ("a?b#c", "a%3Fb%23c")] {
            let address = address(&provider, Operation::Generate, model, false);
            assert_eq!(address, format!("http://h/v1/models/{segment}:generateContent"));
        }
        let model = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x-v1:0";
        let address = address(&at(Kind::Bedrock, "http://h"), Operation::Converse, model, false);
        assert_eq!(
            address,
            "http://h/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x-v1%3A0/converse"
        );
    }
}
