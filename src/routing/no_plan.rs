//! Why a call has no target.

use std::sync::Arc;

use crate::chat;

/// The most characters of a model's name that an error repeats.
pub(super) const LONGEST: usize = 80;

/// Why a call has no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    /// No route takes the call, and no model has that name.
    #[error("no route takes the model `{0}`, and no model has that name")]
    ModelNotFound(String),
    /// No route takes the call, and the provider that the model's name begins with is not there.
    #[error(
        "no route takes the model `{0}`, and there is no provider `{provider}`",
        provider = .0.split('/').next().unwrap_or_default()
    )]
    ProviderNotFound(String),
    /// Routes list the model, and their rules keep the call from them.
    #[error("no route takes this call of the model `{model}`: {why}")]
    NotTaken {
        /// The model.
        model: String,
        /// Which routes list it, and what is with their rules.
        why: String,
    },
    /// A rule would take too long with what the request brings.
    #[error("the rule of the route `{0}` takes too long with this request: send fewer entries in `metadata`")]
    TooLong(Arc<str>),
    /// The rule of a route reads a similarity that is still to be worked out.
    #[error("how similar the text is to the examples of the route `{0}` is still to be worked out")]
    Open(Arc<str>),
    /// The request names no model, and no route takes such a call.
    #[error("the request names no model, and no route takes it without one")]
    NoModel,
}

impl NoPlan {
    /// The same for a caller, who may not know the routes that do not take its calls.
    #[must_use]
    pub fn without_names(self) -> Self {
        match self {
            Self::NotTaken { model, .. } => {
                Self::NotTaken { model, why: "a route lists it, and its rule is false".to_owned() }
            }
            error => error,
        }
    }
}

impl From<NoPlan> for chat::Error {
    fn from(error: NoPlan) -> Self {
        let message = error.to_string();
        match error {
            NoPlan::ModelNotFound(_) | NoPlan::ProviderNotFound(_) | NoPlan::NotTaken { .. } => {
                Self::new(chat::Code::ModelNotFound, message).at("model")
            }
            NoPlan::TooLong(_) => Self::field("metadata", message),
            NoPlan::Open(_) => Self::new(chat::Code::Internal, message),
            NoPlan::NoModel => Self::field("model", message),
        }
    }
}
