//! Embeddings: asked of a provider in its own shape, and told in the caller's.

use bytes::Bytes;
use http::HeaderMap;

use super::Api;
use super::plan::{Outgoing, Work};
use crate::chat::{Code, Emulated, Error, Usage};
use crate::routing::Target;
use crate::upstream::{Endpoint, Kind, Operation, Provider};
use crate::wire::dialect::BadAnswer;
use crate::wire::json::{Edits, quoted};
use crate::wire::{Speaks, Spoken, gemini, openai_embeddings};

impl Work {
    /// What `target` gets of a request for embeddings.
    ///
    /// # Errors
    /// `unsupported_feature` that names what it cannot say.
    pub fn for_embeddings(&self, endpoint: &Endpoint, target: &Target) -> Result<Outgoing, Error> {
        let Provider { name, kind, .. } = endpoint.provider();
        let (own, is_batch) = (self.api.speaks(), self.api == Api::EmbedContents);
        let speaks = match kind {
            Kind::OpenAi | Kind::Azure | Kind::Simulated => Speaks::OpenAiChat,
            Kind::Gemini => Speaks::Gemini,
            _ => {
                let message = format!("the provider {name} has no embeddings; use another model");
                return Err(Error::new(Code::UnsupportedFeature, message).at("model"));
            }
        };
        let mut emulated = Emulated::default();
        let (operation, body) = match (own, speaks) {
            (Speaks::Gemini, Speaks::Gemini) => {
                let operation = if is_batch { Operation::EmbedContents } else { Operation::EmbedContent };
                (operation, gemini::pass_embed(&self.asked, &target.model, is_batch))
            }
            (Speaks::Gemini, _) => {
                let embed = gemini::embed_of(&self.asked, is_batch, &mut emulated)?;
                (Operation::Embeddings, openai_embeddings::write_embed(&embed, &target.model))
            }
            (_, Speaks::Gemini) => {
                let embed = openai_embeddings::embed_of(self.object())?;
                (Operation::EmbedContents, gemini::write_embed(&embed, &target.model))
            }
            _ => {
                let mut edits = Edits::default();
                edits.set("model", quoted(&target.model));
                if !endpoint.has_base64() {
                    edits.remove("encoding_format");
                }
                (Operation::Embeddings, self.object().edited(&edits))
            }
        };
        let (speaks, headers) = (speaks.into(), HeaderMap::new());
        Ok(Outgoing { operation, speaks, body, headers, emulated, answer_tool: None })
    }

    /// The vectors of a whole answer in the caller's dialect, and their tokens where it tells them.
    pub fn vectors(&self, body: Bytes, from: Spoken) -> Result<(Bytes, Option<Usage>), BadAnswer> {
        let wanted = openai_embeddings::encoding(self.object());
        let from_gemini = from == Speaks::Gemini.into();
        match (self.api.speaks(), from_gemini) {
            (Speaks::Gemini, true) => {
                let usage = gemini::read_vectors(&body)?.usage;
                Ok((body, usage))
            }
            (Speaks::Gemini, false) => {
                let vectors = openai_embeddings::read_vectors(&body)?;
                Ok((gemini::write_vectors(&vectors, self.api == Api::EmbedContents), vectors.usage))
            }
            (_, true) => {
                let vectors = gemini::read_vectors(&body)?;
                let (model, tokens) = (&self.asked.model, self.input_tokens());
                Ok((openai_embeddings::write_vectors(&vectors, wanted, model, tokens), vectors.usage))
            }
            (_, false) => openai_embeddings::hear(&body, wanted),
        }
    }
}
