//! A request as it goes to a provider.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};

/// A request to send.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Uri,
    pub(super) host: &'a HeaderValue,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
}
