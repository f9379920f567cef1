//! What is written is read as it was, whatever it is.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::chat::{
    Choice, Content, Effort, Format, Message, Part, Reasoning, Response, Role, Sampling, Source, Stop, Tool,
    ToolChoice, Usage,
};
use crate::wire::dialect::AnswerContext;

fn signed(content: impl Strategy<Value = Content>) -> impl Strategy<Value = Part> {
    (content, option::of("[a-z]{1,5}")).prop_map(|(content, signature)| Part { signature, ..Part::new(content) })
}

fn text() -> impl Strategy<Value = Content> {
    ".{1,9}".prop_map(|text| Content::Text { text, citations: Vec::new() })
}

fn call() -> impl Strategy<Value = Content> {
    ("[a-z]{1,5}", "[a-z]{1,5}", ".{0,5}").prop_map(|(id, name, value)| {
        let arguments = json!({"key": value}).to_string();
        Content::ToolCall { id, name, arguments }
    })
}

fn media() -> impl Strategy<Value = Content> {
    let base64 = |media_type: &str, data: String| Source::Base64 { media_type: media_type.to_owned(), data };
    prop_oneof![
        "[A-Z]{4}".prop_map(move |data| Content::Image { source: base64("image/png", data), detail: None }),
        (option::of("[a-z]{1,5}"), "[A-Z]{4}").prop_map(move |(name, data)| {
            Content::Document { source: base64("application/pdf", data), name, cite: false }
        }),
        ".{0,9}".prop_map(|text| Content::Document { source: Source::Text(text), name: None, cite: false }),
        "[A-Z]{4}".prop_map(|data| Content::Audio { data, format: "wav".to_owned() }),
    ]
}

fn answered() -> impl Strategy<Value = Part> {
    signed(prop_oneof![text(), ".{1,9}".prop_map(Content::Thinking), call()])
}

fn result() -> impl Strategy<Value = Part> {
    ("[a-z]{1,5}", "[a-z]{1,5}", ".{1,9}", any::<bool>()).prop_map(|(id, name, text, is_error)| {
        Part::new(Content::ToolResult { id, name: Some(name), parts: vec![Part::text(text)], is_error })
    })
}

/// Thoughts without proofs that follow each other are one part: an SDK sends a stream's pieces back as they came.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    parts.into_iter().fold(Vec::new(), |mut joined: Vec<Part>, part| {
        match (joined.last_mut(), part.content) {
            (Some(Part { content: Content::Thinking(text), signature: None, .. }), Content::Thinking(more))
                if part.signature.is_none() =>
            {
                text.push_str(&more);
            }
            (_, content) => joined.push(Part { content, ..part }),
        }
        joined
    })
}

/// A turn of the user that begins with words or data, and one of the model's.
fn turn() -> impl Strategy<Value = Vec<Message>> {
    let user = (vec(result(), 0..3), vec(signed(prop_oneof![text(), media()]), 1..3));
    (user, vec(answered(), 1..4)).prop_map(|((mut results, words), answered)| {
        results.extend(words);
        let message = |role, parts| Message { role, parts, name: None };
        vec![message(Role::User, results), message(Role::Assistant, joined(answered))]
    })
}

fn format() -> impl Strategy<Value = Format> {
    let schema = Format::JsonSchema {
        name: "response".to_owned(),
        description: None,
        schema: json!({"type": "object", "properties": {"z": {}, "a": {"type": "null"}}}),
        strict: None,
    };
    prop_oneof![Just(Format::Text), Just(Format::JsonObject), Just(schema)]
}

fn choice_of_tools() -> impl Strategy<Value = ToolChoice> {
    let one = Just(ToolChoice::Tool("f".to_owned()));
    prop_oneof![Just(ToolChoice::Auto), Just(ToolChoice::None), Just(ToolChoice::Any), one]
}

fn requests() -> impl Strategy<Value = Request> {
    let effort = prop_oneof![Just(Effort::None), Just(Effort::Minimal), Just(Effort::Low), Just(Effort::High)];
    let reasoning = prop_oneof![
        effort.prop_map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() }),
        (1u64..9999).prop_map(|budget| Reasoning { budget: Some(budget), tell: Some(true), effort: None }),
    ];
    // Of few digits, since others may come back one bit apart.
    let eighths = |most: u8| (0..most).prop_map(|eighth| f64::from(eighth) / 8.0);
    let numbers = (option::of(eighths(17)), option::of(eighths(9)), option::of(0u64..99), option::of(-9i64..9));
    let sampling = numbers.prop_map(|(temperature, top_p, top_k, seed)| Sampling {
        temperature,
        top_p,
        top_k,
        seed,
        frequency_penalty: Some(-0.5),
        presence_penalty: None,
    });
    let settings = (sampling, option::of(format()), option::of(reasoning), option::of(1u64..9), option::of(0u64..20));
    let tools = (option::of(choice_of_tools()), vec("[a-z]{1,5}", 0..3));
    (option::of(".{1,9}"), vec(turn(), 1..3), settings, tools, vec(".{1,3}", 0..3)).prop_map(
        |(system, turns, (sampling, format, reasoning, choices, logprobs), (tool_choice, names), stop)| {
            let mut messages: Vec<Message> = system.map(|text| Message::text(Role::System, text)).into_iter().collect();
            messages.extend(turns.concat());
            let schema = Some(json!({"type": "object", "properties": {}}));
            let tool = |name| Tool { name, description: None, schema: schema.clone(), strict: None, cache: None };
            Request {
                model: "m".to_owned(),
                include_usage: true,
                messages,
                sampling,
                format,
                reasoning,
                choices,
                logprobs,
                tool_choice,
                tools: names.into_iter().map(tool).collect(),
                stop,
                ..Request::default()
            }
        },
    )
}

/// Words that follow words come back as one part, so that of each kind there is one between others.
fn answers() -> impl Strategy<Value = Response> {
    let part = prop_oneof![
        signed(call()),
        (text(), "[a-z]{1,5}").prop_map(|(content, proof)| Part { signature: Some(proof), ..Part::new(content) }),
        (".{1,9}", "[a-z]{1,5}")
            .prop_map(|(thought, proof)| { Part { signature: Some(proof), ..Part::new(Content::Thinking(thought)) } }),
    ];
    let stop = prop_oneof![Just(Stop::End), Just(Stop::Length), Just(Stop::Filtered)];
    let choice = (vec(part, 0..4), stop).prop_map(|(parts, stop)| {
        let calls = parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }));
        let stop = if calls && stop == Stop::End { Stop::Tools } else { stop };
        let token = json!({"token": "a", "logprob": -0.5, "bytes": [97],
            "top_logprobs": [{"token": "b", "logprob": -1.5, "bytes": [98]}]});
        Choice { parts, stop: Some(stop), logprobs: Some(json!({"content": [token]})) }
    });
    (vec(choice, 1..4), 0u64..99, 0u64..99, 0u64..99).prop_map(|(choices, input, output, reasoning)| Response {
        id: "r".to_owned(),
        model: "m".to_owned(),
        choices,
        usage: Some(Usage { input, output: output + reasoning, reasoning, ..Usage::default() }),
        ..Response::default()
    })
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written(original in requests()) {
        let (body, _) = written(&original).unwrap();
        prop_assert_eq!(request(&body).unwrap(), original);
    }

    #[test]
    fn an_answer_is_read_as_it_was_written(original in answers()) {
        let context = AnswerContext::default();
        let body = Gemini.write_response(&original, &context);
        prop_assert_eq!(&Gemini.read_response(&body).unwrap(), &original);
        let stream = Gemini.as_stream(&body, &context).unwrap();
        let whole = Gemini.as_whole(&events(&[&stream]), &context).unwrap();
        prop_assert_eq!(Gemini.read_response(&whole).unwrap(), original);
    }

    #[test]
    fn no_json_makes_it_panic(
        key in "(contents|candidates|tools|generationConfig|parts|text|functionCall|error)",
        inner in "(parts|role|text|functionCall|functionResponse|inlineData|args|name|index|finishReason)",
        value in "(1|-1|null|\\[\\]|\\{\\}|\"x\"|1e999|\\[null\\]|99999999999999999999)",
    ) {
        for body in [
            format!("{{\"{key}\":{value}}}"), format!("{{\"{key}\":[{{\"{inner}\":{value}}}]}}"),
            format!("{{\"contents\":[{{\"parts\":[{{\"{inner}\":{value}}}]}}]}}"),
            format!("{{\"contents\":[{{\"parts\":[{{\"{key}\":{{\"{inner}\":{value}}}}}]}}]}}"),
            format!("{{\"candidates\":[{{\"content\":{{\"parts\":[{{\"{key}\":{{\"{inner}\":{value}}}}}]}}}}]}}"),
        ] {
            let asked = Gemini.read(body.clone().into(), &addressed());
            let _read = asked.map(|asked| Gemini.read_request(&asked, &mut Emulated::default()));
            let _answer = Gemini.read_response(body.as_bytes());
            let _observed = Gemini.observe(&body.clone().into());
            let _chunk = Gemini.tap(true).observe(&events(&[format!("data: {body}\n\n").as_bytes()])[0]);
        }
    }
}
