//! What is asked of a provider beside calls of its models: the files and batches of its own batch API.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::address::escaped;
use super::{Kind, Provider};

/// One errand. Its ids are the provider's own; none of them leads to another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand<'a> {
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

/// What goes with an errand, and how long it may take.
#[derive(Clone, Debug)]
pub struct Load {
    /// The body's type.
    pub kind: HeaderValue,
    /// The body.
    pub body: Bytes,
    /// For all of it.
    pub limit: Duration,
}

impl Load {
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

impl Errand<'_> {
    pub(super) fn method(self) -> Method {
        match self {
            Self::AddFile | Self::AddBatch | Self::Cancel(_) => Method::POST,
            Self::DropFile(_) => Method::DELETE,
            Self::ReadFile(_) | Self::Batch(_) | Self::Batches(_) | Self::Results(_) => Method::GET,
        }
    }

    /// Where it goes; `None` where the provider has nothing of the kind.
    pub(super) fn address(self, provider: &Provider) -> Option<String> {
        let base = &provider.base_url;
        let (base, batches, after) = match provider.kind {
            Kind::OpenAi => (base.clone(), "/batches", "after"),
            Kind::Anthropic if base.ends_with("/v1") => (base.clone(), "/messages/batches", "after_id"),
            Kind::Anthropic => (format!("{base}/v1"), "/messages/batches", "after_id"),
            _ => return None,
        };
        let path = match self {
            Self::AddFile => "/files".to_owned(),
            Self::ReadFile(id) => format!("/files/{}/content", escaped(id)),
            Self::DropFile(id) => format!("/files/{}", escaped(id)),
            Self::AddBatch => batches.to_owned(),
            Self::Batch(id) => format!("{batches}/{}", escaped(id)),
            Self::Batches(None) => format!("{batches}?limit=100"),
            Self::Batches(Some(id)) => format!("{batches}?limit=100&{after}={}", escaped(id)),
            Self::Cancel(id) => format!("{batches}/{}/cancel", escaped(id)),
            Self::Results(id) => format!("{batches}/{}/results", escaped(id)),
        };
        Some(base + &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::address::tests::at;

    #[test]
    fn an_errand_stays_below_the_base_url() {
        let (openai, anthropic) = (at(Kind::OpenAi, "http://h/v1"), at(Kind::Anthropic, "http://h"));
        for (errand, method, there, elsewhere) in [
            (Errand::AddBatch, "POST", "http://h/v1/batches", "http://h/v1/messages/batches"),
            (
                Errand::Batch("b/../x"),
                "GET",
                "http://h/v1/batches/b%2F..%2Fx",
                "http://h/v1/messages/batches/b%2F..%2Fx",
            ),
            (
                Errand::Cancel(".."),
                "POST",
                "http://h/v1/batches/%2E%2E/cancel",
                "http://h/v1/messages/batches/%2E%2E/cancel",
            ),
            (
                Errand::Batches(Some("a&b")),
                "GET",
                "http://h/v1/batches?limit=100&after=a%26b",
                "http://h/v1/messages/batches?limit=100&after_id=a%26b",
            ),
        ] {
            assert_eq!(errand.method(), method);
            assert_eq!(errand.address(&openai).as_deref(), Some(there));
            assert_eq!(errand.address(&anthropic).as_deref(), Some(elsewhere));
            assert_eq!(errand.address(&at(Kind::Gemini, "http://h")), None);
        }
        assert_eq!(Errand::ReadFile("f").address(&openai).as_deref(), Some("http://h/v1/files/f/content"));
    }
}
