//! What `deploy/` has for an owner: systemd, a container, proxies, Prometheus; and what a package installs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary::{fulcrum, run};

fn deploy(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

/// The program `name` where one is installed.
fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists())
}

#[test]
fn the_unit_has_a_folder_a_user_and_no_more_rights_than_it_needs() {
    let unit = deploy("fulcrum.service");
    let settings: Vec<&str> = unit.lines().filter(|line| !line.starts_with('#')).collect();
    for setting in [
        "DynamicUser=yes",
        "StateDirectory=fulcrum",
        "WorkingDirectory=/var/lib/fulcrum",
        "EnvironmentFile=-/etc/fulcrum/environment",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "UMask=0077",
    ] {
        assert!(settings.contains(&setting), "no {setting}");
    }
    assert!(unit.contains("LoadCredential="));
    let Some(systemd) = installed("systemd-analyze") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fulcrum.service");
    std::fs::write(&file, unit.replace("/usr/local/bin/fulcrum", env!("CARGO_BIN_EXE_fulcrum"))).unwrap();
    let (code, text) = run(Command::new(systemd).args(["verify", "--man=no"]).arg(&file));
    assert!(code == 0 && !text.contains("fulcrum.service:"), "{code} {text}");
}

#[test]
fn the_units_and_the_containers_command_is_one() {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let unit = deploy("fulcrum.service");
    let of_unit = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/fulcrum ")).unwrap();
    let container = deploy("Containerfile");
    let of_container = container.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let of_container: Vec<String> = serde_json::from_str(of_container).unwrap();
    assert_eq!(words(of_unit), of_container);
    let dir = tempfile::tempdir().unwrap();
    let (code, text) = run(fulcrum(dir.path()).args(&of_container));
    assert!(code == 2 && text.contains("/etc/fulcrum/fulcrum.toml"), "no file is there: {code} {text}");
}

#[test]
fn a_proxy_before_it_keeps_no_event_back() {
    let nginx = deploy("nginx.conf");
    assert!(nginx.contains("proxy_buffering off;") && deploy("Caddyfile").contains("flush_interval -1"));
    // The guide's extract stands inside a `server { }` as it is, and says what the whole file says.
    let guide = include_str!("../../docs/guides/operations.md");
    let extract = guide.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    for line in extract.lines().map(|line| line.split(';').next().unwrap().trim()).filter(|line| !line.is_empty()) {
        let own = line.starts_with("proxy_pass ") || nginx.lines().any(|known| known.trim().starts_with(line));
        assert!(own, "deploy/nginx.conf has no `{line}`");
    }
    assert!(extract.contains("client_max_body_size") && extract.contains("proxy_pass http://127.0.0.1:"), "{extract}");
    let Some(program) = installed("nginx") else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().display().to_string();
    let inside = format!(
        "pid {place}/pid; error_log stderr; events {{ }} http {{ access_log off; server {{ listen unix:{place}/t; {extract} }} }}"
    );
    std::fs::write(dir.path().join("extract.conf"), inside).unwrap();
    let config = format!("{place}/extract.conf");
    let (code, text) = run(Command::new(&program).args(["-t", "-p", &place, "-c", &config]));
    assert!(code == 0, "{text}");
    let own = rcgen::generate_simple_self_signed(vec!["fulcrum.example.com".to_owned()]).unwrap();
    std::fs::write(dir.path().join("fulcrum.pem"), own.cert.pem()).unwrap();
    std::fs::write(dir.path().join("fulcrum.key"), own.signing_key.serialize_pem()).unwrap();
    let server = nginx.replace("/etc/ssl", &place).replace("listen 443 ssl", &format!("listen unix:{place}/s ssl"));
    let whole = format!("pid {place}/pid; error_log stderr; events {{ }} http {{ access_log off; {server} }}");
    std::fs::write(dir.path().join("nginx.conf"), whole).unwrap();
    let config = format!("{place}/nginx.conf");
    let (code, text) = run(Command::new(program).args(["-t", "-p", &place, "-c", &config]));
    assert!(code == 0, "{text}");
}

#[test]
fn the_version_names_the_commit_and_its_day() {
    let dir = tempfile::tempdir().unwrap();
    for flag in ["--version", "-V"] {
        let (code, text) = run(fulcrum(dir.path()).arg(flag));
        let expected = format!("fulcrum {}\n", fulcrum::types::VERSION);
        assert_eq!((code, text), (0, expected));
    }
    let inside = fulcrum::types::VERSION.split_once(" (").and_then(|(_, rest)| rest.strip_suffix(')')).unwrap();
    let (commit, day) = inside.rsplit_once(' ').unwrap();
    assert!(commit.starts_with("unknown commit") || commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
    let is_day = day.len() == 10 && day.starts_with("20") && day.matches('-').count() == 2;
    assert!(is_day || inside == "unknown commit", "{day}");
}

#[test]
fn every_shell_completes_and_every_command_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, text) = run(fulcrum(dir.path()).args(["completions", shell]));
        assert!(code == 0 && text.contains("rotate") && text.contains("completions"), "{shell}: {code}");
    }
    if let Some(bash) = installed("bash") {
        let (_, script) = run(fulcrum(dir.path()).args(["completions", "bash"]));
        std::fs::write(dir.path().join("fulcrum.bash"), script).unwrap();
        let (code, text) = run(Command::new(bash).arg("-n").arg(dir.path().join("fulcrum.bash")));
        assert_eq!((code, text), (0, String::new()));
    }
    let (code, text) = run(fulcrum(dir.path()).args(["completions", "cmd"]));
    assert!(code == 2 && text.contains("bash"), "{text}");
    let (code, _) = run(fulcrum(dir.path()).args(["man", "pages/man1"]));
    assert_eq!(code, 0);
    for page in ["fulcrum.1", "fulcrum-serve.1", "fulcrum-key.1", "fulcrum-key-rotate.1", "fulcrum-usage.1"] {
        let text = std::fs::read_to_string(dir.path().join("pages/man1").join(page)).unwrap_or_default();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    std::fs::write(dir.path().join("file"), "").unwrap();
    let (code, text) = run(fulcrum(dir.path()).args(["man", "file"]));
    assert!(code == 2 && text.contains("file cannot be written: "), "{code} {text}");
}
