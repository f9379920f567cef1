//! Makes up embeddings: texts that share words, or the beginnings of words, lie close together.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::refusal::Refusal;
use super::tokens;
use super::words::{is_small, words};

const MOST_INPUTS: usize = 2_048;
const MOST_DIMENSIONS: u64 = 4_096;

/// The answer's body and the tokens it counts for.
pub(super) fn answer(body: &Map<String, Value>, model: &str) -> Result<(Bytes, usize), Refusal> {
    let inputs = inputs(body)?;
    let dimensions = dimensions(body, model)?;
    let as_base64 = match body.get("encoding_format").and_then(Value::as_str) {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(invalid("encoding_format", "expected 'float' or 'base64'")),
    };
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(i, input)| {
            let vector = vector(&input.text, dimensions);
            let embedding = if as_base64 { json!(encoded(&vector)) } else { json!(vector) };
            json!({"object": "embedding", "index": i, "embedding": embedding})
        })
        .collect();
    let count: usize = inputs.iter().map(|input| input.tokens).sum();
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    Ok((json!({"object": "list", "data": data, "model": model, "usage": usage}).to_string().into(), count))
}

struct Input {
    text: String,
    tokens: usize,
}

impl Input {
    fn text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self { text: text.to_owned(), tokens: tokens::count(text) })
    }

    /// Of token numbers, each of which stands for a word.
    fn numbers(numbers: &[Value]) -> Option<Self> {
        let all = numbers.iter().map(|n| n.as_u64().map(|n| format!("token{n}"))).collect::<Option<Vec<_>>>()?;
        (!all.is_empty()).then(|| Self { text: all.join(" "), tokens: all.len() })
    }
}

fn inputs(body: &Map<String, Value>) -> Result<Vec<Input>, Refusal> {
    let inputs = match body.get("input").ok_or_else(|| Refusal::missing("input"))? {
        Value::String(text) => Input::text(text).map(|input| vec![input]),
        Value::Array(list) if list.len() > MOST_INPUTS => None,
        Value::Array(list) if list.first().is_some_and(Value::is_number) => {
            Input::numbers(list).map(|input| vec![input])
        }
        Value::Array(list) if !list.is_empty() => {
            let read = |item: &Value| match item {
                Value::String(text) => Input::text(text),
                Value::Array(numbers) => Input::numbers(numbers),
                _ => None,
            };
            list.iter().map(read).collect()
        }
        _ => None,
    };
    inputs.ok_or_else(|| invalid("input", "expected a text, or up to 2048 texts or lists of token numbers, none empty"))
}

fn dimensions(body: &Map<String, Value>, model: &str) -> Result<usize, Refusal> {
    let asked = match body.get("dimensions") {
        None | Some(Value::Null) => return Ok(if model.contains("large") { 3_072 } else { 1_536 }),
        Some(asked) => asked.as_u64().filter(|asked| (1..=MOST_DIMENSIONS).contains(asked)),
    };
    let asked = asked.and_then(|asked| usize::try_from(asked).ok());
    asked.ok_or_else(|| invalid("dimensions", "expected a whole number from 1 to 4096"))
}

fn invalid(param: &str, problem: &str) -> Refusal {
    Refusal::field(param, "invalid_value", format!("Invalid '{param}': {problem}."))
}

/// Of length 1. Each word, and the beginning of each word, adds to a few places that its hash chooses.
pub(super) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0f64; dimensions];
    let mut add = |feature: &str, weight: f64| {
        let mut dice = Dice::of_text(feature);
        for _ in 0..16 {
            let sign = if dice.next() & 1 == 0 { weight } else { -weight };
            vector[dice.below(dimensions)] += sign;
        }
    };
    add("every text", 0.3);
    for word in words(text) {
        let weight = if is_small(&word) { 0.1 } else { 1.0 };
        add(&word, weight);
        add(&format!("{}…", word.chars().take(5).collect::<String>()), weight);
    }
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length < 1e-9 {
        vector[0] = 1.0;
    }
    let length = if length < 1e-9 { 1.0 } else { length };
    vector.iter().map(|x| narrow(x / length)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "an embedding has single precision on the wire")]
fn narrow(x: f64) -> f32 {
    x as f32
}

fn encoded(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &Value) -> Value {
        let (bytes, _) = answer(body.as_object().unwrap(), "embedding-small").unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn alike(a: &str, b: &str) -> f32 {
        vector(a, 1_536).iter().zip(vector(b, 1_536)).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn vectors_have_length_one_and_the_asked_dimensions() {
        for dimensions in [1, 3, 256, 1_536, 4_096] {
            let made = vector("A parcel from Paris", dimensions);
            assert_eq!(made.len(), dimensions);
            let length: f32 = made.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-3, "{dimensions}: {length}");
        }
    }

    #[test]
    fn similar_texts_lie_closer_than_strangers() {
        let near = alike("Where is my parcel?", "My parcels have not arrived, where are they?");
        let far = alike("Where is my parcel?", "Volcanoes erupt molten rock");
        assert!(near > 0.3 && far < 0.2, "{near} {far}");
        assert!(alike("same words here", "same words here") > 0.999);
    }

    #[test]
    fn base64_holds_the_same_numbers() {
        let floats = ask(&json!({"input": "hello world", "dimensions": 8}));
        let text = ask(&json!({"input": "hello world", "dimensions": 8, "encoding_format": "base64"}));
        let bytes = STANDARD.decode(text["data"][0]["embedding"].as_str().unwrap()).unwrap();
        let read: Vec<f32> = bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        let expected: Vec<f32> = serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
        assert_eq!(read, expected);
    }

    #[test]
    fn every_form_of_input_is_taken() {
        for (input, count, tokens) in [
            (json!("two words"), 1, 2),
            (json!(["a", "b"]), 2, 2),
            (json!([1, 2, 3]), 1, 3),
            (json!([[1], [2, 3]]), 2, 3),
        ] {
            let answer = ask(&json!({"input": input, "dimensions": 2}));
            assert_eq!(answer["data"].as_array().unwrap().len(), count, "{input}");
            assert_eq!(answer["usage"]["prompt_tokens"], tokens, "{input}");
        }
        for input in [json!(""), json!([]), json!([""]), json!(3), json!([[]]), json!({}), json!([1, "a"])] {
            assert!(answer(json!({"input": input}).as_object().unwrap(), "m").is_err(), "{input}");
        }
    }
}
