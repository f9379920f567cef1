//! The demo's own gateway: a temporary database, simulated providers, and a socket.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::client::listed;
use super::super::outcome::Failure;
use crate::app::{App, Built};
use crate::config::{self, Config};
use crate::http::{Listening, serve};
use crate::prompts::check_dir;

const CONFIG: &str = include_str!("../../../config/demo.toml");

/// The prompts that the calls name.
pub const PROMPTS: &[(&str, &str)] = &[
    ("support-reply", include_str!("../../../prompts/support-reply.toml")),
    ("product-categoriser", include_str!("../../../prompts/product-categoriser.toml")),
    ("code-documenter", include_str!("../../../prompts/code-documenter.toml")),
    ("contract-clauses", include_str!("../../../prompts/contract-clauses.toml")),
];

/// Where prompts are looked for, beside the ones that the binary brings.
const OWN_PROMPTS: &str = "prompts";

/// A gateway of its own, gone with everything it stored when it is closed.
pub struct Sandbox {
    /// The gateway's address.
    pub base: String,
    /// The admin key.
    pub admin: String,
    /// Where its prompts came from, for people.
    pub prompts: String,
    app: App,
    folder: TempDir,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl Sandbox {
    /// Opens a database in a temporary folder, imports the prompts, and serves at `listening`.
    pub async fn open(listening: Listening) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("fulcrum-demo-").tempdir();
        let folder =
            folder.map_err(|error| Failure::Unreachable(format!("no temporary folder can be made: {error}")))?;
        let prompts = lay_out(&folder.path().join("prompts"), Path::new(OWN_PROMPTS));
        let prompts =
            prompts.map_err(|error| Failure::Unreachable(format!("the prompts cannot be laid out: {error}")))?;
        let built = App::build(configuration(folder.path())?).await;
        let Built { app, new_admin_key } = built.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let admin = new_admin_key.map(|key| key.expose().to_owned()).unwrap_or_default();
        let (base, stop) = (format!("http://{}", listening.address()), CancellationToken::new());
        #[expect(clippy::disallowed_methods, reason = "the demo serves and calls in one process, and waits for both")]
        let server = tokio::spawn(serve(app.clone(), listening, stop.clone()));
        Ok(Self { base, admin, prompts, app, folder, stop, server })
    }

    /// Lets running calls end, writes every row, and removes the folder.
    pub async fn close(self) -> Result<(), Failure> {
        self.stop.cancel();
        let served = self.server.await;
        self.app.close().await;
        let removed = self.folder.close();
        let served = served.map_err(std::io::Error::from).and_then(|served| served);
        served.map_err(|error| Failure::Unreachable(format!("the gateway ended badly: {error}")))?;
        removed.map_err(|error| Failure::Unreachable(format!("the temporary folder cannot be removed: {error}")))
    }
}

/// Listens at `named`; without a name at the usual address where it is free, else at any free port.
pub async fn listen(named: Option<SocketAddr>) -> Result<Listening, Failure> {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
    let address = named.unwrap_or(usual);
    match Listening::at(address).await {
        Err(error) if named.is_none() && error.kind() == ErrorKind::AddrInUse => {
            Listening::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
        }
        listening => listening,
    }
    .map_err(|error| {
        Failure::Unreachable(format!("cannot listen at {address}: {error}; name another address with --listen"))
    })
}

/// The demo's configuration, which reads nothing of the environment.
fn configuration(folder: &Path) -> Result<Config, Failure> {
    let parsed = config::parse(CONFIG, "config/demo.toml", &|_| None);
    let mut config = parsed.map_err(|problems| Failure::Input(listed(&problems)))?;
    config.database.url = format!("sqlite://{}", folder.join("demo.db").display());
    config.prompts.import = Some(folder.join("prompts"));
    Ok(config)
}

/// Puts the prompts that the calls need into `folder`, and those of `own` over them where they can be used.
fn lay_out(folder: &Path, own: &Path) -> std::io::Result<String> {
    fs::create_dir(folder)?;
    for (name, text) in PROMPTS {
        fs::write(folder.join(format!("{name}.toml")), text)?;
    }
    let built_in = "the four built in";
    if !own.is_dir() {
        return Ok(built_in.to_owned());
    }
    if let Err(error) = check_dir(own) {
        return Ok(format!("{built_in}, since {}/ cannot be used: {error}", own.display()));
    }
    for entry in fs::read_dir(own)? {
        let file = entry?.path();
        if let Some(name) = file.file_name().filter(|_| file.extension().is_some_and(|kind| kind == "toml")) {
            fs::write(folder.join(name), fs::read(&file)?)?;
        }
    }
    Ok(format!("{}/", own.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_right_and_calls_nobody() {
        let config = configuration(Path::new("/nowhere")).unwrap_or_else(|_| panic!("the configuration has problems"));
        assert!(config.providers.iter().all(|provider| provider.kind.row().simulated));
        assert!(config.providers.iter().all(|provider| provider.name.starts_with("simulated")));
        assert_eq!(config.database.url, "sqlite:///nowhere/demo.db");
    }

    #[test]
    fn own_prompts_come_over_the_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        let hello = "[[messages]]\nrole = \"user\"\ncontent = \"Hello\"\n";
        fs::write(own.join("support-reply.toml"), hello).unwrap();
        let message = lay_out(&folder.path().join("a"), &own).unwrap();
        assert!(message.ends_with("own/"), "{message}");
        assert_eq!(fs::read_to_string(folder.path().join("a/support-reply.toml")).unwrap(), hello);
        assert_eq!(check_dir(&folder.path().join("a")).unwrap().len(), PROMPTS.len());
    }

    #[test]
    fn a_broken_prompt_of_ones_own_does_not_stop_the_demo() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("support-reply.toml"), "no = [").unwrap();
        let message = lay_out(&folder.path().join("a"), &own).unwrap();
        assert!(message.contains("cannot be used"), "{message}");
        assert_eq!(check_dir(&folder.path().join("a")).unwrap().len(), PROMPTS.len());
        assert_eq!(lay_out(&folder.path().join("b"), Path::new("/nowhere")).unwrap(), "the four built in");
    }

    #[tokio::test]
    async fn a_named_address_that_is_taken_is_told() {
        let taken = Listening::at(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        assert!(matches!(listen(Some(taken.address())).await, Err(Failure::Unreachable(_))));
    }
}
