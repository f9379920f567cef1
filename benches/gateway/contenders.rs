//! The contenders: how each is started, and how it is called.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::client::{Conn, post};
use crate::mock::PACED;
use crate::options::Options;
use crate::process::{Process, free_port};

/// The key that every upstream call carries.
const UPSTREAM_KEY: &str = "sk-bench-upstream";
/// LiteLLM does not start without one.
const MASTER_KEY: &str = "sk-bench-8b1f2f60c7e94d5aa3d05c1e";
const ADMIN_KEY: &str = "bench-admin-key-of-enough-characters";

/// One proxy, running.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// What it is and how it is set.
    pub(crate) about: String,
    /// None for the mock itself, called directly.
    pub(crate) process: Option<Process>,
    address: SocketAddr,
    /// Where it has another place for streams.
    stream_address: SocketAddr,
    headers: Vec<(String, String)>,
    /// Its share of the requests: slow ones get fewer.
    pub(crate) share: f64,
    /// Whether it has a cache to be measured.
    pub(crate) caches: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Whole,
    Cached,
    Stream,
    Paced,
}

impl Contender {
    /// Where to call.
    pub(crate) fn address(&self, asked: Asked) -> SocketAddr {
        if matches!(asked, Asked::Stream | Asked::Paced) { self.stream_address } else { self.address }
    }

    /// The bytes to send.
    pub(crate) fn request(&self, asked: Asked) -> Vec<u8> {
        post("/v1/chat/completions", &self.headers, &body(asked).to_string())
    }

    /// The bytes of a call in any dialect.
    pub(crate) fn call(&self, path: &str, body: &Value) -> Vec<u8> {
        post(path, &self.headers, &body.to_string())
    }

    async fn ready(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let request = self.request(Asked::Whole);
        let mut conn = Conn::new(self.address);
        loop {
            if conn.call(&request, &mut |_| {}).await.is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            if self.process.as_mut().is_some_and(|process| !process.runs()) {
                return Err("it ended".into());
            }
            if Instant::now() > deadline {
                return Err("it gave no answer in time".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// About a kilobyte, as a support reply has it.
fn body(asked: Asked) -> Value {
    let system = "You answer customers of Acme, a shop for household goods. Be friendly and short. Name the order's number \
        where the customer gives one. Never promise a refund; say that a colleague will look at it within one working day. \
        Answer in the customer's language. Do not repeat the question. End with the name of the team.";
    let user = "Hello, I ordered an espresso machine two weeks ago (order B-1182) and it still has not arrived. The tracking \
        page has said 'in transit' since last Tuesday. Could you please tell me where it is, and what I can do if it does not \
        come this week? I will be travelling from Friday on and nobody will be at home to take it.";
    let marker = if asked == Asked::Paced { format!(" {PACED}") } else { String::new() };
    let model = if asked == Asked::Cached { "bench-cached" } else { "bench" };
    let mut body = json!({
        "model": model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": format!("{user}{marker}")}],
        "temperature": 0.2,
        "max_tokens": 300,
    });
    if matches!(asked, Asked::Stream | Asked::Paced) {
        body["stream"] = json!(true);
    }
    body
}

/// Starts the contenders that are wanted; one that cannot start is reported and left out.
pub(crate) async fn start_all(options: &Options, upstream: SocketAddr, home: &Path) -> Result<Vec<Contender>> {
    let mut all = vec![direct(upstream)];
    let starters: [(&'static str, Starter); 6] = [
        ("nginx", nginx),
        ("hyper", hyper),
        ("fulcrum", fulcrum),
        ("before", before),
        ("portkey", portkey),
        ("litellm", litellm),
    ];
    for (name, start) in starters {
        let is_missing = name == "before" && options.before.is_none();
        if is_missing || !options.wants(name) {
            continue;
        }
        let home = home.join(name);
        fs::create_dir_all(&home)?;
        let setting = Setting { options, upstream, log: home.join("log"), home: home.clone() };
        match start_one(name, start, &setting).await {
            Ok(contender) => all.push(contender),
            Err(error) => {
                let log = fs::read_to_string(&setting.log).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                eprintln!("{name} is left out: {error}\n  {}", tail.into_iter().rev().collect::<Vec<_>>().join("\n  "));
            }
        }
    }
    Ok(all)
}

async fn start_one(name: &'static str, start: Starter, setting: &Setting<'_>) -> Result<Contender> {
    let mut contender = start(setting)?;
    if ["fulcrum", "before"].contains(&name) {
        let secret = virtual_key(&mut contender).await?;
        contender.headers = vec![bearer(&secret)];
    }
    contender.ready(Duration::from_secs(90)).await?;
    eprintln!("started {name}: {}", contender.about);
    Ok(contender)
}

type Starter = fn(&Setting<'_>) -> Result<Contender>;

struct Setting<'a> {
    options: &'a Options,
    upstream: SocketAddr,
    home: PathBuf,
    log: PathBuf,
}

impl Setting<'_> {
    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.home.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    fn contender(&self, name: &'static str, address: SocketAddr, command: &mut Command) -> Result<Contender> {
        Ok(Contender {
            name,
            about: String::new(),
            process: Some(Process::start(command, &self.log)?),
            address,
            stream_address: address,
            headers: vec![bearer(UPSTREAM_KEY)],
            share: 1.0,
            caches: false,
        })
    }
}

fn bearer(key: &str) -> (String, String) {
    ("authorization".to_owned(), format!("Bearer {key}"))
}

fn direct(upstream: SocketAddr) -> Contender {
    Contender {
        name: "direct",
        about: "the mock itself, without anything between".to_owned(),
        process: None,
        address: upstream,
        stream_address: upstream,
        headers: vec![bearer(UPSTREAM_KEY)],
        share: 1.0,
        caches: false,
    }
}

fn nginx(setting: &Setting<'_>) -> Result<Contender> {
    let (address, streams) = (free_port()?, free_port()?);
    let home = setting.home.display();
    let server = |listen: SocketAddr, buffering: &str| {
        format!(
            "server {{ listen {listen}; location / {{ proxy_pass http://mock; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; proxy_buffering {buffering}; }} }}\n"
        )
    };
    let config = format!(
        "worker_processes 2;\ndaemon off;\npid {home}/pid;\nerror_log stderr crit;\nevents {{ worker_connections 4096; }}\n\
         http {{\naccess_log off;\nkeepalive_requests 1000000000;\ntcp_nodelay on;\nclient_max_body_size 32m;\n\
         client_body_temp_path {home}/body;\nproxy_temp_path {home}/proxy;\nfastcgi_temp_path {home}/f;\n\
         uwsgi_temp_path {home}/u;\nscgi_temp_path {home}/s;\n\
         upstream mock {{ server {}; keepalive 256; keepalive_requests 1000000000; }}\n{}{}}}\n",
        setting.upstream,
        server(address, "on"),
        server(streams, "off"),
    );
    let config = setting.write("nginx.conf", &config)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&setting.home).arg("-c").arg(config).arg("-e").arg("stderr");
    let contender = setting.contender("nginx", address, &mut command)?;
    let version = Command::new("nginx").arg("-v").output()?.stderr;
    let version = String::from_utf8_lossy(&version).trim().replace("nginx version: ", "");
    let about =
        format!("{version}, proxy_pass with keep-alive connections, 2 workers, no log, buffering off for streams");
    Ok(Contender { stream_address: streams, about, ..contender })
}

fn hyper(setting: &Setting<'_>) -> Result<Contender> {
    let address = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["proxy", &address.port().to_string(), &setting.upstream.to_string()]);
    let contender = setting.contender("hyper", address, &mut command)?;
    Ok(Contender { about: "a bare hyper proxy that reads nothing, 2 threads".to_owned(), ..contender })
}

fn portkey(setting: &Setting<'_>) -> Result<Contender> {
    let address = free_port()?;
    let modules = fs::canonicalize(setting.options.services.join("portkey/node_modules/@portkey-ai/gateway"))?;
    let mut command = Command::new("node");
    command.arg(modules.join("build/start-server.js")).arg(format!("--port={}", address.port())).arg("--headless");
    command.env("NODE_ENV", "production").env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost");
    let contender = setting.contender("portkey", address, &mut command)?;
    let mut headers = contender.headers.clone();
    headers.push(("x-portkey-provider".to_owned(), "openai".to_owned()));
    headers.push(("x-portkey-custom-host".to_owned(), format!("http://{}/v1", setting.upstream)));
    let version = version_of(&modules.join("package.json"));
    Ok(Contender {
        headers,
        share: 0.1,
        about: format!("@portkey-ai/gateway {version}, no key check, no log"),
        ..contender
    })
}

fn version_of(package: &Path) -> String {
    let package: Value =
        fs::read_to_string(package).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    package["version"].as_str().unwrap_or("?").to_owned()
}

fn litellm(setting: &Setting<'_>) -> Result<Contender> {
    let address = free_port()?;
    let config = format!(
        "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n      api_base: http://{}/v1\n      \
         api_key: {UPSTREAM_KEY}\ngeneral_settings:\n  master_key: {MASTER_KEY}\nlitellm_settings:\n  \
         telemetry: false\n  set_verbose: false\n",
        setting.upstream
    );
    let config = setting.write("litellm.yaml", &config)?;
    let bin = fs::canonicalize(setting.options.services.join("litellm/bin"))?;
    let mut command = Command::new(bin.join("litellm"));
    command.arg("--config").arg(config).args(["--host", "127.0.0.1", "--num_workers", "1", "--port"]);
    command.arg(address.port().to_string()).current_dir(&setting.home);
    command.env("LITELLM_LOG", "ERROR").env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("DO_NOT_TRACK", "1");
    let contender = setting.contender("litellm", address, &mut command)?;
    let about = "litellm[proxy] 1.106.10, 1 worker, its master key checked, no log".to_owned();
    Ok(Contender { headers: vec![bearer(MASTER_KEY)], share: 0.02, about, ..contender })
}

fn fulcrum(setting: &Setting<'_>) -> Result<Contender> {
    fulcrum_of(&setting.options.fulcrum, "fulcrum", setting)
}

/// The binary that Fulcrum is compared with.
fn before(setting: &Setting<'_>) -> Result<Contender> {
    let binary = setting.options.before.as_deref().ok_or("no binary")?;
    fulcrum_of(binary, "before", setting)
}

fn fulcrum_of(binary: &Path, name: &'static str, setting: &Setting<'_>) -> Result<Contender> {
    let address = free_port()?;
    let mut command = fulcrum_command(binary, setting.upstream, &setting.home, address)?;
    let mut contender = setting.contender(name, address, &mut command)?;
    contender.caches = true;
    contender.about =
        format!("{}, key check, rules, ledger (durability process) and metrics on", fulcrum_version(binary));
    Ok(contender)
}

fn fulcrum_version(binary: &Path) -> String {
    let printed = Command::new(binary).arg("--version").output();
    printed.map_or_else(|_| "fulcrum".to_owned(), |printed| String::from_utf8_lossy(&printed.stdout).trim().to_owned())
}

/// `fulcrum serve` with a configuration in `home`; its prompts are read from `home/prompts`.
pub(crate) fn fulcrum_command(
    binary: &Path,
    upstream: SocketAddr,
    home: &Path,
    address: SocketAddr,
) -> Result<Command> {
    let binary = fs::canonicalize(binary).map_err(|error| format!("{}: {error}", binary.display()))?;
    fs::create_dir_all(home.join("prompts"))?;
    let place = home.display();
    let config = format!(
        r#"[server]
listen = "{address}"
[database]
url = "sqlite://{place}/fulcrum.db"
[ledger]
durability = "process"
[prompts]
import = "{place}/prompts/"
[providers.mock]
kind = "openai"
base_url = "http://{upstream}/v1"
api_key = "env:BENCH_KEY"
[models.bench]
provider = "mock"
[providers.chat]
kind = "openai"
base_url = "http://{upstream}/v1"
api_key = "env:BENCH_KEY"
responses = false
[providers.responses]
kind = "openai"
base_url = "http://{upstream}/v1"
api_key = "env:BENCH_KEY"
chat = false
[providers.messages]
kind = "anthropic"
base_url = "http://{upstream}"
api_key = "env:BENCH_KEY"
[providers.generate]
kind = "gemini"
base_url = "http://{upstream}"
api_key = "env:BENCH_KEY"
[[routes]]
name = "internal"
when = 'metadata.privacy == "internal" && request.input_tokens > 100000'
targets = [{{ model = "bench" }}]
[[routes]]
name = "cached"
models = ["bench-cached"]
targets = [{{ model = "bench" }}]
cache = {{ mode = "exact", ttl = "1h", scope = "project" }}
[[routes]]
name = "bench"
models = ["bench"]
targets = [{{ model = "bench" }}]
"#
    );
    let path = home.join("fulcrum.toml");
    fs::write(&path, config)?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(path).arg("--listen").arg(address.to_string()).current_dir(home);
    command.env("BENCH_KEY", UPSTREAM_KEY).env("FULCRUM_ADMIN_KEY", ADMIN_KEY);
    Ok(command)
}

/// Has a virtual key made, waiting until the gateway answers.
async fn virtual_key(contender: &mut Contender) -> Result<String> {
    let request = post("/api/v1/keys", &[bearer(ADMIN_KEY)], r#"{"name":"bench"}"#);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut body = Vec::new();
        let reply = Conn::new(contender.address).call(&request, &mut |piece| body.extend_from_slice(piece)).await;
        match reply {
            Ok(reply) if reply.status == 201 => {
                let key: Value = serde_json::from_slice(&body)?;
                return Ok(key["key"].as_str().ok_or("no key in the answer")?.to_owned());
            }
            Ok(reply) => return Err(format!("{}: {}", reply.status, String::from_utf8_lossy(&body)).into()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) if contender.process.as_mut().is_some_and(|process| !process.runs()) => {
                return Err("it ended".into());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A call as the admin, for the start-up's first answer.
pub(crate) fn admin_request() -> Vec<u8> {
    post("/v1/chat/completions", &[bearer(ADMIN_KEY)], &body(Asked::Whole).to_string())
}
