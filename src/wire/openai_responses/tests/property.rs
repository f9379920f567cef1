//! Everything that the dialect can express reads back as it was written.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::json;

use super::super::OpenAiResponses;
use super::{meant, streams};
use crate::chat::{
    Choice, Content, Effort, Emulated, Format, Message, Part, Reasoning, Request, Response, Role, Source, Stop, Tool,
    ToolChoice, Usage,
};
use crate::wire::dialect::{Addressed, AnswerContext, ClientCodec, ProviderCodec};

fn text() -> impl Strategy<Value = String> {
    "[ -~äß\n\"]{1,12}"
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        "[A-Z]{4}".prop_map(|data| Source::Base64 { media_type: "image/png".to_owned(), data }),
        Just(Source::Url("https://a/b".to_owned())),
        "file-[a-z]{3}".prop_map(Source::File),
    ]
}

fn spoken() -> impl Strategy<Value = Part> {
    let image = (source(), of(Just("low".to_owned())));
    prop_oneof![
        text().prop_map(Part::text),
        image.prop_map(|(source, detail)| Part::new(Content::Image { source, detail })),
        (prop_oneof![source(), text().prop_map(Source::Text)], "[a-z]{1,5}")
            .prop_map(|(source, name)| Part::new(Content::Document { source, name: Some(name), cite: false })),
    ]
}

fn thought() -> impl Strategy<Value = Part> {
    prop_oneof![
        (text(), of(text())).prop_map(|(text, signature)| Part { signature, ..Part::new(Content::Thinking(text)) }),
        text().prop_map(|data| Part::new(Content::RedactedThinking(data))),
    ]
}

fn answered() -> impl Strategy<Value = Part> {
    let call = ("[a-z0-9]{3}", "[a-z]{1,3}", Just("{\"x\":1}".to_owned()));
    prop_oneof![
        text().prop_map(Part::text),
        thought(),
        call.prop_map(|(id, name, arguments)| Part::new(Content::ToolCall { id, name, arguments })),
    ]
}

fn result() -> impl Strategy<Value = Part> {
    ("[A-Z]{3}", vec(spoken(), 0..3))
        .prop_map(|(id, parts)| Part::new(Content::ToolResult { id, name: None, parts, is_error: false }))
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts, name: None }
}

/// A user's turn, with results first, and the assistant's after it.
fn turn() -> impl Strategy<Value = [Message; 2]> {
    (vec(result(), 0..3), vec(spoken(), 1..3), vec(answered(), 1..5)).prop_map(|(mut results, asked, mut answered)| {
        results.extend(asked);
        // A thought without a proof is none of OpenAI's, and is left out.
        let thoughts = answered.iter_mut().filter(|part| matches!(part.content, Content::Thinking(_)));
        thoughts.for_each(|thought| thought.signature = thought.signature.take().or(Some("proof".to_owned())));
        [message(Role::User, results), message(Role::Assistant, answered)]
    })
}

fn tool() -> impl Strategy<Value = Tool> {
    (
        "[a-z]{1,4}",
        of(text()),
        of(Just(json!({"type": "object", "b": 1, "a": 2, "additionalProperties": false}))),
        any::<bool>(),
    )
        .prop_map(|(name, description, schema, strict)| Tool {
            name,
            description,
            schema,
            strict: Some(strict),
            cache: None,
        })
}

fn format() -> impl Strategy<Value = Format> {
    let schema = (of(text()), of(any::<bool>()));
    prop_oneof![
        Just(Format::Text),
        Just(Format::JsonObject),
        schema.prop_map(|(description, strict)| Format::JsonSchema {
            name: "s".to_owned(),
            description,
            schema: json!({"type": "object", "additionalProperties": false}),
            strict,
        }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let choice = prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Any),
        text().prop_map(ToolChoice::Tool)
    ];
    let effort = prop_oneof![Just(Effort::None), Just(Effort::Low), Just(Effort::XHigh)];
    let reasoning = (of(effort), of(Just(true))).prop_map(|(effort, tell)| Reasoning { effort, budget: None, tell });
    // One that asks for nothing is read as none.
    let reasoning = reasoning.prop_filter("it asks for nothing", |reasoning| *reasoning != Reasoning::default());
    let messages = (of(text()), vec(turn(), 1..3));
    let settings = (of(choice), of(any::<bool>()), of(format()), of(1u64..9), of(0u64..20), of(reasoning), of(text()));
    (messages, vec(tool(), 0..3), settings, of(0.0f64..=1.0), any::<bool>()).prop_map(
        |((system, turns), tools, settings, temperature, stream)| {
            let mut messages: Vec<Message> = system.into_iter().map(|text| Message::text(Role::System, text)).collect();
            messages.extend(turns.into_iter().flatten());
            let (tool_choice, parallel_tools, format, max_tokens, logprobs, reasoning, verbosity) = settings;
            let mut request =
                Request { model: "m".to_owned(), messages, tools, tool_choice, parallel_tools, ..Request::default() };
            (request.format, request.max_tokens, request.logprobs) = (format, max_tokens, logprobs);
            (request.reasoning, request.verbosity, request.stream) = (reasoning, verbosity, stream);
            (request.sampling.temperature, request.include_usage, request.store) = (temperature, true, Some(false));
            request
        },
    )
}

fn response() -> impl Strategy<Value = Response> {
    let refusal = text().prop_map(|text| vec![Part::new(Content::Refusal(text))]);
    let usage = (0u64..100, 0u64..100).prop_map(|(input, output)| Usage { input, output, ..Usage::default() });
    (prop_oneof![4 => vec(answered(), 0..6), 1 => refusal], of(usage), any::<bool>()).prop_map(|(parts, usage, cut)| {
        let has = |kind: fn(&Content) -> bool| parts.iter().any(|part| kind(&part.content));
        let stop = match () {
            () if cut => Stop::Length,
            () if has(|content| matches!(content, Content::ToolCall { .. })) => Stop::Tools,
            () if has(|content| matches!(content, Content::Refusal(_))) => Stop::Refused,
            () => Stop::End,
        };
        let choices = vec![Choice { parts, stop: Some(stop), logprobs: None }];
        Response {
            id: "resp_1".to_owned(),
            model: "m".to_owned(),
            created: Some(1),
            choices,
            usage,
            service_tier: None,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_request_survives(request in request()) {
        let mut emulated = Emulated::default();
        let written = OpenAiResponses.write_request(&request, &mut emulated).unwrap();
        let asked = OpenAiResponses.read(written.body, &Addressed::default()).unwrap();
        prop_assert_eq!(OpenAiResponses.read_request(&asked, &mut emulated).unwrap(), request);
        prop_assert!(emulated.is_empty());
    }

    #[test]
    fn an_answer_survives(response in response()) {
        let written = OpenAiResponses.write_response(&response, &AnswerContext::default());
        prop_assert_eq!(OpenAiResponses.read_response(&written).unwrap(), response);
    }

    #[test]
    fn a_stream_survives(response in response()) {
        let stream = streams::written(response.clone().into_events());
        prop_assert_eq!(meant(&stream, stream.len() / 2), response.into_events());
    }

    #[test]
    fn no_body_makes_it_panic(
        name in "(input|text|tools|reasoning|include|tool_choice|output|status|type|response|item|delta)",
        value in "(null|3|\"x\"|\\[\\]|\\{\\}|\\[3\\]|\\[\\{\"type\":\"(message|function_call|reasoning|function)\"\\}\\]|\\{\"type\":\\{\\}\\})",
    ) {
        let body = format!("{{\"model\":\"m\",\"{name}\":{value}}}");
        if let Ok(asked) = OpenAiResponses.read(body.clone().into(), &Addressed::default()) {
            let _ignored = OpenAiResponses.read_request(&asked, &mut Emulated::default());
        }
        let _ignored = OpenAiResponses.read_response(body.as_bytes());
        for kind in ["output_item.added", "output_item.done", "content_part.done", "output_text.delta", "completed"] {
            let event = format!("data: {{\"type\":\"response.{kind}\",\"{name}1\":1,\"item\":{value},\"part\":{value},\"response\":{value},\"delta\":{value}}}\n\n");
            let mut reader = OpenAiResponses.stream_reader();
            for event in super::decoded(event.as_bytes(), 0) {
                let _ignored = reader.read(&event, &mut Vec::new());
            }
        }
    }
}
