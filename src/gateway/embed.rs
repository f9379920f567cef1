//! Embeddings: asked of a provider in its own shape, and written in the caller's.

use bytes::Bytes;
use http::HeaderMap;

use super::rendering::Rendering;
use super::upstream_request::UpstreamRequest;
use crate::chat::{Code, Emulated, Error, Tier, Undo, Usage, Vectors};
use crate::routing::Target;
use crate::upstream::{Operation, ProviderClient};
use crate::wire::dialect::BadAnswer;
use crate::wire::endpoint::Task;
use crate::wire::json::{Edits, items, quoted};
use crate::wire::{DialectId, ProviderDialect, gemini, merged_embeddings, openai_embeddings};

impl Rendering {
    /// What `target` gets of a request for embeddings.
    ///
    /// # Errors
    /// `unsupported_feature` that names what it cannot say.
    pub fn for_embeddings(&self, client: &ProviderClient, target: &Target) -> Result<UpstreamRequest, Error> {
        let (own, is_batch) = (self.endpoint.dialect(), self.embeds_many());
        let Some(dialect) = client.provider().kind.row().embeddings() else {
            let message = format!("the provider {} has no embeddings; use another model", client.provider().name);
            return Err(Error::new(Code::UnsupportedFeature, message).at("model"));
        };
        let mut emulated = Emulated::default();
        let (operation, body) = match (own, dialect) {
            (DialectId::Gemini, DialectId::Gemini) => {
                let operation = if is_batch { Operation::EmbedContents } else { Operation::EmbedContent };
                (operation, gemini::pass_embed(&self.asked, &target.model, is_batch))
            }
            (DialectId::Gemini, _) => {
                let embed = gemini::embed_of(&self.asked, is_batch, &mut emulated)?;
                (Operation::Embeddings, openai_embeddings::write_embed(&embed, &target.model))
            }
            (_, DialectId::Gemini) => {
                let embed = openai_embeddings::embed_of(self.object())?;
                (Operation::EmbedContents, gemini::write_embed(&embed, &target.model))
            }
            _ => {
                let mut edits = Edits::default();
                edits.set("model", quoted(&target.model));
                if !client.has_base64() {
                    edits.remove("encoding_format");
                }
                (Operation::Embeddings, self.object().edited(&edits))
            }
        };
        let (dialect, headers) = (dialect.into(), HeaderMap::new());
        Ok(UpstreamRequest { operation, dialect, body, headers, emulated, undo: Undo::default(), tier: Tier::Unnamed })
    }

    fn embeds_many(&self) -> bool {
        matches!(self.endpoint.task(), Task::Embed { many: true })
    }

    /// How many vectors were asked for; `None` where that cannot be counted.
    fn vectors_asked(&self) -> Option<usize> {
        let object = self.object();
        match self.endpoint.dialect() {
            DialectId::Gemini if self.embeds_many() => Some(items(object.get("requests")?).count()),
            DialectId::Gemini => Some(1),
            _ => merged_embeddings::inputs(object).map(|inputs| inputs.count),
        }
    }

    /// The vectors of a whole answer in the caller's dialect, and their tokens where it reports them.
    ///
    /// # Errors
    /// Where it is no answer, or has not just the vectors that were asked for.
    pub fn vectors(&self, body: Bytes, from: ProviderDialect) -> Result<(Bytes, Option<Usage>), BadAnswer> {
        let wanted = openai_embeddings::encoding(self.object());
        let from_gemini = from == DialectId::Gemini.into();
        let asked = self.vectors_asked();
        match (self.endpoint.dialect(), from_gemini) {
            (DialectId::Gemini, true) => {
                let usage = all_there(gemini::read_vectors(&body)?, asked)?.usage;
                Ok((body, usage))
            }
            (DialectId::Gemini, false) => {
                let vectors = all_there(openai_embeddings::read_vectors(&body)?, asked)?;
                Ok((gemini::write_vectors(&vectors, self.embeds_many()), vectors.usage))
            }
            (_, true) => {
                let vectors = all_there(gemini::read_vectors(&body)?, asked)?;
                let (model, tokens) = (&self.asked.model, self.input_tokens());
                Ok((openai_embeddings::write_vectors(&vectors, wanted, model, tokens), vectors.usage))
            }
            (_, false) => openai_embeddings::recode(&body, wanted, asked),
        }
    }
}

/// Vectors, where they are as many as were asked for.
fn all_there(found: Vectors, asked: Option<usize>) -> Result<Vectors, BadAnswer> {
    let count = found.vectors.len();
    match asked.filter(|asked| *asked != count) {
        Some(asked) => Err(BadAnswer(format!("it has {count} vectors, and {asked} were asked for"))),
        None => Ok(found),
    }
}
