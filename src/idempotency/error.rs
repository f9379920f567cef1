//! Why a call with an idempotency-key is not made, and the error that its caller gets.

use std::time::Duration;

use crate::chat::{self, Code};
use crate::types::RequestId;

/// Why a call with an idempotency-key is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first call with the key still runs.
    #[error("The request {0} with this idempotency-key is still running; ask again in a moment for its answer.")]
    InProgress(RequestId),
    /// The key was used for another request.
    #[error(
        "This idempotency-key was used for another request ({0}); a key is good for one request, so take a new one."
    )]
    Mismatch(RequestId),
    /// The process ended while the first call ran.
    #[error(
        "The request {0} with this idempotency-key was cut off when the gateway stopped: whether the provider answered is not \
         known, so it is not made again. Take a new key to make it again."
    )]
    CutOff(RequestId),
    /// The answer was sent once, and is not stored.
    #[error(
        "The request {0} with this idempotency-key was answered, and its answer is not stored: it was too large, or later answers took its room."
    )]
    NotStored(RequestId),
    /// The answer was sent once, and erased since.
    #[error("The request {0} with this idempotency-key was answered, and its answer was erased since.")]
    Erased(RequestId),
    /// The record cannot be written.
    #[error("The idempotency-key cannot be written down just now, so nothing is sent.")]
    Unavailable,
}

impl Error {
    /// The request that used the key first.
    #[must_use]
    pub fn first(self) -> Option<RequestId> {
        match self {
            Self::InProgress(id) | Self::Mismatch(id) | Self::CutOff(id) | Self::NotStored(id) | Self::Erased(id) => {
                Some(id)
            }
            Self::Unavailable => None,
        }
    }
}

impl From<Error> for chat::Error {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::InProgress(_) => Code::IdempotencyInProgress,
            Error::Mismatch(_) => Code::IdempotencyMismatch,
            Error::CutOff(_) | Error::NotStored(_) | Error::Erased(_) => Code::Conflict,
            Error::Unavailable => Code::LedgerUnavailable,
        };
        Self {
            retry_after: matches!(error, Error::InProgress(_)).then_some(Duration::from_secs(1)),
            // Another try with the same key gets the same error.
            retried: matches!(error, Error::CutOff(_) | Error::NotStored(_) | Error::Erased(_)),
            ..Self::new(code, error.to_string()).at("idempotency-key")
        }
    }
}
