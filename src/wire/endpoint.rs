//! What callers call: a row for each endpoint, which the router, the dispatcher, the gateway, the ledger and batches read.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::dialect::{Addressed, Asked, BadAnswer};
use super::passing::Passing;
use super::{DialectId, anthropic, gemini, openai_embeddings};
use crate::chat::{Error, Usage};

/// What a caller calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table names their addresses")]
pub enum Endpoint {
    #[default]
    Chat,
    Responses,
    Embeddings,
    Messages,
    CountTokens,
    Generate,
    GeminiCount,
    EmbedContent,
    EmbedContents,
    Completions,
    Moderations,
    ImageGenerations,
    ImageEdits,
    ImageVariations,
    Speech,
    Transcriptions,
    Translations,
    Rerank,
}

/// What an endpoint's requests ask for.
#[derive(Clone, Copy)]
pub enum Task {
    /// The next turn of a conversation.
    Converse,
    /// How many tokens a conversation has.
    Count(&'static Counting),
    /// Vectors of texts: of several where `many` says so, in a dialect that has an endpoint of its own for one.
    Embed {
        /// Whether one request may have several texts.
        many: bool,
    },
    /// Another route of OpenAI's, which passes to a provider that has it.
    Pass(Passing),
}

/// How a dialect counts tokens.
pub struct Counting {
    /// Reads and checks a request.
    pub read: fn(Bytes, &Addressed) -> Result<Asked, Error>,
    /// Whether a body is an answer.
    pub is_answer: fn(&Bytes) -> bool,
    /// An answer of so many tokens.
    pub answer: fn(u64) -> Bytes,
}

/// An endpoint.
pub struct EndpointRow {
    endpoint: Endpoint,
    /// The endpoint's name in the ledger, in metrics and in batches; also its path, where the path does not name the model.
    pub name: &'static str,
    /// The dialect of the endpoint's callers, also for errors.
    pub dialect: DialectId,
    /// What requests of the endpoint ask for.
    pub task: Task,
    /// What follows the model's name in its address, and whether that asks for a stream; none where the body names the model.
    pub methods: &'static [(&'static str, bool)],
    /// The field that the model reads, where that is not the dialect's conversation.
    pub input: Option<&'static str>,
    /// Whether the lines of a batch may call it.
    pub in_batches: bool,
    /// Whether an answer repeats its request.
    pub repeats_request: bool,
}

/// All endpoints, in the order of [`Endpoint`].
pub static ENDPOINTS: [EndpointRow; 18] = [
    EndpointRow { name: "/v1/chat/completions", in_batches: true, ..CHAT },
    EndpointRow {
        endpoint: Endpoint::Responses,
        name: "/v1/responses",
        dialect: DialectId::OpenAiResponses,
        in_batches: true,
        repeats_request: true,
        ..CHAT
    },
    EndpointRow {
        endpoint: Endpoint::Embeddings,
        name: "/v1/embeddings",
        task: Task::Embed { many: true },
        input: Some("input"),
        in_batches: true,
        ..CHAT
    },
    EndpointRow {
        endpoint: Endpoint::Messages,
        name: "/v1/messages",
        dialect: DialectId::Anthropic,
        in_batches: true,
        ..CHAT
    },
    EndpointRow {
        endpoint: Endpoint::CountTokens,
        name: "/v1/messages/count_tokens",
        dialect: DialectId::Anthropic,
        task: Task::Count(&Counting {
            read: |body, _addressed| anthropic::read_count_request(body),
            is_answer: |body| anthropic::read_count(body).is_some(),
            answer: anthropic::count_answer,
        }),
        ..CHAT
    },
    EndpointRow {
        endpoint: Endpoint::Generate,
        name: "/v1beta/models",
        methods: &[("generateContent", false), ("streamGenerateContent", true)],
        ..GEMINI
    },
    EndpointRow {
        endpoint: Endpoint::GeminiCount,
        name: "/v1beta/models:countTokens",
        task: Task::Count(&Counting {
            read: |body, addressed| DialectId::Gemini.codec().read(body, addressed),
            is_answer: |body| gemini::counts(body),
            answer: gemini::count_answer,
        }),
        methods: &[("countTokens", false)],
        ..GEMINI
    },
    EndpointRow {
        endpoint: Endpoint::EmbedContent,
        name: "/v1beta/models:embedContent",
        task: Task::Embed { many: false },
        methods: &[("embedContent", false)],
        input: Some("content"),
        ..GEMINI
    },
    EndpointRow {
        endpoint: Endpoint::EmbedContents,
        name: "/v1beta/models:batchEmbedContents",
        task: Task::Embed { many: true },
        methods: &[("batchEmbedContents", false)],
        input: Some("requests"),
        ..GEMINI
    },
    EndpointRow { in_batches: true, ..passing(Endpoint::Completions, Passing::Completions) },
    EndpointRow { in_batches: true, ..passing(Endpoint::Moderations, Passing::Moderations) },
    passing(Endpoint::ImageGenerations, Passing::ImageGenerations),
    passing(Endpoint::ImageEdits, Passing::ImageEdits),
    passing(Endpoint::ImageVariations, Passing::ImageVariations),
    passing(Endpoint::Speech, Passing::Speech),
    passing(Endpoint::Transcriptions, Passing::Transcriptions),
    passing(Endpoint::Translations, Passing::Translations),
    passing(Endpoint::Rerank, Passing::Rerank),
];

/// The row that most endpoints differ little from: OpenAI's Chat Completions.
const CHAT: EndpointRow = EndpointRow {
    endpoint: Endpoint::Chat,
    name: "",
    dialect: DialectId::OpenAiChat,
    task: Task::Converse,
    methods: &[],
    input: None,
    in_batches: false,
    repeats_request: false,
};

const GEMINI: EndpointRow = EndpointRow { dialect: DialectId::Gemini, ..CHAT };

const fn passing(endpoint: Endpoint, passing: Passing) -> EndpointRow {
    EndpointRow { endpoint, name: passing.route(), task: Task::Pass(passing), input: Some(passing.input()), ..CHAT }
}

impl Endpoint {
    /// The endpoint's row.
    #[must_use]
    pub fn row(self) -> &'static EndpointRow {
        &ENDPOINTS[self as usize]
    }

    /// The endpoint's name in the ledger, in metrics and in batches.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The endpoint at `path`, of those whose address does not name the model.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        ENDPOINTS.iter().find(|row| row.name == path && row.methods.is_empty()).map(|row| row.endpoint)
    }

    /// The endpoint that this method of a model is, and whether it asks for a stream.
    #[must_use]
    pub fn of_method(method: &str) -> Option<(Self, bool)> {
        let found = |row: &EndpointRow| row.methods.iter().find(|(name, _)| *name == method).map(|(_, stream)| *stream);
        ENDPOINTS.iter().find_map(|row| Some((row.endpoint, found(row)?)))
    }

    /// The endpoint that `name` means: with or without `/v1/`, with dots or slashes.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim_start_matches('/').replace('.', "/");
        let bare = name.trim_start_matches("v1beta/").trim_start_matches("v1/");
        let is_named = |row: &&EndpointRow| row.name.trim_start_matches("/v1beta/").trim_start_matches("/v1/") == bare;
        ENDPOINTS.iter().find(is_named).map(|row| row.endpoint)
    }

    /// The same name, shared by rows of the ledger.
    #[must_use]
    pub fn shared_name(self) -> Arc<str> {
        static NAMES: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| ENDPOINTS.iter().map(|row| row.name.into()).collect());
        NAMES[self as usize].clone()
    }

    /// The dialect of the endpoint's callers, also for errors.
    #[must_use]
    pub fn dialect(self) -> DialectId {
        self.row().dialect
    }

    /// What requests of the endpoint ask for.
    #[must_use]
    pub fn task(self) -> Task {
        self.row().task
    }

    /// Whether a model answers a conversation here.
    #[must_use]
    pub fn is_answer(self) -> bool {
        matches!(self.task(), Task::Converse)
    }

    /// Whether the address names the model.
    #[must_use]
    pub fn is_addressed(self) -> bool {
        !self.row().methods.is_empty()
    }

    /// The route of OpenAI's, for an endpoint that only passes.
    #[must_use]
    pub fn passing(self) -> Option<Passing> {
        if let Task::Pass(passing) = self.task() { Some(passing) } else { None }
    }

    /// Whether the body may be a form.
    #[must_use]
    pub fn takes_form(self) -> bool {
        self.passing().is_some_and(Passing::takes_form)
    }

    /// The field that the model reads.
    #[must_use]
    pub fn input(self) -> &'static str {
        let row = self.row();
        row.input.unwrap_or_else(|| row.dialect.codec().conversation())
    }

    /// The usage that a whole answer in the caller's dialect reports.
    ///
    /// # Errors
    /// Where it is no answer.
    pub fn usage(self, body: &Bytes) -> Result<Option<Usage>, BadAnswer> {
        match self.row() {
            EndpointRow { task: Task::Embed { .. }, dialect: DialectId::OpenAiChat, .. } => {
                openai_embeddings::observe(body)
            }
            row => Ok(row.dialect.codec().observe(body)?.usage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_finds_its_own_row_by_its_name() {
        for (n, row) in ENDPOINTS.iter().enumerate() {
            assert_eq!((row.endpoint as usize, row.endpoint.name()), (n, row.name));
            assert_eq!(Endpoint::named(row.name), Some(row.endpoint), "{}", row.name);
            assert_eq!(Endpoint::at(row.name).is_some(), row.methods.is_empty(), "{}", row.name);
            assert_eq!(&*row.endpoint.shared_name(), row.name);
        }
    }

    #[test]
    fn every_route_that_passes_has_an_endpoint() {
        for passing in Passing::ALL {
            let endpoint = Endpoint::at(passing.route()).unwrap();
            assert_eq!((endpoint.passing(), endpoint.input()), (Some(passing), passing.input()));
        }
    }

    #[test]
    fn a_method_of_a_model_says_whether_to_stream() {
        assert_eq!(Endpoint::of_method("generateContent"), Some((Endpoint::Generate, false)));
        assert_eq!(Endpoint::of_method("streamGenerateContent"), Some((Endpoint::Generate, true)));
        assert_eq!(Endpoint::of_method("countTokens"), Some((Endpoint::GeminiCount, false)));
        assert_eq!(Endpoint::of_method("generate"), None);
    }
}
