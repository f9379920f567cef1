//! The read phase: a request as its dialect reads it, before the prompt that it may name is looked up.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::incoming::Incoming;
use super::memo;
use super::rendering::Rendering;
use super::request::Request;
use super::resolve::named;
use crate::chat::Error;
use crate::prompts::Reference;
use crate::wire::dialect::Asked;
use crate::wire::endpoint::Task;
use crate::wire::gemini;
use crate::wire::openai_embeddings::EmbeddingsRequest;

/// A request that was read.
pub enum Read {
    /// One that names no prompt.
    Ready(Arc<Request>),
    /// One that names a prompt.
    Prompted(Box<Asked>, Reference),
}

/// Reads a request, unless equal bytes were read lately.
///
/// # Errors
/// Where it is no request of its dialect.
pub fn read(incoming: &Incoming) -> Result<Read, Error> {
    match memo::recall(incoming) {
        Some(request) => Ok(Read::Ready(request)),
        None => read_body(incoming, incoming.body.clone()),
    }
}

/// Remembers what was read of a request whose answer is cached: it may come again soon.
pub fn remember(incoming: &Incoming, request: &Request) {
    memo::remember(incoming, request, |body| match read_body(incoming, body) {
        Ok(Read::Ready(request)) => Some(request),
        _ => None,
    });
}

fn read_body(incoming: &Incoming, body: Bytes) -> Result<Read, Error> {
    let Incoming { endpoint, addressed, .. } = incoming;
    let endpoint = *endpoint;
    let rendering = match endpoint.task() {
        Task::Pass(passing) => {
            let kind = incoming.headers.get(CONTENT_TYPE).map_or(&b"application/json"[..], HeaderValue::as_bytes);
            let (asked, form) = passing.read(body, kind)?;
            Rendering::of(endpoint, asked).with_form(form)
        }
        Task::Embed { .. } if !endpoint.is_addressed() => {
            let asked = EmbeddingsRequest::read(body)?.into_asked();
            Rendering::of(endpoint, asked)
        }
        Task::Embed { many } => {
            let model = addressed.model.as_deref().unwrap_or_default();
            let asked = gemini::read_embed(body, model, many)?;
            Rendering::of(endpoint, asked)
        }
        task => {
            let asked = match task {
                Task::Count(counting) => (counting.read)(body, addressed)?,
                _ => endpoint.dialect().codec().read(body, addressed)?,
            };
            if let Some(reference) = named(&asked)? {
                return Ok(Read::Prompted(Box::new(asked), reference));
            }
            Rendering::of(endpoint, asked)
        }
    };
    Ok(Read::Ready(Arc::new(Request::plain(rendering))))
}
