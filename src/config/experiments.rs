//! `[experiments]`: how often the running ones are looked at, and who hears of decisions.

use std::time::Duration;

use http::Uri;

use super::read::{Field, Section, set};
use super::secret;
use crate::upstream::WebhookSettings;

/// `[experiments]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiments {
    /// How long it rests between two looks at least.
    pub look_every: Duration,
    /// Where decisions are sent.
    pub webhook: Option<WebhookSettings>,
}

impl Default for Experiments {
    fn default() -> Self {
        Self { look_every: Duration::from_secs(10), webhook: None }
    }
}

pub(super) fn experiments(root: &Section<'_>) -> Experiments {
    let mut experiments = Experiments::default();
    let Some(section) = root.section("experiments") else { return experiments };
    set(&mut experiments.look_every, section.get("look_every").and_then(|field| field.duration("50ms"..="1d")));
    experiments.webhook = webhook(&section);
    section.done();
    experiments
}

fn webhook(section: &Section<'_>) -> Option<WebhookSettings> {
    let section = section.section("webhook")?;
    let url = section.get("url");
    if url.is_none() {
        section.problem("`url` is missing", "write webhook = { url = \"https://hooks.example.com/fulcrum\" }");
    }
    let url = url.and_then(|field| address(&field));
    let secret = section.get("secret").and_then(|field| secret::resolve(&field));
    let allow_private = section.get("allow_private").and_then(|field| field.bool()).unwrap_or(false);
    section.done();
    Some(WebhookSettings { url: url?, secret, allow_private })
}

/// An address with a scheme and a host, and without a user: the address is shown in logs.
fn address(field: &Field<'_>) -> Option<String> {
    let text = field.text("\"https://hooks.example.com/fulcrum\"")?;
    let parsed = text.parse::<Uri>().ok();
    let is_web = |uri: &Uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some();
    let has_user = |uri: &Uri| uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match parsed {
        Some(uri) if is_web(&uri) && !has_user(&uri) && text.len() <= 2_048 => Some(text.to_owned()),
        _ => {
            field.problem(
                "this is no address of the web",
                "write \"https://hooks.example.com/fulcrum\", without a user",
            );
            None
        }
    }
}
