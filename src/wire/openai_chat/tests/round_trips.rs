//! Any request and answer that this dialect can express reads back as it was.

use proptest::prelude::*;

use super::*;
use crate::chat::{Choice, Collector, Content, Message, Part, Response, Role, Source, Stop, Usage};

fn any_text() -> impl Strategy<Value = String> {
    "[a-zé\"\\\\{}\n]{1,6}"
}

fn call() -> impl Strategy<Value = Part> {
    (any_text(), any_text(), any_text()).prop_map(|(id, name, value)| {
        let arguments = json!({ "x": value }).to_string();
        Part::new(Content::ToolCall { id, name, arguments })
    })
}

fn user_part() -> impl Strategy<Value = Part> {
    let inline = |data: String| Source::Base64 { media_type: "image/png".to_owned(), data };
    prop_oneof![
        any_text().prop_map(Part::text),
        "[A-Z]{4}".prop_map(move |data| Part::new(Content::Image { source: inline(data), detail: None })),
        any_text().prop_map(|url| {
            Part::new(Content::Image { source: Source::Url(url), detail: Some("high".to_owned()) })
        }),
        ("file-[a-z]{3}", any_text()).prop_map(|(id, name)| Part::new(Content::Document {
            source: Source::File(id),
            name: Some(name),
            cite: false
        })),
        any_text().prop_map(|data| Part::new(Content::Audio { data, format: "wav".to_owned() })),
    ]
}

fn result() -> impl Strategy<Value = Part> {
    (any_text(), proptest::collection::vec(any_text().prop_map(Part::text), 0..3))
        .prop_map(|(id, parts)| Part::new(Content::ToolResult { id, name: None, parts, is_error: false }))
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts, name: None }
}

/// A few messages; results never follow results, since those are one message.
fn turn() -> impl Strategy<Value = Vec<Message>> {
    let texts = || proptest::collection::vec(any_text().prop_map(Part::text), 1..3);
    let calls = proptest::collection::vec(call(), 1..3);
    let results = proptest::collection::vec(result(), 1..3);
    let user = proptest::collection::vec(user_part(), 1..4);
    (texts(), user, texts(), calls, results).prop_map(|(system, user, mut answer, calls, results)| {
        answer.extend(calls);
        vec![
            message(Role::System, system),
            message(Role::User, user),
            message(Role::Assistant, answer),
            message(Role::User, results),
        ]
    })
}

fn choice() -> impl Strategy<Value = Choice> {
    let thought = (any_text(), any_text())
        .prop_map(|(text, proof)| Part { signature: Some(proof), ..Part::new(Content::Thinking(text)) });
    let thoughts = proptest::collection::vec(thought, 0..3);
    (thoughts, proptest::option::of(any_text()), proptest::collection::vec(call(), 0..3)).prop_map(
        |(mut parts, text, calls)| {
            let stop = if calls.is_empty() { Stop::Length } else { Stop::Tools };
            parts.extend(text.map(Part::text));
            parts.extend(calls);
            Choice { parts, stop: Some(stop), logprobs: None }
        },
    )
}

fn response() -> impl Strategy<Value = Response> {
    (proptest::collection::vec(choice(), 1..3), 0u64..1_000, 0u64..1_000).prop_map(|(choices, input, output)| {
        Response {
            id: "r".to_owned(),
            model: "asked-for".to_owned(),
            created: Some(3),
            choices,
            usage: Some(Usage { input, cached_input: input / 3, cache_write: input / 4, output, ..Usage::default() }),
            service_tier: None,
        }
    })
}

/// The answer without the places of its thoughts, which a writer chooses.
fn unplaced(mut response: Response) -> Response {
    for part in response.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        let proof = part.signature.take().map(|proof| crate::chat::without_place(&proof).to_owned());
        part.signature = proof.filter(|proof| !proof.is_empty());
    }
    response
}

proptest! {
    #[test]
    fn a_request_comes_back(turns in proptest::collection::vec(turn(), 1..3), max_tokens in proptest::option::of(1u64..99)) {
        let messages = turns.into_iter().flatten().collect();
        let request = Request { model: "m".to_owned(), messages, max_tokens, ..Request::default() };
        let (body, emulated) = write(&request).unwrap();
        prop_assert!(emulated.is_empty());
        prop_assert_eq!(read(&body).unwrap().0, request);
    }

    #[test]
    fn an_answer_comes_back(response in response()) {
        let body = OpenAiChat.write_response(&response, &context());
        prop_assert_eq!(unplaced(OpenAiChat.read_response(&body).unwrap()), response);
    }

    #[test]
    fn a_stream_comes_back(response in response()) {
        let stream = written(response.clone().into_events(), &context());
        let mut collector = Collector::default();
        meant(&[stream.as_bytes()]).unwrap().into_iter().for_each(|event| collector.take(event));
        prop_assert_eq!(collector.finish().map(unplaced), Some(response.clone()));
        let whole = OpenAiChat.as_whole(&decoded(&[stream.as_bytes()]), &context()).unwrap();
        prop_assert_eq!(unplaced(OpenAiChat.read_response(&whole).unwrap()), response);
    }

    #[test]
    fn fragments_in_any_order_make_the_same_calls(
        texts in proptest::collection::vec(any_text(), 1..4),
        order in proptest::collection::vec((0usize..4, 1usize..5), 0..40),
    ) {
        let whole: Vec<String> = texts.iter().map(|text| json!({ "x": text, "y": [1, {}] }).to_string()).collect();
        let mut left: Vec<Vec<char>> = whole.iter().map(|json| json.chars().collect()).collect();
        let mut named = vec![false; left.len()];
        let mut chunks = Vec::new();
        let rest = (0..left.len()).map(|index| (index, usize::MAX));
        for (index, count) in order.into_iter().chain(rest).filter(|(index, _)| *index < whole.len()) {
            let count = count.min(left[index].len());
            let arguments: String = left[index].drain(..count).collect();
            let mut call = json!({"index": index, "function": {"arguments": arguments}});
            if !std::mem::replace(&mut named[index], true) {
                (call["id"], call["function"]["name"]) = (json!(format!("id{index}")), json!("f"));
            }
            chunks.push(json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}));
        }
        chunks.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}));
        let events = meant(&[stream(&chunks).as_bytes()]).unwrap();
        streams::check_order(&events);
        let mut collector = Collector::default();
        events.into_iter().for_each(|event| collector.take(event));
        let mut calls: Vec<(String, String)> = collector.finish().unwrap().choices.remove(0).parts.into_iter().map(|part| {
            let Content::ToolCall { id, arguments, .. } = part.content else { panic!() };
            (id, arguments)
        }).collect();
        calls.sort();
        let expected: Vec<(String, String)> = whole.into_iter().enumerate().map(|(n, json)| (format!("id{n}"), json)).collect();
        prop_assert_eq!(calls, expected);
    }

    #[test]
    fn no_value_makes_it_panic(
        field in prop_oneof![Just("content"), Just("tool_calls"), Just("reasoning_details"), Just("annotations"), Just("images")],
        value in prop_oneof![
            Just(json!(null)), Just(json!(3)), Just(json!("x")), Just(json!([])), Just(json!([3])), Just(json!([[]])), Just(json!([{}])),
            Just(json!({})), Just(json!([{"type": 3}])), Just(json!([{"function": 3}])), Just(json!([{"type": "reasoning.encrypted"}])),
        ],
    ) {
        let message = json!({"role": "assistant", field: value});
        let _ignored = read(&with_messages(json!([message])));
        let whole = json!({"choices": [{"message": message}]});
        let _ignored = OpenAiChat.read_response(whole.to_string().as_bytes());
        let chunk = json!({"choices": [{"delta": message}]});
        let _ignored = meant(&[stream(&[chunk]).as_bytes()]);
    }
}
