//! The routes: the fields of their requests, and the form of their answers.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::chat::{Code, Error, Units};
use crate::wire::asked::Asked;
use crate::wire::fields::{Check, Field, check_fields};
use crate::wire::form::{Form, is_form};
use crate::wire::json::Object;
use crate::wire::openai;

/// A route that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table names their routes")]
pub enum Passing {
    Completions,
    Moderations,
    ImageGenerations,
    ImageEdits,
    ImageVariations,
    Speech,
    Transcriptions,
    Translations,
    Rerank,
}

/// One row: a route's requests and answers.
struct Shape {
    route: &'static str,
    /// The field that the model reads.
    input: &'static str,
    /// The model, where a request need not name one.
    model: Option<&'static str>,
    /// Fields that a request must have.
    required: &'static [&'static str],
    /// The file that a form must have; `None` where the body is never a form.
    file: Option<&'static str>,
    fields: &'static [Field],
    /// The field that asks for a stream, and the value that does.
    stream: (&'static str, &'static str),
    gives: Gives,
    /// Whether equal requests may share an answer; not where answers differ on purpose, or are long.
    may_be_cached: bool,
}

/// What a good answer is, where it is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// JSON with one of these fields.
    Json(&'static [&'static str]),
    /// JSON with one of these fields, or plain text.
    Text(&'static [&'static str]),
    /// Audio.
    Audio,
}

/// All routes, in the order of [`Passing`].
static SHAPES: [Shape; 9] = [
    Shape {
        route: "/v1/completions",
        input: "prompt",
        model: None,
        required: &["prompt"],
        file: None,
        fields: COMPLETIONS,
        stream: ("stream", "true"),
        gives: Gives::Json(&["choices"]),
        may_be_cached: true,
    },
    Shape {
        route: "/v1/moderations",
        input: "input",
        // OpenAI's own default, which its SDKs do not send.
        model: Some("omni-moderation-latest"),
        required: &["input"],
        file: None,
        fields: &[("model", Check::Text, false), ("input", Check::TextOrList, false)],
        stream: NEVER,
        gives: Gives::Json(&["results"]),
        may_be_cached: true,
    },
    image("/v1/images/generations", &["prompt"], None),
    image("/v1/images/edits", &["prompt"], Some("image")),
    image("/v1/images/variations", &[], Some("image")),
    Shape {
        route: "/v1/audio/speech",
        input: "input",
        model: None,
        required: &["input"],
        file: None,
        fields: SPEECH,
        stream: ("stream_format", "\"sse\""),
        gives: Gives::Audio,
        may_be_cached: false,
    },
    audio("/v1/audio/transcriptions"),
    audio("/v1/audio/translations"),
    Shape {
        route: "/v1/rerank",
        input: "documents",
        model: None,
        required: &["query", "documents"],
        file: None,
        fields: RERANK,
        stream: NEVER,
        gives: Gives::Json(&["results", "data"]),
        may_be_cached: true,
    },
];

/// No field asks for a stream.
const NEVER: (&str, &str) = ("stream", "");

const fn image(route: &'static str, required: &'static [&'static str], file: Option<&'static str>) -> Shape {
    Shape {
        route,
        input: "prompt",
        model: None,
        required,
        file,
        fields: IMAGES,
        stream: ("stream", "true"),
        gives: Gives::Json(&["data"]),
        may_be_cached: false,
    }
}

const fn audio(route: &'static str) -> Shape {
    Shape {
        route,
        input: "prompt",
        model: None,
        required: &[],
        file: Some("file"),
        fields: AUDIO,
        stream: ("stream", "true"),
        gives: Gives::Text(&["text"]),
        may_be_cached: false,
    }
}

const COMPLETIONS: &[Field] = &[
    ("model", Check::Text, false),
    ("best_of", Check::Integer(0..=20), true),
    ("echo", Check::Bool, true),
    ("frequency_penalty", Check::Number(-2.0..=2.0), true),
    ("logit_bias", Check::Object, true),
    ("max_tokens", Check::Integer(0..=100_000_000), true),
    ("n", Check::Integer(1..=128), true),
    ("presence_penalty", Check::Number(-2.0..=2.0), true),
    ("seed", Check::Integer(i64::MIN..=i64::MAX), true),
    ("stop", Check::TextOrList, true),
    ("stream", Check::Bool, true),
    ("stream_options", Check::Object, true),
    ("temperature", Check::Number(0.0..=2.0), true),
    ("top_p", Check::Number(0.0..=1.0), true),
    ("user", Check::Text, false),
];

const IMAGES: &[Field] = &[
    ("model", Check::Text, false),
    ("prompt", Check::Text, false),
    ("n", Check::Integer(1..=10), true),
    ("output_compression", Check::Integer(0..=100), true),
    ("partial_images", Check::Integer(0..=3), true),
    ("quality", Check::Text, true),
    ("response_format", Check::Text, true),
    ("size", Check::Text, true),
    ("stream", Check::Bool, true),
    ("user", Check::Text, false),
];

const SPEECH: &[Field] = &[
    ("model", Check::Text, false),
    ("input", Check::Text, false),
    ("instructions", Check::Text, true),
    ("response_format", Check::Text, true),
    ("speed", Check::Number(0.25..=4.0), true),
    ("stream_format", Check::Text, true),
    ("voice", Check::TextOrObject, false),
];

const AUDIO: &[Field] = &[
    ("model", Check::Text, false),
    ("language", Check::Text, true),
    ("response_format", Check::Text, true),
    ("stream", Check::Bool, true),
    ("temperature", Check::Number(0.0..=1.0), true),
];

const RERANK: &[Field] = &[
    ("model", Check::Text, false),
    ("query", Check::TextOrObject, false),
    ("documents", Check::List, false),
    ("top_n", Check::Integer(1..=i64::MAX), true),
    ("return_documents", Check::Bool, true),
];

impl Passing {
    /// All routes, in the table's order.
    pub const ALL: [Self; 9] = [
        Self::Completions,
        Self::Moderations,
        Self::ImageGenerations,
        Self::ImageEdits,
        Self::ImageVariations,
        Self::Speech,
        Self::Transcriptions,
        Self::Translations,
        Self::Rerank,
    ];

    const fn shape(self) -> &'static Shape {
        &SHAPES[self as usize]
    }

    /// What a good answer of this route is.
    pub(super) fn gives(self) -> Gives {
        self.shape().gives
    }

    /// The route's path: at the gateway, and below a provider's base URL.
    #[must_use]
    pub const fn route(self) -> &'static str {
        self.shape().route
    }

    /// The model of a request that names none, where the route has one.
    #[must_use]
    pub const fn default_model(self) -> Option<&'static str> {
        self.shape().model
    }

    /// Whether its body may be a form.
    #[must_use]
    pub fn takes_form(self) -> bool {
        self.shape().file.is_some()
    }

    /// The field that the model reads.
    #[must_use]
    pub const fn input(self) -> &'static str {
        self.shape().input
    }

    /// Whether equal requests may share an answer, where their route caches.
    #[must_use]
    pub fn may_be_cached(self, asked: &Asked) -> bool {
        self.shape().may_be_cached && !asked.stream
    }

    /// Whether tokens are estimated where a provider reports none; only for routes whose answers always have some.
    #[must_use]
    pub fn has_tokens(self) -> bool {
        self == Self::Completions
    }

    /// Reads and checks a body of this `content-type`; of a form the fields, and the form itself.
    ///
    /// # Errors
    /// A 400 that names the field at fault.
    pub fn read(self, body: Bytes, content_type: &[u8]) -> Result<(Asked, Option<Form>), Error> {
        let shape = self.shape();
        if !is_form(content_type) {
            let object = if self.has_tokens() { Object::read_tokens(body)? } else { Object::read(body)? };
            return Ok((self.asked(object)?, None));
        }
        let form = Form::read(body, content_type)?;
        if let Some(file) = shape.file
            && form.file(file).is_none()
        {
            return Err(Error::field(file, format!("the form has no file `{file}`")));
        }
        if form.parts().filter(|part| part.name == "model" || part.name == "model[]").count() > 1 {
            return Err(Error::field("model", "`model` stands twice"));
        }
        let fields = Value::from(typed(form.fields()?, shape.fields)).to_string();
        Ok((self.asked(Object::read(fields.into())?)?, Some(form)))
    }

    fn asked(self, object: Object) -> Result<Asked, Error> {
        let shape = self.shape();
        check_fields(&object, shape.fields)?;
        let missing = |name: &str| Error::field(name, format!("`{name}` is missing"));
        if let Some(name) = shape.required.iter().find(|name| object.get(name).is_none()) {
            return Err(missing(name));
        }
        let named = object.get("model").map(serde_json::from_str::<String>).transpose();
        let named = named.map_err(|error| Error::field("model", format!("`model` cannot be read: {error}")))?;
        let model = named.or(shape.model.map(str::to_owned)).ok_or_else(|| missing("model"))?;
        let (name, value) = shape.stream;
        let stream = object.get(name) == Some(value);
        let number = |name| object.get(name).and_then(|json| json.parse::<u64>().ok());
        let max_tokens = match self {
            Self::Completions => number("max_tokens"),
            Self::ImageGenerations | Self::ImageEdits | Self::ImageVariations => None,
            _ => Some(0),
        };
        let options =
            object.get("stream_options").and_then(|json| serde_json::from_str::<Map<String, Value>>(json).ok());
        let include_usage = options.is_some_and(|options| options.get("include_usage") == Some(&Value::Bool(true)));
        Ok(Asked {
            model,
            stream,
            include_usage,
            max_tokens,
            choices: number("n").unwrap_or(1),
            turns: 0,
            prompt: None,
            object,
        })
    }

    /// The body for a provider: the caller's, with the target's model, and with usage asked for in streams.
    #[must_use]
    pub fn pass(self, asked: &Asked, form: Option<&Form>, model: &str) -> Bytes {
        match form {
            Some(form) => form.with("model", model),
            None if self == Self::Completions => openai::pass(asked, model),
            None => asked.with_model(model),
        }
    }

    /// The charged counts that the request alone decides, such as the number of images.
    #[must_use]
    pub fn asked_units(self, asked: &Asked) -> Units {
        let units = Units::default();
        match self {
            Self::ImageGenerations | Self::ImageEdits | Self::ImageVariations => {
                Units { images: Some(asked.choices), ..units }
            }
            Self::Speech => Units { characters: characters(asked.object.get("input")), ..units },
            _ => units,
        }
    }
}

fn characters(json: Option<&str>) -> Option<u64> {
    let text: String = serde_json::from_str(json?).ok()?;
    u64::try_from(text.chars().count()).ok()
}

/// A form's fields, with numbers and booleans where the table has them.
fn typed(fields: Map<String, Value>, table: &[Field]) -> Map<String, Value> {
    let is_literal = |name: &str| {
        let known = table.iter().find(|(known, ..)| *known == name);
        matches!(known, Some((_, Check::Bool | Check::Number(_) | Check::Integer(_), _)))
    };
    let typed = |(name, value): (String, Value)| match value.as_str().filter(|_| is_literal(&name)) {
        Some(text) => {
            let literal =
                serde_json::from_str(text).ok().filter(|value: &Value| value.is_number() || value.is_boolean());
            let literal = literal.unwrap_or_else(|| value.clone());
            (name, literal)
        }
        None => (name, value),
    };
    fields.into_iter().map(typed).collect()
}

/// Why an answer of this `content-type` is refused.
pub(super) fn no_answer(content_type: &str) -> String {
    format!("it came as `{}`, which is no answer of this route", content_type.chars().take(80).collect::<String>())
}

/// The error for a provider that has no such route.
#[must_use]
pub fn unsupported(passing: Passing, provider: &str) -> Error {
    let message = format!("the provider {provider} has no `POST {}`; use a model of one that has", passing.route());
    Error::new(Code::UnsupportedFeature, message).at("model")
}
