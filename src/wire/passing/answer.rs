//! Whole answers of these routes: their media type, and what is charged for them: tokens, images, seconds, searches.

use bytes::Bytes;
use serde::Deserialize;

use super::route::{Gives, Passing, no_answer};
use crate::chat::{Units, Usage, Used};
use crate::wire::dialect::{Asked, BadAnswer};
use crate::wire::fields::MOST_TOKENS;
use crate::wire::json::{Object, fields, items};
use crate::wire::openai::{is_failure, read_usage};
use crate::wire::{token_estimate, written};

/// Media types of audio that callers get as the provider names them.
const AUDIO: [&str; 16] = [
    "application/octet-stream",
    "audio/aac",
    "audio/basic",
    "audio/flac",
    "audio/l16",
    "audio/mp3",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/pcm",
    "audio/wav",
    "audio/wave",
    "audio/webm",
    "audio/x-pcm",
    "audio/x-wav",
];

/// Media types of text.
const TEXT: [&str; 5] = ["text/plain", "text/vtt", "text/srt", "application/x-subrip", "application/srt"];

/// The longest media type that callers get.
const LONGEST_KIND: usize = 120;

/// A number above this one is no count.
const MOST: f64 = 1e12;

/// What an answer is, by its `content-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// JSON.
    Json,
    /// Text, which callers get with the provider's `content-type`.
    Text,
    /// Audio, which callers get with the provider's `content-type`.
    Audio,
}

/// What was observed of a whole answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// What is charged.
    pub used: Used,
    /// How many tokens the answer's texts are, roughly.
    pub written: u64,
    /// Whether the answer ended well, so that it may be stored.
    pub ended_well: bool,
}

/// The charged counts of one answer or event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) usage: Option<Usage>,
    pub(super) units: Units,
}

#[derive(Deserialize, Default)]
struct Counts {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    total_tokens: Option<f64>,
    seconds: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default)]
    billed_units: Billed,
    #[serde(default)]
    tokens: Option<Counts>,
}

#[derive(Deserialize, Default)]
struct Billed {
    search_units: Option<f64>,
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
}

impl Passing {
    /// The medium of an answer of this `content-type`.
    ///
    /// # Errors
    /// Where this route has no such answers.
    pub fn medium(self, content_type: Option<&[u8]>) -> Result<Medium, BadAnswer> {
        let gives = self.gives();
        let Some(content_type) = content_type else {
            return Ok(if gives == Gives::Audio { Medium::Audio } else { Medium::Json });
        };
        let text = String::from_utf8_lossy(content_type);
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is = |kinds: &[&str]| content_type.len() <= LONGEST_KIND && kinds.contains(&&*essence);
        match gives {
            Gives::Json(_) | Gives::Text(_) if essence == "application/json" => Ok(Medium::Json),
            Gives::Text(_) if is(&TEXT) => Ok(Medium::Text),
            Gives::Audio if is(&AUDIO) => Ok(Medium::Audio),
            _ => Err(BadAnswer(no_answer(&text))),
        }
    }

    /// Observes a whole JSON answer of this route.
    ///
    /// # Errors
    /// Where the body is no answer of this route.
    pub fn observe(self, body: &Bytes, asked: &Asked) -> Result<Observed, BadAnswer> {
        let object = Object::read_answer(body.clone())?;
        let fields = match self.gives() {
            Gives::Json(fields) | Gives::Text(fields) => fields,
            Gives::Audio => &[],
        };
        let Some(answer) = fields.iter().find_map(|field| object.get(field)) else {
            return Err(BadAnswer(format!("it has no `{}`", fields.join("` or `"))));
        };
        let Counted { usage, mut units } = counted(&object);
        if self.asked_units(asked).images.is_some() {
            units.images = u64::try_from(items(answer).count()).ok();
        }
        let units = units.or(self.asked_units(asked));
        let (written, ended_well) = if self == Self::Completions { completed(answer) } else { (0, true) };
        let ended_well = ended_well && object.get("error").is_none_or(|error| error == "null");
        Ok(Observed { used: Used { usage, units }, written, ended_well })
    }
}

/// How many tokens the choices of text completions are, roughly, and whether all of them ended well.
fn completed(choices: &str) -> (u64, bool) {
    let (mut bytes, mut count, mut ended_well) = (0, 0, true);
    for choice in items(choices).filter(|choice| choices.starts_with('[') && choice.starts_with('{')) {
        count += 1;
        for (name, value) in fields(choice) {
            match name {
                "text" => bytes += written::of_json(value),
                "finish_reason" => ended_well &= !is_failure(value.trim_matches('"')),
                "error" => ended_well &= value == "null",
                _ => {}
            }
        }
    }
    (token_estimate::of_bytes(bytes), ended_well && count > 0)
}

/// The counts of an answer or an event, in the shape of any of these routes.
pub(super) fn counted(object: &Object) -> Counted {
    fn read<'a, T: Deserialize<'a> + Default>(json: Option<&'a str>) -> T {
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }
    let reported = object.get("usage");
    let counts: Counts = read(reported);
    let Meta { billed_units, tokens } = read(object.get("meta"));
    let by_meta = Counts {
        input_tokens: billed_units.input_tokens.map(f64::ceil),
        output_tokens: billed_units.output_tokens.map(f64::ceil),
        ..Counts::default()
    };
    let usage = reported.and_then(read_usage).or_else(|| tokens_of(&counts)).or_else(|| tokens_of(&by_meta));
    let usage = usage.or_else(|| tokens.as_ref().and_then(tokens_of));
    let duration = object.get("duration").map(|json| json.trim_matches('"')).and_then(|text| text.parse().ok());
    let seconds: Option<f64> = counts.seconds.or(duration);
    let units = Units {
        milliseconds: whole(seconds.map(|seconds| (seconds * 1_000.0).round())),
        searches: whole(billed_units.search_units),
        ..Units::default()
    };
    Counted { usage, units }
}

fn tokens_of(counts: &Counts) -> Option<Usage> {
    let is_whole = |tokens: &f64| tokens.fract() == 0.0;
    let believed = |tokens: Option<f64>| whole(tokens.filter(is_whole)).filter(|tokens| *tokens <= MOST_TOKENS);
    let output = believed(counts.output_tokens).unwrap_or(0);
    // Rerankers report the total that they read, and write nothing.
    let total = || believed(counts.total_tokens)?.checked_sub(output);
    let input = believed(counts.input_tokens).or_else(total)?;
    Some(Usage { input, output, ..Usage::default() })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 10^12")]
fn whole(count: Option<f64>) -> Option<u64> {
    count.filter(|count| (0.0..=MOST).contains(count)).map(|count| count.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(passing: Passing, request: &str, answer: &str) -> Result<Observed, BadAnswer> {
        let (asked, _) = passing.read(request.to_owned().into(), b"application/json").unwrap();
        passing.observe(&answer.to_owned().into(), &asked)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table, or one conversation in two forms")]
    fn every_shape_of_counts_is_read() {
        let none = Units::default();
        let tokens = |input, output| Some((input, output));
        for (passing, request, answer, usage, units) in [
            (
                Passing::Completions,
                r#"{"model":"m","prompt":"x"}"#,
                r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
                tokens(3, 2),
                none,
            ),
            (Passing::Moderations, r#"{"input":"x"}"#, r#"{"results":[]}"#, None, none),
            (
                Passing::ImageGenerations,
                r#"{"model":"m","prompt":"x","n":3}"#,
                r#"{"data":[{},{}],"usage":{"input_tokens":5,"output_tokens":90,"total_tokens":95}}"#,
                tokens(5, 90),
                Units { images: Some(2), ..none },
            ),
            (
                Passing::Rerank,
                r#"{"model":"m","query":"q","documents":["d"]}"#,
                r#"{"results":[],"meta":{"billed_units":{"search_units":1}}}"#,
                None,
                Units { searches: Some(1), ..none },
            ),
            (
                Passing::Rerank,
                r#"{"model":"m","query":"q","documents":["d"]}"#,
                r#"{"results":[],"usage":{"total_tokens":14}}"#,
                tokens(14, 0),
                none,
            ),
            (
                Passing::Rerank,
                r#"{"model":"m","query":"q","documents":["d"]}"#,
                r#"{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}"#,
                tokens(8, 0),
                none,
            ),
            (
                Passing::Transcriptions,
                r#"{"model":"m"}"#,
                r#"{"text":"","usage":{"type":"duration","seconds":2.5}}"#,
                None,
                Units { milliseconds: Some(2_500), ..none },
            ),
            (
                Passing::Transcriptions,
                r#"{"model":"m"}"#,
                r#"{"text":"","duration":"7.1"}"#,
                None,
                Units { milliseconds: Some(7_100), ..none },
            ),
            (
                Passing::Transcriptions,
                r#"{"model":"m"}"#,
                r#"{"text":"","usage":{"type":"tokens","input_tokens":14,"output_tokens":4}}"#,
                tokens(14, 4),
                none,
            ),
        ] {
            let observed = observe(passing, request, answer).unwrap();
            let tokens = observed.used.usage.map(|usage| (usage.input, usage.output));
            assert_eq!((tokens, observed.used.units), (usage, units), "{answer}");
        }
    }

    #[test]
    fn nonsense_counts_nothing() {
        for answer in [
            r#"{"text":"","usage":{"seconds":-1}}"#,
            r#"{"text":"","usage":{"seconds":1e300},"duration":"long"}"#,
            r#"{"text":"","usage":{"input_tokens":-4}}"#,
            r#"{"text":"","usage":[1]}"#,
            r#"{"text":"","meta":{"billed_units":{"search_units":"x"}}}"#,
        ] {
            let observed = observe(Passing::Transcriptions, r#"{"model":"m"}"#, answer).unwrap();
            assert_eq!(observed.used, Used::default(), "{answer}");
        }
        for answer in ["", "[]", "{}", r#"{"error":{}}"#] {
            assert!(observe(Passing::Transcriptions, r#"{"model":"m"}"#, answer).is_err());
        }
    }

    #[test]
    fn only_kinds_of_the_route_go_down() {
        for (passing, kind, medium) in [
            (Passing::Speech, Some("audio/mpeg"), Some(Medium::Audio)),
            (Passing::Speech, Some("Audio/PCM; rate=24000"), Some(Medium::Audio)),
            (Passing::Speech, None, Some(Medium::Audio)),
            (Passing::Speech, Some("text/html"), None),
            (Passing::Speech, Some("application/json"), None),
            (Passing::Transcriptions, Some("text/plain; charset=utf-8"), Some(Medium::Text)),
            (Passing::Transcriptions, Some("application/json; charset=utf-8"), Some(Medium::Json)),
            (Passing::Transcriptions, Some("text/html"), None),
            (Passing::Completions, None, Some(Medium::Json)),
            (Passing::Completions, Some("text/plain"), None),
            (Passing::ImageEdits, Some("image/svg+xml"), None),
        ] {
            assert_eq!(passing.medium(kind.map(str::as_bytes)).ok(), medium, "{kind:?}");
        }
        let long = format!("audio/mpeg; x={}", "y".repeat(200));
        assert!(Passing::Speech.medium(Some(long.as_bytes())).is_err());
    }
}
