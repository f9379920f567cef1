//! Where a rehearsal takes place: the configured gateway on a temporary database, with a script for every provider.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::client::{Answer, ask, operate};
use super::super::outcome::Failure;
use super::script::{Script, canary};
use crate::app::{App, Built};
use crate::config::{self, Config};
use crate::routing::Rehearsed;
use crate::types::Secret;
use crate::upstream::{Provider, Timeouts};

/// The limits of every provider while it is rehearsed: a fault that would take a minute takes a moment.
pub const LIMITS: Timeouts = Timeouts {
    connect: Duration::from_millis(300),
    headers: None,
    first_token: Duration::from_millis(300),
    idle: Duration::from_millis(300),
    total: Duration::from_secs(3),
};

/// A gateway of its own, gone with everything it stored when it is closed.
pub struct Stage {
    /// What its providers do.
    pub script: Script,
    /// A caller's key.
    pub key: String,
    app: App,
    config: Config,
    folder: TempDir,
}

/// The routes of a configuration, each under a name by which it is called, whatever its rule says.
///
/// # Errors
/// Where the routes are in use elsewhere, which they never are.
pub fn routes(config: Config) -> Result<(Config, Vec<Rehearsed>), Failure> {
    let Config { routes, .. } = config;
    let routes = Arc::try_unwrap(routes).map_err(|_| Failure::Unreachable("the routes are in use".to_owned()))?;
    let (routes, rehearsed) = routes.rehearsed();
    Ok((Config { routes: routes.into(), ..config }, rehearsed))
}

impl Stage {
    /// Builds the gateway.
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("fulcrum-rehearse-").tempdir();
        let folder =
            folder.map_err(|error| Failure::Unreachable(format!("no temporary folder can be made: {error}")))?;
        let (config, script) = (scripted(config.clone(), &folder), Script::default());
        let built = App::build_with(config.clone(), script.models()).await;
        let Built { app, .. } = built.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let mut stage = Self { script, key: String::new(), app, config, folder };
        let made = operate(&stage.app, (Method::POST, "/api/v1/keys"), Some(&json!({"name": "rehearsal"}))).await;
        made["key"].as_str().unwrap_or_default().clone_into(&mut stage.key);
        Ok(stage)
    }

    /// Forgets what earlier cases showed of targets and keys.
    pub async fn reset(&self) -> Result<(), Failure> {
        let loaded = self.app.reload(self.config.clone()).await;
        self.app.gateway().parts().health.forget();
        loaded.map_err(|error| Failure::Unreachable(error.to_string()))
    }

    /// Sends a request of the caller's.
    pub async fn send(&self, request: Request<String>) -> Answer {
        ask(&self.app, request).await
    }

    /// The ledger's row of a request; `None` where none comes.
    pub async fn row(&self, id: &str) -> Option<Value> {
        for _ in 0..400 {
            let row = operate(&self.app, (Method::GET, &format!("/api/v1/requests/{id}")), None).await;
            if row["id"].is_string() {
                return Some(row);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    /// Ends the gateway, and removes what it stored.
    pub async fn close(self) -> Result<(), Failure> {
        self.app.close().await;
        let removed = self.folder.close();
        removed.map_err(|error| Failure::Unreachable(format!("the temporary folder cannot be removed: {error}")))
    }
}

/// The configuration with scripts for providers, and nothing outside of the process.
fn scripted(mut config: Config, folder: &TempDir) -> Config {
    config.database.url = format!("sqlite://{}", folder.path().join("rehearsal.db").display());
    config.prompts = config::Prompts::default();
    config.limits = config::Limits::default();
    config.admin_key = None;
    let scripted = |provider: Provider| {
        let keys = (0..provider.api_keys.len().max(1)).map(|n| Secret::new(&canary(&provider.name, n)));
        let keys = keys.collect();
        provider.scripted(keys, LIMITS)
    };
    config.providers = config.providers.into_iter().map(scripted).collect();
    config
}
