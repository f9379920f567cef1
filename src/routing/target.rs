//! One model of one provider, as it can be called.

use std::sync::Arc;

use crate::chat::Structured;

/// One model of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// What the provider calls the model.
    pub model: Arc<str>,
    /// The target's name under `[models]`, else `provider/model`.
    pub name: Arc<str>,
    /// `provider/model`: what is cooled, logged and shown.
    pub id: Arc<str>,
    /// Whether the provider runs inside the organisation.
    pub local: bool,
    /// Whether its answers are made up.
    pub simulated: bool,
    /// The adapter to put on the model, by its number at a llama.cpp server.
    pub adapter: Option<u32>,
    /// How the model keeps to a requested format, where the configuration sets that.
    pub structured: Option<Structured>,
    /// The model that `model` stands for, where the configuration says so.
    pub base_model: Option<Arc<str>>,
}

impl Target {
    /// A model of a provider that no configuration says more of.
    #[must_use]
    pub fn of(provider: &str, model: &str) -> Self {
        let id: Arc<str> = format!("{provider}/{model}").into();
        Self {
            provider: provider.into(),
            model: model.into(),
            name: id.clone(),
            id,
            local: false,
            simulated: false,
            adapter: None,
            structured: None,
            base_model: None,
        }
    }
}
