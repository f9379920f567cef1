//! Rules that hold for every case of the table, and for any request and answer.

use bytes::Bytes;
use fulcrum::chat::{
    Collector, Content, Emulated, Format, Message, Part, Request, Response, Role, Service, Source, Tool, ToolChoice,
    without_place,
};
use fulcrum::wire::dialect::Addressed;
use fulcrum::wire::sse::{Decoder, Event};
use proptest::prelude::*;
use serde_json::json;

use crate::answers::{Observed, translated};
use crate::fixtures::{DIALECTS, Dialect, cases, context, events};
use crate::requests::read;

/// The case of an answer that failed with status 200: the reader of its stream reports that, of the whole the gateway does.
const MALFORMED: &str = "stop_malformed_call";

/// An answer as a caller of `to` reads it: whole, and put together from its stream.
fn both_ways(response: &Response, to: Dialect) -> (Response, Response) {
    let codec = to.codec();
    let whole = codec.read_response(&codec.write_response(response, &context())).unwrap();
    let (mut writer, mut reader, mut bytes) = (codec.stream_writer(&context()), codec.stream_reader(), Vec::new());
    response.clone().into_events().into_iter().for_each(|event| writer.write(event, &mut bytes));
    let mut meant = Vec::new();
    events(&bytes.clone().into()).iter().for_each(|event| reader.read(event, &mut meant).unwrap());
    reader.end(&mut meant);
    let mut collector = Collector::default();
    meant.into_iter().for_each(|event| collector.take(event));
    let stream = collector.finish();
    (whole, stream.unwrap_or_else(|| panic!("{}: {}", to.name, String::from_utf8_lossy(&bytes))))
}

/// Arguments as they are written anew: spaces and the spelling of numbers are no part of them, and none are `{}`.
fn same_json(arguments: &str) -> String {
    let text = if arguments.is_empty() { "{}" } else { arguments };
    serde_json::from_str::<serde_json::Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}

/// An answer without differences that no stream shows: texts in one piece or in several, and empty texts.
fn plain(mut response: Response) -> Response {
    for choice in &mut response.choices {
        let mut parts: Vec<Part> = Vec::new();
        for mut part in std::mem::take(&mut choice.parts) {
            // Which field a thought stands in, the writer chooses.
            let proof = part.signature.take().map(|proof| without_place(&proof).to_owned());
            part.signature = proof.filter(|proof| !proof.is_empty());
            if let Content::RedactedThinking(data) = &mut part.content {
                *data = without_place(data).to_owned();
            }
            // OpenAI wants a name of every file; one without gets this.
            if let Content::Document { name, .. } = &mut part.content {
                *name = name.take().filter(|name| !["document", "document.pdf"].contains(&name.as_str()));
            }
            // `auto` is the default.
            if let Content::Image { detail, .. } = &mut part.content {
                *detail = detail.take().filter(|detail| detail != "auto");
            }
            if let Content::ToolCall { arguments, .. } = &mut part.content {
                *arguments = same_json(arguments);
            }
            match (parts.last_mut().map(|last| (&mut last.content, &last.signature)), &part.content) {
                (_, Content::Text { text, citations })
                    if text.is_empty() && citations.is_empty() && part.signature.is_none() => {}
                (Some((Content::Text { text, citations }, None)), Content::Text { text: more, citations: also }) => {
                    text.push_str(more);
                    citations.extend(also.iter().cloned());
                }
                (Some((Content::Thinking(text), None)), Content::Thinking(more)) if part.signature.is_none() => {
                    text.push_str(more);
                }
                _ => parts.push(part),
            }
        }
        choice.parts = parts;
    }
    response.service_tier = None;
    if let Some(usage) = &mut response.usage {
        usage.service = Service::default();
    }
    response
}

#[test]
fn an_answer_says_the_same_whole_and_as_a_stream() {
    for case in cases("answers") {
        for from in DIALECTS {
            let Some(body) = case.files.get(&format!("{}.json", from.name)) else { continue };
            let Ok(response) = from.codec().read_response(body) else { continue };
            for to in &DIALECTS {
                // Of a call that was cut off, a stream has the beginning. A malformed call is an answer that failed. Of input that
                // was counted as nothing, a stream of Anthropic's begins with an estimate, which no zero replaces.
                let skipped = match to.name {
                    "messages" => ["tool_cut_at_limit", "usage_zero"].contains(&case.name.as_str()),
                    "gemini" => ["tool_cut_at_limit", "tool_bad_arguments"].contains(&case.name.as_str()),
                    _ => false,
                };
                if skipped || case.name == MALFORMED {
                    continue;
                }
                if to.codec().can_express(&response).is_err() {
                    continue;
                }
                let (whole, stream) = both_ways(&response, *to);
                assert_eq!(plain(stream), plain(whole), "{}: {} to {}", case.name, from.name, to.name);
            }
        }
    }
}

#[test]
fn a_providers_stream_says_what_its_whole_answer_says() {
    for case in cases("answers") {
        for from in DIALECTS {
            let file = |ending: &str| case.files.get(&format!("{}.{ending}", from.name));
            let (Some(body), Some(stream)) = (file("json"), file("sse")) else { continue };
            // AnswerContext differently by the provider itself.
            if case.name == "tool_cut_at_limit" || case.name == MALFORMED {
                continue;
            }
            let whole = from.codec().read_response(body).unwrap();
            let (mut reader, mut meant) = (from.codec().stream_reader(), Vec::new());
            events(stream).iter().for_each(|event| reader.read(event, &mut meant).unwrap());
            reader.end(&mut meant);
            let mut collector = Collector::default();
            meant.into_iter().for_each(|event| collector.take(event));
            let stream = collector.finish().unwrap();
            assert_eq!(plain(stream), plain(whole), "{} of {}", case.name, from.name);
        }
    }
}

/// Whether a stream ends as only a whole answer may.
fn ends_well(to: Dialect, bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap();
    let marks: &[&str] = match to.name {
        "chat" => &["data: [DONE]"],
        "responses" => &["event: response.completed", "event: response.incomplete"],
        "messages" => &["event: message_stop"],
        _ => &["\"finishReason\""],
    };
    marks.iter().any(|mark| text.contains(mark))
}

/// Whether its last event is an error, and no other is.
fn ends_in_error(to: Dialect, bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap().replace("\r\n", "\n");
    let mark = if matches!(to.name, "chat" | "gemini") { "data: {\"error\":" } else { "event: error\n" };
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    last.starts_with(mark) && text.matches(mark).count() == 1
}

#[test]
fn a_stream_that_is_cut_anywhere_ends_in_an_error_and_never_well() {
    for name in ["text", "tool_after_thinking", "tools_parallel", "choices", "usage_cache", "stop_length"] {
        let case = cases("answers").into_iter().find(|case| case.name == name).unwrap();
        for from in DIALECTS {
            let Some(bytes) = case.files.get(&format!("{}.sse", from.name)) else { continue };
            for to in DIALECTS.iter().filter(|to| to.name != from.name) {
                let case = format!("{name}: {} to {}", from.name, to.name);
                let whole = translated(bytes, from, *to);
                assert!(whole.ended && ends_well(*to, &whole.bytes), "{case}");
                assert!(!ends_in_error(*to, &whole.bytes), "{case}");
                let step = if name == "text" { 1 } else { 37 };
                (0..bytes.len()).step_by(step).for_each(|cut| cut_at(cut, bytes, (from, *to), &case));
            }
        }
    }
}

/// Translates the beginning of a stream, which must not end well.
fn cut_at(cut: usize, whole: &Bytes, (from, to): (Dialect, Dialect), case: &str) {
    let Observed { bytes, ended, .. } = translated(&whole.slice(..cut), from, to);
    // A stream that ends cleanly behind the reason of its end is whole, and its last event may lack its last line break.
    if ended {
        assert!(cut + 2 >= finished(whole), "{case} at {cut}");
        return;
    }
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(ends_in_error(to, &bytes) && !ends_well(to, &bytes), "{case} at {cut}: {text}");
}

/// Where the event ends that says why the last choice ended; where none says that, the end of the stream.
fn finished(bytes: &Bytes) -> usize {
    let text = std::str::from_utf8(bytes).unwrap().trim_ascii_end();
    let marks = ["\"finish_reason\":\"", "\"finish_reason\": \"", "\"stop_reason\":\"", "\"stop_reason\": \""];
    let said = marks.iter().filter_map(|mark| text.rfind(mark)).max();
    said.map_or(text.len(), |at| text[at..].find('\n').map_or(text.len(), |end| at + end))
}

#[test]
fn the_ways_of_writing_a_stream_are_all_read_alike() {
    for case in cases("answers") {
        for from in DIALECTS {
            let Some(bytes) = case.files.get(&format!("{}.sse", from.name)) else { continue };
            let text = std::str::from_utf8(bytes).unwrap().replace("\r\n", "\n");
            let to = if from.name == "chat" { DIALECTS[2] } else { DIALECTS[0] };
            let expected = translated(bytes, from, to).bytes;
            // A line break of JSON is one of the event.
            let spread = text.split_inclusive('\n').map(|line| match line.strip_prefix("data: {") {
                Some(rest) => format!("data: {{\ndata: {}\ndata: }}\n", rest.trim_end().strip_suffix('}').unwrap()),
                None => line.to_owned(),
            });
            for (way, written) in [
                ("with LF", text.clone()),
                ("with CRLF", text.replace('\n', "\r\n")),
                ("with CR", text.replace('\n', "\r")),
                ("with a byte order mark", format!("\u{feff}{text}")),
                ("with comments", format!(": hello\n\n{}", text.replace("\n\n", "\n\n: ping\n\n"))),
                ("with comments within", text.replace("data: {", ": note\ndata: {")),
                ("with ids and retries", text.replace("data: {", "id: 7\nretry: 10\ndata: {")),
                ("without the space", text.replace("data: ", "data:").replace("event: ", "event:")),
                ("over several lines", spread.collect()),
            ] {
                let observed = translated(&written.into(), from, to);
                let passed = String::from_utf8(observed.bytes).unwrap();
                assert_eq!(passed, std::str::from_utf8(&expected).unwrap(), "{}, {}, {way}", case.name, from.name);
            }
        }
    }
}

#[test]
fn a_stream_split_at_any_byte_is_read_alike() {
    let all = |pieces: &[Bytes]| {
        let mut decoder = Decoder::default();
        let mut found: Vec<Event> = Vec::new();
        for piece in pieces {
            decoder.push(piece.clone());
            found.extend(std::iter::from_fn(|| decoder.event().unwrap()));
        }
        found.iter().map(|event| event.data().unwrap()).collect::<Vec<_>>()
    };
    let case = cases("answers").into_iter().find(|case| case.name == "tool_odd_texts").unwrap();
    for (name, bytes) in case.files.iter().filter(|(name, _)| name.ends_with(".sse")) {
        let whole = all(std::slice::from_ref(bytes));
        for cut in 0..bytes.len() {
            assert_eq!(all(&[bytes.slice(..cut), bytes.slice(cut..)]), whole, "{name} at {cut}");
        }
    }
}

/// A request through a dialect: written for its provider, and read as a caller's. An error where the dialect cannot express
/// the whole request.
fn through(request: &Request, dialect: Dialect) -> Result<Request, String> {
    let codec = dialect.codec();
    let mut emulated = Emulated::default();
    let written = codec.write_request(request, &mut emulated).map_err(|error| error.message)?;
    if !emulated.is_empty() {
        return Err(format!("{:?}", emulated.names()));
    }
    let addressed = match dialect.name {
        "gemini" => Addressed { model: Some(request.model.clone()), stream: request.stream },
        _ => Addressed::default(),
    };
    let asked = codec.read(written.body, &addressed).unwrap_or_else(|error| panic!("{}: {error:?}", dialect.name));
    let read = codec.read_request(&asked, &mut emulated).unwrap_or_else(|error| panic!("{}: {error:?}", dialect.name));
    assert!(emulated.is_empty(), "{}: {:?}", dialect.name, emulated.names());
    // Requests to Responses always ask that nothing is stored.
    Ok(Request { store: read.store.filter(|store| *store), ..read })
}

/// What two dialects need not tell apart.
fn meaning(mut request: Request) -> Request {
    request.include_usage = true;
    request.model = "m".to_owned();
    // Only Anthropic tells an effort from the wish to think.
    request.leaves_thinking = false;
    let mut messages: Vec<Message> = Vec::new();
    for mut message in std::mem::take(&mut request.messages) {
        // A developer's word is the system's where there is no such role.
        if message.role == Role::Developer {
            message.role = Role::System;
        }
        for part in &mut message.parts {
            if let Content::ToolResult { name, parts, .. } = &mut part.content {
                *name = None;
                *parts = joined(std::mem::take(parts));
            }
            // Which field a thought stands in, the writer chooses.
            let proof = part.signature.take().map(|proof| without_place(&proof).to_owned());
            part.signature = proof.filter(|proof| !proof.is_empty());
            if let Content::RedactedThinking(data) = &mut part.content {
                *data = without_place(data).to_owned();
            }
            // OpenAI wants a name of every file; one without gets this.
            if let Content::Document { name, .. } = &mut part.content {
                *name = name.take().filter(|name| !["document", "document.pdf"].contains(&name.as_str()));
            }
            // `auto` is the default.
            if let Content::Image { detail, .. } = &mut part.content {
                *detail = detail.take().filter(|detail| detail != "auto");
            }
            if let Content::ToolCall { arguments, .. } = &mut part.content {
                *arguments = same_json(arguments);
            }
        }
        match messages.last_mut() {
            Some(last) if last.role == message.role => last.parts.append(&mut message.parts),
            _ => messages.push(message),
        }
    }
    for message in &mut messages {
        message.parts = joined(std::mem::take(&mut message.parts));
    }
    request.messages = messages;
    // The default of `strict` is true in one dialect, and false in the other.
    request.tools.iter_mut().filter(|tool| tool.strict == Some(false)).for_each(|tool| tool.strict = None);
    for tool in &mut request.tools {
        tool.schema.get_or_insert_with(|| json!({"type": "object", "properties": {}}));
    }
    request.store = request.store.filter(|store| *store);
    // Any tool, and several at once, are the defaults.
    request.tool_choice = request.tool_choice.filter(|choice| *choice != ToolChoice::Auto);
    request.parallel_tools = request.parallel_tools.filter(|parallel| !parallel);
    // A penalty of nothing is none.
    for penalty in [&mut request.sampling.frequency_penalty, &mut request.sampling.presence_penalty] {
        *penalty = penalty.filter(|penalty| *penalty != 0.0);
    }
    request.choices = request.choices.filter(|choices| *choices != 1);
    request.format = request.format.filter(|format| *format != Format::Text);
    request
}

fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut all: Vec<Part> = Vec::new();
    for part in parts {
        match (all.last_mut().map(|last| &mut last.content), &part.content) {
            (Some(Content::Text { text, .. }), Content::Text { text: more, .. }) => text.push_str(more),
            _ => all.push(part),
        }
    }
    all
}

/// Cases that a dialect can only say in its own way: Anthropic wants results of tools first, and no empty text; a proof of
/// another maker's is taken out and noted before a request is written; and one allowed tool that must be called is, at Google,
/// the tool that must be called.
const KNOWN: [(&str, &str); 7] = [
    ("thinking_turns", "responses"),
    ("tool_choice_some", "gemini"),
    ("tool_result_unasked", "messages"),
    ("turns_empty_texts", "chat"),
    ("turns_empty_texts", "messages"),
    ("turns_empty_texts", "gemini"),
    ("turns_empty_texts", "responses"),
];

#[test]
fn a_request_of_the_table_means_the_same_in_every_dialect_that_can_say_it() {
    let mut differ: Vec<String> = Vec::new();
    for case in cases("requests") {
        for from in DIALECTS {
            let Some(Ok(asked)) = read(&case, from) else { continue };
            let mut emulated = Emulated::default();
            let Ok(request) = from.codec().read_request(&asked, &mut emulated) else { continue };
            if !emulated.is_empty() {
                continue;
            }
            for to in DIALECTS {
                let Ok(read) = through(&request, to) else { continue };
                // What kind of file it is stands in a field that the internal form lacks.
                if case.name == "image_url" && from.name == "gemini" {
                    continue;
                }
                let (mut read, expected) = (meaning(read), meaning(request.clone()));
                // A schema's name and what it is for stand in OpenAI's dialects only, and so does its strictness.
                if matches!(read.format, Some(Format::JsonSchema { .. })) {
                    read.format.clone_from(&expected.format);
                }
                if read != expected && !KNOWN.contains(&(case.name.as_str(), to.name)) {
                    differ.push(format!("{}: {} to {}\n  {read:?}\n  {expected:?}", case.name, from.name, to.name));
                }
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 ,.]{0,11}[a-z.]",
        "[\\PC&&[^\u{feff}]]{1,8}x",
        Just("\"\\/\u{8}\n\tü😀\u{2028}.".to_owned())
    ]
}

fn texts() -> impl Strategy<Value = Vec<Part>> {
    let part = prop_oneof![
        4 => word().prop_map(Part::text),
        1 => Just(Part::new(Content::Image { source: Source::Base64 { media_type: "image/png".to_owned(), data: "iVBORw0KGgo=".to_owned() }, detail: None })),
    ];
    prop::collection::vec(part, 1..3)
}

/// A user's turn and the model's answer to it, with calls of tools and their results.
fn turn(n: usize) -> impl Strategy<Value = Vec<Message>> {
    (texts(), word(), prop::collection::vec((word(), word()), 0..3)).prop_map(move |(asked, answered, calls)| {
        let id = |k: usize| format!("call_{n}_{k}");
        let called = calls.iter().enumerate().map(|(k, (argument, _))| {
            let arguments = json!({"z": argument, "a": [1, {"y": null}], "n": 2.5}).to_string();
            Part::new(Content::ToolCall { id: id(k), name: "look".to_owned(), arguments })
        });
        let results = calls.iter().enumerate().map(|(k, (_, result))| {
            let parts = vec![Part::text(result.as_str())];
            Part::new(Content::ToolResult { id: id(k), name: None, parts, is_error: false })
        });
        let parts = std::iter::once(Part::text(answered.as_str())).chain(called).collect();
        let mut messages = vec![
            Message { role: Role::User, parts: asked, name: None },
            Message { role: Role::Assistant, parts, name: None },
        ];
        if !calls.is_empty() {
            messages.push(Message { role: Role::User, parts: results.collect(), name: None });
            messages.push(Message::text(Role::Assistant, answered));
        }
        messages
    })
}

prop_compose! {
    fn request()(
        system in prop::option::of(word()),
        turns in (turn(0), turn(1), turn(2)).prop_map(|(a, b, c)| [a, b, c].concat()),
        skip in 0usize..3,
        last in texts(),
        tools in prop::collection::vec((word(), any::<bool>()), 0..3),
        choice in prop::option::of(prop_oneof![Just(ToolChoice::Auto), Just(ToolChoice::Any), Just(ToolChoice::None), Just(ToolChoice::Tool("tool_0".to_owned()))]),
        max_tokens in 1u64..100_000,
        stream in any::<bool>(),
    ) -> Request {
        let mut messages: Vec<Message> = system.map(|text| Message::text(Role::System, text)).into_iter().collect();
        let from = turns.iter().enumerate().filter(|(_, message)| message.role == Role::User && !matches!(message.parts[0].content, Content::ToolResult { .. })).nth(skip).map_or(0, |(n, _)| n);
        messages.extend(turns.into_iter().skip(from));
        messages.push(Message { role: Role::User, parts: last, name: None });
        let tools: Vec<Tool> = tools.into_iter().enumerate().map(|(n, (description, required))| Tool {
            name: format!("tool_{n}"),
            description: Some(description),
            schema: Some(json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}, "required": if required { json!(["z"]) } else { json!([]) }})),
            strict: None,
            cache: None,
        }).collect();
        let tool_choice = choice.filter(|_| !tools.is_empty());
        Request { model: "m".to_owned(), messages, tools, tool_choice, max_tokens: Some(max_tokens), stream, include_usage: true, ..Request::default() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_plain_conversation_passes_through_any_two_dialects(request in request()) {
        let expected = meaning(request.clone());
        for first in DIALECTS {
            let once = through(&request, first).unwrap_or_else(|why| panic!("{}: {why}", first.name));
            prop_assert_eq!(&meaning(once.clone()), &expected, "{}", first.name);
            for second in DIALECTS {
                let twice = through(&once, second).unwrap_or_else(|why| panic!("{}, {}: {why}", first.name, second.name));
                prop_assert_eq!(&meaning(twice), &expected, "{}, {}", first.name, second.name);
            }
        }
    }
}
