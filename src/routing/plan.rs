//! Chooses the ordered targets of one call.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cel::Env;

use super::affinity::{self, Affinity, Follows};
use super::breaker::Standing;
use super::cascade::Cascade;
use super::causes::{Causes, OnBudget};
use super::examples::{ExampleSet, Similarity};
use super::facts::{Facts, Needs};
use super::health::Health;
use super::hedge::HedgePolicy;
use super::min_speed::MinSpeed;
use super::no_plan::{self, NoPlan};
use super::pick::{self, Weighted};
use super::ranking::{self, Ranked, Ranking};
use super::rule::{Rule, RuleError};
use super::sessions::SessionKey;
use super::shadow::Shadow;
use super::spec::{AllCooling, CachePolicy, Defaults, Order, StickyBy, StoreBodies};
use super::target::Target;
use crate::types::{QuickMap, QuickSet};
use crate::upstream::Provider;

/// All routes and models, compiled.
pub struct Routes {
    pub(super) env: Arc<Env>,
    pub(super) routes: Vec<Route>,
    pub(super) models: QuickMap<Arc<str>, Arc<Target>>,
    pub(super) names: Vec<Arc<str>>,
    /// The same names, for look-ups.
    pub(super) known: QuickSet<Arc<str>>,
    /// What targets must know of each provider.
    pub(super) providers: QuickMap<Arc<str>, ProviderTraits>,
    pub(super) defaults: Defaults,
    pub(super) needs: Needs,
    /// The model by which texts are compared.
    pub(super) embedding: Option<Arc<Target>>,
    pub(super) examples: Vec<Arc<ExampleSet>>,
}

/// What targets must know of a provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProviderTraits {
    /// Whether it runs inside the organisation.
    pub(super) local: bool,
    /// Whether its answers are made up.
    pub(super) simulated: bool,
    /// Whether its models may be embedding models.
    pub(super) embeds: bool,
}

impl ProviderTraits {
    pub(super) fn of(provider: &Provider) -> Self {
        let row = provider.kind.row();
        Self { local: provider.local, simulated: row.simulated, embeds: row.embeddings().is_some() }
    }
}

/// One compiled route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: Arc<str>,
    pub(super) rule: Option<Rule>,
    pub(super) models: QuickSet<Box<str>>,
    pub(super) targets: Vec<Weighted>,
    pub(super) fallbacks: Vec<Arc<Target>>,
    pub(super) strategy: Order,
    pub(super) cascade: Option<Arc<Cascade>>,
    pub(super) hedge: Option<Arc<HedgePolicy>>,
    pub(super) sticky_by: StickyBy,
    pub(super) affinity: Affinity,
    pub(super) retries: u32,
    pub(super) cache: CachePolicy,
    pub(super) repair: bool,
    pub(super) min_speed: Option<MinSpeed>,
    pub(super) local_only: bool,
    pub(super) store_bodies: Option<StoreBodies>,
    pub(super) causes: Option<Arc<Causes>>,
    pub(super) on_budget: Option<OnBudget>,
    pub(super) shadow: Option<Arc<Shadow>>,
    /// The trace of its plans, where they are all the same.
    pub(super) usual: OnceLock<Arc<str>>,
}

/// What is decided of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The route that took the call; `None` for a direct call.
    pub route: Option<Arc<str>>,
    /// The targets, in order: those that take calls first, cooling ones last.
    pub targets: Vec<Arc<Target>>,
    /// Whose answers must be accepted, on a route that is a cascade.
    pub cascade: Option<Arc<Cascade>>,
    /// When a second target is asked beside one that has not begun to answer.
    pub hedge: Option<Arc<HedgePolicy>>,
    /// Attempts beyond the first.
    pub retries: u32,
    /// Whether and how the answer is cached.
    pub cache: CachePolicy,
    /// Whether an answer that was to be JSON and is not is asked for once more.
    pub repair: bool,
    /// How fast a stream must come before anything of it goes down.
    pub min_speed: Option<MinSpeed>,
    /// Whether the call must stay with local providers, which is checked again at the socket.
    pub local_only: bool,
    /// Which bodies the ledger stores, where the route sets that.
    pub store_bodies: Option<StoreBodies>,
    /// When the first target takes calls again, where all cool. Whether one is called all the same is the next field's.
    pub cooling: Option<Duration>,
    /// What becomes of a call all of whose targets cool.
    pub all_cooling: AllCooling,
    /// What is remembered of its attempts.
    pub follows: Follows,
    /// How similar the text is to the examples that rules read, as JSON; none where no rule read any.
    pub similar: Option<Arc<str>>,
    /// Whether a rule read a similarity that could not be worked out.
    pub is_unjudged: bool,
    /// The targets for causes, whose places follow those of [`Self::targets`].
    pub causes: Option<Arc<Causes>>,
    /// The candidate that gets a share of the route's calls.
    pub shadow: Option<Arc<Shadow>>,
    /// The plan's trace, where that is known already.
    pub(super) usual: Option<Arc<str>>,
}

/// Whether a route takes a call.
pub(super) enum Takes {
    Yes,
    NotListed,
    No,
    /// The rule met a value of a type it does not work with, or more than it reads of one call.
    Broken(RuleError),
}

impl Routes {
    /// Which facts the rules read.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Every name that requests may use, as configured: those under `[models]`, then those that routes list.
    #[must_use]
    pub fn models(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Whether the strategy of some route reads how busy this provider's server is.
    #[must_use]
    pub fn read_load_of(&self, provider: &str) -> bool {
        let names = |route: &Route| route.targets.iter().any(|target| *target.target.provider == *provider);
        self.routes.iter().any(|route| route.strategy == Order::LeastBusy && names(route))
    }

    /// Whether the strategy of some route reads how much keys' calls write.
    #[must_use]
    pub fn read_ratios(&self) -> bool {
        self.routes.iter().any(|route| route.strategy == Order::Cheapest)
    }

    /// The names of all routes and of all providers, and what requests may name.
    fn named(&self) -> [(&'static str, Vec<&str>); 3] {
        [
            ("models", self.names.iter().map(|name| &**name).collect()),
            ("routes", self.routes.iter().map(|route| &*route.name).collect()),
            ("providers", self.providers.keys().map(|name| &**name).collect()),
        ]
    }

    /// What these have, and `new` has no more: each kind by its section, with the names in order.
    #[must_use]
    pub fn dropped_by<'a>(&'a self, new: &Self) -> Vec<(&'static str, Vec<&'a str>)> {
        let mut dropped = Vec::new();
        for ((kind, mut names), (_, new)) in self.named().into_iter().zip(new.named()) {
            let new: HashSet<&str> = new.into_iter().collect();
            names.retain(|name| !new.contains(name));
            names.sort_unstable();
            names.dedup();
            if !names.is_empty() {
                dropped.push((kind, names));
            }
        }
        dropped
    }

    /// The targets that the configuration names, some more than once.
    pub fn configured(&self) -> impl Iterator<Item = &Arc<Target>> {
        let of_routes = self
            .routes
            .iter()
            .flat_map(|route| route.may_answer().chain(route.shadow.iter().map(|shadow| &shadow.target)));
        let judges = self.routes.iter().filter_map(|route| route.cascade.as_ref()).flat_map(|cascade| cascade.judges());
        let of_routes = of_routes.chain(judges);
        self.models.values().chain(of_routes)
    }

    /// The routes that no call can reach, with the earlier one that takes their calls; by their places in the file.
    #[must_use]
    pub fn unreachable(&self) -> Vec<(usize, usize)> {
        let covered = |n: usize| {
            let earlier = || self.routes[..n].iter().enumerate();
            let route = &self.routes[n];
            let by = |model: &str| earlier().find(|(_, other)| other.takes_all_of(route, model)).map(|(at, _)| at);
            if route.models.is_empty() {
                return earlier()
                    .find(|(_, other)| other.models.is_empty() && other.holds_with(route))
                    .map(|(at, _)| at);
            }
            route.models.iter().map(|model| by(model)).try_fold(0, |last, at| Some(at?.max(last)))
        };
        (0..self.routes.len()).filter_map(|n| Some((n, covered(n)?))).collect()
    }

    /// A route's name, by its place in the file.
    #[must_use]
    pub fn name_of(&self, place: usize) -> &str {
        self.routes.get(place).map_or("", |route| &route.name)
    }

    /// What providers call the configured targets, bare and behind the provider's name.
    pub fn targets(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        self.configured().flat_map(|target| [target.id.clone(), target.model.clone()])
    }

    /// A name of [`Self::models`], shared.
    #[must_use]
    pub fn known(&self, name: &str) -> Option<Arc<str>> {
        self.known.get(name).cloned()
    }

    /// Whether a call that names `model` by way of the prompt `prompt` can lead anywhere: to a model, or to a route that lists
    /// the name, takes every call, or has a rule that speaks of the prompt.
    #[must_use]
    pub fn may_answer(&self, model: &str, prompt: &str) -> bool {
        let takes =
            |route: &Route| route.models.is_empty() && route.rule.as_ref().is_none_or(|rule| speaks_of(rule, prompt));
        self.known(model).is_some() || self.target(model).is_some() || self.routes.iter().any(takes)
    }

    /// Whether `model` is simulated: a model by its own provider, a route's name where only simulated targets can answer it,
    /// whatever the rules find.
    #[must_use]
    pub fn is_simulated(&self, model: &str) -> bool {
        if let Some(target) = self.target(model) {
            return target.simulated;
        }
        let mut any = false;
        for route in self.routes.iter().filter(|route| route.models.is_empty() || route.models.contains(model)) {
            if !route.may_answer().all(|target| target.simulated) {
                return false;
            }
            any = true;
            if route.rule.is_none() {
                return any;
            }
        }
        any
    }

    /// Whether a rule names the prompt.
    #[must_use]
    pub fn speaks_of(&self, prompt: &str) -> bool {
        self.routes.iter().any(|route| route.rule.as_ref().is_some_and(|rule| speaks_of(rule, prompt)))
    }

    /// Every route as it was compiled, for the admin API.
    #[must_use]
    pub fn list(&self) -> Vec<serde_json::Value> {
        self.routes.iter().map(Route::row).collect()
    }

    /// The target behind a name under `[models]` or a `provider/model`; `None` for a name that only routes know.
    #[must_use]
    pub fn target(&self, model: &str) -> Option<Arc<Target>> {
        if let Some(target) = self.models.get(model) {
            return Some(target.clone());
        }
        let (provider, name) = model.split_once('/')?;
        let (provider, traits) = self.providers.get_key_value(provider)?;
        let id: Arc<str> = model.into();
        let usable = !name.is_empty() && name.len() <= 256;
        usable.then(|| {
            let ProviderTraits { local, simulated, .. } = *traits;
            let (provider, model, name) = (provider.clone(), name.into(), id.clone());
            let (adapter, structured, base_model) = (None, None, None);
            Arc::new(Target { provider, model, name, id, local, simulated, adapter, structured, base_model })
        })
    }

    /// Whether a model's name is one of a provider's, as `provider/model`, and there is no such provider.
    pub(super) fn lacks_provider(&self, model: &str) -> bool {
        model
            .split_once('/')
            .is_some_and(|(provider, _)| !provider.is_empty() && !self.providers.contains_key(provider))
    }

    /// The ordered targets of a call. `dice`, in 0..1, is drawn anew for every call. Planning changes nothing: an attempt
    /// asks [`Health::enter`] before it starts.
    ///
    /// A rule that meets a value of a wrong type does not hold; on a `local_only` route it holds, so that a call which may be
    /// private stays with local providers.
    ///
    /// # Errors
    /// Where no route and no model takes the call, or a rule takes too long with it: which route is meant is not known then.
    pub fn plan(&self, facts: &Facts<'_>, health: &Health, dice: f64) -> Result<Plan, NoPlan> {
        let mut taken = None;
        for (place, route) in self.routes.iter().enumerate() {
            let takes = match self.takes(route, facts) {
                Takes::Broken(RuleError::TooLong) => return Err(NoPlan::TooLong(route.name.clone())),
                Takes::Broken(RuleError::Open) if self.may_be_embedded(place, facts) => {
                    return Err(NoPlan::Open(route.name.clone()));
                }
                Takes::Broken(RuleError::Open) => {
                    self.takes(route, &Facts { similar: &|_| Similarity::Unknown, ..*facts })
                }
                takes => takes,
            };
            if route.wins(&takes) {
                taken = Some(route);
                break;
            }
        }
        let plan = match taken {
            Some(route) => route.plan(facts, health, dice),
            None => self.direct(facts)?,
        };
        let plan = Plan { all_cooling: self.defaults.all_cooling, ..plan };
        Ok(plan.cooling_last(health, facts))
    }

    /// Whether the text may go to the embedding model for the rule of the route at `place`: not out of the house where the
    /// next route that takes the call, whatever that model would say, is a private one.
    fn may_be_embedded(&self, place: usize, facts: &Facts<'_>) -> bool {
        if self.embedding.as_ref().is_none_or(|embedding| embedding.local) {
            return true;
        }
        let takes = |route: &&Route| route.wins(&self.takes(route, facts));
        !self.routes[place + 1..].iter().find(takes).is_some_and(|route| route.local_only)
    }

    /// The model by which texts are compared, where there is one.
    #[must_use]
    pub fn embedding(&self) -> Option<&Arc<Target>> {
        self.embedding.as_ref()
    }

    /// The sets of example sentences.
    #[must_use]
    pub fn examples(&self) -> &[Arc<ExampleSet>] {
        &self.examples
    }

    pub(super) fn takes(&self, route: &Route, facts: &Facts<'_>) -> Takes {
        if !route.models.is_empty() && !route.models.contains(facts.model) {
            return Takes::NotListed;
        }
        match route.rule.as_ref().map(|rule| rule.holds(&self.env, facts)) {
            None | Some(Ok(true)) => Takes::Yes,
            Some(Ok(false)) => Takes::No,
            Some(Err(error)) => Takes::Broken(error),
        }
    }

    /// Why no route takes a call whose model has no target of its own.
    fn not_taken(&self, facts: &Facts<'_>) -> NoPlan {
        let model = facts.model.chars().take(no_plan::LONGEST).collect();
        let mut listing = self.routes.iter().filter(|route| route.models.contains(facts.model));
        let Some(first) = listing.next() else {
            return if self.lacks_provider(facts.model) {
                NoPlan::ProviderNotFound(model)
            } else {
                NoPlan::ModelNotFound(model)
            };
        };
        let name = &first.name;
        let rule = match self.takes(first, facts) {
            Takes::Broken(error) => format!("route `{name}` lists it, and its rule fails: {error}"),
            _ => format!("route `{name}` lists it, and its rule is false"),
        };
        let why = match listing.count() {
            0 => rule,
            more => format!("{rule}; so it is with {more} more"),
        };
        NoPlan::NotTaken { model, why }
    }

    pub(super) fn direct(&self, facts: &Facts<'_>) -> Result<Plan, NoPlan> {
        if facts.model.is_empty() {
            return Err(NoPlan::NoModel);
        }
        let Some(target) = self.target(facts.model) else { return Err(self.not_taken(facts)) };
        let Defaults { retries, cache, repair, all_cooling } = self.defaults;
        Ok(Plan {
            route: None,
            targets: vec![target],
            cascade: None,
            hedge: None,
            retries,
            cache,
            repair,
            min_speed: None,
            local_only: false,
            store_bodies: None,
            cooling: None,
            all_cooling,
            follows: Follows::default(),
            similar: None,
            is_unjudged: false,
            causes: None,
            shadow: None,
            usual: None,
        })
    }
}

/// Whether a rule has the prompt's name as a text.
fn speaks_of(rule: &Rule, prompt: &str) -> bool {
    [format!("\"{prompt}\""), format!("'{prompt}'")].iter().any(|name| rule.text.contains(name))
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("routes", &self.routes).field("models", &self.names).finish_non_exhaustive()
    }
}

impl Route {
    /// Whether this route takes every call of `model` that `other` would.
    fn takes_all_of(&self, other: &Self, model: &str) -> bool {
        (self.models.is_empty() || self.models.contains(model)) && self.holds_with(other)
    }

    /// Whether this route's rule holds wherever `other`'s does, as far as their texts show. A rule that breaks holds on a
    /// private route alone.
    fn holds_with(&self, other: &Self) -> bool {
        let text = |route: &Self| route.rule.as_ref().map(|rule| rule.text.trim().to_owned());
        match (text(self), text(other)) {
            (None, _) => true,
            (Some(rule), _) if rule == "true" => true,
            (rule, same) => rule == same && (self.local_only || !other.local_only),
        }
    }

    /// The targets that may answer its calls.
    fn may_answer(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets.iter().map(|weighted| &weighted.target).chain(&self.fallbacks).chain(self.by_cause())
    }

    pub(super) fn wins(&self, takes: &Takes) -> bool {
        match takes {
            Takes::Yes => true,
            Takes::NotListed | Takes::No => false,
            Takes::Broken(_) => self.local_only,
        }
    }

    /// The plan, before the breakers order its targets.
    pub(super) fn plan(&self, facts: &Facts<'_>, health: &Health, dice: f64) -> Plan {
        let session = self.session(facts);
        let mut targets = self.order(facts, health, dice);
        if let Some(place) = session.and_then(|key| self.bound(key, &targets, facts, health)) {
            targets[..=place].rotate_right(1);
        }
        let mut plan = Plan {
            route: Some(self.name.clone()),
            targets,
            cascade: self.cascade.clone(),
            hedge: self.hedge.clone(),
            retries: self.retries,
            cache: self.cache,
            repair: self.repair,
            min_speed: self.min_speed,
            local_only: self.local_only,
            store_bodies: self.store_bodies,
            cooling: None,
            all_cooling: AllCooling::default(),
            causes: self.causes.clone(),
            shadow: self.shadow.clone(),
            follows: Follows { signals: self.strategy.is_measured(), session },
            similar: None,
            is_unjudged: false,
            usual: None,
        };
        if self.on_budget.is_none()
            && (self.strategy == Order::Priority || self.targets.len() == 1)
            && session.is_none()
        {
            plan.usual = Some(self.usual.get_or_init(|| plan.text()).clone());
        }
        plan
    }

    /// The targets by the strategy's figures; `None` where it reads none.
    pub(super) fn ranked(&self, facts: &Facts<'_>, health: &Health, dice: f64) -> Option<Vec<Ranked>> {
        let ranking = Ranking { targets: &self.targets, facts, health, dice };
        Some(match self.strategy {
            Order::Cheapest => ranking::cheapest(&ranking),
            Order::Fastest => ranking::fastest(&ranking),
            Order::LeastBusy => ranking::least_busy(&ranking),
            Order::Weighted if self.affinity == Affinity::PromptCache => ranking::by_prefix(&ranking),
            Order::Weighted | Order::Priority | Order::Cascade => return None,
        })
    }

    /// The session whose calls stay at a target, where the route keeps sessions and the call names one. A budget of which much is
    /// used goes before.
    pub(super) fn session(&self, facts: &Facts<'_>) -> Option<SessionKey> {
        let is_over = self.on_budget.as_ref().is_some_and(|on_budget| !on_budget.first(facts).is_empty());
        if self.affinity != Affinity::Session || is_over {
            return None;
        }
        let session = facts.session.filter(|session| !session.is_empty())?;
        Some(SessionKey::of(facts.key.project, &self.name, session))
    }

    /// The place, in `targets`, of the one that a session is bound to, unless its weight says that it takes no calls.
    pub(super) fn bound(
        &self,
        key: SessionKey,
        targets: &[Arc<Target>],
        facts: &Facts<'_>,
        health: &Health,
    ) -> Option<usize> {
        let place = affinity::bound(key, targets, facts, health)?;
        let id = &targets[place].id;
        let mut configured = self.targets.iter().filter(|target| target.target.id == *id);
        let is_out = configured.any(|target| target.weight == 0);
        (!is_out || self.fallbacks.iter().any(|fallback| fallback.id == *id)).then_some(place)
    }

    /// By figures or by the file, all targets, then the fallbacks. By weight, the drawn target, then the fallbacks, then the other
    /// targets, which are left where all fallbacks fail.
    pub(super) fn drawn(&self, facts: &Facts<'_>, health: &Health, dice: f64) -> Vec<Arc<Target>> {
        let mut drawn: Vec<Arc<Target>> = Vec::with_capacity(self.targets.len() + self.fallbacks.len());
        let mut first = usize::MAX;
        if let Some(ranked) = self.ranked(facts, health, dice) {
            for target in ranked.iter().map(|one| &self.targets[one.place].target) {
                if !drawn.iter().any(|known| known.id == target.id) {
                    drawn.push(target.clone());
                }
            }
        } else if self.strategy.is_weighted() {
            let dice = self.sticky(facts).unwrap_or(dice);
            pick::draw(&self.targets, dice, &mut |target| drawn.push(target.clone()));
            first = 1;
        } else {
            drawn.extend(self.targets.iter().map(|target| target.target.clone()));
        }
        let others = drawn.split_off(first.min(drawn.len()));
        for target in self.fallbacks.iter().chain(&others) {
            if !drawn.iter().any(|known| known.id == target.id) {
                drawn.push(target.clone());
            }
        }
        drawn
    }

    /// The caller's own number in place of `dice`; `None` where the route is not sticky, or the call has no user or session.
    fn sticky(&self, facts: &Facts<'_>) -> Option<f64> {
        let who = match self.sticky_by {
            StickyBy::None => return None,
            StickyBy::User => facts.user?,
            StickyBy::Session => facts.session?,
            StickyBy::Key => facts.key.id,
        };
        Some(pick::bucket(&self.name, who))
    }
}

impl Plan {
    /// Puts targets that cool last, those that recover first before others.
    fn cooling_last(mut self, health: &Health, facts: &Facts<'_>) -> Self {
        let mut cooling = Vec::new();
        self.targets.retain(|target| {
            let wait = match health.state(target, facts.key.id, facts.now) {
                Standing::Healthy | Standing::Ripe => return true,
                Standing::Probing => Duration::from_secs(1),
                Standing::Cooling { until } => until - facts.now,
            };
            cooling.push((wait, target.clone()));
            false
        });
        if !cooling.is_empty() {
            cooling.sort_by_key(|(wait, _)| *wait);
            self.cooling = cooling.first().filter(|_| self.targets.is_empty()).map(|(wait, _)| *wait);
            self.usual = None;
            self.targets.extend(cooling.into_iter().map(|(_, target)| target));
        }
        self
    }
}
