//! Content blocks of a request, read.

use serde_json::Value;

use super::citation;
use super::place::{Place, only_here, wrong};
use crate::chat::{CacheTtl, Content, Emulated, Error, Part, Source};
use crate::wire::json::exact;

/// Reads a `content`: a text or a list of blocks. Empty texts say nothing and go out.
pub(super) fn read_content(value: &Value, path: &str, emulated: &mut Emulated) -> Result<Vec<Part>, Error> {
    let blocks = match value {
        Value::String(text) if text.is_empty() => return Ok(Vec::new()),
        Value::String(text) => return Ok(vec![Part::text(text.as_str())]),
        Value::Array(blocks) => blocks,
        _ => return Err(wrong(path, "must be a text or a list of blocks")),
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (n, block) in blocks.iter().enumerate() {
        let part = read_block(&Place::of(block, format!("{path}[{n}]"))?, emulated)?;
        let nothing = part.as_text() == Some("") && part.cache.is_none();
        parts.extend((!nothing).then_some(part));
    }
    Ok(parts)
}

fn read_block(block: &Place<'_>, emulated: &mut Emulated) -> Result<Part, Error> {
    let text = |name: &str| block.text(name).map(str::to_owned);
    let mut signature = None;
    let content = match block.text("type")? {
        "text" => {
            block.only(&["type", "text", "cache_control", "citations"])?;
            let citations = block.list("citations")?.iter().map(citation::read).collect();
            Content::Text { text: text("text")?, citations }
        }
        "image" => {
            block.only(&["type", "source", "cache_control"])?;
            Content::Image { source: read_source(block)?, detail: None }
        }
        "document" => read_document(block)?,
        "thinking" => {
            block.only(&["type", "thinking", "signature"])?;
            signature = block.maybe_text("signature")?.filter(|text| !text.is_empty()).map(str::to_owned);
            Content::Thinking(text("thinking")?)
        }
        "redacted_thinking" => {
            block.only(&["type", "data"])?;
            Content::RedactedThinking(text("data")?)
        }
        "tool_use" => read_call(block)?,
        "tool_result" => {
            block.only(&["type", "tool_use_id", "content", "is_error", "cache_control"])?;
            let parts = match block.get("content") {
                Some(content) => read_content(content, &block.at("content"), emulated)?,
                None => Vec::new(),
            };
            let inner = |part: &Part| {
                matches!(part.content, Content::Text { .. } | Content::Image { .. } | Content::Document { .. })
            };
            if !parts.iter().all(inner) {
                return Err(wrong(&block.at("content"), "may hold only texts, images and documents"));
            }
            let is_error = block.flag("is_error")?.unwrap_or(false);
            Content::ToolResult { id: text("tool_use_id")?, name: None, parts, is_error }
        }
        _ => return Err(only_here(block.path())),
    };
    Ok(Part { content, cache: read_cache(block)?, signature })
}

fn read_call(block: &Place<'_>) -> Result<Content, Error> {
    block.only(&["type", "id", "name", "input", "cache_control", "caller"])?;
    // A call by another tool's code, rather than by the model, is a matter of Anthropic's own tools.
    if block.object("caller")?.is_some_and(|caller| caller.text("type").ok() != Some("direct")) {
        return Err(only_here(&block.at("caller")));
    }
    let input = block.need("input")?;
    if !input.is_object() {
        return Err(wrong(&block.at("input"), "must be an object"));
    }
    let text = |name: &str| block.text(name).map(str::to_owned);
    Ok(Content::ToolCall { id: text("id")?, name: text("name")?, arguments: exact::write(input) })
}

fn read_document(block: &Place<'_>) -> Result<Content, Error> {
    block.only(&["type", "source", "cache_control", "title", "citations"])?;
    let cite = match block.object("citations")? {
        Some(citations) => citations.flag("enabled")?.unwrap_or(false),
        None => false,
    };
    let name = block.maybe_text("title")?.map(str::to_owned);
    Ok(Content::Document { source: read_source(block)?, name, cite })
}

fn read_source(block: &Place<'_>) -> Result<Source, Error> {
    let source = Place::of(block.need("source")?, block.at("source"))?;
    let text = |name: &str| source.text(name).map(str::to_owned);
    Ok(match source.text("type")? {
        "base64" => Source::Base64 { media_type: text("media_type")?, data: text("data")? },
        "url" => Source::Url(text("url")?),
        "file" => Source::File(text("file_id")?),
        "text" => Source::Text(text("data")?),
        _ => return Err(only_here(&source.at("type"))),
    })
}

/// Reads an object's `cache_control`.
pub(super) fn read_cache(of: &Place<'_>) -> Result<Option<CacheTtl>, Error> {
    let Some(mark) = of.object("cache_control")? else { return Ok(None) };
    match mark.maybe_text("ttl")? {
        None | Some("5m") => Ok(Some(CacheTtl::FiveMinutes)),
        Some("1h") => Ok(Some(CacheTtl::Hour)),
        Some(_) => Err(wrong(&mark.at("ttl"), "must be `5m` or `1h`")),
    }
}
