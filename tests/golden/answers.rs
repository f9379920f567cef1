//! What comes down: each answer of each provider's dialect, whole and as a stream, as a caller of each other reads it, and
//! the tokens that the ledger counts.

use std::fmt::Write as _;

use bytes::Bytes;
use fulcrum::chat::{Error, Event, Marking, Usage};
use fulcrum::wire::ProviderDialect;
use fulcrum::wire::dialect::{BadAnswer, Chunk};

use crate::fixtures::{Case, DIALECTS, Dialect, Provider, cases, context, events, golden, made_by, providers, strays};
use crate::show;

/// A stream on its way into another dialect.
pub struct Observed {
    pub bytes: Vec<u8>,
    pub usage: Option<Usage>,
    /// Whether it ended as it should.
    pub ended: bool,
}

/// Translates a stream as the gateway does.
pub fn translated(bytes: &Bytes, from: Dialect, to: Dialect) -> Observed {
    let (mut reader, mut writer) = (from.codec().stream_reader(), to.codec().stream_writer(&context()));
    let mut marking = (from.id != to.id).then(|| Marking::new(made_by(from.codec()), to.codec().proof_places()));
    let mut observed = Observed { bytes: Vec::new(), usage: None, ended: false };
    let mut meant = Vec::new();
    let mut failure = None;
    for event in events(bytes) {
        if let Err(BadAnswer(reason)) = reader.read(&event, &mut meant) {
            failure = Some(Error::new(fulcrum::chat::Code::UpstreamProtocol, reason));
        }
        if failure.is_some() || meant.iter().any(|event| matches!(event, Event::End | Event::Failed(_))) {
            break;
        }
    }
    if !meant.iter().any(|event| matches!(event, Event::End | Event::Failed(_))) && failure.is_none() {
        reader.end(&mut meant);
    }
    for event in meant {
        match &event {
            Event::Usage(usage) => observed.usage = Some(*usage),
            Event::End => observed.ended = true,
            Event::Failed(error) => {
                failure = Some(error.clone());
                break;
            }
            _ => {}
        }
        let mut marked = Vec::new();
        match &mut marking {
            Some(marking) => marking.take(event, &mut marked),
            None => marked.push(event),
        }
        marked.into_iter().for_each(|event| writer.write(event, &mut observed.bytes));
    }
    if !observed.ended {
        let torn = || Error::new(fulcrum::chat::Code::UpstreamProtocol, "the stream ended without its last event");
        writer.write(Event::Failed(failure.unwrap_or_else(torn)), &mut observed.bytes);
    }
    observed
}

/// The usage that a tap observes of a stream in its own dialect.
fn listened(bytes: &Bytes, dialect: Dialect) -> Option<Usage> {
    let mut tap = dialect.codec().tap(true);
    for event in events(bytes) {
        if matches!(tap.observe(&event), Chunk::Done(_) | Chunk::Failed(_) | Chunk::Broken) {
            break;
        }
    }
    tap.usage()
}

fn counted(usage: Option<Usage>) -> String {
    let Some(usage) = usage else { return "none".to_owned() };
    let Usage { input, cached_input, cache_write, cache_write_1h, output, reasoning, estimated, service: _ } = usage;
    let estimated = if estimated { ", estimated" } else { "" };
    format!(
        "in {input} (read {cached_input}, written {cache_write}, 1h {cache_write_1h}), out {output} (thought {reasoning}){estimated}"
    )
}

fn whole(body: &Bytes, from: Provider, to: Dialect, case: &Case) -> String {
    match from.codec().read_response(body) {
        Ok(response) if to.codec().can_express(&response).is_err() => "whole: 502\n".to_owned(),
        Ok(mut response) => {
            if from.name != to.name {
                made_by(from.codec()).mark_answer(to.codec().proof_places(), &mut response);
            }
            let written = to.codec().write_response(&response, &context());
            dump(&written, case, from.name, to, "json");
            format!("whole: {}", show::answer(to.name, &written))
        }
        Err(BadAnswer(reason)) => format!("whole: 502 {reason}\n"),
    }
}

/// With `GOLDEN_DUMP`, the answer also goes into that folder, for checks by the SDKs.
fn dump(bytes: &[u8], case: &Case, from: &str, to: Dialect, ending: &str) {
    let Some(folder) = std::env::var_os("GOLDEN_DUMP") else { return };
    let name = format!("answer.{}.{}.{from}.{ending}", to.name, case.name);
    std::fs::write(std::path::Path::new(&folder).join(name), bytes).unwrap();
}

/// The tokens of one provider's answer, as each way of hearing it counts them.
fn ledger(case: &Case, from: Dialect) -> String {
    let mut ways = Vec::new();
    if let Some(body) = case.files.get(&format!("{}.json", from.name)) {
        ways.push(("whole", from.codec().read_response(body).ok().and_then(|response| response.usage)));
        ways.push(("whole, own", from.codec().observe(body).ok().and_then(|listened| listened.usage)));
    }
    if let Some(bytes) = case.files.get(&format!("{}.sse", from.name)) {
        ways.push(("stream", translated(bytes, from, DIALECTS[0]).usage));
        ways.push(("stream, own", listened(bytes, from)));
    }
    let Some((_, first)) = ways.first() else { return String::new() };
    if ways.iter().all(|(_, usage)| usage == first) {
        return format!("{}: {}\n", from.name, counted(*first));
    }
    ways.iter().map(|(way, usage)| format!("{}, {way}: {}\n", from.name, counted(*usage))).collect()
}

#[test]
fn every_answer_comes_down_as_the_golden_files_say() {
    let cases = cases("answers");
    for case in &cases {
        let mut out = String::from("# tokens\n");
        DIALECTS.iter().for_each(|from| out.push_str(&ledger(case, *from)));
        if let Some(body) = case.files.get("bedrock.json") {
            let usage = ProviderDialect::Bedrock.codec().read_response(body).unwrap().usage;
            writeln!(out, "bedrock: {}", counted(usage)).unwrap();
        }
        for to in DIALECTS {
            let mut sections = Vec::new();
            for from in providers() {
                let mut text = String::new();
                if let Some(body) = case.files.get(&format!("{}.json", from.name)) {
                    text.push_str(&whole(body, from, to, case));
                }
                let dialect = DIALECTS.into_iter().find(|dialect| dialect.name == from.name);
                let stream = case.files.get(&format!("{}.sse", from.name));
                if let (Some(bytes), Some(from)) = (stream, dialect) {
                    let observed = translated(bytes, from, to);
                    dump(&observed.bytes, case, from.name, to, "sse");
                    write!(text, "stream:\n{}", show::stream(to.name, &observed.bytes)).unwrap();
                }
                if !text.is_empty() {
                    sections.push((from.name.to_owned(), text));
                }
            }
            write!(out, "\n# {} hears\n{}", to.name, show::grouped(sections)).unwrap();
        }
        golden(&format!("answers-{}", case.name), &out);
    }
    assert_eq!(strays("answers", &cases), [""; 0]);
}

#[test]
fn a_stream_in_its_own_dialect_comes_down_byte_for_byte() {
    for case in cases("answers") {
        for dialect in DIALECTS {
            let Some(bytes) = case.files.get(&format!("{}.sse", dialect.name)) else { continue };
            let mut tap = dialect.codec().tap(true);
            let mut passed = Vec::new();
            for event in events(bytes) {
                match tap.observe(&event) {
                    Chunk::Pass(bytes) | Chunk::Done(bytes) => passed.extend_from_slice(&bytes),
                    Chunk::Failed(_) => break,
                    other => panic!("{}, {}: {other:?}", case.name, dialect.name),
                }
            }
            assert!(bytes.starts_with(&passed), "{}, {}", case.name, dialect.name);
            // A malformed call is an answer that failed.
            let fails =
                |name: &str| name.starts_with("error") || name.starts_with("cut") || name == "stop_malformed_call";
            assert!(fails(&case.name) || passed.len() == bytes.len(), "{}, {}", case.name, dialect.name);
        }
    }
}
