//! What an admin may ask of a key: the JSON of `POST /keys` and `PATCH /keys/{id}`, and its bounds.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use super::{Error, Role, VirtualKey};
use crate::types::{ModelName, Timestamp};

const MOST_MODELS: usize = 256;
const MOST_TAGS: usize = 32;
const MOST_PER_MINUTE: u32 = 10_000_000;

/// A key to be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What its owner calls it: 1 to 128 characters.
    pub name: String,
    /// The project it belongs to, made where it is new; `default` if none is named.
    #[serde(default = "default_project")]
    pub project: String,
    /// What it is for.
    #[serde(default)]
    pub role: Role,
    /// The models it may call; none named is all.
    #[serde(default)]
    pub models: Option<Vec<ModelName>>,
    /// The key's limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// From when it is refused: RFC 3339 or a date, UTC.
    #[serde(default, deserialize_with = "time")]
    pub expires_at: Option<Timestamp>,
    /// Free tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl NewKey {
    /// An app key of the default project, with nothing else set.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            project: default_project(),
            role: Role::App,
            models: None,
            requests_per_minute: None,
            expires_at: None,
            tags: BTreeMap::new(),
        }
    }

    /// The key, if every value is within its bounds.
    pub(super) fn build(self, id: &str, now: Timestamp) -> Result<VirtualKey, Error> {
        Ok(VirtualKey {
            id: id.into(),
            name: checked_name(&self.name)?,
            project: project_name(&self.project)?,
            role: self.role,
            models: self.models.map(checked_models).transpose()?,
            requests_per_minute: self.requests_per_minute.map(checked_limit).transpose()?,
            created_at: now,
            expires_at: self.expires_at.map(|at| checked_expiry(at, now)).transpose()?,
            revoked_at: None,
            tags: checked_tags(self.tags)?,
            shares: false,
            used: Arc::default(),
            limiter: Arc::default(),
            look_ups: Arc::default(),
        })
    }
}

/// A change of a key. What is absent stays; `null` takes a limit away. A key's project never changes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPatch {
    /// Another name.
    #[serde(default)]
    pub name: Option<String>,
    /// Another role.
    #[serde(default)]
    pub role: Option<Role>,
    /// Other models; `null` is all.
    #[serde(default, deserialize_with = "present")]
    pub models: Option<Option<Vec<ModelName>>>,
    /// Another limit; `null` is the configured default.
    #[serde(default, deserialize_with = "present")]
    pub requests_per_minute: Option<Option<u32>>,
    /// Another end; `null` is never.
    #[serde(default, deserialize_with = "present_time")]
    pub expires_at: Option<Option<Timestamp>>,
    /// Other tags, instead of all there were.
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
}

impl KeyPatch {
    /// Changes the key, if every new value is within its bounds.
    pub(super) fn apply(self, key: &mut VirtualKey, now: Timestamp) -> Result<(), Error> {
        if let Some(name) = self.name {
            key.name = checked_name(&name)?;
        }
        if let Some(role) = self.role {
            key.role = role;
        }
        if let Some(models) = self.models {
            key.models = models.map(checked_models).transpose()?;
        }
        if let Some(limit) = self.requests_per_minute {
            key.requests_per_minute = limit.map(checked_limit).transpose()?;
        }
        if let Some(expires_at) = self.expires_at {
            key.expires_at = expires_at.map(|at| checked_expiry(at, now)).transpose()?;
        }
        if let Some(tags) = self.tags {
            key.tags = checked_tags(tags)?;
        }
        Ok(())
    }
}

/// A project's name: `a-z0-9_-`, 1 to 64 characters.
pub(super) fn project_name(name: &str) -> Result<Arc<str>, Error> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err(invalid("project", "must be 1 to 64 of a-z, 0-9, _ and -"));
    }
    Ok(name.into())
}

fn checked_name(name: &str) -> Result<Arc<str>, Error> {
    if name.trim().is_empty() || !is_line(name, 128) {
        return Err(invalid("name", "must be 1 to 128 characters on one line"));
    }
    Ok(name.into())
}

fn checked_models(models: Vec<ModelName>) -> Result<Vec<ModelName>, Error> {
    if models.len() > MOST_MODELS {
        return Err(invalid("models", "may list at most 256; `provider/*` stands for all of a provider's"));
    }
    Ok(models)
}

fn checked_limit(limit: u32) -> Result<NonZeroU32, Error> {
    let limit = NonZeroU32::new(limit).filter(|limit| limit.get() <= MOST_PER_MINUTE);
    limit.ok_or_else(|| invalid("requests_per_minute", "must be between 1 and 10000000"))
}

fn checked_expiry(expires_at: Timestamp, now: Timestamp) -> Result<Timestamp, Error> {
    if expires_at <= now {
        return Err(invalid("expires_at", "must lie in the future"));
    }
    Ok(expires_at)
}

fn checked_tags(tags: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if tags.len() > MOST_TAGS {
        return Err(invalid("tags", "may hold at most 32"));
    }
    for (name, value) in &tags {
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(invalid("tags", "must have names of 1 to 64 of A-Z, a-z, 0-9, _, . and -"));
        }
        if !is_line(value, 256) {
            return Err(invalid("tags", "must have values of at most 256 characters on one line"));
        }
    }
    Ok(tags)
}

fn is_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.chars().any(char::is_control)
}

fn invalid(field: &'static str, problem: &str) -> Error {
    Error::Invalid { field, problem: problem.to_owned() }
}

fn default_project() -> String {
    "default".to_owned()
}

/// Distinguishes a field that is `null` from an absent one.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
}

fn present_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Timestamp>>, D::Error> {
    time(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn build(value: Value) -> Result<VirtualKey, String> {
        let new: NewKey = serde_json::from_value(value).map_err(|error| error.to_string())?;
        new.build("id", NOW).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_is_enough() {
        let key = build(json!({"name": "shop"})).unwrap();
        assert_eq!((&*key.project, key.role, key.models.is_none()), ("default", Role::App, true));
        let json = serde_json::to_value(&key).unwrap();
        assert_eq!(json["expires_at"], Value::Null);
        assert_eq!(json["role"], "app");
        assert!(json.get("limiter").is_none());
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_name() {
        let many: BTreeMap<String, &str> = (0..33).map(|n| (format!("t{n}"), "")).collect();
        for (value, reason) in [
            (json!({}), "name"),
            (json!({"name": " "}), "name"),
            (json!({"name": "a\nb"}), "name"),
            (json!({"name": "a".repeat(129)}), "name"),
            (json!({"name": "a", "nmae": 1}), "nmae"),
            (json!({"name": "a", "project": "../x"}), "project"),
            (json!({"name": "a", "project": ""}), "project"),
            (json!({"name": "a", "role": "boss"}), "boss"),
            (json!({"name": "a", "models": vec!["m"; 257]}), "models"),
            (json!({"name": "a", "models": ["a b"]}), "model name"),
            (json!({"name": "a", "requests_per_minute": 0}), "requests_per_minute"),
            (json!({"name": "a", "requests_per_minute": 10_000_001}), "requests_per_minute"),
            (json!({"name": "a", "expires_at": "2020-01-01"}), "expires_at"),
            (json!({"name": "a", "expires_at": "soon"}), "soon"),
            (json!({"name": "a", "tags": {"": "x"}}), "tags"),
            (json!({"name": "a", "tags": {"a=b": "x"}}), "tags"),
            (json!({"name": "a", "tags": {"a": "x".repeat(257)}}), "tags"),
            (json!({"name": "a", "tags": many}), "tags"),
        ] {
            let error = build(value.clone()).unwrap_err();
            assert!(error.contains(reason), "{value}: {error}");
        }
    }

    #[test]
    fn null_takes_away_and_absence_keeps() {
        let limited = json!({"name": "a", "requests_per_minute": 5, "models": ["m"], "expires_at": "2099-01-01"});
        let mut key = build(limited).unwrap();
        let patch = |value| serde_json::from_value::<KeyPatch>(value).unwrap();
        patch(json!({"name": "b"})).apply(&mut key, NOW).unwrap();
        assert_eq!((&*key.name, key.requests_per_minute.unwrap().get()), ("b", 5));
        patch(json!({"requests_per_minute": null, "models": null, "expires_at": null})).apply(&mut key, NOW).unwrap();
        assert!(key.requests_per_minute.is_none() && key.models.is_none() && key.expires_at.is_none());
        assert!(patch(json!({"requests_per_minute": 0})).apply(&mut key, NOW).is_err());
        assert!(serde_json::from_value::<KeyPatch>(json!({"project": "other"})).is_err());
    }
}
