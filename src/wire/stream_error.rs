//! Errors that a provider reports within a stream.

use crate::chat::{Code, Error};

/// The error for a caller: `kind` is the provider's own code. What a provider says of the gateway's key stays here.
pub(super) fn reported(code: Code, kind: &str, message: Option<&str>) -> Error {
    let message = match code {
        Code::UpstreamAuth => "the provider refused the gateway's key",
        _ => message.unwrap_or("the provider reported an error in its stream"),
    };
    Error { upstream_code: Some(kind.to_owned()), ..Error::new(code, message) }
}
