//! Everything that this dialect can express reads back as it was written.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::chat::{CacheTtl, Choice, Content, Part, Response, Source, Stop, Tool, Usage};
use crate::wire::dialect::AnswerContext;

fn cache() -> impl Strategy<Value = Option<CacheTtl>> {
    prop_oneof![Just(None), Just(Some(CacheTtl::FiveMinutes)), Just(Some(CacheTtl::Hour))]
}

fn word() -> impl Strategy<Value = String> {
    "[a-zäß\"\\\\ ]{0,6}x"
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        word().prop_map(|data| Source::Base64 { media_type: "application/pdf".into(), data }),
        word().prop_map(Source::Url),
        "file_[a-z]{3}".prop_map(Source::File),
        word().prop_map(Source::Text),
    ]
}

fn image() -> impl Strategy<Value = Content> {
    let source = prop_oneof![
        word().prop_map(|data| Source::Base64 { media_type: "image/png".into(), data }),
        word().prop_map(Source::Url),
    ];
    source.prop_map(|source| Content::Image { source, detail: None })
}

fn plain() -> impl Strategy<Value = Part> {
    let content =
        prop_oneof![
            word().prop_map(|text| Content::Text { text, citations: vec![] }),
            image(),
            (source(), proptest::option::of(word()), any::<bool>())
                .prop_map(|(source, name, cite)| Content::Document { source, name, cite }),
        ];
    (content, cache()).prop_map(|(content, cache)| Part { content, cache, signature: None })
}

fn result() -> impl Strategy<Value = Part> {
    ("[a-z_]{1,4}", proptest::collection::vec(plain(), 0..3), any::<bool>(), cache()).prop_map(
        |(id, parts, is_error, cache)| Part {
            content: Content::ToolResult { id, name: None, parts, is_error },
            cache,
            signature: None,
        },
    )
}

fn answered() -> impl Strategy<Value = Part> {
    prop_oneof![
        word().prop_map(Part::text),
        (word(), word()).prop_map(|(thought, signature)| Part {
            signature: Some(signature),
            ..Part::new(Content::Thinking(thought))
        }),
        word().prop_map(|data| Part::new(Content::RedactedThinking(data))),
        ("[a-z_]{1,4}", word()).prop_map(|(id, value)| {
            Part::new(Content::ToolCall { id, name: "f".into(), arguments: json!({"b": value, "a": 1}).to_string() })
        }),
    ]
}

fn turn() -> impl Strategy<Value = [Message; 2]> {
    let user = (proptest::collection::vec(result(), 0..3), proptest::collection::vec(plain(), 1..3));
    (user, proptest::collection::vec(answered(), 1..4)).prop_map(|((mut first, rest), answered)| {
        first.extend(rest);
        let message = |role, parts| Message { role, parts, name: None };
        [message(Role::User, first), message(Role::Assistant, answered)]
    })
}

fn request() -> impl Strategy<Value = Request> {
    let system = proptest::option::of((word(), cache()));
    (system, proptest::collection::vec(turn(), 1..4), proptest::option::of(0..=100u8), any::<bool>(), cache()).prop_map(
        |(system, turns, temperature, stream, cache)| {
            let system = system.map(|(text, cache)| Message {
                role: Role::System,
                parts: vec![Part { cache, ..Part::text(text) }],
                name: None,
            });
            let tool = Tool {
                name: "f".into(),
                description: None,
                schema: Some(json!({"type": "object"})),
                strict: None,
                cache,
            };
            let mut request = Request {
                messages: system.into_iter().chain(turns.into_iter().flatten()).collect(),
                tools: vec![tool],
                stream,
                include_usage: true,
                ..hello()
            };
            request.sampling.temperature = temperature.map(|hundredths| f64::from(hundredths) / 100.0);
            request
        },
    )
}

fn response() -> impl Strategy<Value = Response> {
    let stop =
        prop_oneof![Just(Stop::Length), Just(Stop::Refused), word().prop_map(|text| Stop::Sequence(Some(text))),];
    let usage =
        (0..999u64, 0..999u64, 0..999u64, 0..999u64, 0..999u64).prop_map(|(fresh, read, five, hour, output)| Usage {
            input: fresh + read + five + hour,
            cached_input: read,
            cache_write: five + hour,
            cache_write_1h: hour,
            output,
            reasoning: output / 2,
            ..Usage::default()
        });
    (proptest::collection::vec(answered(), 0..4), stop, any::<bool>(), usage).prop_map(|(parts, stop, waits, usage)| {
        // Only an answer with a call waits for it.
        let called = parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }));
        let stop = if called && waits { Stop::Tools } else { stop };
        Response {
            id: "msg_1".into(),
            model: "m".into(),
            created: None,
            choices: vec![Choice { parts, stop: Some(stop), logprobs: None }],
            usage: Some(usage),
            service_tier: None,
        }
    })
}

proptest! {
    #[test]
    fn a_request_survives(request in request()) {
        let (body, emulated) = write(&request).unwrap();
        prop_assert!(emulated.is_empty());
        prop_assert_eq!(read(&body).unwrap(), request);
    }

    #[test]
    fn an_answer_survives_whole_and_as_a_stream(response in response()) {
        let context = AnswerContext::default();
        let whole = Anthropic.write_response(&response, &context);
        prop_assert_eq!(Anthropic.read_response(&whole).unwrap(), response.clone());
        let stream = Anthropic.as_stream(&whole, &context).unwrap();
        let mut decoder = Decoder::default();
        decoder.push(stream);
        let events: Vec<_> = std::iter::from_fn(|| decoder.event().unwrap()).collect();
        prop_assert_eq!(Anthropic.as_whole(&events, &context).unwrap(), whole);
    }

    #[test]
    fn no_json_makes_it_panic(text in "[{}\\[\\]\",:a-z0-9]{0,40}", field in "(messages|system|tools|thinking|tool_choice|output_config|stop_sequences)") {
        let body = format!("{{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}],\"{field}\":{text}}}");
        let asked = Anthropic.read(body.into(), &Addressed::default());
        drop(asked.map(|asked| Anthropic.read_request(&asked, &mut Emulated::default())));
        drop(Anthropic.read_response(text.as_bytes()));
        drop(events(&[format!("data: {text}\n\n").as_bytes()]));
    }
}
