//! `[models.NAME]` and `[[routes]]`.

use std::sync::Arc;

use super::accept::accept;
use super::causes::causes;
use super::hedge::hedge;
use super::min_speed::{min_speed, warn_alone};
use super::order::{MOST_WEIGHT, Ordering, TARGETS, ordering};
use super::read::{Field, Section};
use super::sections::{retries, store_bodies};
use super::semantic::cache_policy;
use super::shadow::{shadow, warn_same};
use super::spanned::spanned_list;
use crate::chat::Structured;
use crate::prompts::names_prompt;
use crate::routing::{ModelSpec, RouteSpec, Spanned, TargetSpec};
use crate::types::{ModelName, Rate};
use crate::usage::{Rates, UnitPrices};

/// A price that a `[models]` table sets, over the price book's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceOverride {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// What the provider calls the model.
    pub model: Arc<str>,
    /// Dollars per million tokens, where the model is charged by tokens.
    pub tokens: Option<Rates>,
    /// Dollars for one call, image, character, second of audio or search, where the model is charged by these.
    pub units: UnitPrices,
}

/// The models and the prices they set.
pub(super) fn models(root: &Section<'_>) -> (Vec<ModelSpec>, Vec<PriceOverride>) {
    let (mut models, mut prices) = (Vec::new(), Vec::new());
    let Some(section) = root.section("models") else { return (models, prices) };
    for (name, field) in section.entries() {
        if name.parse::<ModelName>().is_err() || names_prompt(name) {
            field.problem("this is no name for a model", "use printable characters, and do not begin with `prompt/`");
        }
        if let Some(section) = field.section() {
            let (model, price) = model(name, section);
            add_price(&mut prices, price);
            models.extend(model);
        }
    }
    (models, prices)
}

type Priced<'a> = Option<(Section<'a>, PriceOverride)>;

fn model<'a>(name: &str, section: Section<'a>) -> (Option<ModelSpec>, Priced<'a>) {
    let provider = section.get("provider");
    if provider.is_none() {
        section.problem("`provider` is missing", "write provider = \"NAME\", a name under [providers]");
    }
    let provider = provider.and_then(|field| field.spanned("\"openai\""));
    let named = section.get("model").and_then(|field| model_name(&field));
    let model: Arc<str> = named.unwrap_or(name).into();
    let adapter = section.get("adapter").and_then(|field| field.whole(0..=u32::from(u16::MAX)));
    let kinds = [("native", Structured::Native), ("tool", Structured::Tool), ("none", Structured::None)];
    let structured = section.get("structured").and_then(|field| field.choice(&kinds));
    let base_model = section.get("base_model").and_then(|field| model_name(&field)).map(Arc::from);
    let price = section.section("price");
    let key = section.key.clone();
    section.done();
    let Some(provider) = provider else { return (None, None) };
    let price = price.and_then(|section| self::price(section, provider.text.as_str().into(), model.clone()));
    (Some(ModelSpec { name: name.into(), provider, model, adapter, structured, base_model, key }), price)
}

/// What a provider calls a model.
fn model_name<'a>(field: &Field<'a>) -> Option<&'a str> {
    let text = field.text("\"gpt-4o-mini\"")?;
    if text.parse::<ModelName>().is_err() {
        field.problem("this is no model's name", "use printable characters without spaces");
    }
    Some(text)
}

fn price<'a>(section: Section<'a>, provider: Arc<str>, model: Arc<str>) -> Priced<'a> {
    let rate = |name| section.get(name).map(|field| field.money::<Rate>());
    let (input, output) = (rate("input"), rate("output"));
    let [cache_read, cache_write, cache_write_1h] =
        ["cache_read", "cache_write", "cache_write_1h"].map(|name| rate(name).flatten());
    let each =
        ["request", "image", "character", "second", "search"].map(|name| section.get(name).map(|field| field.money()));
    let by_units = each.iter().any(Option::is_some);
    let by_tokens = [input.is_some(), output.is_some()];
    if by_tokens.contains(&false) && (by_tokens.contains(&true) || !by_units) {
        let fix = "write price = { input = \"0.15\", output = \"0.60\" }, in dollars per million tokens";
        section.problem("a price needs both `input` and `output`", fix);
    }
    let tokens = match (input, output) {
        (Some(Some(input)), Some(Some(output))) => {
            Some(Rates { input, output, cache_read, cache_write, cache_write_1h, ..Rates::default() })
        }
        (None, None) if by_units => None,
        _ => {
            section.done();
            return None;
        }
    };
    let [request, image, character, second, search] = each.map(Option::flatten);
    let units = UnitPrices { request, image, character, second, search };
    // Stays open until no other name is known to set another price for the same model; then unknown keys are reported.
    Some((section, PriceOverride { provider, model, tokens, units }))
}

fn add_price(prices: &mut Vec<PriceOverride>, price: Priced<'_>) {
    let Some((section, price)) = price else { return };
    let same = |known: &&PriceOverride| known.provider == price.provider && known.model == price.model;
    match prices.iter().find(same) {
        Some(known) if *known != price => {
            section.problem("another name sets another price for the same model", "set the price once");
        }
        Some(_) => {}
        None => prices.push(price),
    }
    section.done();
}

pub(super) fn routes(root: &Section<'_>) -> Vec<RouteSpec> {
    let Some(field) = root.get("routes") else { return Vec::new() };
    let mut routes: Vec<RouteSpec> = Vec::new();
    for (index, field) in field.list("[[routes]]").into_iter().enumerate() {
        let Some(section) = field.section() else { continue };
        let route = route(index, section);
        if let Some(earlier) = routes.iter().position(|earlier| earlier.name.text == route.name.text) {
            let problem = format!("routes[{earlier}] has the same name");
            root.reader.problem(route.name.at, &format!("{}.name", route.key), problem, "give it a name of its own");
        }
        routes.push(route);
    }
    routes
}

fn route(index: usize, section: Section<'_>) -> RouteSpec {
    let name = section.get("name").and_then(|field| route_name(&field));
    let Ordering { strategy, sticky_by, affinity } = ordering(&section);
    let route = RouteSpec {
        name: name.unwrap_or_else(|| Spanned { text: format!("route-{}", index + 1), at: section.at }),
        key: section.key.clone(),
        when: section.get("when").and_then(|field| field.spanned("a rule in quotes")),
        models: spanned_list(&section, "models", "[\"auto\"]"),
        targets: targets(&section),
        fallbacks: spanned_list(&section, "fallbacks", "[\"fast\"]"),
        strategy,
        sticky_by,
        affinity,
        hedge: hedge(&section, strategy),
        retries: retries(&section),
        cache: cache_policy(&section),
        repair: section.get("repair").and_then(|field| field.bool()),
        min_speed: min_speed(&section),
        local_only: section.get("local_only").and_then(|field| field.bool()).unwrap_or(false),
        store_bodies: store_bodies(&section),
        causes: causes(&section),
        shadow: shadow(&section),
    };
    warn_alone(&section, &route);
    warn_same(&section, &route);
    section.done();
    route
}

/// A route's name, which must fit into a response header.
fn route_name(field: &Field<'_>) -> Option<Spanned> {
    let name = field.spanned("\"support\"")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.text.is_empty() || name.text.len() > 64 || !name.text.bytes().all(fits) {
        field.problem("this is no name for a route", "use 1 to 64 of a-z, A-Z, 0-9, _, . and -");
    }
    Some(name)
}

fn targets(section: &Section<'_>) -> Vec<TargetSpec> {
    let Some(field) = section.get("targets") else {
        section.problem("`targets` is missing", "write targets = [{ model = \"fast\" }]");
        return Vec::new();
    };
    let items = field.list(TARGETS);
    if items.is_empty() || items.len() > 100 {
        field.problem("a route has 1 to 100 targets", "write targets = [{ model = \"fast\" }]");
    }
    items.into_iter().filter_map(target).collect()
}

fn target(field: Field<'_>) -> Option<TargetSpec> {
    if field.is_text() {
        field.problem("a target is a table", "write { model = \"fast\" }");
        return None;
    }
    let section = field.section()?;
    let model = section.get("model");
    if model.is_none() {
        section.problem("`model` is missing", "write { model = \"fast\" }");
    }
    let weight = section.get("weight").map_or(Some(1), |field| field.whole(0..=MOST_WEIGHT));
    let accept = accept(&section);
    let model = model.and_then(|field| field.spanned("\"fast\""));
    section.done();
    Some(TargetSpec { model: model?, weight: weight?, accept })
}
