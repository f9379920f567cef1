//! The real binary, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteRow;
use tokio::time::sleep;

use crate::app::{ADMIN, OTHER_KEY, UP_KEY, contains};
use crate::client::{Answer, Call, Open, PATIENCE};

/// A configuration with one provider at `upstream`, its database beside it.
pub fn config(upstream: SocketAddr) -> String {
    format!(
        "[server]\nshutdown_grace = \"20s\"\n[database]\nurl = \"sqlite://fulcrum.db\"\n\
         [providers.up]\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\napi_key = \"env:UP_KEY\"\n\
         [models.fast]\nprovider = \"up\"\nmodel = \"gpt-x\"\nprice = {{ input = \"1\", output = \"2\" }}\n\
         [defaults]\nretries = 0\n"
    )
}

/// The command, in `dir`.
pub fn fulcrum(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fulcrum"));
    command.current_dir(dir).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("FULCRUM_ADMIN_KEY", ADMIN).env("UP_KEY", UP_KEY).env("OTHER_KEY", OTHER_KEY);
    command
}

/// Runs a command to its end; its exit code and both outputs.
pub fn run(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// A running gateway. Killed when this goes.
pub struct Binary {
    pub address: SocketAddr,
    pub child: Child,
    log: Arc<Mutex<String>>,
}

impl Drop for Binary {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Binary {
    /// Starts `command serve` with the configuration `fulcrum.toml` and waits until it listens.
    pub async fn start(command: Command) -> Self {
        let mut this = Self::spawn(command);
        this.listens().await;
        this
    }

    /// Starts it without waiting.
    pub fn spawn(mut command: Command) -> Self {
        command.args(["serve", "--config", "fulcrum.toml", "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { address: "127.0.0.1:0".parse().unwrap(), child, log }
    }

    /// Waits until it listens.
    pub async fn listens(&mut self) {
        let line = self.says("listening at http://").await;
        let rest = line.split("listening at http://").nth(1).unwrap();
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && !".:".contains(letter)).unwrap_or(rest.len());
        self.address = rest[..end].parse().unwrap();
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has a line with `text`; that line.
    pub async fn says(&self, text: &str) -> String {
        self.says_again(text, 0).await
    }

    /// Waits for the line with `text` that follows `before` others.
    pub async fn says_again(&self, text: &str, before: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.lines().filter(|line| line.contains(text)).nth(before) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "the log never says `{text}`:\n{log}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends a call with the admin's key.
    pub async fn send(&self, call: Call) -> Answer {
        Open::of_call(self.address, call.key(ADMIN)).await
    }
}

/// Reads the database of a gateway that has ended.
pub async fn read(dir: &Path, sql: &'static str) -> Vec<SqliteRow> {
    let url = format!("sqlite://{}/fulcrum.db", dir.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap();
    pool.close().await;
    rows
}

/// Looks for secrets in the files of `dir` and in `log`.
pub fn find_secrets(dir: &Path, log: &str) {
    for secret in [ADMIN, UP_KEY, OTHER_KEY] {
        assert!(!log.contains(secret), "the log holds {secret}");
        for file in std::fs::read_dir(dir).unwrap().flatten() {
            let bytes = std::fs::read(file.path()).unwrap_or_default();
            assert!(!contains(&bytes, secret), "{} holds {secret}", file.path().display());
        }
    }
}
