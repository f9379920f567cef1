//! Files inside a request (images, documents, sound) as base64: how many tokens they are, roughly, whatever their length.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Made once: to make one costs more than to search a small request.
static URL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b";base64,"));
static FIELD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"data\""));

/// The shortest text that is taken for a file.
const SHORTEST: usize = 512;

/// How many tokens `json` is, roughly: four bytes a token, and for each file within it a bounded figure instead of its bytes.
#[must_use]
pub fn estimate_tokens(json: &str) -> u64 {
    let bytes = json.as_bytes();
    // Where a file may begin: behind a data URL's head, or as the text of a field `data` or `file_data`.
    let urls = URL.find_iter(bytes).map(|at| at + URL.needle().len());
    let fields = FIELD.find_iter(bytes).filter_map(|at| text_after(bytes, at + FIELD.needle().len()));
    let (mut counted, mut tokens) = (bytes.len(), 0);
    for start in urls.chain(fields) {
        let length = memchr::memchr(b'"', &bytes[start..]).unwrap_or(0);
        if let Some(file) = file_tokens(&bytes[start..start + length]) {
            counted -= length;
            tokens += file;
        }
    }
    tokens + of_bytes(counted)
}

/// How many tokens so many bytes of text are, roughly.
#[must_use]
pub fn of_bytes(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}

/// Where the text begins that is the value of the field whose name ended before `at`.
fn text_after(json: &[u8], at: usize) -> Option<usize> {
    let rest = json.get(at..)?;
    let gap = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let colon = gap(rest);
    (rest.get(colon) == Some(&b':')).then_some(())?;
    let quote = colon + 1 + gap(&rest[colon + 1..]);
    (rest.get(quote) == Some(&b'"')).then_some(at + quote + 1)
}

/// The tokens of a file, by its kind and size; `None` where the text is no file.
fn file_tokens(data: &[u8]) -> Option<u64> {
    // The slash may be escaped.
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\\');
    let ends = data.iter().take(256).chain(data.iter().rev().take(256));
    if data.len() < SHORTEST || !{ ends }.all(fits) {
        return None;
    }
    let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
    // A page of a PDF is about 2,000 tokens and 100 KB; a picture has few tokens however many bytes.
    Some(if data.starts_with(b"JVBERi") { (size / 64).clamp(256, 100_000) } else { (size / 512).clamp(256, 4_096) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_counts_by_a_bounded_figure_in_every_dialect() {
        let picture = "iVBOR".repeat(2_000_000);
        let pdf = "JVBERi0xLjcK".repeat(1_000_000);
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
        ] {
            let tokens = estimate_tokens(&body.to_string());
            assert!((256..most).contains(&tokens), "{tokens}: {:.80}", body.to_string());
            let pretty = serde_json::to_string_pretty(&body).unwrap();
            assert!((256..most).contains(&estimate_tokens(&pretty)), "{pretty:.80}");
        }
    }

    #[test]
    fn words_count_by_their_bytes_wherever_they_stand() {
        let words = "many words, ".repeat(1_000);
        for body in [
            json!([{"role": "user", "content": words}]),
            json!([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": words}}]),
            json!([{"metadata": {"data": "short"}, "text": words}, {"data": {"data": 3}}, "a data\" quote"]),
        ] {
            let text = body.to_string();
            assert_eq!(estimate_tokens(&text), (text.len() as u64).div_ceil(4), "{text:.60}");
        }
        assert_eq!(estimate_tokens(""), 0);
        for cut in ["data\"", "\"data\":", "\"data\": \"", ";base64,", "\"data\" : \"abc"] {
            assert!(estimate_tokens(cut) < 5);
        }
    }
}
