//! Tests of the configuration.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::routing::{CacheMode, Facts, Health, KeyFacts, Similarity};
use crate::telemetry::LogFormat;
use crate::types::Timestamp;
use crate::upstream::{AwsCredentials, Kind};

/// Wrong configurations, each followed by the diagnostics that must come.
const BAD: &str = include_str!("../../tests/fixtures/config/bad.txt");

fn env(name: &str) -> Option<String> {
    match name {
        "GOOD" => Some("sk-test-0123456789\n".to_owned()),
        "EMPTY" => Some(String::new()),
        "SPACED" => Some("hunter2 hunter2".to_owned()),
        _ => None,
    }
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn mistakes(text: &str) -> Vec<String> {
    let problems = parse(text, "f", &env).expect_err(text);
    problems.iter().map(Diagnostic::to_string).collect()
}

#[test]
fn every_mistake_is_reported_with_its_line_column_and_fix() {
    let mut cases = 0;
    for case in BAD.split("%%\n") {
        let (expected, text): (Vec<&str>, Vec<&str>) = case.lines().partition(|line| line.starts_with("    f:"));
        let expected: Vec<&str> = expected.iter().map(|line| line.trim_start()).collect();
        assert_eq!(mistakes(&text.join("\n")), expected, "{case}");
        cases += 1;
    }
    assert!(cases >= 80, "{cases}");
}

#[test]
fn a_hedge_on_a_cascade_is_a_warning_and_nothing_comes_of_it() {
    let text = "[providers.simulated]\nkind = \"simulated\"\n[[routes]]\nname = \"c\"\nstrategy = \"cascade\"\n\
        targets = [{ model = \"simulated/a\", accept = { not_refusal = true } }, { model = \"simulated/b\" }]\n\
        hedge = { after = \"p95\" }";
    let config = parse(text, "f", &env).unwrap();
    let warnings: Vec<String> = config.warnings.iter().map(Diagnostic::to_string).collect();
    assert_eq!(
        warnings,
        [
            "f:7:1: routes[0].hedge: this is ignored: a cascade asks its targets one after the other, and has no hedges; take `hedge` out, or use another strategy"
        ]
    );
    assert_eq!(config.routes.list()[0]["hedge"], serde_json::Value::Null);
}

#[test]
fn a_pattern_that_accepts_every_answer_is_a_warning_with_its_place() {
    for (pattern, is_warned) in [
        ("", true),
        (".*", true),
        ("^", true),
        ("a*", true),
        (".", true),
        ("^.*$", false),
        ("^.{0,500}", true),
        ("^(?s:.{0,500})$", false),
        ("^[A-Z]", false),
        ("[^%]", false),
        ("\\\\w", false),
    ] {
        let text = format!(
            "[providers.simulated]\nkind = \"simulated\"\n[[routes]]\nname = \"c\"\nstrategy = \"cascade\"\n\
             targets = [{{ model = \"simulated/a\", accept = {{ regex = \"{pattern}\" }} }}, {{ model = \"simulated/b\" }}]"
        );
        let config = parse(&text, "f", &env).unwrap();
        let warnings: Vec<String> = config.warnings.iter().map(Diagnostic::to_string).collect();
        let expected = "f:6:56: routes[0].targets[0].accept.regex: every text matches this pattern, so it accepts every answer; \
             write what an answer must look like, such as \"^[A-Z]\", or take `regex` out";
        assert_eq!(warnings, if is_warned { vec![expected] } else { Vec::new() }, "{pattern}");
    }
}

#[test]
fn a_shadow_that_is_its_routes_only_target_is_a_warning() {
    let text = |targets: &str| {
        format!(
            "[providers.simulated]\nkind = \"simulated\"\n[[routes]]\nname = \"c\"\ntargets = [{targets}]\n\
             shadow = {{ model = \"simulated/a\", share = 1, max_usd_per_day = \"1\" }}"
        )
    };
    let warned = |targets: &str| parse(&text(targets), "f", &env).unwrap().warnings.len();
    let (a, b) = ("{ model = \"simulated/a\" }", "{ model = \"simulated/b\" }");
    assert_eq!((warned(a), warned(b), warned(&format!("{a}, {b}"))), (1, 0, 0));
}

#[test]
fn no_secret_is_ever_shown() {
    for case in BAD.split("%%\n") {
        let text: Vec<&str> = case.lines().filter(|line| !line.starts_with("    f:")).collect();
        let shown = mistakes(&text.join("\n")).join("\n");
        assert!(!shown.contains("hunter2") && !shown.contains("sk-"), "{shown}");
    }
    let config = parse("[providers.a]\nkind = \"openai\"\napi_key = \"env:GOOD\"", "f", &env).unwrap();
    assert!(!format!("{config:?}").contains("sk-test"));
}

#[test]
fn all_mistakes_of_a_file_come_at_once_and_in_order() {
    let text = r#"
[server]
listn = "127.0.0.1:1"
max_body = "32MB"

[providers.openai]
kind = "openai"
api_key = "sk-hunter2"
max_in_flight = 0

[models.fast]
provider = "opnai"
model = "gpt-4o-mini"

[models.smart]
provider = "openai"

[[routes]]
name = "one"
when = 'request.modl == "a"'
targets = [{ model = "smrt" }]
local_only = true

[[routes]]
name = "two"
targets = [{ model = "smart", weigth = 3 }]
retries = -2
"#;
    insta::assert_snapshot!(mistakes(text).join("\n"), @r#"
    f:3:1: server.listn: unknown key; did you mean `listen`?
    f:4:12: server.max_body: `32MB` is no size; write "512B", "64KiB", "32MiB" or "1GiB"
    f:8:11: providers.openai.api_key: a secret must not stand in the configuration itself; write "env:NAME" or "file:PATH"
    f:9:17: providers.openai.max_in_flight: 0 is out of range; use 1 to 1000000
    f:12:13: models.fast.provider: there is no provider `opnai`; did you mean `openai`?
    f:20:9: routes[0].when: `request` has no field `modl`; did you mean `request.model`?
    f:21:23: routes[0].targets[0].model: there is no model `smrt`; did you mean `smart`?
    f:26:31: routes[1].targets[0].weigth: unknown key; did you mean `weight`?
    f:27:11: routes[1].retries: -2 is out of range; use 0 to 10
    "#);
}

#[test]
fn a_server_or_a_vendor_that_is_named_as_the_kind_says_where_it_belongs() {
    let of = |kind: &str| {
        mistakes(&format!("[providers.a]\nkind = \"{kind}\"\nbase_url = \"http://127.0.0.1:1/v1\"")).join("\n")
    };
    for (kind, key) in
        [("ollama", "server"), ("vllm", "server"), ("llamacpp", "server"), ("lorax", "server"), ("groq", "vendor")]
    {
        let fix = format!("write kind = \"openai\" and {key} = \"{kind}\"");
        let found = of(kind);
        assert!(found.starts_with("f:2:8: providers.a.kind: ") && found.ends_with(&fix), "{found}");
    }
    assert!(of("olama").contains("is none of openai"), "{}", of("olama"));
}

#[test]
fn the_shipped_configuration_is_right_without_any_environment() {
    let text = include_str!("../../config/fulcrum.toml");
    let config = parse(text, DEFAULT_FILE, &nothing).unwrap();
    assert_eq!(config.server, Server::default());
    assert_eq!((config.database.clone(), config.ledger, config.cache), Default::default());
    assert_eq!(config.prompts.label_on_import.as_ref().map(ToString::to_string).as_deref(), Some("production"));
    let metadata = serde_json::json!({"privacy": "internal"});
    let ask = Facts {
        model: "auto",
        stream: false,
        input_tokens: 9_000,
        max_tokens: None,
        has_tools: false,
        has_images: false,
        text: "",
        prompt: None,
        key: KeyFacts { id: "", name: "", project: "", tags: &std::collections::BTreeMap::new() },
        metadata: None,
        header: &nothing,
        user: None,
        session: None,
        now: Timestamp(0),
        budget_used: 0.0,
        complexity: 0.0,
        figures: None,
        similar: &|_| Similarity::Unknown,
    };
    let route = |ask: &Facts<'_>| config.routes.plan(ask, &Health::default(), 0.5).unwrap().route.unwrap_or_default();
    assert_eq!(&*route(&ask), "long");
    assert_eq!(&*route(&Facts { input_tokens: 9, ..ask }), "auto");
    assert_eq!(&*route(&Facts { model: "fast", ..ask }), "");
    assert_eq!(&*route(&Facts { metadata: metadata.as_object(), ..ask }), "private");
}

#[test]
fn the_commented_examples_of_the_shipped_configuration_are_right() {
    let text = include_str!("../../config/fulcrum.toml");
    let live: Vec<String> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                let keys = ["OPENAI_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
                keys.iter().fold(rest.to_owned(), |line, key| line.replace(key, "GOOD"))
            }
            _ => line.to_owned(),
        })
        .collect();
    let config = parse(&live.join("\n"), "f", &env).unwrap();
    assert_eq!(config.limits.requests_per_minute, Some(600));
    assert_eq!(config.providers.len(), 5);
    let openai = config.providers.iter().find(|provider| &*provider.name == "openai").unwrap();
    assert_eq!((openai.kind, openai.base_url.as_str()), (Kind::OpenAi, "https://api.openai.com/v1"));
    assert_eq!(openai.api_keys[0].expose(), "sk-test-0123456789");
    let bedrock = config.providers.iter().find(|provider| provider.kind == Kind::Bedrock).unwrap();
    assert!(
        bedrock
            .aws
            .as_ref()
            .is_some_and(|aws| aws.credentials.as_ref().is_some_and(|keys| keys.session_token.is_some()))
    );
    let local = config.providers.iter().find(|provider| &*provider.name == "local").unwrap();
    assert_eq!((local.local, local.requests_per_second), (true, Some(12.0)));
    assert_eq!(local.gpu_hour.unwrap().to_string(), "1.2");
    assert_eq!(config.prices.len(), 2);
    let price = config.prices[0].tokens.unwrap();
    assert_eq!((price.input.to_string(), price.cache_write), ("0.15".to_owned(), None));
    assert!(config.server.allow_public_bind);
}

#[test]
fn a_configuration_that_names_no_provider_has_none() {
    for config in [parse("", "f", &nothing).unwrap(), without_file().unwrap()] {
        assert!(config.providers.is_empty() && config.models.is_empty());
        assert_eq!(config.database.url, "sqlite://data/fulcrum.db");
        assert!(config.routes.target("auto").is_none() && config.routes.target("simulated/auto").is_none());
    }
}

#[test]
fn a_named_file_must_be_there() {
    let problems = load(Path::new("/nowhere/fulcrum.toml"), Secrets::Read, &nothing).unwrap_err();
    let shown = problems[0].to_string();
    assert!(
        shown.starts_with("/nowhere/fulcrum.toml: file: cannot be read: ") && shown.contains("fulcrum init"),
        "{shown}"
    );
    let named = |name: &str| (name == "FULCRUM_CONFIG").then(|| "/nowhere/other.toml".to_owned());
    let found = find(None, &named).unwrap();
    let problems = load(&found, Secrets::Read, &named).unwrap_err();
    assert_eq!(problems[0].file.as_deref(), Some("/nowhere/other.toml"));
    assert!(problems[0].problem.contains("$FULCRUM_CONFIG"), "{}", problems[0]);
    assert_eq!(find(Some("a.toml".into()), &named).unwrap(), Path::new("a.toml"));
}

#[test]
fn a_command_that_calls_nobody_reads_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fulcrum.toml");
    let signed = "region = \"us-east-1\"\naccess_key_id = \"env:GONE\"\nsecret_access_key = \"env:GONE\"";
    let providers = [
        ("openai", "api_key = \"env:GONE\""),
        ("openai", "api_keys = [\"env:GONE\", \"file:/nowhere/key\"]\nca_file = \"/nowhere/ca.pem\""),
        ("bedrock", signed),
        ("azure", "base_url = \"https://a.openai.azure.com\"\napi_key = \"file:/nowhere/key\""),
    ];
    let text: Vec<String> = providers
        .iter()
        .enumerate()
        .map(|(n, (kind, more))| format!("[providers.p{n}]\nkind = \"{kind}\"\n{more}\n"))
        .collect();
    std::fs::write(&file, text.concat()).unwrap();
    let weak = |name: &str| (name == "FULCRUM_ADMIN_KEY").then(|| "short".to_owned());
    let config = load(&file, Secrets::Leave, &weak).unwrap();
    assert!(config.providers.len() == providers.len() && config.admin_key.is_none());
    assert!(load(&file, Secrets::Read, &weak).unwrap_err().len() > providers.len());
    // What no secret may be is refused by every command.
    std::fs::write(&file, "[providers.a]\nkind = \"openai\"\napi_key = \"sk-hunter2\"").unwrap();
    assert_eq!(load(&file, Secrets::Leave, &nothing).unwrap_err().len(), 1);
}

#[test]
fn an_imported_folder_is_labelled_unless_it_says_otherwise() {
    let label = |more: &str| {
        let config = parse(&format!("[prompts]\n{more}"), "f", &nothing).unwrap();
        config.prompts.label_on_import.map(|label| label.to_string())
    };
    assert_eq!(label("import = \"p/\"").as_deref(), Some("production"));
    assert_eq!(label("import = \"p/\"\nlabel_on_import = \"staging\"").as_deref(), Some("staging"));
    assert_eq!(label("import = \"p/\"\nlabel_on_import = false"), None);
    assert_eq!(label(""), None);
}

#[test]
fn the_named_servers_speak_chat_completions_until_they_are_proved_to_have_responses() {
    for (more, responses) in [
        ("", true),
        ("server = \"generic\"", true),
        ("server = \"vllm\"", false),
        ("server = \"llamacpp\"", false),
        ("server = \"ollama\"", false),
        ("server = \"lorax\"", false),
        ("server = \"llamacpp\"\nresponses = true", true),
        ("responses = false", false),
    ] {
        let text = format!("[providers.a]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n{more}");
        assert_eq!(parse(&text, "f", &nothing).unwrap().providers[0].responses, responses, "{more}");
    }
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, "sk-from-file\n").unwrap();
    let text = format!("[providers.a]\nkind = \"openai\"\napi_key = \"file:{}\"", file.display());
    let config = parse(&text, "f", &nothing).unwrap();
    assert_eq!(config.providers[0].api_keys[0].expose(), "sk-from-file");
    std::fs::write(&file, "x".repeat(20_000)).unwrap();
    assert!(mistakes(&text)[0].contains("more than 16 KiB"));
}

#[test]
fn bedrock_is_called_in_its_region_unless_an_address_is_given() {
    let text = |region: &str, more: &str| {
        format!("[providers.a]\nkind = \"bedrock\"\nregion = \"{region}\"\napi_key = \"env:GOOD\"\n{more}")
    };
    for (region, more, url) in [
        ("eu-central-1", "", "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        ("cn-north-1", "", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "base_url = \"https://vpce-1.example/\"", "https://vpce-1.example"),
    ] {
        let config = parse(&text(region, more), "f", &env).unwrap();
        let aws = config.providers[0].aws.as_ref().unwrap();
        assert_eq!((config.providers[0].base_url.as_str(), &*aws.region), (url, region));
        assert!(aws.credentials.is_none());
    }
    let signed = "[providers.a]\nkind = \"bedrock\"\nregion = \"us-east-1\"\naccess_key_id = \"env:GOOD\"\nsecret_access_key = \"env:GOOD\"";
    let config = parse(signed, "f", &env).unwrap();
    assert!(!format!("{config:?}").contains("sk-test"));
    let aws = config.providers[0].aws.as_ref().unwrap();
    let secrets: Vec<_> = aws.credentials.iter().flat_map(AwsCredentials::secrets).map(Secret::expose).collect();
    assert_eq!(secrets, ["sk-test-0123456789"; 2]);
}

#[test]
fn a_weak_admin_key_is_refused() {
    let with = |key: &'static str| move |name: &str| (name == "FULCRUM_ADMIN_KEY").then(|| key.to_owned());
    for key in ["short", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "0123456789 0123456789 0123456789"] {
        let problems = parse("", "f", &with(key)).unwrap_err();
        let shown = problems[0].to_string();
        assert!(shown.starts_with("environment: FULCRUM_ADMIN_KEY: it ") && !shown.contains(key), "{shown}");
    }
    let config = parse("", "f", &with("0123456789abcdef01234567")).unwrap();
    assert_eq!(config.admin_key.unwrap().expose().len(), 24);
}

#[test]
fn metrics_without_a_key_are_for_this_machine_alone() {
    for address in ["0.0.0.0:9464", "[::]:9464", "10.0.0.1:9464", "nonsense"] {
        // What makes a public address right for calls does not make it right for a page without a key.
        let text = format!("[server]\nallow_public_bind = true\n[telemetry]\nmetrics_listen = \"{address}\"\n");
        let problems = parse(&text, "f", &nothing).unwrap_err();
        let shown = problems[0].to_string();
        assert!(problems.len() == 1 && shown.starts_with("f:4:18: telemetry.metrics_listen: "), "{shown}");
    }
}

#[test]
fn every_key_is_read() {
    let text = r#"
[server]
listen = "localhost:9090"
max_body = "1MiB"
shutdown_grace = "1s"
max_connections = 7
header_timeout = "2s"
[ledger]
durability = "disk"
store_bodies = "full"
retention = "7d"
[client]
on_disconnect = "drain"
[telemetry]
log = "debug"
log_format = "json"
access_log = true
metrics_listen = "[::1]:9464"
[cache]
max_size = "1GiB"
[defaults]
retries = 0
cache = { mode = "exact", ttl = "5m", scope = "key" }
[providers.a]
kind = "openai"
server = "vllm"
base_url = "http://127.0.0.1:1/v1/"
timeouts = { connect = "1s", first_token = "2s", idle = "3s", total = "4s" }
max_in_flight = 9
[providers.b]
kind = "simulated"
profile = "error-500"
[models.free]
provider = "a"
price = { input = 0, output = 0.000000001, cache_read = "1", cache_write = "2", cache_write_1h = "3" }
[[routes]]
models = ["x"]
targets = [{ model = "free" }]
retries = 5
store_bodies = "prompts"
"#;
    let config = parse(text, "f", &nothing).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9090");
    assert_eq!((config.server.max_body, config.server.max_connections), (1 << 20, 7));
    assert_eq!(config.ledger.retention, Duration::from_secs(7 * 86_400));
    assert_eq!((config.ledger.durability, config.client.on_disconnect), (Durability::Disk, OnDisconnect::Drain));
    assert_eq!((config.telemetry.log, config.telemetry.log_format), ("debug", LogFormat::Json));
    assert!(config.telemetry.access_log);
    assert_eq!(config.telemetry.metrics_listen.unwrap().to_string(), "[::1]:9464");
    assert_eq!((config.defaults.retries, config.defaults.cache.mode), (0, CacheMode::Exact));
    assert_eq!(config.defaults.cache.ttl, Duration::from_secs(300));
    assert_eq!(config.providers[0].base_url, "http://127.0.0.1:1/v1");
    assert_eq!(config.providers[0].timeouts.total, Duration::from_secs(4));
    assert_eq!(config.providers[1].profile.as_deref(), Some("error-500"));
    assert_eq!(config.prices[0].tokens.unwrap().output.to_string(), "0.000000001");
    assert_eq!(config.models[0].model, "free".into());
}

#[test]
fn a_price_may_be_by_the_image_the_second_or_the_call() {
    let priced = |price: &str| {
        let text = format!("[providers.a]\nkind = \"simulated\"\n[models.m]\nprovider = \"a\"\nprice = {price}\n");
        parse(&text, "f", &nothing)
    };
    let price = priced(r#"{ image = "0.04", second = 0.0001 }"#).unwrap().prices[0].clone();
    assert_eq!((price.tokens, price.units.image.map(|price| price.to_string())), (None, Some("0.04".to_owned())));
    assert!(priced(r#"{ input = 1, output = 2, request = "0.01" }"#).unwrap().prices[0].tokens.is_some());
    for price in [r#"{ input = 1, image = 1 }"#, "{ }", r#"{ image = "x" }"#, r#"{ images = 1 }"#] {
        assert!(priced(price).is_err(), "{price}");
    }
}

proptest! {
    #[test]
    fn no_text_ends_the_process(at in 0usize..6_000, cut in 0usize..40, put in "[a-z0-9\"'={}.,\n\\[\\]#é -]{0,6}") {
        let mut text = include_str!("../../config/fulcrum.toml").to_owned();
        let start = text.floor_char_boundary(at.min(text.len()));
        let end = text.floor_char_boundary((start + cut).min(text.len()));
        text.replace_range(start..end, &put);
        if let Err(problems) = parse(&text, "f", &nothing) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|found| found.position().is_some_and(|at| at.line >= 1 && at.column >= 1) && !found.fix.is_empty()));
        }
    }
}

#[test]
fn so_many_mistakes_are_reported_and_no_more_looked_for() {
    let keys: String = (0..50_000).map(|n| format!("k{n} = 1\n")).collect();
    let inline: Vec<String> = (0..50_000).map(|n| format!("k{n} = 1")).collect();
    let models: String = (0..20_000).map(|n| format!("[models.m{n}]\nprovider = \"p{n}\"\n")).collect();
    for text in [keys, format!("server = {{ {} }}\n", inline.join(", ")), models] {
        let problems = parse(&text, "f", &env).unwrap_err();
        assert!((2..=1_000).contains(&problems.len()), "{}", problems.len());
        assert!(problems.iter().all(|problem| problem.position().is_some()), "{}", problems[0]);
    }
}

#[test]
fn what_is_no_plain_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long");
    std::fs::write(&long, vec![b'k'; 20 << 10]).unwrap();
    for path in ["/dev/zero", "/dev/tty", "/", &long.display().to_string()] {
        let provider =
            format!("[providers.p]\nkind = \"openai\"\nbase_url = \"https://h/v1\"\napi_key = \"file:{path}\"\n");
        let found = mistakes(&provider);
        assert!(found.len() == 1 && found[0].contains("cannot be read: it"), "{found:?}");
    }
    for path in ["/dev/zero", "/"] {
        let provider = format!(
            "[providers.p]\nkind = \"openai\"\nbase_url = \"https://h/v1\"\napi_key = \"env:GOOD\"\nca_file = \"{path}\"\n"
        );
        let found = mistakes(&provider);
        assert!(found.len() == 1 && found[0].contains("no plain file"), "{found:?}");
        assert!(load(Path::new(path), Secrets::Read, &env).unwrap_err()[0].to_string().contains("no plain file"));
    }
}

#[test]
fn an_emptied_file_takes_no_configurations_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.toml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let good = "[providers.p]\nkind = \"openai\"\napi_key = \"env:GOOD\"\n[models.fast]\nprovider = \"p\"\n";
    write(good);
    let old = load(&path, Secrets::Read, &env).unwrap();
    for text in ["", "\n", "# nothing but words\n", "[server]\n", "[server]\nmax_body = \"1MiB\"\n", "[providers"] {
        write(text);
        assert!(load_again(&path, &old, &env).is_err(), "{text:?}");
    }
    write("[models.fast]\nprovider = \"simulated\"\n");
    let bare = load_again(&path, &old, &env);
    assert!(bare.is_ok() || !bare.unwrap_err()[0].to_string().contains("written whole"));
    write("");
    let bare = load(&path, Secrets::Read, &env).unwrap();
    assert!(load_again(&path, &bare, &env).is_ok(), "where nothing was named before, nothing is lost");
    write(good);
    assert!(load_again(&path, &bare, &env).is_ok());
}

#[test]
fn what_nothing_comes_of_and_what_fits_everything_are_warned_of() {
    let base = "[providers.s]\nkind = \"simulated\"\n[models.m]\nprovider = \"s\"\n[cache.semantic]\nembedding_model = \"m\"\n\
        [[routes]]\nname = \"r\"\n";
    let warnings = |rest: &str| {
        let config = parse(&format!("{base}{rest}"), "f", &nothing).unwrap();
        config.warnings.iter().map(Diagnostic::to_string).collect::<Vec<_>>()
    };
    let speed = "min_speed = { chars_per_second = 5 }\n";
    let alone = warnings(&format!("{speed}targets = [{{ model = \"m\" }}]\n"));
    assert!(alone.len() == 1 && alone[0].starts_with("f:9:1: routes[0].min_speed: a slow stream"), "{alone:?}");
    for more in ["fallbacks = [\"s/x\"]", "on_budget = { above = 0.8, models = [\"s/x\"] }"] {
        let none = warnings(&format!("{speed}{more}\ntargets = [{{ model = \"m\" }}]\n"));
        assert!(none.is_empty(), "{none:?}");
    }
    let threshold = |value: &str| {
        warnings(&format!("cache = {{ mode = \"semantic\", threshold = {value} }}\ntargets = [{{ model = \"m\" }}]\n"))
    };
    assert!(threshold("0.01").is_empty());
    let zero = threshold("0");
    assert!(zero.len() == 1 && zero[0].contains("routes[0].cache.threshold: "), "{zero:?}");
}
