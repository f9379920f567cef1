//! The gateway under test: built as the binary builds it, on a socket of its own, and audited when it ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{LazyLock, Mutex, Once};
use std::time::Duration;

use fulcrum::app::{App, Built};
use fulcrum::config;
use fulcrum::http::{Listening, serve};
use serde_json::{Value, json};
use sqlx::Row;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Call, Open, PATIENCE};
use crate::upstream::Upstream;

/// The admin's key.
pub const ADMIN: &str = "admin-canary-5d1f0c7b9e3a4826";

/// The providers' keys. Nothing but a request's head to its provider may hold one.
pub const UP_KEY: &str = "sk-canary-up-8c1d2e3f4a5b6c7d";
pub const OTHER_KEY: &str = "sk-canary-other-0a9b8c7d6e5f";

/// Whose pair of keys `OTHER_KEY` is the secret half of, where calls are signed. It stands in their heads.
pub const AWS_ID: &str = "AKIACANARY0A9B8C7D6E";

/// The providers and models of every test. `up`, `hasty` and `pair` are one upstream, `other` is the second.
const BASE: &str = r#"
[database]
url = "sqlite://{dir}/fulcrum.db"
[providers.up]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
[providers.hasty]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
timeouts = { connect = "500ms", first_token = "300ms", idle = "300ms", total = "2s" }
[providers.pair]
kind = "openai"
base_url = "http://{up}/v1"
api_keys = ["env:UP_KEY", "env:OTHER_KEY"]
[providers.narrow]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
max_in_flight = 1
[providers.other]
kind = "openai"
base_url = "http://{other}/v1"
api_key = "env:OTHER_KEY"
local = true
[providers.dead]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "env:UP_KEY"
[providers.nowhere]
kind = "openai"
base_url = "http://no-such-host.invalid/v1"
api_key = "env:UP_KEY"
[models.fast]
provider = "up"
model = "gpt-x"
price = { input = "1", output = "2", cache_read = "0.5" }
[models.spare]
provider = "other"
model = "spare-x"
price = { input = "3", output = "4" }
[models.embed]
provider = "up"
model = "embed-x"
"#;

/// The gateway.
pub struct TestApp {
    pub address: SocketAddr,
    pub app: App,
    pub up: Upstream,
    pub other: Upstream,
    /// A key of the role app.
    pub key: String,
    pub dir: TempDir,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

/// All that was logged, at every level, by every test of this process.
static LOG: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(Mutex::default);

struct Tap;

impl std::io::Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn tap_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(|| Tap).init();
    });
}

/// The lines of this process's log so far that hold `text`.
pub fn logged(text: &str) -> Vec<String> {
    let log = LOG.lock().unwrap();
    String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

impl TestApp {
    /// A gateway without routes, whose calls are tried once.
    pub async fn start() -> Self {
        Self::with("[defaults]\nretries = 0\n").await
    }

    /// A gateway with more configuration. `{dir}`, `{up}` and `{other}` stand for their places.
    pub async fn with(more: &str) -> Self {
        tap_logs();
        let dir = tempfile::tempdir().unwrap();
        let (up, other) = (Upstream::start().await, Upstream::start().await);
        let text = filled(&format!("{BASE}{more}"), dir.path(), &up, &other);
        let config = config::parse(&text, "test", &env).unwrap_or_else(|problems| panic!("{problems:?}"));
        let Built { app, .. } = App::build(config).await.unwrap();
        let listening = Listening::at("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listening.address();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(app.clone(), listening, stop.clone()));
        let mut this = Self { address, app, up, other, key: String::new(), dir, stop, server };
        this.key = this.new_key(&json!({"name": "caller"})).await;
        this
    }

    /// Reads `more` as the configuration of this gateway from now on.
    pub async fn reload(&self, more: &str) {
        let text = filled(&format!("{BASE}{more}"), self.dir.path(), &self.up, &self.other);
        self.app.reload(config::parse(&text, "test", &env).unwrap()).await.unwrap();
    }

    /// A new key of what `fields` say; its secret.
    pub async fn new_key(&self, fields: &Value) -> String {
        let made = self.admin(Call::post("/api/v1/keys", fields)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["key"].as_str().unwrap().to_owned()
    }

    /// Sends a call as it is.
    pub async fn send(&self, call: Call) -> Answer {
        self.open(&call).await.rest().await
    }

    /// Sends a call, and reads its answer as it comes.
    pub async fn open(&self, call: &Call) -> Open {
        Open::send(self.address, call).await.expect("an answer comes")
    }

    /// Sends a call with the admin's key.
    pub async fn admin(&self, call: Call) -> Answer {
        self.send(call.key(ADMIN)).await
    }

    /// Asks for a chat completion with the caller's key.
    pub async fn chat(&self, body: &Value) -> Answer {
        self.send(Call::chat(body).key(&self.key)).await
    }

    /// Asks `model` to say hello, whole.
    pub async fn hello(&self, model: &str) -> Answer {
        self.chat(&hello(model)).await
    }

    /// Asks `model` to say hello, as a stream.
    pub async fn hello_stream(&self, model: &str) -> Answer {
        self.chat(&streamed(hello(model))).await
    }

    /// The ledger's row of a request, with its attempts; waits until it is there.
    pub async fn row(&self, id: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.admin(Call::get(&format!("/api/v1/requests/{id}"))).await;
            if answer.status == 200 {
                return answer.json();
            }
            assert!(Instant::now() < deadline, "no row of {id} comes: {}", answer.text());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// All rows, newest first; waits until there are `count`.
    pub async fn rows(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.admin(Call::get("/api/v1/requests?limit=500")).await.json();
            let rows = answer["rows"].as_array().unwrap();
            assert!(rows.len() <= count, "{} rows, not {count}: {answer:#}", rows.len());
            if rows.len() == count {
                return rows.clone();
            }
            assert!(Instant::now() < deadline, "{} rows, not {count}", rows.len());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A metric's value, summed over its labels that `filter` is part of.
    pub async fn metric(&self, name: &str, filter: &str) -> f64 {
        let text = self.admin(Call::get("/metrics")).await;
        let lines = text.text().lines().filter(|line| line.starts_with(name) && line.contains(filter));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Ends the gateway in good order and audits what it leaves: every attempt that an upstream saw has its row and no
    /// other does, nothing is under way, and no secret stands where none may.
    pub async fn close(mut self) {
        self.stop.cancel();
        timeout(PATIENCE, &mut self.server).await.expect("the server ends").unwrap().unwrap();
        timeout(PATIENCE, self.app.close()).await.expect("the gateway closes");
        assert_eq!(self.app.metrics().in_flight(), 0, "requests are under way after the end");
        for (upstream, providers) in [
            (
                &self.up,
                "'up', 'hasty', 'pair', 'narrow', 'claude', 'gem', 'answers', 'plain', 'bed', 'signed', 'openai', 'xai', 'anthropic', 'gemini'",
            ),
            (&self.other, "'other', 'four', 'openly', 'claudes', 'second'"),
        ] {
            let Attempts { sent, hung_up } = attempts(self.dir.path(), providers).await;
            let seen = upstream.count();
            assert!(sent <= seen && seen <= sent + hung_up, "{sent} to {} rows, {seen} attempts seen", sent + hung_up);
        }
        self.find_secrets();
    }

    fn find_secrets(&self) {
        let mut places = vec![("metrics".to_owned(), self.app.metrics().text().into_bytes())];
        for file in std::fs::read_dir(self.dir.path()).unwrap().flatten() {
            places.push((file.path().display().to_string(), std::fs::read(file.path()).unwrap_or_default()));
        }
        for secret in [UP_KEY, OTHER_KEY, AWS_ID, ADMIN, &self.key] {
            for (place, bytes) in &places {
                assert!(!contains(bytes, secret), "{place} holds the secret {secret}");
            }
            assert!(!contains(&LOG.lock().unwrap(), secret), "the log holds the secret {secret}");
        }
        for received in self.up.received().iter().chain(&self.other.received()) {
            assert!(!received.head.contains("AWS4-") || !received.head.contains(OTHER_KEY), "{}", received.head);
            assert!(!received.head.contains("fk-") && !received.head.contains(ADMIN), "{}", received.head);
        }
    }
}

pub fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

struct Attempts {
    sent: usize,
    hung_up: usize,
}

/// Attempts that must have been seen by the upstream, and those that may have been: the caller hung up.
async fn attempts(dir: &Path, providers: &str) -> Attempts {
    let url = format!("sqlite://{}/fulcrum.db?mode=ro", dir.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let count = |condition: &str| {
        let sql = format!("select count(*) from full_attempts where provider in ({providers}) and {condition}");
        let pool = pool.clone();
        async move {
            let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
            usize::try_from(row.get::<i64, _>(0)).unwrap()
        }
    };
    let never = "('upstream_connect', 'overloaded')";
    // An answer that was cut off was asked for.
    let cut_off = "status = 'unknown'";
    // What a provider's own batch API ran was no call of ours.
    let called = r#"coalesce(rate, '') not like '%"tier":"batch"%'"#;
    let sent = count(&format!(
        "{called} and status <> 'client_closed' and (coalesce(error_code, '') not in {never} or {cut_off})"
    ))
    .await;
    let hung_up = count("status = 'client_closed'").await;
    pool.close().await;
    Attempts { sent, hung_up }
}

fn filled(text: &str, dir: &Path, up: &Upstream, other: &Upstream) -> String {
    let text = text.replace("{dir}", &dir.display().to_string());
    text.replace("{up}", &up.address.to_string()).replace("{other}", &other.address.to_string())
}

pub fn env(name: &str) -> Option<String> {
    let value = match name {
        "UP_KEY" => UP_KEY,
        "OTHER_KEY" => OTHER_KEY,
        "AWS_ID" => AWS_ID,
        "FULCRUM_ADMIN_KEY" => ADMIN,
        _ => return None,
    };
    Some(value.to_owned())
}

/// A request to say hello.
pub fn hello(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Say hello"}]})
}

/// The same request as a stream.
pub fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}
