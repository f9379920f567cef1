//! How many tokens a request is, roughly, before anybody counted them: its words, its tools and its files, and nothing of the JSON
//! around them. The same question counts the same in every dialect.

use super::escaped::of_escaped;
use super::json::{MAX_DEPTH, string_end, unescaped};

/// The shortest text that is taken for a file wherever one may stand.
const SHORTEST: usize = 64;
/// What a file counts of which only the address is known: a picture of usual size.
const LINKED: u64 = 1_024;
/// Marks of the dialects, which no model reads. Texts below an object of these names are read.
const MARKS: [&str; 20] = [
    "type",
    "role",
    "id",
    "call_id",
    "tool_call_id",
    "tool_use_id",
    "status",
    "phase",
    "detail",
    "format",
    "mimeType",
    "mime_type",
    "media_type",
    "file_id",
    "filename",
    "signature",
    "thoughtSignature",
    "thought_signature",
    "encrypted_content",
    "execution",
];
/// What stands beside the words for the provider's eyes only.
const ASIDE: [&str; 6] = ["cache_control", "metadata", "annotations", "logprobs", "citations", "videoMetadata"];
/// Schemas of tools and arguments of calls, which models read as JSON.
const JSON: [&str; 6] =
    ["parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema", "args", "json_schema"];
/// What holds a file or its address, itself or in an object.
const FILES: [&str; 4] = ["image_url", "video_url", "file_url", "file_data"];
/// Objects that hold one.
const BOXES: [&str; 7] = ["source", "file", "audio", "input_audio", "inlineData", "inline_data", "fileData"];
/// Where it stands in such an object.
const BOXED: [&str; 6] = ["url", "uri", "fileUri", "file_uri", "data", "file_data"];
/// How addresses begin.
const ADDRESSES: [&str; 5] = ["http://", "https://", "gs://", "s3://", "files/"];

/// How many tokens these values of a request are together, roughly: four bytes of text a token, and for each file a bounded
/// figure. The values are valid JSON, nested no deeper than a request may be.
#[must_use]
pub fn estimate_tokens<'a>(values: impl Iterator<Item = &'a str>) -> u64 {
    let (mut bytes, mut tokens) = (0, 0);
    for json in values {
        let scan = Scan::of(json, Role::Words);
        bytes += scan.bytes;
        tokens += scan.tokens;
    }
    tokens + of_bytes(bytes)
}

/// How many tokens so many bytes of text are, roughly.
#[must_use]
pub fn of_bytes(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}

/// What a value is for the model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Its texts are words.
    Words,
    /// It is read as JSON, without white space.
    Json,
    /// JSON if it is an object or a list; a text is words.
    Arguments,
    /// A text that holds JSON.
    Written,
    /// A text is a file or the address of one.
    File,
    /// An object that holds a file.
    Boxed,
    /// A text is a mark that nobody reads.
    Mark,
    /// Nobody reads any of it.
    Aside,
    /// A tool's result in Gemini's form, which names the tool again.
    Result,
    /// What is in such a result: often a single text in an object.
    Response,
}

impl Role {
    /// What the field of this name is in an object of this role.
    fn of_field(self, name: &str) -> Self {
        match (self, name) {
            // What most objects have stands first.
            (Self::Words, "text" | "content" | "parts") => Self::Words,
            (Self::Aside, _) | (Self::Result, "name") => Self::Aside,
            (Self::Response, "output" | "result" | "error") => Self::Arguments,
            (Self::Json | Self::Arguments | Self::Response, _) => Self::Json,
            (Self::Result, "response") => Self::Response,
            (_, "functionResponse" | "function_response") => Self::Result,
            (_, "input") => Self::Arguments,
            (_, "arguments") => Self::Written,
            (Self::File | Self::Boxed, name) if BOXED.contains(&name) => Self::File,
            (_, name) if MARKS.contains(&name) => Self::Mark,
            (_, name) if ASIDE.contains(&name) => Self::Aside,
            (_, name) if JSON.contains(&name) => Self::Json,
            (_, name) if FILES.contains(&name) => Self::File,
            (_, name) if BOXES.contains(&name) => Self::Boxed,
            _ => Self::Words,
        }
    }

    /// What an item of a list of this role is.
    fn of_item(self) -> Self {
        match self {
            Self::Arguments | Self::Response => Self::Json,
            other => other,
        }
    }

    /// Whether its punctuation is read.
    fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Arguments)
    }
}

/// One pass over a value.
struct Scan<'a> {
    json: &'a [u8],
    at: usize,
    depth: usize,
    /// Bytes of words.
    bytes: usize,
    /// Tokens of all else.
    tokens: u64,
}

impl<'a> Scan<'a> {
    fn of(json: &'a str, role: Role) -> Self {
        let mut scan = Self { json: json.as_bytes(), at: 0, depth: 0, bytes: 0, tokens: 0 };
        scan.value(role);
        scan
    }

    fn value(&mut self, role: Role) {
        if self.depth == MAX_DEPTH {
            // JSON within a text was not checked.
            self.bytes += self.json.len().saturating_sub(self.at);
            self.at = self.json.len();
            return;
        }
        self.depth += 1;
        self.scan(role);
        self.depth -= 1;
    }

    fn scan(&mut self, role: Role) {
        let first = self.next();
        let role = if role == Role::Written && first != Some(b'"') { Role::Json } else { role };
        match first {
            Some(b'"') => {
                let text = self.string();
                self.text(text, role);
            }
            Some(b'{') => self.object(role),
            Some(b'[') => self.list(role),
            _ => {
                let length = self.scalar();
                self.bytes += if role.is_json() { length } else { 0 };
            }
        }
    }

    fn object(&mut self, role: Role) {
        self.at += 1;
        let (mut marks, mut is_json) = (1, role.is_json());
        while self.next() == Some(b'"') {
            let name = self.string();
            let field = role.of_field(std::str::from_utf8(name).unwrap_or_default());
            // A single text in a tool's response stands for itself, without the object around it.
            is_json |= role == Role::Response && field == Role::Json;
            // The quotes, the colon, and the comma or the brace.
            marks += of_escaped(name) + 4;
            self.value(field);
        }
        self.at += 1;
        self.bytes += if is_json { marks.max(2) } else { 0 };
    }

    fn list(&mut self, role: Role) {
        self.at += 1;
        let mut items = 0;
        while let Some(first) = self.next().filter(|byte| *byte != b']') {
            let start = self.at;
            self.value(role.of_item());
            // Numbers in a list are tokens by their ids.
            let is_token = role == Role::Words && first.is_ascii_digit();
            self.tokens += u64::from(is_token);
            items += 1;
            if self.at == start {
                break;
            }
        }
        self.at += 1;
        self.bytes += if role.of_item().is_json() { items.max(1) + 1 } else { 0 };
    }

    fn text(&mut self, text: &[u8], role: Role) {
        match (role, file_tokens(text, role)) {
            (Role::Mark | Role::Aside, _) => {}
            (_, Some(tokens)) => self.tokens += tokens,
            (Role::Json, None) => self.bytes += of_escaped(text) + 2,
            (Role::Written, None) => self.bytes += of_written(text),
            (_, None) => self.bytes += of_escaped(text),
        }
    }

    /// The next byte that belongs to a value or closes what is open.
    fn next(&mut self) -> Option<u8> {
        while let Some(byte) = self.json.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | b':') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Passes a text; what stands between its quotes.
    fn string(&mut self) -> &'a [u8] {
        let start = self.at + 1;
        self.at = string_end(self.json, start);
        self.json.get(start..self.at - 1).unwrap_or_default()
    }

    /// Passes a number or a word; its length.
    fn scalar(&mut self) -> usize {
        let rest = self.json.get(self.at..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += length;
        length
    }
}

/// How many bytes the JSON is that a text holds, without white space; the arguments of a call, which other dialects write as an
/// object.
fn of_written(text: &[u8]) -> usize {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let text = unescaped(text);
    let text = text.trim();
    // No arguments mean an empty object.
    match text.as_bytes().first() {
        None => 2,
        Some(b'{' | b'[') => Scan::of(text, Role::Json).bytes.min(text.len()),
        Some(_) => text.len(),
    }
}

/// The tokens of a file or of an address, by its kind and size; `None` where the text is neither, or no place for one.
fn file_tokens(text: &[u8], role: Role) -> Option<u64> {
    if role != Role::File {
        return None;
    }
    if ADDRESSES.iter().any(|start| text.starts_with(start.as_bytes())) {
        return Some(LINKED);
    }
    let head = text.get(..text.len().min(256)).filter(|head| head.starts_with(b"data:")).unwrap_or_default();
    let is_url = memchr::memmem::find(head, b";base64,").map(|at| at + 8);
    let data = &text[is_url.unwrap_or(0)..];
    // The slash may be escaped.
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\\');
    let mut ends = data.iter().take(256).chain(data.iter().rev().take(256));
    if is_url.is_none() && (data.len() < SHORTEST || !ends.all(fits)) {
        return None;
    }
    let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
    // A page of a PDF is about 2,000 tokens and 100 KB; a picture has few tokens however many bytes.
    Some(if data.starts_with(b"JVBERi") { (size / 64).clamp(256, 100_000) } else { (size / 512).clamp(256, 4_096) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn tokens(values: &[Value]) -> u64 {
        let texts: Vec<String> = values.iter().map(Value::to_string).collect();
        estimate_tokens(texts.iter().map(String::as_str))
    }

    /// The same conversation as each dialect writes it: Chat Completions, Responses, Messages, Gemini.
    fn conversations(picture: &str, words: &str) -> [Vec<Value>; 4] {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string", "enum": ["Bonn", "Rome"]}}, "required": ["city"]});
        let (name, about) = ("get_weather", "The weather of a city.");
        let arguments = json!({"city": "Bonn", "days": [1, 2.5, true, null], "x": {}});
        let spaced = format!("{arguments:#}");
        let url = format!("data:image/png;base64,{picture}");
        let chat = vec![
            json!([
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": url, "detail": "high"}}]},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": name, "arguments": spaced}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
                {"role": "user", "content": "Thanks!"},
            ]),
            json!([{"type": "function", "function": {"name": name, "description": about, "parameters": schema, "strict": true}}]),
        ];
        let responses = vec![
            json!("Be brief."),
            json!([
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}, {"type": "input_image", "image_url": url, "detail": "auto"}]},
                {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": arguments.to_string(), "status": "completed"},
                {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
                {"role": "user", "content": "Thanks!"},
            ]),
            json!([{"type": "function", "name": name, "description": about, "parameters": schema, "strict": true}]),
        ];
        let messages = vec![
            json!([{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]),
            json!([
                {"role": "user", "content": [{"type": "text", "text": words}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "sunny"}]}, {"type": "text", "text": "Thanks!"}]},
            ]),
            json!([{"name": name, "description": about, "input_schema": schema}]),
        ];
        let gemini = vec![
            json!({"parts": [{"text": "Be brief."}]}),
            json!([
                {"role": "user", "parts": [{"text": words}, {"inlineData": {"mimeType": "image/png", "data": picture}}]},
                {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": name, "args": arguments}, "thoughtSignature": "c2lnLUE="}]},
                {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": name, "response": {"output": "sunny"}}}]},
                {"role": "user", "parts": [{"text": "Thanks!"}]},
            ]),
            json!([{"functionDeclarations": [{"name": name, "description": about, "parametersJsonSchema": schema}]}]),
        ];
        [chat, responses, messages, gemini]
    }

    #[test]
    fn the_same_question_counts_the_same_in_every_dialect() {
        let small = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
        for picture in [small, &"iVBOR".repeat(200_000)] {
            for words in ["Hi", "Größe \"x\" \n 名前 \u{1f600}", &"many words, ".repeat(1_000)] {
                let found = conversations(picture, words).map(|values| tokens(&values));
                assert_eq!(found, [found[0]; 4], "{words:.20}");
                // The words, the name twice, the description, the arguments and the schema, and the picture.
                let text = words.len() + "Be brief.sunnyThanks!".len() + 2 * 11 + 22 + 47 + 100;
                let picture = if picture.len() < 1_000 { 256 } else { 1_000_000 / 512 };
                assert_eq!(found[0], of_bytes(text) + picture, "{words:.20}");
            }
        }
    }

    #[test]
    fn a_short_question_is_a_few_tokens() {
        for values in [
            vec![json!([{"role": "user", "content": "hi"}])],
            vec![json!("hi")],
            vec![json!([{"role": "user", "content": [{"type": "text", "text": "hi"}]}])],
            vec![json!([{"parts": [{"text": "hi"}]}])],
            vec![json!([{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]), json!(null)],
        ] {
            assert_eq!(tokens(&values), 1, "{values:?}");
        }
        assert_eq!(estimate_tokens([].into_iter()), 0);
        assert_eq!(tokens(&[json!([[5, 17, 3], [4]])]), 4, "tokens by their ids");
    }

    #[test]
    fn a_file_counts_by_a_bounded_figure_in_every_dialect() {
        let picture = "iVBOR".repeat(2_000_000);
        let pdf = "JVBERi0xLjcK".repeat(1_000_000);
        let url = "https://example.com/a.png";
        for (body, most) in [
            (json!([{"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{picture}")}}]), 5_000),
            (json!([{"type": "input_image", "image_url": format!("data:image/png;base64,{picture}")}]), 5_000),
            (json!([{"type": "input_audio", "input_audio": {"data": picture, "format": "wav"}}]), 5_000),
            (
                json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}}]),
                5_000,
            ),
            (json!([{"inlineData": {"mimeType": "image/png", "data": picture}}]), 5_000),
            (json!([{"inline_data": {"mime_type": "image/png", "data": picture}}]), 5_000),
            (json!([{"type": "file", "file": {"file_data": format!("data:application/pdf;base64,{pdf}")}}]), 100_100),
            (
                json!([{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": pdf}}]),
                100_100,
            ),
            (json!([{"type": "image_url", "image_url": {"url": url}}]), 1_025),
            (json!([{"type": "input_image", "image_url": url}]), 1_025),
            (json!([{"type": "image", "source": {"type": "url", "url": url}}]), 1_025),
            (json!([{"fileData": {"mimeType": "image/png", "fileUri": url}}]), 1_025),
        ] {
            let found = tokens(std::slice::from_ref(&body));
            assert!((256..most).contains(&found), "{found}: {:.80}", body.to_string());
            let pretty = serde_json::to_string_pretty(&body).unwrap();
            assert_eq!(estimate_tokens([&*pretty].into_iter()), found, "{pretty:.80}");
        }
    }

    #[test]
    fn words_count_by_their_bytes_wherever_they_stand() {
        let words = "many words, ".repeat(1_000);
        for body in [
            json!([{"role": "user", "content": words}]),
            json!([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": words}}]),
            json!([{"metadata": {"data": "short"}, "text": words}]),
            json!([{"type": "tool_result", "content": [{"type": "search_result", "text": words, "url": ""}]}]),
        ] {
            assert_eq!(tokens(std::slice::from_ref(&body)), of_bytes(words.len()), "{:.60}", body.to_string());
        }
    }

    #[test]
    fn arguments_count_by_what_they_mean_and_no_text_is_too_deep() {
        let call = |arguments: &str| tokens(&[json!([{"tool_calls": [{"function": {"arguments": arguments}}]}])]);
        for arguments in ["{}", "", " { } ", "{\"a\": \"x\\ny\", \"b\": [1,  2]}", "not { json", "[\"\\u00e9\"]"] {
            let value: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
            let object = tokens(&[json!([{"content": [{"type": "tool_use", "input": value}]}])]);
            assert!(call(arguments) == object || arguments.starts_with("not"), "{arguments}");
        }
        assert_eq!(call(&"[".repeat(1 << 20)), of_bytes(1 << 20));
        assert_eq!(call(&"{\"a\":".repeat(1 << 16)), of_bytes(5 << 16));
    }

    proptest! {
        #[test]
        fn what_is_no_valid_json_ends_too(text in "[\\[\\]{}\",:a1 \\\\é]{0,60}") {
            let _any = estimate_tokens([&*text].into_iter());
        }
    }
}
