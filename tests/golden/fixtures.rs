//! The table's files: a folder a case, a file a dialect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fulcrum::chat::MadeBy;
use fulcrum::wire::dialect::{AnswerContext, ClientCodec, ProviderCodec};
use fulcrum::wire::sse::{Decoder, Event};
use fulcrum::wire::{DialectId, ProviderDialect};

/// A dialect: its name in file names, and a model of such a provider.
#[derive(Clone, Copy)]
pub struct Dialect {
    pub name: &'static str,
    pub id: DialectId,
    pub model: &'static str,
}

impl Dialect {
    pub fn codec(self) -> &'static dyn ClientCodec {
        self.id.codec()
    }
}

/// The dialects of callers.
pub const DIALECTS: [Dialect; 4] = [
    Dialect { name: "chat", id: DialectId::OpenAiChat, model: "gpt-4o" },
    Dialect { name: "responses", id: DialectId::OpenAiResponses, model: "gpt-5.2" },
    Dialect { name: "messages", id: DialectId::Anthropic, model: "claude-sonnet-5" },
    Dialect { name: "gemini", id: DialectId::Gemini, model: "gemini-3-pro" },
];

/// An API of providers: its name in file names, and a model there.
#[derive(Clone, Copy)]
pub struct Provider {
    pub name: &'static str,
    pub dialect: ProviderDialect,
    pub model: &'static str,
}

impl Provider {
    pub fn codec(self) -> &'static dyn ProviderCodec {
        self.dialect.codec()
    }
}

/// What providers speak: the dialects of callers, and one that no caller speaks.
pub fn providers() -> Vec<Provider> {
    let of = |dialect: Dialect| Provider { name: dialect.name, dialect: dialect.id.into(), model: dialect.model };
    let bedrock = Provider { name: "bedrock", dialect: ProviderDialect::Bedrock, model: "anthropic.claude-sonnet-5" };
    DIALECTS.into_iter().map(of).chain([bedrock]).collect()
}

/// Who makes the proofs of an API's answers.
pub fn made_by(codec: &(impl ProviderCodec + ?Sized)) -> MadeBy {
    MadeBy { maker: codec.maker(), provider: "p".into() }
}

/// One case: its name, and its files by name.
pub struct Case {
    pub name: String,
    pub files: BTreeMap<String, Bytes>,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire")
}

/// All cases of a kind, in order.
pub fn cases(kind: &str) -> Vec<Case> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder().join(kind)).unwrap() {
        let path = entry.unwrap().path();
        let files = std::fs::read_dir(&path).unwrap().map(|file| {
            let file = file.unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            (file.file_name().into_string().unwrap(), Bytes::from(bytes))
        });
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        found.push(Case { name, files: files.collect() });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The events in a file.
pub fn events(bytes: &Bytes) -> Vec<Event> {
    let mut decoder = Decoder::default();
    decoder.push(bytes.clone());
    let mut events: Vec<Event> = std::iter::from_fn(|| decoder.event().unwrap()).collect();
    events.extend(decoder.rest());
    events
}

/// A call as a writer knows of it.
pub fn context() -> AnswerContext {
    let (model, id) = ("m".to_owned(), "req-1".to_owned());
    AnswerContext { model, include_usage: true, choices: 1, input_tokens: 7, created: 1_700_000_000, id, request: None }
}

/// Compares with the golden file of this name, or writes it.
pub fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder().join("golden"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Golden files that no case has any more.
pub fn strays(kind: &str, cases: &[Case]) -> Vec<String> {
    let files = std::fs::read_dir(folder().join("golden")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let of_kind =
        names.filter_map(|name| Some(name.strip_prefix(kind)?.strip_prefix('-')?.strip_suffix(".snap")?.to_owned()));
    of_kind.filter(|name| !cases.iter().any(|case| case.name == *name)).collect()
}
