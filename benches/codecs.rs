//! CPU time of the dialects alone: what a whole call and each event of a stream take, for each dialect of a caller and each of
//! a provider. Where the two are the same, bytes pass and are listened to; else they are read and written anew. Last, what it
//! takes to put a rendered prompt in front of a request of each dialect.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[expect(dead_code, reason = "the gateway's bench asks for more of it")]
#[path = "gateway/dialect.rs"]
mod dialect;

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fulcrum::chat::{Emulated, PromptMessage, Request, Role};
use fulcrum::wire::dialect::{Addressed, AnswerContext, Asked, Chunk, ClientCodec};
use fulcrum::wire::sse::{Decoder, Event};
use fulcrum::wire::{DialectId, openai_chat};
use serde_json::json;

use dialect::{ALL, Dialect};

/// The gateway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn Error + Send + Sync>;

/// How long each figure is measured; the fastest of five such parts is reported, since other work of the machine only adds time.
const PART: Duration = Duration::from_millis(30);
const PARTS: usize = 5;

fn main() -> Result<(), Failed> {
    println!(
        "{:>10} {:>10} {:>12} {:>8} {:>12} {:>8}",
        "caller", "provider", "us a call", "x same", "us an event", "x same"
    );
    for caller in ALL {
        let (same_call, same_event) = (whole(caller, caller)?, event(caller, caller)?);
        for provider in ALL {
            let (call, event) = if caller == provider {
                (same_call, same_event)
            } else {
                (whole(caller, provider)?, event(caller, provider)?)
            };
            println!(
                "{:>10} {:>10} {call:>12.2} {:>8.1} {event:>12.3} {:>8.1}",
                caller.name(),
                provider.name(),
                call / same_call,
                event / same_event
            );
        }
    }
    println!("\n{:>10} {:>12}", "caller", "us a prompt");
    for caller in ALL {
        println!("{:>10} {:>12.2}", caller.name(), prompted(caller)?);
    }
    Ok(())
}

fn codec(dialect: Dialect) -> &'static dyn ClientCodec {
    let dialect = match dialect {
        Dialect::Chat => DialectId::OpenAiChat,
        Dialect::Responses => DialectId::OpenAiResponses,
        Dialect::Messages => DialectId::Anthropic,
        Dialect::Generate => DialectId::Gemini,
    };
    dialect.codec()
}

/// Reads a request, says it to the provider, reads its answer and says it to the caller: microseconds.
fn whole(caller: Dialect, provider: Dialect) -> Result<f64, Failed> {
    let (from, into) = (codec(caller), codec(provider));
    let request = Bytes::from(caller.request("bench", false).to_string());
    let answer = Bytes::from(provider.whole().to_string());
    let addressed = Addressed { model: (caller == Dialect::Generate).then(|| "bench".to_owned()), stream: false };
    let once = || -> Result<(), Failed> {
        let asked = from.read(request.clone(), &addressed).map_err(|error| error.to_string())?;
        if caller == provider {
            black_box(from.pass(&asked, "another"));
            black_box(from.observe(&answer)?);
            return Ok(());
        }
        black_box(translated(from, into, &asked)?);
        let response = into.read_response(&answer)?;
        black_box(from.write_response(&response, &context()));
        Ok(())
    };
    fastest(1.0, once)
}

fn translated(from: &dyn ClientCodec, into: &dyn ClientCodec, asked: &Asked) -> Result<Bytes, Failed> {
    let mut emulated = Emulated::default();
    let request = from.read_request(asked, &mut emulated).map_err(|error| error.to_string())?;
    let request = Request { model: "another".to_owned(), include_usage: true, ..request };
    Ok(into.write_request(&request, &mut emulated).map_err(|error| error.to_string())?.body)
}

fn context() -> AnswerContext {
    AnswerContext {
        model: "bench".to_owned(),
        include_usage: true,
        choices: 1,
        input_tokens: 143,
        created: 1_767_225_600,
        id: "bench".to_owned(),
        request: None,
    }
}

/// Reads an event and says it to the caller: microseconds.
fn event(caller: Dialect, provider: Dialect) -> Result<f64, Failed> {
    let (from, into) = (codec(provider), codec(caller));
    let pieces = provider.events();
    let once = || if caller == provider { pass(into, &pieces) } else { translate(from, into, &pieces) };
    fastest(pieces.len() as f64, once)
}

/// Lets a stream pass, as it is read for its usage.
fn pass(dialect: &dyn ClientCodec, pieces: &[Bytes]) -> Result<(), Failed> {
    let (mut decoder, mut tap) = (Decoder::default(), dialect.tap(false));
    for piece in pieces {
        for event in events(piece, &mut decoder)? {
            if let Chunk::Broken | Chunk::Failed(_) = black_box(tap.observe(&event)) {
                return Err("an event is not understood".into());
            }
        }
    }
    Ok(())
}

/// Reads a stream in one dialect and writes it in another.
fn translate(from: &dyn ClientCodec, into: &dyn ClientCodec, pieces: &[Bytes]) -> Result<(), Failed> {
    let mut decoder = Decoder::default();
    let (mut reader, mut writer) = (from.stream_reader(), into.stream_writer(&context()));
    let mut meant = Vec::new();
    for piece in pieces {
        for event in events(piece, &mut decoder)? {
            reader.read(&event, &mut meant)?;
            let mut out = Vec::new();
            meant.drain(..).for_each(|event| writer.write(event, &mut out));
            black_box(out);
        }
    }
    Ok(())
}

/// The events that a piece completes.
fn events(piece: &Bytes, decoder: &mut Decoder) -> Result<Vec<Event>, Failed> {
    decoder.push(piece.clone());
    let mut found = Vec::new();
    while let Some(event) = decoder.event()? {
        found.push(event);
    }
    Ok(found)
}

/// Puts a support prompt, rendered already, in front of a request that names it: microseconds.
fn prompted(caller: Dialect) -> Result<f64, Failed> {
    let codec = codec(caller);
    let named = r#"{"prompt":{"id":"support","variables":{"product":"Acme"}},"user":"u"}"#;
    let named = if caller == Dialect::Generate { named.replace(",\"user\":\"u\"", "") } else { named.to_owned() };
    let addressed = Addressed { model: (caller == Dialect::Generate).then(|| "bench".to_owned()), stream: false };
    let asked = codec.read(named.into(), &addressed).map_err(|error| error.to_string())?;
    let messages = support();
    let settings = json!({"model": "bench", "temperature": 0.2, "max_tokens": 500});
    let settings = settings.as_object().ok_or("settings are an object")?;
    fastest(1.0, || {
        let prompt = openai_chat::prompt(messages.clone(), settings, "bench");
        let prompted = prompt.and_then(|prompt| codec.prompted(&asked, prompt));
        black_box(prompted.map_err(|error| error.to_string())?);
        Ok(())
    })
}

/// What a support prompt makes: 4 KB of system text, an exchange as an example, and the customer's words.
fn support() -> Vec<PromptMessage> {
    let text = |role, content: String| PromptMessage::Text { role, content };
    let rule = "- Say \"I do not know\" where the manual does not tell, and name the page where it does.\n";
    vec![
        text(Role::System, rule.repeat(4_096 / rule.len() + 1)),
        text(Role::User, "How do I reset it?".to_owned()),
        text(Role::Assistant, "Hold the button for ten seconds (page 12).".to_owned()),
        text(Role::User, "The light blinks twice and then it turns itself off again. What is wrong?".to_owned()),
    ]
}

/// Microseconds of one of the `parts` of `once`.
fn fastest(parts: f64, once: impl Fn() -> Result<(), Failed>) -> Result<f64, Failed> {
    let mut best = f64::INFINITY;
    for _ in 0..PARTS {
        let began = Instant::now();
        let mut times = 0.0;
        while began.elapsed() < PART {
            once()?;
            times += parts;
        }
        best = best.min(began.elapsed().as_secs_f64() * 1e6 / times);
    }
    Ok(best)
}
