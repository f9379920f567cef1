//! A virtual key as the gateway knows it: whose it is and what it may do.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Error;
use super::last_use::LastUse;
use super::limit::Limiter;
use crate::types::{ModelName, Timestamp};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Calls models.
    #[default]
    App,
    /// Reads the admin API.
    Viewer,
    /// Reads the admin API and edits prompts.
    Editor,
    /// Everything, the data plane too.
    Admin,
}

impl Role {
    /// The role's name in JSON, SQL and configuration.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        [Self::App, Self::Viewer, Self::Editor, Self::Admin].into_iter().find(|role| role.text() == text)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

/// A key that callers use in place of a provider's; it is never sent to a provider. Its JSON is a row of the admin API, without any secret.
#[derive(Clone, Debug, Serialize)]
pub struct VirtualKey {
    /// The public part of the key; may be logged.
    pub id: Arc<str>,
    /// What its owner calls it.
    pub name: Arc<str>,
    /// The project it belongs to: nothing cached or counted crosses it.
    pub project: Arc<str>,
    /// What it is for.
    pub role: Role,
    /// The models it may call; `None` is all. `provider/*` is all of a provider's.
    pub models: Option<Vec<ModelName>>,
    /// The key's limit; `None` for the configured default.
    pub requests_per_minute: Option<NonZeroU32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
    /// Since when it is refused.
    pub revoked_at: Option<Timestamp>,
    /// Free tags, which routing rules read and usage rows carry.
    pub tags: BTreeMap<String, String>,
    /// Whether other projects have keys that call models, so that its project must leave them room.
    #[serde(skip)]
    pub shares: bool,
    /// When it was last used, to about a second.
    #[serde(rename = "last_used_at")]
    pub(super) used: Arc<LastUse>,
    #[serde(skip)]
    pub(super) limiter: Arc<Limiter>,
    /// Counts what is looked up in the database for the key's calls.
    #[serde(skip)]
    pub(super) look_ups: Arc<Limiter>,
}

/// How many unknown names a minute are looked up in the database for a key.
const LOOK_UPS: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);

impl VirtualKey {
    /// The owner of the database, working on it from its own machine: an admin without a key.
    #[must_use]
    pub fn operator(now: Timestamp) -> Self {
        Self {
            id: "operator".into(),
            name: "operator".into(),
            project: "default".into(),
            role: Role::Admin,
            models: None,
            requests_per_minute: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            tags: BTreeMap::new(),
            shares: false,
            used: Arc::default(),
            limiter: Arc::default(),
            look_ups: Arc::default(),
        }
    }

    /// Counts one look at the database for a name that a call of the key has and nothing knows; `false` where there were too many
    /// within a minute.
    #[must_use]
    pub fn may_look_up(&self, now: Timestamp) -> bool {
        self.look_ups.take(LOOK_UPS, now).is_ok()
    }

    /// Whether the key still opens anything.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.check_valid(now).is_ok()
    }

    /// Whether the key may call the model of this name.
    #[must_use]
    pub fn may_call(&self, model: &str) -> bool {
        let Some(models) = &self.models else {
            return true;
        };
        models.iter().any(|allowed| match allowed.as_str().strip_suffix('*') {
            Some(prefix) if prefix.ends_with('/') => model.starts_with(prefix),
            _ => allowed.as_str() == model,
        })
    }

    /// Whether the key may do what needs `role`.
    ///
    /// An admin may do everything, an editor what a viewer may; the data plane ([`Role::App`]) is open to app and
    /// admin keys only, and an app key reads nothing of the admin API.
    #[must_use]
    pub fn allows(&self, role: Role) -> bool {
        match role {
            Role::App => matches!(self.role, Role::App | Role::Admin),
            Role::Viewer => matches!(self.role, Role::Viewer | Role::Editor | Role::Admin),
            Role::Editor => matches!(self.role, Role::Editor | Role::Admin),
            Role::Admin => self.role == Role::Admin,
        }
    }

    /// Refuses a key that was revoked or has expired.
    pub(super) fn check_valid(&self, now: Timestamp) -> Result<(), Error> {
        if self.revoked_at.is_some() {
            return Err(Error::Revoked);
        }
        match self.expires_at {
            Some(expires_at) if expires_at <= now => Err(Error::Expired(expires_at)),
            _ => Ok(()),
        }
    }

    /// Whether this is one of the keys of which one must always remain: an admin's that will not lapse by itself.
    pub(super) fn is_lasting_admin(&self) -> bool {
        self.role == Role::Admin && self.revoked_at.is_none() && self.expires_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(role: Role, models: Option<&[&str]>) -> VirtualKey {
        VirtualKey {
            id: "k".into(),
            name: "k".into(),
            project: "default".into(),
            role,
            models: models.map(|models| models.iter().map(|model| model.parse().unwrap()).collect()),
            requests_per_minute: None,
            created_at: Timestamp(0),
            expires_at: Some(Timestamp(10)),
            revoked_at: None,
            tags: BTreeMap::new(),
            shares: false,
            used: Arc::default(),
            limiter: Arc::default(),
            look_ups: Arc::default(),
        }
    }

    #[test]
    fn roles_allow_what_they_are_for() {
        use Role::{Admin, App, Editor, Viewer};
        let table = [(App, "a..."), (Viewer, ".v.."), (Editor, ".ve."), (Admin, "aveA")];
        for (role, allowed) in table {
            let needs = [(App, 'a'), (Viewer, 'v'), (Editor, 'e'), (Admin, 'A')];
            for (need, letter) in needs {
                assert_eq!(key(role, None).allows(need), allowed.contains(letter), "{role:?} {need:?}");
            }
            assert_eq!(Role::from_text(role.text()), Some(role));
        }
    }

    #[test]
    fn a_model_must_be_listed() {
        assert!(key(Role::App, None).may_call("any"));
        assert!(!key(Role::App, Some(&[])).may_call("any"));
        let some = key(Role::App, Some(&["fast", "openai/*", "odd*"]));
        for (model, may) in [
            ("fast", true),
            ("fas", false),
            ("faster", false),
            ("openai/gpt", true),
            ("openai", false),
            ("odder", false),
        ] {
            assert_eq!(some.may_call(model), may, "{model}");
        }
    }

    #[test]
    fn a_key_lapses_at_its_time() {
        let mut key = key(Role::Admin, None);
        assert!(key.check_valid(Timestamp(9)).is_ok());
        assert!(matches!(key.check_valid(Timestamp(10)), Err(Error::Expired(Timestamp(10)))));
        key.revoked_at = Some(Timestamp(5));
        assert!(matches!(key.check_valid(Timestamp(9)), Err(Error::Revoked)));
        assert!(!key.is_lasting_admin());
    }
}
