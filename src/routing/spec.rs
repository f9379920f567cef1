//! Routes and models as a configuration states them, before they are compiled.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::chat::Structured;
use crate::upstream::Provider;

/// A text of the configuration, with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned {
    /// The text, without its quotes.
    pub text: String,
    /// Byte offset of the text's first character.
    pub at: usize,
}

/// A name that requests may use for one model of one provider.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// The name.
    pub name: Arc<str>,
    /// The provider's name in the configuration.
    pub provider: Spanned,
    /// What the provider calls the model.
    pub model: Arc<str>,
    /// The adapter to put on it, by its number at a llama.cpp server.
    pub adapter: Option<u32>,
    /// How it keeps to a wanted form, where the configuration says so.
    pub structured: Option<Structured>,
    /// The key of its table, such as `models.fast`.
    pub key: String,
}

/// One target of a route.
#[derive(Clone, Debug)]
pub struct TargetSpec {
    /// A name under `[models]`, or `provider/model`.
    pub model: Spanned,
    /// Its share of the route's calls; 0 takes it out.
    pub weight: u32,
}

/// One `[[routes]]` table.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// Its name; it shows in a response header.
    pub name: Spanned,
    /// The key of its table, such as `routes[0]`.
    pub key: String,
    /// The CEL rule that must hold.
    pub when: Option<Spanned>,
    /// Names of requests' models that it takes.
    pub models: Vec<Spanned>,
    /// Where calls go.
    pub targets: Vec<TargetSpec>,
    /// Where they go when the targets fail.
    pub fallbacks: Vec<Spanned>,
    /// How a target is chosen.
    pub strategy: Order,
    /// What keeps a caller on one target.
    pub sticky_by: StickyBy,
    /// Its own number of retries.
    pub retries: Option<u32>,
    /// Its own cache policy.
    pub cache: Option<CachePolicy>,
    /// Whether an answer that was to be JSON and is not is asked for once more, where the route says so.
    pub repair: Option<bool>,
    /// Whether calls must stay with local providers.
    pub local_only: bool,
    /// Its own rule of which bodies the ledger keeps.
    pub store_bodies: Option<StoreBodies>,
}

/// What holds where a route says nothing, and for direct calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Retries of one call, beyond its first attempt.
    pub retries: u32,
    /// Whether and how answers are cached.
    pub cache: CachePolicy,
    /// Whether an answer that was to be JSON and is not is asked for once more.
    pub repair: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { retries: 2, cache: CachePolicy::default(), repair: false }
    }
}

/// All that routes are compiled from.
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    /// The providers there are.
    pub providers: &'a [Provider],
    /// The names under `[models]`.
    pub models: &'a [ModelSpec],
    /// The routes, in the file's order.
    pub routes: &'a [RouteSpec],
    /// What holds where a route says nothing.
    pub defaults: Defaults,
}

/// How a route chooses among its targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By chance, in proportion to the weights.
    #[default]
    Weighted,
    /// The first that is not cooling.
    Priority,
}

/// What keeps a caller on the same target while the weights stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StickyBy {
    /// Nothing: every call draws anew.
    #[default]
    None,
    /// The user that the request names.
    User,
    /// The session that the request names.
    Session,
    /// The virtual key.
    Key,
}

/// Whether and how answers are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// How a stored answer is found.
    pub mode: CacheMode,
    /// How long it may be used.
    pub ttl: Duration,
    /// Who may use it.
    pub scope: CacheScope,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self { mode: CacheMode::Off, ttl: Duration::from_secs(3_600), scope: CacheScope::Project }
    }
}

/// How a stored answer is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheMode {
    /// Not at all.
    #[default]
    Off,
    /// By the same request.
    Exact,
}

/// Who may use a stored answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheScope {
    /// The virtual key whose call made it.
    Key,
    /// Every key of the same project.
    #[default]
    Project,
}

/// Which bodies the ledger keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreBodies {
    /// None.
    #[default]
    None,
    /// What callers sent, with its prompt rendered.
    Prompts,
    /// What callers sent, and what they got.
    Full,
}
