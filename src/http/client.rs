//! What an address and its headers show of the client that calls: its dialect, and Google's form of a key.

use std::borrow::Cow;

use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

use crate::wire::DialectId;

/// The dialect of a client, by where it calls and by the headers that only clients of one vendor send.
pub fn dialect_of(uri: &Uri, headers: &HeaderMap) -> DialectId {
    let path = uri.path();
    match () {
        () if path.starts_with("/api/") => DialectId::OpenAiChat,
        () if path.starts_with("/v1beta/") => DialectId::Gemini,
        () if path.starts_with("/v1/messages") || headers.contains_key("anthropic-version") => DialectId::Anthropic,
        () if headers.contains_key("x-goog-api-key") || has_query_key(uri) => DialectId::Gemini,
        () => DialectId::OpenAiChat,
    }
}

/// Whether Google's API has routes like this one.
pub fn is_googles(path: &str) -> bool {
    path.starts_with("/v1beta/") || path == "/v1/models" || path.starts_with("/v1/models/")
}

/// Whether the address carries a key, as Google's clients write it.
pub fn has_query_key(uri: &Uri) -> bool {
    query_key(uri).is_some()
}

/// The key in the address.
pub fn query_key(uri: &Uri) -> Option<Cow<'_, str>> {
    let text = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("key="))?;
    percent_decode_str(text).decode_utf8().ok()
}
