//! What is wrong or surprising about a configuration that can be read.

use super::{in_process, limits, price};
use crate::config::{self, Config};
use crate::db::{self, Db};
use crate::gateway::Pricing;
use crate::keys::{Keys, VirtualKey};
use crate::prompts;
use crate::routing::{Routes, Target};
use crate::types::{Diagnostic, ModelName, PromptName, QuickSet, did_you_mean, now};
use crate::upstream::{BadAddress, Provider, ProviderClient, ProviderKeys, vendor_at};
use crate::usage::PriceBook;

/// What to do about a mistake that says no more than what is wrong.
const CORRECT: &str = "correct it";

/// What a readable configuration leads to.
pub struct Checked {
    /// The mistakes that show only when it is built: addresses of providers, and prompts.
    pub problems: Vec<Diagnostic>,
    /// What is no mistake of a prompt, and likely to surprise.
    pub warnings: Vec<Diagnostic>,
    /// How many prompts its folder has.
    pub prompts: usize,
}

/// Checks what shows only when a configuration is built.
#[must_use]
pub fn check(config: &Config) -> Checked {
    let (models, mut problems) = (in_process(), Vec::new());
    let (mut warnings, mut prompts) = (Vec::new(), 0);
    for provider in &config.providers {
        if let Err(error) = ProviderClient::new(provider.clone(), &models, &ProviderKeys::default()) {
            let key = format!("providers.{}.{}", provider.name, key_of(&error));
            problems.push(config.places.place(corrected(Diagnostic::new(key, error.to_string()))));
        }
    }
    if let Some(folder) = config.prompts.import.as_ref().filter(|folder| folder.is_dir()) {
        let doubts = |name: &PromptName, draft: &prompts::Draft| doubts(&config.routes, name, draft);
        match prompts::check_dir_with(folder, &doubts) {
            Ok(checked) => {
                prompts = checked.len();
                warnings.extend(checked.into_iter().flat_map(|checked| checked.warnings));
            }
            Err(prompts::Error::Files(found)) => problems.extend(found.into_iter().map(corrected)),
            Err(error) => {
                problems.push(problem(&folder.display().to_string(), "prompts.import".to_owned(), error.to_string()));
            }
        }
    }
    Checked { problems, warnings, prompts }
}

/// A mistake with what to do: what it asks at its end, where it does, such as `did you mean …?`.
fn corrected(mut found: Diagnostic) -> Diagnostic {
    match found.problem.rsplit_once("; ") {
        Some((problem, question)) if question.ends_with('?') => {
            found.fix = question.to_owned();
            found.problem = problem.to_owned();
            found
        }
        _ => found.fix(CORRECT),
    }
}

/// The key of a provider that a mistake is about.
fn key_of(error: &BadAddress) -> &'static str {
    match error {
        BadAddress::Url(..) => "base_url",
        BadAddress::Certificates(..) => "ca_file",
        BadAddress::Key => "api_key",
        BadAddress::NoModels(_) => "kind",
    }
}

/// What is no mistake of a prompt's file, and likely to surprise.
#[must_use]
pub fn doubts(routes: &Routes, name: &PromptName, draft: &prompts::Draft) -> Vec<Diagnostic> {
    draft.warnings().into_iter().chain(unanswered(routes, name, draft)).collect()
}

/// That no call of a prompt can be answered, since nothing has the model that its settings name.
#[must_use]
pub fn unanswered(routes: &Routes, name: &PromptName, draft: &prompts::Draft) -> Option<Diagnostic> {
    let model = draft.model().filter(|model| !routes.may_answer(model, name.as_str()))?;
    let near = did_you_mean(model, routes.models().iter().map(|name| &**name));
    let problem = format!("no route lists the model `{model}`, and no model has that name{near}");
    let fix = "name a model or a route's model, or add it to the configuration";
    Some(Diagnostic::new("settings.model", problem).fix(fix))
}

/// What is no mistake, and likely to surprise; by place.
#[must_use]
pub fn warnings(config: &Config) -> Vec<Diagnostic> {
    let found = of_providers(config).into_iter().chain(of_routes(&config.routes)).chain(unpriced(config));
    let placed = found.map(|warning| config.places.place(warning));
    let mut warnings: Vec<Diagnostic> = config.warnings.iter().cloned().chain(placed).collect();
    warnings.sort();
    warnings
}

/// The routes that nothing reaches.
fn of_routes(routes: &Routes) -> Vec<Diagnostic> {
    let warning = |(place, by): (usize, usize)| {
        let problem = format!(
            "no call reaches the route `{}`: `{}` before it takes them all",
            routes.name_of(place),
            routes.name_of(by)
        );
        let fix = format!("put it before `{}`, or take it out", routes.name_of(by));
        Diagnostic::new(format!("routes[{place}]"), problem).fix(fix)
    };
    routes.unreachable().into_iter().map(warning).collect()
}

/// The targets whose price nobody knows.
fn unpriced(config: &Config) -> Vec<Diagnostic> {
    let book = PriceBook::builtin().with(config.prices.iter().map(price).collect());
    let provider = |target: &Target| config.providers.iter().find(|provider| provider.name == target.provider);
    let is_unpriced = |target: &Target| {
        let real = provider(target).filter(|provider| !provider.kind.row().simulated);
        real.is_some_and(|provider| matches!(Pricing::of(&book, provider, target), Pricing::Unknown))
    };
    let mut seen = QuickSet::default();
    let targets = config.routes.configured().filter(|target| seen.insert(target.id.clone()) && is_unpriced(target));
    let warning = |target: &Target| {
        let named = config.models.iter().find(|model| model.name == target.name);
        let key = named.map_or_else(|| "routes".to_owned(), |model| model.key.clone());
        let problem = format!("no price of {} is known, so its calls count as unpriced", target.id);
        let fix =
            "write price = { input = \"0.15\", output = \"0.60\" } under its [models], or 0 where it costs nothing";
        Diagnostic::new(key, problem).fix(fix)
    };
    targets.map(|target| warning(target)).collect()
}

/// The models that keys of the database name and nothing has. Nothing where there is no database, or it cannot be read: it is
/// neither made nor migrated.
pub async fn key_warnings(config: &Config) -> Vec<Diagnostic> {
    let url = &config.database.url;
    if db::missing_file(url).is_some() {
        return Vec::new();
    }
    let Ok(db) = Db::open_as_it_is(url).await else { return Vec::new() };
    let keys = Keys::beside(db.clone(), limits(config)).await.map(|keys| keys.list()).unwrap_or_default();
    db.close().await;
    let is_valid = |key: &VirtualKey| key.revoked_at.is_none() && key.expires_at.is_none_or(|expires| now() < expires);
    let valid = keys.iter().filter(|key| is_valid(key));
    let warnings = valid.flat_map(|key| unknown_models(config, key));
    warnings.map(|warning| warning.of_file(db::place(url))).collect()
}

fn unknown_models(config: &Config, key: &VirtualKey) -> Vec<Diagnostic> {
    let routes = &config.routes;
    let is_known = |model: &str| match model.strip_suffix("/*") {
        Some(provider) => config.providers.iter().any(|known| *known.name == *provider) || provider == "prompt",
        None => model.starts_with("prompt/") || routes.known(model).is_some() || routes.target(model).is_some(),
    };
    let warning = |model: &str| {
        let near = did_you_mean(model, routes.models().iter().map(|name| &**name));
        let problem =
            format!("the key `{}` may call `{model}`, and no model, route or provider has that name{near}", key.name);
        Diagnostic::new(format!("keys.{}.models", key.id), problem)
            .fix("name it in the configuration, or change the key's models")
    };
    let named = key.models.iter().flatten().map(ModelName::as_str);
    named.filter(|model| !is_known(model)).map(warning).collect()
}

fn of_providers(config: &Config) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    let simulated = config.providers.iter().filter(|provider| provider.kind.row().simulated);
    let simulated: Vec<&str> = simulated.map(|provider| &*provider.name).collect();
    if !simulated.is_empty() {
        let problem = format!("{} answer with made-up text, marked x-fulcrum-simulated: true", simulated.join(", "));
        let fix = "take kind = \"simulated\" out before anybody relies on the answers";
        warnings.push(Diagnostic::new("providers", problem).fix(fix));
    }
    if config.providers.is_empty() {
        let problem = "there are none, so no model can be called";
        warnings.push(Diagnostic::new("providers", problem).fix("add [providers.NAME]"));
    }
    let is_unversioned = |provider: &&Provider| {
        provider.kind.row().takes("vendor")
            && config::lacks_version(&provider.base_url)
            && vendor_at(&provider.base_url).is_none()
    };
    for provider in config.providers.iter().filter(is_unversioned) {
        let problem = "the address has no path, and nearly all servers of OpenAI's API stand below /v1";
        let fix = format!("write base_url = \"{}/v1\", unless the server differs", provider.base_url);
        warnings.push(Diagnostic::new(format!("providers.{}.base_url", provider.name), problem).fix(fix));
    }
    if let Some(folder) = &config.prompts.import {
        let shown = folder.display();
        let problem = match folder.is_dir() {
            false => Some(format!("there is no folder {shown}, so no prompts are read")),
            true if !prompts::has_files(folder) => Some(format!("the folder {shown} has no files NAME.toml")),
            true => None,
        };
        let fix = "check the path, which starts where `fulcrum serve` is started";
        warnings.extend(problem.map(|problem| Diagnostic::new("prompts.import", problem).fix(fix)));
    }
    warnings
}

fn problem(file: &str, key: String, problem: String) -> Diagnostic {
    corrected(Diagnostic::new(key, problem).of_file(file))
}
