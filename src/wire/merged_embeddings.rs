//! Many requests for embeddings as one, and its answer as one for each of them. In OpenAI's shape, whose fields stay as they came.

use bytes::Bytes;

use super::dialect::BadAnswer;
use super::json::{Edits, Object, fields, items, quoted};
use super::openai::read_usage;

/// What a request asks vectors for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// How many vectors.
    pub count: usize,
    /// How many bytes.
    pub bytes: usize,
    /// Whether they are texts, rather than numbers of tokens: a list has one of the two.
    pub are_texts: bool,
}

/// A part of an answer: what one of the requests gets of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The answer to that request.
    pub body: Bytes,
    /// Its tokens; `None` where the provider reports none.
    pub tokens: Option<u64>,
}

/// What a request asks vectors for; `None` where that is no text, list of texts, or list of tokens or of such lists.
#[must_use]
pub fn inputs(request: &Object) -> Option<Inputs> {
    let input = request.get("input")?;
    let first = input.as_bytes().first()?;
    if *first == b'"' {
        return Some(Inputs { count: 1, bytes: input.len(), are_texts: true });
    }
    let of_list = items(input).next()?.as_bytes().first()?;
    let (count, are_texts) = match of_list {
        b'"' => (items(input).filter(|item| item.starts_with('"')).count(), true),
        b'[' => (items(input).filter(|item| item.starts_with('[')).count(), false),
        _ => return Some(Inputs { count: 1, bytes: input.len(), are_texts: false }),
    };
    (count == items(input).count()).then_some(Inputs { count, bytes: input.len(), are_texts })
}

/// All that a request asks beside its input: only equal ones can be merged. White space counts, so that a few are not that could.
#[must_use]
pub fn settings(request: &Object) -> String {
    let mut settings: Vec<(&str, &str)> = request.iter().filter(|(name, _)| *name != "input").collect();
    settings.sort_unstable();
    settings.into_iter().map(|(name, value)| format!("{}:{value},", quoted(name))).collect()
}

/// One request for what all of them ask, with the settings of the first.
#[must_use]
pub fn merged(requests: &[&Object]) -> Option<Bytes> {
    let first = requests.first()?;
    let mut input = String::with_capacity(requests.iter().map(|request| request.bytes().len()).sum());
    for request in requests {
        let own = request.get("input")?;
        let is_list = own.starts_with('[') && !items(own).next()?.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        for item in if is_list { Some(items(own)) } else { None }.into_iter().flatten() {
            push(&mut input, item);
        }
        if !is_list {
            push(&mut input, own);
        }
    }
    let mut edits = Edits::default();
    edits.set("input", format!("[{input}]"));
    Some(first.edited(&edits))
}

fn push(list: &mut String, item: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(item);
}

/// The answer's part for each request: `counts` says how many vectors each asked for, `weights` how much of the tokens is its own.
///
/// # Errors
/// Where the answer has not just the vectors that were asked for, or one is empty or of another length than the others.
pub fn split(answer: Bytes, counts: &[usize], weights: &[u64]) -> Result<Vec<Share>, BadAnswer> {
    let object = Object::read_answer(answer)?;
    let data = object.get("data").filter(|data| data.starts_with('['));
    let data = data.ok_or_else(|| BadAnswer("it has no `data`".to_owned()))?;
    let vectors = in_order(data, counts.iter().sum())?;
    let usage = object.get("usage").and_then(read_usage);
    let tokens = usage.map(|usage| shares(usage.input, weights));
    let mut rest = &vectors[..];
    let mut parts = Vec::with_capacity(counts.len());
    for (n, count) in counts.iter().enumerate() {
        let (own, others) = rest.split_at(*count);
        rest = others;
        let tokens = tokens.as_ref().map(|tokens| tokens[n]);
        parts.push(Share { body: part(&object, own, tokens), tokens });
    }
    Ok(parts)
}

/// The items of `data` by their own index, each once.
fn in_order(data: &str, count: usize) -> Result<Vec<&str>, BadAnswer> {
    let mut vectors = vec![""; count];
    for (n, item) in items(data).enumerate() {
        let own = fields(item).find(|(name, _)| *name == "index").and_then(|(_, index)| index.parse().ok());
        let place = vectors.get_mut(own.unwrap_or(n)).filter(|place| place.is_empty() && item.starts_with('{'));
        *place.ok_or_else(|| BadAnswer("its vectors are not those that were asked for".to_owned()))? = item;
    }
    if vectors.iter().any(|item| item.is_empty()) {
        return Err(BadAnswer("it has fewer vectors than were asked for".to_owned()));
    }
    let mut lengths = vectors.iter().map(|item| length(item));
    let first = lengths.next().flatten();
    match first.is_none() && !vectors.is_empty() || lengths.any(|length| length != first) {
        true => Err(BadAnswer("one of its vectors is empty, or of another length than the others".to_owned())),
        false => Ok(vectors),
    }
}

/// How long the vector of an item is: in numbers, or in letters of its base64. `None` where it has none, or an empty one.
fn length(item: &str) -> Option<(bool, usize)> {
    let (_, vector) = fields(item).find(|(name, _)| *name == "embedding")?;
    let inner =
        |open, close| vector.strip_prefix(open)?.strip_suffix(close).map(str::trim).filter(|inner| !inner.is_empty());
    let count = |bytes: &str, byte| memchr::memchr_iter(byte, bytes.as_bytes()).count();
    if let Some(letters) = inner('"', '"') {
        // An escaped slash is one letter.
        return Some((true, letters.len() - count(letters, b'\\')));
    }
    inner('[', ']').map(|numbers| (false, count(numbers, b',')))
}

/// An answer with some of the vectors, numbered anew, and some of the tokens.
fn part(answer: &Object, vectors: &[&str], tokens: Option<u64>) -> Bytes {
    let mut data = String::with_capacity(vectors.iter().map(|item| item.len() + 1).sum());
    for (n, item) in vectors.iter().enumerate() {
        data.push_str(if n == 0 { "[{" } else { ",{" });
        for (name, value) in fields(item).filter(|(name, _)| *name != "index") {
            data.push_str(&format!("{}:{value},", quoted(name)));
        }
        data.push_str(&format!("\"index\":{n}}}"));
    }
    data.push_str(if vectors.is_empty() { "[]" } else { "]" });
    let mut edits = Edits::default();
    edits.set("data", data);
    if let Some(tokens) = tokens {
        edits.set("usage", format!("{{\"prompt_tokens\":{tokens},\"total_tokens\":{tokens}}}"));
    }
    answer.edited(&edits)
}

/// A whole in parts by weight, as even as whole numbers are; their sum is the whole. Without any weight all are alike.
#[must_use]
pub fn shares(whole: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().copied().map(u128::from).sum();
    let (sum, weigh): (u128, &dyn Fn(u64) -> u128) = match sum {
        0 => (weights.len().max(1) as u128, &|_| 1),
        sum => (sum, &u128::from),
    };
    let parts: Vec<(u128, u128)> = weights
        .iter()
        .map(|weight| (u128::from(whole) * weigh(*weight) / sum, u128::from(whole) * weigh(*weight) % sum))
        .collect();
    let left = u128::from(whole) - parts.iter().map(|(part, _)| part).sum::<u128>();
    // What is left over goes to those that lost most by rounding.
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(parts[*n].1));
    let mut shares: Vec<u64> = parts.iter().map(|(part, _)| u64::try_from(*part).unwrap_or(u64::MAX)).collect();
    for n in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        shares[n] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn object(value: &Value) -> Object {
        Object::read(value.to_string().into()).unwrap()
    }

    #[test]
    fn inputs_are_counted_in_every_form() {
        for (input, counted) in [
            (json!("a"), Some((1, true))),
            (json!(["a", "b"]), Some((2, true))),
            (json!([1, 2, 3]), Some((1, false))),
            (json!([[1, 2], [3]]), Some((2, false))),
            (json!(["a", [1]]), None),
            (json!([]), None),
        ] {
            let found = inputs(&object(&json!({"model": "m", "input": input})));
            assert_eq!(found.map(|inputs| (inputs.count, inputs.are_texts)), counted, "{input}");
        }
    }

    #[test]
    fn requests_are_merged_in_order_with_the_settings_of_the_first() {
        let request = |input: Value| object(&json!({"model": "m", "input": input, "dimensions": 3}));
        let of = |inputs: &[Value]| {
            let requests: Vec<Object> = inputs.iter().cloned().map(request).collect();
            let requests: Vec<&Object> = requests.iter().collect();
            serde_json::from_slice::<Value>(&merged(&requests).unwrap()).unwrap()
        };
        let texts = of(&[json!("a"), json!(["b", "c"])]);
        assert_eq!(texts, json!({"model": "m", "input": ["a", "b", "c"], "dimensions": 3}));
        assert_eq!(of(&[json!([1, 2]), json!([[3], [4]])])["input"], json!([[1, 2], [3], [4]]));
        let settings = |value: Value| settings(&object(&value));
        let plain = settings(json!({"model": "m", "input": "a", "dimensions": 3}));
        assert_eq!(plain, settings(json!({"dimensions": 3, "input": ["x"], "model": "m"})));
        for other in [json!({"model": "m", "input": "a"}), json!({"model": "m", "input": "a", "dimensions": 4})] {
            assert_ne!(plain, settings(other));
        }
    }

    #[test]
    fn each_part_has_its_vectors_by_their_index_and_its_tokens() {
        let item = |index: usize| json!({"object": "embedding", "index": index, "embedding": [index]});
        let answer = json!({"object": "list", "data": [item(2), item(0), item(1)], "model": "m",
            "usage": {"prompt_tokens": 10, "total_tokens": 10}});
        let parts = split(answer.to_string().into(), &[1, 2], &[1, 2]).unwrap();
        let bodies: Vec<Value> = parts.iter().map(|part| serde_json::from_slice(&part.body).unwrap()).collect();
        assert_eq!(bodies[0]["data"], json!([{"object": "embedding", "index": 0, "embedding": [0]}]));
        assert_eq!(bodies[1]["data"][1], json!({"object": "embedding", "index": 1, "embedding": [2]}));
        assert_eq!(parts.iter().map(|part| part.tokens.unwrap()).collect::<Vec<_>>(), [3, 7]);
        assert_eq!(bodies[1]["usage"], json!({"prompt_tokens": 7, "total_tokens": 7}));
        assert_eq!(bodies[0]["model"], "m");
        let base64 = json!({"data": [{"index": 0, "embedding": "AACAPw=="}]});
        let parts = split(base64.to_string().into(), &[1], &[5]).unwrap();
        assert!(parts[0].tokens.is_none() && parts[0].body.windows(8).any(|bytes| bytes == b"AACAPw=="));
    }

    #[test]
    fn an_answer_without_just_the_vectors_that_were_asked_for_is_none() {
        let item = |index: usize| json!({"index": index, "embedding": [1]});
        for data in
            [json!([item(0)]), json!([item(0), item(0)]), json!([item(0), item(1), item(2)]), json!("x"), json!([1, 2])]
        {
            let answer = json!({"data": data}).to_string();
            assert!(split(answer.into(), &[1, 1], &[1, 1]).is_err(), "{data}");
        }
    }

    #[test]
    fn an_answer_with_a_vector_that_is_empty_or_of_another_length_is_none() {
        for (one, other, is_good) in [
            ("[1,2]", "[3, 4.5]", true),
            ("\"AAAA\"", "\"A\\/AA\"", true),
            ("[1,2]", "[]", false),
            ("[ ]", "[ ]", false),
            ("[1,2]", "null", false),
            ("null", "null", false),
            ("[1,2]", "[3]", false),
            ("\"AAAA\"", "\"\"", false),
            ("\"AAAA\"", "\"AAAAAAAA\"", false),
            ("\"AAAA\"", "[1,2]", false),
        ] {
            let answer = format!("{{\"data\":[{{\"embedding\":{one}}},{{\"embedding\":{other}}}]}}");
            assert_eq!(split(answer.into(), &[1, 1], &[1, 1]).is_ok(), is_good, "{one} {other}");
        }
        assert!(split("{\"data\":[{\"index\":0},{\"index\":1}]}".into(), &[1, 1], &[1, 1]).is_err());
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_whole(whole: u64, weights in prop::collection::vec(0u64..1_000_000, 1..50)) {
            let shares = shares(whole, &weights);
            prop_assert_eq!(shares.iter().copied().map(u128::from).sum::<u128>(), u128::from(whole));
            let sum: u64 = weights.iter().sum();
            for (share, weight) in shares.iter().zip(&weights).filter(|_| sum > 0) {
                let exact = u128::from(whole) * u128::from(*weight) / u128::from(sum);
                prop_assert!(u128::from(*share) - exact <= 1);
            }
        }
    }
}
