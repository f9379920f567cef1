//! Calls of a provider's batch API: its files and its batches.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::api::BatchApi;
use crate::upstream::address::escaped;

/// One call of a batch API. The ids are the provider's; none of them leads to another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchApiCall<'a> {
    /// Leaves a file there.
    AddFile,
    /// Reads a file.
    ReadFile(&'a str),
    /// Deletes a file.
    DropFile(&'a str),
    /// Makes a batch.
    AddBatch,
    /// Looks at a batch.
    Batch(&'a str),
    /// Looks at the batches there are, the newest first, after this one.
    Batches(Option<&'a str>),
    /// Cancels a batch.
    Cancel(&'a str),
    /// Reads the results of a batch, where they are no file.
    Results(&'a str),
}

/// The body of such a call, and how long the call may take.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The body's type.
    pub kind: HeaderValue,
    /// The body.
    pub body: Bytes,
    /// For the whole call.
    pub limit: Duration,
}

impl Payload {
    /// Nothing, answered within `limit`.
    #[must_use]
    pub fn none(limit: Duration) -> Self {
        Self::json(Bytes::new(), limit)
    }

    /// JSON, answered within `limit`.
    #[must_use]
    pub fn json(body: Bytes, limit: Duration) -> Self {
        Self { kind: HeaderValue::from_static("application/json"), body, limit }
    }
}

impl BatchApiCall<'_> {
    pub(in crate::upstream) fn method(self) -> Method {
        match self {
            Self::AddFile | Self::AddBatch | Self::Cancel(_) => Method::POST,
            Self::DropFile(_) => Method::DELETE,
            Self::ReadFile(_) | Self::Batch(_) | Self::Batches(_) | Self::Results(_) => Method::GET,
        }
    }

    /// The call's address at a provider with this base URL.
    pub(in crate::upstream) fn address(self, api: &BatchApi, base_url: &str) -> String {
        let base = if base_url.ends_with(api.base) { "" } else { api.base };
        let BatchApi { batches, after, .. } = api;
        let path = match self {
            Self::AddFile => "/files".to_owned(),
            Self::ReadFile(id) => format!("/files/{}/content", escaped(id)),
            Self::DropFile(id) => format!("/files/{}", escaped(id)),
            Self::AddBatch => (*batches).to_owned(),
            Self::Batch(id) => format!("{batches}/{}", escaped(id)),
            Self::Batches(None) => format!("{batches}?limit=100"),
            Self::Batches(Some(id)) => format!("{batches}?limit=100&{after}={}", escaped(id)),
            Self::Cancel(id) => format!("{batches}/{}/cancel", escaped(id)),
            Self::Results(id) => format!("{batches}/{}/results", escaped(id)),
        };
        format!("{base_url}{base}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::batch_api::{ANTHROPIC, OPENAI};

    #[test]
    fn a_call_stays_below_the_base_url() {
        for (call, method, there, elsewhere) in [
            (BatchApiCall::AddBatch, "POST", "http://h/v1/batches", "http://h/v1/messages/batches"),
            (
                BatchApiCall::Batch("b/../x"),
                "GET",
                "http://h/v1/batches/b%2F..%2Fx",
                "http://h/v1/messages/batches/b%2F..%2Fx",
            ),
            (
                BatchApiCall::Cancel(".."),
                "POST",
                "http://h/v1/batches/%2E%2E/cancel",
                "http://h/v1/messages/batches/%2E%2E/cancel",
            ),
            (
                BatchApiCall::Batches(Some("a&b")),
                "GET",
                "http://h/v1/batches?limit=100&after=a%26b",
                "http://h/v1/messages/batches?limit=100&after_id=a%26b",
            ),
        ] {
            assert_eq!(call.method(), method);
            assert_eq!(call.address(&OPENAI, "http://h/v1"), there);
            assert_eq!(call.address(&ANTHROPIC, "http://h"), elsewhere);
            assert_eq!(call.address(&ANTHROPIC, "http://h/v1"), elsewhere);
        }
        assert_eq!(BatchApiCall::ReadFile("f").address(&OPENAI, "http://h/v1"), "http://h/v1/files/f/content");
    }
}
