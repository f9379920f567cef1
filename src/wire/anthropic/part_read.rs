//! Content blocks of a request, read.

use serde_json::Value;

use super::citation;
use super::idiom::IDIOM;
use crate::chat::{CacheTtl, Content, Emulated, Part, Source};
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Path, Place};

/// Reads a `content`: a text or a list of blocks. Empty texts are left out.
pub(super) fn read_content(value: Value, path: &Path<'_>, emulated: &mut Emulated) -> Result<Vec<Part>, FieldError> {
    let blocks = match value {
        Value::String(text) if text.is_empty() => return Ok(Vec::new()),
        Value::String(text) => return Ok(vec![Part::text(text)]),
        Value::Array(blocks) => blocks,
        _ => return Err(FieldError::wrong(path, "must be a text or a list of blocks")),
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (n, block) in blocks.into_iter().enumerate() {
        if is_search(&block) {
            // The request has the tools that it found.
            emulated.note("tool_search");
            continue;
        }
        let part = read_block(Place::of(block, path.nth(n), &IDIOM)?, emulated)?;
        let is_empty = part.as_text() == Some("") && part.cache.is_none();
        parts.extend((!is_empty).then_some(part));
    }
    Ok(parts)
}

/// What the names of Anthropic's own search for tools begin with.
pub(super) const TOOL_SEARCH: &str = "tool_search_tool";

/// Whether a block is of Anthropic's own search for tools.
fn is_search(block: &Value) -> bool {
    match block["type"].as_str() {
        Some("tool_search_tool_result") => true,
        Some("server_tool_use") => block["name"].as_str().is_some_and(|name| name.starts_with(TOOL_SEARCH)),
        _ => false,
    }
}

fn read_block(mut block: Place<'_>, emulated: &mut Emulated) -> Result<Part, FieldError> {
    let mut signature = None;
    let content = match block.text("type")?.as_str() {
        "text" => {
            block.only(&["text", "cache_control", "citations"])?;
            let citations = block.list("citations")?.iter().map(citation::read).collect();
            Content::Text { text: block.text("text")?, citations }
        }
        "image" => {
            block.only(&["source", "cache_control"])?;
            Content::Image { source: read_source(&mut block)?, detail: None }
        }
        "document" => read_document(&mut block)?,
        "thinking" => {
            block.only(&["thinking", "signature"])?;
            signature = block.maybe_text("signature")?.filter(|text| !text.is_empty());
            Content::Thinking(block.text("thinking")?)
        }
        "redacted_thinking" => {
            block.only(&["data"])?;
            Content::RedactedThinking(block.text("data")?)
        }
        "tool_reference" => {
            // It stands for a definition that is among the request's tools anyway.
            block.only(&["tool_name", "cache_control"])?;
            emulated.note("tool_reference");
            let text = format!("The tool `{}` is available.", block.text("tool_name")?);
            Content::Text { text, citations: Vec::new() }
        }
        "tool_use" => read_call(&mut block)?,
        "tool_result" => read_result(&mut block, emulated)?,
        _ => return Err(IDIOM.only_here(block.path())),
    };
    Ok(Part { content, cache: read_cache(&mut block)?, signature })
}

fn read_call(block: &mut Place<'_>) -> Result<Content, FieldError> {
    block.only(&["id", "name", "input", "cache_control", "caller"])?;
    // A call by another tool's code, rather than by the model, exists only with Anthropic's own tools.
    if block.object("caller")?.is_some_and(|mut caller| caller.text("type").ok().as_deref() != Some("direct")) {
        return Err(block.only_here("caller"));
    }
    let input = block.need("input")?;
    if !input.is_object() {
        return Err(block.wrong("input", "must be an object"));
    }
    Ok(Content::ToolCall { id: block.text("id")?, name: block.text("name")?, arguments: exact_numbers::write(&input) })
}

fn read_result(block: &mut Place<'_>, emulated: &mut Emulated) -> Result<Content, FieldError> {
    block.only(&["tool_use_id", "content", "is_error", "cache_control"])?;
    let parts = match block.take("content") {
        Some(content) => read_content(content, &block.at("content"), emulated)?,
        None => Vec::new(),
    };
    let inner =
        |part: &Part| matches!(part.content, Content::Text { .. } | Content::Image { .. } | Content::Document { .. });
    if !parts.iter().all(inner) {
        return Err(block.wrong("content", "may hold only texts, images and documents"));
    }
    let is_error = block.flag("is_error")?.unwrap_or(false);
    Ok(Content::ToolResult { id: block.text("tool_use_id")?, name: None, parts, is_error })
}

fn read_document(block: &mut Place<'_>) -> Result<Content, FieldError> {
    block.only(&["source", "cache_control", "title", "citations"])?;
    let cite = match block.object("citations")? {
        Some(mut citations) => citations.flag("enabled")?.unwrap_or(false),
        None => false,
    };
    let name = block.maybe_text("title")?;
    Ok(Content::Document { source: read_source(block)?, name, cite })
}

fn read_source(block: &mut Place<'_>) -> Result<Source, FieldError> {
    let source = block.need("source")?;
    let mut source = block.inner(source, block.at("source"))?;
    Ok(match source.text("type")?.as_str() {
        "base64" => Source::Base64 { media_type: source.text("media_type")?, data: source.text("data")? },
        "url" => Source::Url(source.text("url")?),
        "file" => Source::File(source.text("file_id")?),
        "text" => Source::Text(source.text("data")?),
        _ => return Err(source.only_here("type")),
    })
}

/// Reads an object's `cache_control`.
pub(super) fn read_cache(of: &mut Place<'_>) -> Result<Option<CacheTtl>, FieldError> {
    let Some(mut mark) = of.object("cache_control")? else { return Ok(None) };
    match mark.maybe_text("ttl")?.as_deref() {
        None | Some("5m") => Ok(Some(CacheTtl::FiveMinutes)),
        Some("1h") => Ok(Some(CacheTtl::Hour)),
        Some(_) => Err(mark.wrong("ttl", "must be `5m` or `1h`")),
    }
}
