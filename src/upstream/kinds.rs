//! The kinds of providers: a row each, which holds all that differs between them. A new kind is a row here, its
//! name in `provider::Kind`, and a function for each address or header that no other kind has.

use http::{HeaderMap, HeaderName};

use super::address::{self, Operation};
use super::batch_api::{self, BatchApi};
use super::provider::{Kind, Provider};
use super::vendor::vendor_at;
use super::{auth, aws};
use crate::chat::Error;
use crate::wire::{DialectId, ProviderDialect};

/// What a kind of provider has.
pub struct KindRow {
    kind: Kind,
    /// The kind's name in the configuration and in the admin API.
    pub name: &'static str,
    /// The dialect that is spoken where neither the configuration nor the caller's dialect decides it.
    pub dialect: ProviderDialect,
    /// The operations that providers of the kind have.
    pub operations: &'static [Operation],
    /// Whether OpenAI's other routes pass to it.
    pub passes: bool,
    /// The address of a call of an operation and a model, streamed or not.
    pub(super) address: fn(&Provider, Operation, &str, bool) -> String,
    /// Where its models are listed; `None` where its API has no such list.
    pub(super) list: Option<fn(&Provider) -> String>,
    /// What asks there for many models in one page.
    pub(super) list_page: &'static str,
    /// Whether the address of a call depends on its model.
    pub(super) names_model: bool,
    /// The header of a key.
    pub(super) auth: fn(&Provider, &str) -> (HeaderName, String),
    /// The content types that providers of the kind are asked for.
    pub(super) accept: &'static str,
    /// Headers of every call.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// Corrects an error that was read of an answer; returns the status that says what the answer means.
    pub(super) correct: fn(u16, &HeaderMap, &[u8], &mut Error) -> u16,
    /// The kind's batch API, if there is one.
    pub batch_api: Option<&'static BatchApi>,
    /// Whether the models answer in this process, so that no address and no keys are needed.
    pub in_process: bool,
    /// Whether its answers are made up.
    pub simulated: bool,
    /// The vendor whose address is used where the configuration has none.
    pub vendor: Option<&'static str>,
    /// Who sells the models, at any address; `None` where the address decides that.
    seller: Option<&'static str>,
    /// Keys of the configuration that not every kind has.
    options: &'static [&'static str],
}

/// All kinds, in the order of [`Kind`].
static KINDS: [KindRow; 6] = [
    KindRow {
        name: "openai",
        batch_api: Some(&batch_api::OPENAI),
        vendor: Some("openai"),
        options: &["batch", "chat", "list_models", "responses", "vendor"],
        ..OPENAI
    },
    KindRow {
        kind: Kind::Anthropic,
        name: "anthropic",
        dialect: ProviderDialect::Client(DialectId::Anthropic),
        operations: &[Operation::Messages, Operation::CountTokens],
        passes: false,
        address: address::anthropic,
        list: Some(address::anthropic_models),
        list_page: "?limit=1000",
        auth: auth::x_api_key,
        headers: &[("anthropic-version", "2023-06-01")],
        batch_api: Some(&batch_api::ANTHROPIC),
        vendor: Some("anthropic"),
        options: &["batch", "list_models"],
        ..OPENAI
    },
    KindRow {
        kind: Kind::Gemini,
        name: "gemini",
        dialect: ProviderDialect::Client(DialectId::Gemini),
        operations: &[Operation::Generate, Operation::GeminiCount, Operation::EmbedContent, Operation::EmbedContents],
        passes: false,
        address: address::gemini,
        list: Some(address::gemini_models),
        list_page: "?pageSize=1000",
        names_model: true,
        auth: auth::x_goog_api_key,
        vendor: Some("gemini"),
        options: &["list_models"],
        ..OPENAI
    },
    KindRow {
        kind: Kind::Azure,
        name: "azure",
        address: address::azure,
        list: Some(address::azure_models),
        names_model: true,
        auth: auth::azure,
        seller: Some("azure"),
        options: &["api_version", "chat", "entra", "responses"],
        ..OPENAI
    },
    KindRow {
        kind: Kind::Bedrock,
        name: "bedrock",
        dialect: ProviderDialect::Bedrock,
        operations: &[Operation::Converse],
        passes: false,
        address: address::bedrock,
        list: None,
        names_model: true,
        accept: "application/json, application/vnd.amazon.eventstream",
        correct: aws::correct,
        seller: Some("bedrock"),
        options: &["access_key_id", "region", "secret_access_key", "session_token"],
        ..OPENAI
    },
    KindRow {
        kind: Kind::Simulated,
        name: "simulated",
        operations: &[Operation::Chat, Operation::Embeddings],
        in_process: true,
        simulated: true,
        options: &["profile"],
        ..OPENAI
    },
];

/// The row of most kinds: OpenAI's API alone.
const OPENAI: KindRow = KindRow {
    kind: Kind::OpenAi,
    name: "",
    dialect: ProviderDialect::Client(DialectId::OpenAiChat),
    operations: &[Operation::Chat, Operation::Responses, Operation::Embeddings],
    passes: true,
    address: address::openai,
    list: Some(address::openai_models),
    list_page: "",
    names_model: false,
    auth: auth::bearer,
    accept: "application/json, text/event-stream",
    headers: &[],
    correct: |status, _headers, _body, _error| status,
    batch_api: None,
    in_process: false,
    simulated: false,
    vendor: None,
    seller: None,
    options: &[],
};

impl Kind {
    /// The kind's row.
    #[must_use]
    pub fn row(self) -> &'static KindRow {
        &KINDS[self as usize]
    }

    /// Every kind by its name.
    #[must_use]
    pub fn names() -> Vec<(&'static str, Self)> {
        KINDS.iter().map(|row| (row.name, row.kind)).collect()
    }

    /// The names of the kinds for which this holds.
    #[must_use]
    pub fn names_of(holds: impl Fn(&KindRow) -> bool) -> Vec<&'static str> {
        KINDS.iter().filter(|row| holds(row)).map(|row| row.name).collect()
    }
}

impl KindRow {
    /// Whether providers of the kind have this operation.
    #[must_use]
    pub fn has(&self, operation: Operation) -> bool {
        if operation.passes() { self.passes } else { self.operations.contains(&operation) }
    }

    /// The API for embeddings; `None` where there is none.
    #[must_use]
    pub fn embeddings(&self) -> Option<DialectId> {
        if self.has(Operation::Embeddings) {
            return Some(DialectId::OpenAiChat);
        }
        self.has(Operation::EmbedContents).then_some(DialectId::Gemini)
    }

    /// Whether the configuration of one may have this key.
    #[must_use]
    pub fn takes(&self, option: &str) -> bool {
        self.options.contains(&option)
    }
}

impl Provider {
    /// The vendor whose prices hold for its models; empty where none does. An address proves that, a name does not.
    #[must_use]
    pub fn seller(&self) -> &'static str {
        let at_address = || vendor_at(&self.base_url).map_or("", |vendor| vendor.name);
        self.kind.row().seller.unwrap_or_else(at_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_finds_its_own_row_and_name() {
        for (n, row) in KINDS.iter().enumerate() {
            assert_eq!((row.kind as usize, row.kind.row().name), (n, row.name));
        }
        let names: std::collections::BTreeSet<_> = KINDS.iter().map(|row| row.name).collect();
        assert!(names.len() == KINDS.len() && !names.contains(""));
    }

    #[test]
    fn only_openai_and_anthropic_have_batch_apis() {
        assert_eq!(Kind::names_of(|row| row.batch_api.is_some()), ["openai", "anthropic"]);
        assert!(Kind::Gemini.row().batch_api.is_none());
    }

    #[test]
    fn a_kind_with_a_vendor_is_at_an_address_that_is_known() {
        for row in KINDS.iter().filter(|row| row.vendor.is_some()) {
            let vendor = row.vendor.and_then(crate::upstream::vendor_named);
            assert_eq!(vendor.map(|vendor| vendor.name), row.vendor, "{}", row.name);
        }
    }

    #[test]
    fn every_kind_answers_in_what_it_is_asked_in() {
        for row in &KINDS {
            assert!(row.has(Operation::in_dialect(row.dialect)), "{}", row.name);
        }
    }
}
