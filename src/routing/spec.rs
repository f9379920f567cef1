//! Routes and models as a configuration states them, before they are compiled.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::accept::Checks;
use super::affinity::Affinity;
use super::min_speed::MinSpeed;
use crate::chat::Structured;
use crate::types::{Nanos, Share};
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
    /// The adapter to put on the model, by its number at a llama.cpp server.
    pub adapter: Option<u32>,
    /// How the model keeps to a requested format, where the configuration sets that.
    pub structured: Option<Structured>,
    /// The model that `model` stands for, where its own name does not show that.
    pub base_model: Option<Arc<str>>,
    /// The key of its table, such as `models.fast`.
    pub key: String,
}

/// One target of a route.
#[derive(Clone, Debug)]
pub struct TargetSpec {
    /// A name under `[models]`, or `provider/model`.
    pub model: Spanned,
    /// The target's share of the route's calls; 0 for none.
    pub weight: u32,
    /// What its answer must be, in a cascade.
    pub accept: Option<AcceptSpec>,
}

/// The `accept` of a target, as a configuration states it.
#[derive(Clone, Debug)]
pub struct AcceptSpec {
    /// The key of its table, such as `routes[0].targets[0].accept`.
    pub key: String,
    /// The checks that look at the answer alone.
    pub checks: Checks,
    /// The model that judges the answer.
    pub judge: Option<Spanned>,
    /// Whether a mistake in it was noted already.
    pub is_broken: bool,
}

/// The `hedge` of a route, as a configuration states it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgeSpec {
    /// When the second target is asked.
    pub after: After,
    /// The share of the route's spend that hedges may add, 0 to 1.
    pub max_extra_spend: f64,
}

/// When a second target is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// After the time by which 95 of 100 answers of the first had begun.
    P95,
    /// After this time.
    Time(Duration),
}

/// One `[[routes]]` table.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// The route's name, which a response header shows.
    pub name: Spanned,
    /// The key of its table, such as `routes[0]`.
    pub key: String,
    /// The CEL rule that must hold.
    pub when: Option<Spanned>,
    /// The model names that the route takes.
    pub models: Vec<Spanned>,
    /// The targets of calls.
    pub targets: Vec<TargetSpec>,
    /// The targets where those fail.
    pub fallbacks: Vec<Spanned>,
    /// How a target is chosen.
    pub strategy: Order,
    /// What keeps a caller on one target.
    pub sticky_by: StickyBy,
    /// What keeps calls that belong together on one target.
    pub affinity: Affinity,
    /// When a second target is asked beside one that has not begun to answer.
    pub hedge: Option<HedgeSpec>,
    /// The number of retries, where the route sets one.
    pub retries: Option<u32>,
    /// The cache policy, where the route sets one.
    pub cache: Option<CachePolicy>,
    /// Whether an answer that was to be JSON and is not is asked for once more, where the route sets that.
    pub repair: Option<bool>,
    /// How fast a stream must come before anything of it goes down.
    pub min_speed: Option<MinSpeed>,
    /// Whether calls must stay with local providers.
    pub local_only: bool,
    /// Which bodies the ledger stores, where the route sets that.
    pub store_bodies: Option<StoreBodies>,
    /// The targets for causes.
    pub causes: CausesSpec,
    /// The candidate that gets a share of the calls.
    pub shadow: Option<ShadowSpec>,
}

impl RouteSpec {
    /// Whether a call has two targets that can be asked, or one and a fallback.
    #[must_use]
    pub fn has_second(&self) -> bool {
        let asked = self.targets.iter().filter(|target| self.strategy.asks(target.weight));
        let mut models = asked.map(|target| &target.model.text).chain(self.fallbacks.iter().map(|model| &model.text));
        let first = models.next();
        models.any(|model| Some(model) != first)
    }
}

/// The targets of a route for causes, as a configuration states them.
#[derive(Clone, Debug, Default)]
pub struct CausesSpec {
    /// `on_context_length`.
    pub context_length: Vec<Spanned>,
    /// `on_content_filter`.
    pub content_filter: Vec<Spanned>,
    /// `on_budget`.
    pub budget: Option<OnBudgetSpec>,
}

/// `on_budget`, as a configuration states it.
#[derive(Clone, Debug)]
pub struct OnBudgetSpec {
    /// The used part of a budget, 0 to 1, above which its models come first.
    pub above: Share,
    /// The models.
    pub models: Vec<Spanned>,
}

/// `shadow` of a route, as a configuration states it.
#[derive(Clone, Debug)]
pub struct ShadowSpec {
    /// The candidate.
    pub model: Spanned,
    /// The share of calls, 0 to 1.
    pub share: Share,
    /// The most that its calls may cost in a day of UTC.
    pub most_a_day: Nanos,
}

/// The settings of direct calls, and of routes that set none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Retries of one call, beyond its first attempt.
    pub retries: u32,
    /// Whether and how answers are cached.
    pub cache: CachePolicy,
    /// Whether an answer that was to be JSON and is not is asked for once more.
    pub repair: bool,
    /// What becomes of a call all of whose targets cool.
    pub all_cooling: AllCooling,
}

/// What becomes of a call all of whose targets cool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllCooling {
    /// The target that recovers first is called all the same.
    #[default]
    Try,
    /// The call is refused.
    Refuse,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { retries: 2, cache: CachePolicy::default(), repair: false, all_cooling: AllCooling::default() }
    }
}

/// One `[examples.NAME]` table.
#[derive(Clone, Debug)]
pub struct ExampleSpec {
    /// The name that rules use, with its place.
    pub name: Spanned,
    /// The key of its table.
    pub key: String,
    /// The sentences.
    pub sentences: Vec<String>,
}

/// The configuration that routes are compiled from.
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    /// The providers.
    pub providers: &'a [Provider],
    /// The names under `[models]`.
    pub models: &'a [ModelSpec],
    /// The routes, in the file's order.
    pub routes: &'a [RouteSpec],
    /// The settings where a route has none.
    pub defaults: Defaults,
    /// The model of `[cache.semantic]`, with its place, where there is one.
    pub embedding: Option<&'a Spanned>,
    /// The sets of examples.
    pub examples: &'a [ExampleSpec],
}

/// How a route chooses among its targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By chance, in proportion to the weights.
    #[default]
    Weighted,
    /// The first that is not cooling.
    Priority,
    /// By what the call is expected to cost.
    Cheapest,
    /// By the time to the first token.
    Fastest,
    /// By the calls under way.
    LeastBusy,
    /// In order, until an answer is accepted.
    Cascade,
}

impl Order {
    /// Whether weights and chance decide.
    #[must_use]
    pub fn is_weighted(self) -> bool {
        self == Self::Weighted
    }

    /// Whether figures of the targets decide, so that of weights only 0 counts.
    #[must_use]
    pub fn goes_by_figures(self) -> bool {
        matches!(self, Self::Cheapest | Self::Fastest | Self::LeastBusy)
    }

    /// Whether it ever asks a target of this weight.
    pub(super) fn asks(self, weight: u32) -> bool {
        weight > 0 || !(self.is_weighted() || self.goes_by_figures())
    }

    /// Whether it reads what is measured of targets.
    pub(super) fn is_measured(self) -> bool {
        matches!(self, Self::Fastest | Self::LeastBusy)
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Weighted => "weighted",
            Self::Priority => "priority",
            Self::Cheapest => "cheapest",
            Self::Fastest => "fastest",
            Self::LeastBusy => "least_busy",
            Self::Cascade => "cascade",
        }
    }
}

/// What keeps a caller on the same target while the weights do not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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
    /// How long a stored answer may be used.
    pub ttl: Duration,
    /// Who may use a stored answer.
    pub scope: CacheScope,
    /// How similar a question must be, where a stored answer is found by meaning.
    pub threshold: Share,
    /// The share of such answers that are asked for anew, to see whether they were right.
    pub verify_share: Share,
}

impl CachePolicy {
    /// The policy as the admin API shows it.
    pub(super) fn row(&self) -> serde_json::Value {
        let mut row = json!({"mode": self.mode, "ttl_seconds": self.ttl.as_secs(), "scope": self.scope});
        if self.mode == CacheMode::Semantic {
            (row["threshold"], row["verify_share"]) = (json!(self.threshold), json!(self.verify_share));
        }
        row
    }
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            mode: CacheMode::Off,
            ttl: Duration::from_secs(3_600),
            scope: CacheScope::Project,
            threshold: Share::clamped(0.92),
            verify_share: Share::clamped(0.01),
        }
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
    /// By the same request, else by one that means the same.
    Semantic,
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

/// Which bodies the ledger stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreBodies {
    /// None.
    #[default]
    None,
    /// Requests, with their prompts rendered.
    Prompts,
    /// Requests and answers.
    Full,
}
