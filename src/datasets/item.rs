//! An item of a dataset: an input, what is expected of it, and how it counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::split::Split;
use crate::types::RequestId;

/// The longest item as JSON, in bytes.
pub const LONGEST_ITEM: usize = 1 << 20;
/// The most messages of an input, and the most variables.
const MOST_MESSAGES: usize = 1_000;
const MOST_VARIABLES: usize = 256;
/// The most tags, and the longest name and value of one, as those of requests.
const MOST_TAGS: usize = 32;
const LONGEST_TAG: usize = 64;
const LONGEST_TAG_VALUE: usize = 256;
/// The longest unit.
const LONGEST_UNIT: usize = 256;
/// The largest weight.
const LARGEST_WEIGHT: f64 = 1e6;

/// What a model is asked with.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The variables of a prompt.
    Variables(Map<String, Value>),
    /// The messages of a chat, in OpenAI's form.
    Messages(Vec<Value>),
}

/// An item, within its bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What a model is asked with.
    pub input: Input,
    /// The right answer: a text, or JSON that an answer is compared with; `None` where only graders without one can judge.
    pub expected: Option<Value>,
    /// Free tags, by which results are grouped.
    pub tags: BTreeMap<String, String>,
    /// How much it counts beside the others, above 0; mostly 1.
    pub weight: f64,
    /// Whose it is: items of a unit are on one side of a split. `None` where each stands for itself.
    pub unit: Option<String>,
    /// The request that it was collected from.
    pub request_id: Option<String>,
}

/// An item as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variables: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// An export says to which part an item belongs; an import works that out again.
    #[serde(default, skip_serializing)]
    split: Option<Value>,
}

impl Item {
    /// Reads an item.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        if json.len() > LONGEST_ITEM {
            return Err(format!("the item has more than {LONGEST_ITEM} bytes"));
        }
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err("an item is a JSON object".to_owned());
        }
        let mut reader = serde_json::Deserializer::from_slice(json);
        let written: Written = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let message = error.into_inner().to_string();
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            if [".", "?"].contains(&path.as_str()) { message } else { format!("`{path}`: {message}") }
        })?;
        reader.end().map_err(|_| "more follows behind the item".to_owned())?;
        Self::checked(written)
    }

    fn checked(written: Written) -> Result<Self, String> {
        let Written { variables, messages, expected, tags, weight, unit, request_id, split } = written;
        let input = match (variables, messages) {
            (Some(_), Some(_)) => return Err("has `variables` and `messages`; an item has one of them".to_owned()),
            (None, None) => return Err("has neither `variables` nor `messages`".to_owned()),
            (Some(variables), None) if variables.len() > MOST_VARIABLES => {
                return Err(format!("`variables`: at most {MOST_VARIABLES}"));
            }
            (Some(variables), None) => Input::Variables(variables),
            (None, Some(messages)) => Input::Messages(checked_messages(messages)?),
        };
        if tags.len() > MOST_TAGS {
            return Err(format!("`tags`: at most {MOST_TAGS}"));
        }
        for (name, value) in &tags {
            if name.is_empty() || name.len() > LONGEST_TAG || value.len() > LONGEST_TAG_VALUE {
                let shown: String = name.chars().take(LONGEST_TAG).collect();
                return Err(format!(
                    "`tags.{shown}`: a name has 1 to {LONGEST_TAG} bytes, a value at most {LONGEST_TAG_VALUE}"
                ));
            }
        }
        let weight = weight.unwrap_or(1.0);
        if split.is_some_and(|split| !Split::ALL.iter().any(|part| split == part.text())) {
            return Err("`split` must be train, validation or test; an import works it out again".to_owned());
        }
        let is_weight = weight > 0.0 && weight <= LARGEST_WEIGHT;
        if !is_weight {
            return Err(format!("`weight` must be above 0 and at most {LARGEST_WEIGHT}"));
        }
        if unit.as_ref().is_some_and(|unit| unit.is_empty() || unit.len() > LONGEST_UNIT) {
            return Err(format!("`unit` must have 1 to {LONGEST_UNIT} bytes"));
        }
        let expected = expected.filter(|expected| !expected.is_null());
        if request_id.as_ref().is_some_and(|id| id.parse::<RequestId>().is_err()) {
            return Err("`request_id` must be the id of a request".to_owned());
        }
        Ok(Self { input, expected, tags, weight, unit, request_id })
    }

    /// The item as JSON, as [`Self::read`] takes it.
    #[must_use]
    pub fn json(&self) -> Value {
        let (variables, messages) = match &self.input {
            Input::Variables(variables) => (Some(variables.clone()), None),
            Input::Messages(messages) => (None, Some(messages.clone())),
        };
        let weight = Some(self.weight).filter(|weight| weight.total_cmp(&1.0).is_ne());
        let written = Written {
            variables,
            messages,
            expected: self.expected.clone(),
            tags: self.tags.clone(),
            weight,
            unit: self.unit.clone(),
            request_id: self.request_id.clone(),
            split: None,
        };
        serde_json::to_value(written).unwrap_or_default()
    }

    /// The part of a dataset that it belongs to: by its unit, or else by its input, so that equal inputs are on one side.
    #[must_use]
    pub fn split(&self) -> Split {
        match &self.unit {
            Some(unit) => Split::of(unit),
            None => Split::of(&self.input_hash()),
        }
    }

    /// SHA-256 of its input, by which equal inputs are found, as 64 hexadecimal digits.
    #[must_use]
    pub fn input_hash(&self) -> String {
        let text = match &self.input {
            Input::Variables(variables) => sorted(&Value::Object(variables.clone())).to_string(),
            Input::Messages(messages) => sorted(&Value::Array(messages.clone())).to_string(),
        };
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// JSON with the members of its objects in order: two objects are equal however their members stand.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<&String, Value> = members.iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(members.into_iter().map(|(name, value)| (name.clone(), value)).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        value => value.clone(),
    }
}

fn checked_messages(messages: Vec<Value>) -> Result<Vec<Value>, String> {
    if messages.is_empty() || messages.len() > MOST_MESSAGES {
        return Err(format!("`messages` must have 1 to {MOST_MESSAGES} messages"));
    }
    for (n, message) in messages.iter().enumerate() {
        if !message.get("role").is_some_and(Value::is_string) {
            return Err(format!("`messages[{n}]` must be an object with a `role`"));
        }
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_is_written_as_it_is_read() {
        for json in [
            json!({"variables": {"ticket": "x", "n": 3}}),
            json!({"variables": {}, "expected": "billing"}),
            json!({"messages": [{"role": "user", "content": "Hi"}], "expected": {"label": 1}, "tags": {"a": "b"},
                "weight": 2.5, "unit": "ann", "request_id": "019abd2c-7f10-7a33-b2c4-5d6e7f8090a1"}),
        ] {
            assert_eq!(Item::read(json.to_string().as_bytes()).unwrap().json(), json);
        }
        let exported = json!({"variables": {}, "split": "train", "expected": null, "weight": 1});
        assert_eq!(Item::read(exported.to_string().as_bytes()).unwrap().json(), json!({"variables": {}}));
    }

    #[test]
    fn what_is_no_item_is_refused_and_its_place_named() {
        let many = |n: usize| json!((0..n).map(|n| (n.to_string(), json!("x"))).collect::<Map<_, _>>());
        for (json, named) in [
            (json!({}), "neither"),
            (json!({"variables": {}, "messages": []}), "one of them"),
            (json!({"variables": []}), "`variables`"),
            (json!({"messages": []}), "`messages`"),
            (json!({"messages": [{"content": "x"}]}), "`messages[0]`"),
            (json!({"messages": ["x"]}), "`messages[0]`"),
            (json!({"variables": many(257)}), "`variables`"),
            (json!({"variables": {}, "tags": {"a": 1}}), "`tags.a`"),
            (json!({"variables": {}, "tags": {"": "x"}}), "`tags.`"),
            (json!({"variables": {}, "tags": many(33)}), "`tags`"),
            (json!({"variables": {}, "weight": 0}), "`weight`"),
            (json!({"variables": {}, "weight": -1}), "`weight`"),
            (json!({"variables": {}, "weight": 1e7}), "`weight`"),
            (json!({"variables": {}, "unit": ""}), "`unit`"),
            (json!({"variables": {}, "unit": 3}), "`unit`"),
            (json!({"variables": {}, "expectd": "x"}), "expectd"),
            (json!({"variables": {}, "request_id": "x"}), "`request_id`"),
            (json!({"variables": {}, "split": "tests"}), "`split`"),
            (json!([]), "object"),
            (json!([{}]), "object"),
        ] {
            let error = Item::read(json.to_string().as_bytes()).unwrap_err();
            assert!(error.contains(named), "{json}: {error}");
        }
        assert!(Item::read(b"{\"variables\": {}} x").unwrap_err().contains("more follows"));
        let long = format!("{{\"variables\": {{\"a\": \"{}\"}}}}", "x".repeat(LONGEST_ITEM));
        assert!(Item::read(long.as_bytes()).unwrap_err().contains("bytes"));
    }

    #[test]
    fn equal_inputs_and_equal_units_are_on_one_side() {
        let read = |json: Value| Item::read(json.to_string().as_bytes()).unwrap();
        let (one, other) = (
            json!({"variables": {"a": 1, "b": {"c": 2, "d": 3}}}),
            json!({"variables": {"b": {"d": 3, "c": 2}, "a": 1}}),
        );
        assert_eq!(read(one.clone()).input_hash(), read(other.clone()).input_hash());
        assert_eq!(read(one).split(), read(other).split());
        for n in 0..50 {
            let item = json!({"variables": {"n": n}, "unit": "ann"});
            assert_eq!(read(item).split(), Split::of("ann"));
        }
    }
}
