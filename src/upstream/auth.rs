//! How a key goes with a call: the header that each kind of provider reads it from.

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::provider::Provider;

pub(super) fn bearer(_: &Provider, key: &str) -> (HeaderName, String) {
    (AUTHORIZATION, format!("Bearer {key}"))
}

pub(super) fn x_api_key(_: &Provider, key: &str) -> (HeaderName, String) {
    (HeaderName::from_static("x-api-key"), key.to_owned())
}

pub(super) fn x_goog_api_key(_: &Provider, key: &str) -> (HeaderName, String) {
    (HeaderName::from_static("x-goog-api-key"), key.to_owned())
}

/// Azure's own keys have a header of their own; tokens of Entra's have not.
pub(super) fn azure(provider: &Provider, key: &str) -> (HeaderName, String) {
    if provider.entra_tokens { bearer(provider, key) } else { (HeaderName::from_static("api-key"), key.to_owned()) }
}
