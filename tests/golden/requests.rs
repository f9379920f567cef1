//! What goes upstream: each request, in each dialect that a caller can send it in, written in each that a provider speaks.

use std::fmt::Write as _;

use fulcrum::chat::{Emulated, Error, Request, order_results, sort_proofs};
use fulcrum::wire::dialect::{Addressed, Asked};
use serde_json::Value;

use crate::fixtures::{Case, DIALECTS, Dialect, Provider, cases, golden, made_by, providers, strays};
use crate::show;

/// A caller's request as the gateway reads it.
pub fn read(case: &Case, dialect: Dialect) -> Option<Result<Asked, Error>> {
    let body = case.files.get(&format!("{}.json", dialect.name))?;
    let addressed = match dialect.name {
        "gemini" => Addressed { model: Some("m".to_owned()), stream: case.name.starts_with("stream") },
        _ => Addressed::default(),
    };
    Some(dialect.codec().read(body.clone(), &addressed))
}

/// What a provider of `to` gets of it, by way of the internal form.
fn translated(asked: &Asked, from: Dialect, to: Provider) -> Result<String, Error> {
    let mut emulated = Emulated::default();
    let request = from.codec().read_request(asked, &mut emulated)?;
    let mut request = Request { model: to.model.to_owned(), include_usage: true, ..request };
    order_results(&mut request.messages);
    sort_proofs(&mut request.messages, (from.codec().maker(), &made_by(to.codec())), &mut emulated);
    let written = to.codec().write_request(&request, &mut emulated)?;
    let mut out = String::new();
    if !emulated.is_empty() {
        writeln!(out, "emulated: {}", emulated.names().join(", ")).unwrap();
    }
    for (name, value) in &written.headers {
        writeln!(out, "{name}: {value}").unwrap();
    }
    dump(&written.body, from, to);
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    writeln!(out, "{}", show::json(&body)).unwrap();
    Ok(out)
}

/// With `GOLDEN_DUMP`, the body also goes into that folder, for checks by the providers' own SDKs.
fn dump(body: &[u8], from: Dialect, to: Provider) {
    let Some(folder) = std::env::var_os("GOLDEN_DUMP") else { return };
    let name = format!("request.{}.{}.{}.json", to.name, blake3::hash(body).to_hex().get(..12).unwrap(), from.name);
    std::fs::write(std::path::Path::new(&folder).join(name), body).unwrap();
}

fn refused(error: &Error) -> String {
    let param = error.param.as_deref().unwrap_or("-");
    format!("{} {} at {param}: {}\n", error.status(), error.code.text(), error.message)
}

#[test]
fn every_request_goes_up_as_the_golden_files_say() {
    let cases = cases("requests");
    for case in &cases {
        let mut out = String::new();
        for to in providers() {
            let mut sections = Vec::new();
            for from in DIALECTS {
                let Some(asked) = read(case, from) else { continue };
                let text = asked.and_then(|asked| translated(&asked, from, to));
                sections.push((from.name.to_owned(), text.unwrap_or_else(|error| refused(&error))));
            }
            write!(out, "# to {}\n{}\n", to.name, show::grouped(sections)).unwrap();
        }
        golden(&format!("requests-{}", case.name), &out);
    }
    assert_eq!(strays("requests", &cases), [""; 0]);
}

#[test]
fn a_request_in_its_own_dialect_goes_up_byte_for_byte_but_for_the_model() {
    for case in cases("requests") {
        for dialect in DIALECTS {
            let Some(Ok(asked)) = read(&case, dialect) else { continue };
            let sent = dialect.codec().pass(&asked, "m");
            let body = case.files.get(&format!("{}.json", dialect.name)).unwrap();
            let streamed = dialect.name == "chat" && asked.stream;
            if streamed {
                let text = String::from_utf8(sent.to_vec()).unwrap();
                assert!(text.replace(' ', "").contains(r#""stream_options":{"include_usage":true}"#), "{text}");
            } else {
                assert_eq!(sent, body, "{} in {}", case.name, dialect.name);
            }
        }
    }
}
