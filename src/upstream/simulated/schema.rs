//! Makes a JSON value that satisfies a schema, with words and labels taken from what was asked.
//!
//! Honoured: `type`, `enum`, `const`, `properties`, `required`, `items`, `prefixItems`, `minItems`, `maxItems`,
//! `uniqueItems`, lengths, bounds, `multipleOf`, `format`, simple `pattern`s, `$ref` within the schema, `anyOf`, `oneOf`
//! and `allOf`. Not honoured: conditions (`if`, `not`, `dependent…`), `contains` and counts of properties.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::pattern;
use super::prose;
use super::words::Facts;

/// Beyond so many values only what is required is made.
const RICH: usize = 1_000;
/// Beyond so many nothing is made, whatever the schema wants: recursion without end has no instance.
const MOST: usize = 8_000;
const DEEPEST: usize = 40;

/// A value for `schema`. `turn` lets several calls about one text differ.
pub(super) fn instance(schema: &Value, facts: &Facts, turn: usize, dice: &mut Dice) -> Value {
    let mut maker = Maker { root: schema, facts, dice, made: 0, turn };
    maker.value(schema, "", Depth::default())
}

struct Maker<'a> {
    root: &'a Value,
    facts: &'a Facts,
    dice: &'a mut Dice,
    made: usize,
    turn: usize,
}

#[derive(Clone, Copy, Default)]
struct Depth {
    values: usize,
    references: usize,
}

impl Maker<'_> {
    fn value(&mut self, schema: &Value, key: &str, depth: Depth) -> Value {
        self.made += 1;
        let Some(schema) = schema.as_object() else {
            return json!(self.facts.topic); // `true`, or no schema at all
        };
        if self.made > MOST || depth.values > DEEPEST {
            return Value::Null;
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
            let target = merged(target, &without(schema, "$ref"));
            return self.value(&target, key, Depth { values: depth.values + 1, references: depth.references + 1 });
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(Value::Array(options)) = schema.get("enum") {
            return self.option(options);
        }
        if let Some(schema) = self.chosen(schema, depth) {
            return self.value(&schema, key, Depth { values: depth.values + 1, ..depth });
        }
        let depth = Depth { values: depth.values + 1, ..depth };
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, key, depth),
            "integer" => self.number(schema, key, true),
            "number" => self.number(schema, key, false),
            "boolean" => json!(self.boolean(key)),
            "null" => Value::Null,
            _ => json!(self.string(schema, key)),
        }
    }

    fn rich(&self, depth: Depth) -> bool {
        self.made < RICH && depth.values < 8 && depth.references < 3
    }

    /// One of the alternatives, put together with what stands beside them.
    fn chosen(&mut self, schema: &Map<String, Value>, depth: Depth) -> Option<Value> {
        if let Some(Value::Array(all)) = schema.get("allOf") {
            let rest = without(schema, "allOf");
            return Some(all.iter().fold(Value::Object(rest), |whole, part| match part.as_object() {
                Some(part) => merged(&whole, &self.resolved(part)),
                None => whole,
            }));
        }
        let word = ["anyOf", "oneOf"].into_iter().find(|word| schema.get(*word).is_some_and(Value::is_array))?;
        let options = schema[word].as_array().filter(|options| !options.is_empty())?;
        let is_null = |option: &&Value| option.get("type").is_some_and(|kind| kind == "null");
        let poor = !self.rich(depth);
        let option = match options.iter().find(is_null) {
            Some(null) if poor => null,
            _ => options.iter().find(|option| !is_null(option)).unwrap_or(&options[0]),
        };
        Some(merged(option, &without(schema, word)))
    }

    fn resolved(&self, schema: &Map<String, Value>) -> Map<String, Value> {
        let target =
            schema.get("$ref").and_then(Value::as_str).and_then(|r| self.root.pointer(r.trim_start_matches('#')));
        target.and_then(Value::as_object).unwrap_or(schema).clone()
    }

    fn option(&mut self, options: &[Value]) -> Value {
        let labels: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
        if labels.is_empty() {
            return options.get(self.dice.below(options.len())).cloned().unwrap_or(Value::Null);
        }
        let spare = self.dice.below(labels.len());
        json!(self.facts.best(&labels, spare))
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: Depth) -> Value {
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut object = Map::new();
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if required.contains(&name.as_str()) || self.rich(depth) {
                object.insert(name.clone(), self.value(schema, name, depth));
            }
        }
        let others = schema.get("additionalProperties").unwrap_or(&Value::Null);
        for name in required {
            if !object.contains_key(name) {
                object.insert(name.to_owned(), self.value(others, name, depth));
            }
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &Map<String, Value>, key: &str, depth: Depth) -> Value {
        let least = size(schema, "minItems").unwrap_or(0);
        let most = size(schema, "maxItems").unwrap_or(usize::MAX);
        let wanted = if self.rich(depth) { 1 + self.dice.below(3) } else { 0 };
        let fixed = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let wanted = wanted.max(fixed.len()).max(least).min(most).min(MOST);
        let each = schema.get("items").unwrap_or(&Value::Null);
        let unique = schema.get("uniqueItems").is_some_and(|unique| unique == true);
        let first_turn = self.turn;
        let mut items: Vec<Value> = Vec::new();
        for i in 0..wanted {
            self.turn = first_turn + i;
            let item = self.item(fixed.get(i).unwrap_or(each), key, depth);
            if !unique || !items.contains(&item) {
                items.push(item);
            } else if let Some(other) = unused(each, &items).filter(|_| items.len() < least) {
                items.push(other);
            }
        }
        self.turn = first_turn;
        Value::Array(items)
    }

    /// Of several objects each is about a sentence of its own.
    fn item(&mut self, schema: &Value, key: &str, depth: Depth) -> Value {
        let sentences = &self.facts.sentences;
        let is_object = schema.get("properties").or(schema.get("$ref")).is_some();
        if !is_object || sentences.len() < 2 || depth.values > 3 {
            return self.value(schema, key, depth);
        }
        let facts = Facts::of(&sentences[self.turn % sentences.len()]);
        let (root, made) = (self.root, self.made);
        let mut maker = Maker { root, facts: &facts, dice: &mut *self.dice, made, turn: 0 };
        let item = maker.value(schema, key, depth);
        self.made = maker.made;
        item
    }

    fn boolean(&mut self, key: &str) -> bool {
        super::words::words(key).any(|word| !super::words::is_small(&word) && self.facts.mentions(&word))
            || self.dice.unit() < 0.3
    }

    fn number(&mut self, schema: &Map<String, Value>, key: &str, whole: bool) -> Value {
        let bounds = Bounds::of(schema, whole);
        let key = key.to_ascii_lowercase();
        let is_share = ["confidence", "score", "probability", "certainty"].iter().any(|word| key.contains(word));
        let numbers = self.facts.numbers.iter().cycle().skip(self.turn).take(self.facts.numbers.len()).copied();
        let number = numbers.filter(|_| !is_share).find(|&number| bounds.admit(number));
        let spread = if is_share && !whole { bounds.share(self.dice.unit()) } else { bounds.spread(self.dice.unit()) };
        let value = number.unwrap_or(spread);
        if whole { json!(to_integer(value)) } else { json!((value * 1e6).round() / 1e6) }
    }

    fn string(&mut self, schema: &Map<String, Value>, key: &str) -> String {
        if let Some(text) = schema.get("pattern").and_then(Value::as_str).and_then(|p| pattern::example(p, self.dice)) {
            return text;
        }
        if let Some(text) = schema.get("format").and_then(Value::as_str).and_then(|format| self.formatted(format)) {
            return text;
        }
        let mut text = self.worded(&key.to_ascii_lowercase());
        let (least, most) = (size(schema, "minLength").unwrap_or(0), size(schema, "maxLength").unwrap_or(usize::MAX));
        let mut length = text.chars().count();
        while length < least.min(100_000) {
            text.push_str(" and more");
            length += 9;
        }
        if length > most {
            text = text.chars().take(most).collect();
        }
        text
    }

    fn formatted(&mut self, format: &str) -> Option<String> {
        let (day, minute) = (1 + self.dice.below(28), self.dice.below(60));
        Some(match format {
            "date" => format!("2026-11-{day:02}"),
            "date-time" => format!("2026-11-{day:02}T09:{minute:02}:00Z"),
            "time" => format!("09:{minute:02}:00Z"),
            "duration" => format!("PT{}M", minute + 1),
            "email" => "ada@example.com".to_owned(),
            "hostname" => "www.example.com".to_owned(),
            "ipv4" => "192.0.2.1".to_owned(),
            "ipv6" => "2001:db8::1".to_owned(),
            "uri" | "url" => "https://example.com/".to_owned(),
            "uuid" => {
                let (high, low) = (self.dice.next(), self.dice.next() >> 16);
                format!(
                    "{:08x}-{:04x}-4{:03x}-a{:03x}-{low:012x}",
                    high >> 32,
                    high >> 16 & 0xffff,
                    high >> 4 & 0xfff,
                    high & 0xfff
                )
            }
            _ => return None,
        })
    }

    /// A text for a field, by the field's name.
    fn worded(&mut self, key: &str) -> String {
        let is = |words: &[&str]| words.iter().any(|word| key.contains(word));
        let nth = |texts: &[String]| texts.get(self.turn % texts.len().max(1)).cloned();
        let facts = self.facts;
        if is(&["email"]) {
            "ada@example.com".to_owned()
        } else if is(&["url", "link"]) {
            "https://example.com/".to_owned()
        } else if is(&["date", "day"]) {
            "2026-11-23".to_owned()
        } else if is(&["currency"]) {
            "USD".to_owned()
        } else if is(&[
            "city", "location", "place", "country", "name", "party", "parties", "company", "person", "customer",
            "author",
        ]) {
            nth(&facts.names).unwrap_or_else(|| facts.topic.clone())
        } else if is(&[
            "summary",
            "description",
            "reason",
            "explanation",
            "rationale",
            "answer",
            "reply",
            "message",
            "note",
        ]) {
            prose::sentence(facts, self.dice)
        } else if is(&["quote", "text", "excerpt", "clause", "content", "body", "sentence"]) {
            nth(&facts.sentences).unwrap_or_else(|| facts.topic.clone())
        } else if key == "id" || is(&["_id", "number", "sku", "code", "order", "reference"]) {
            nth(&facts.codes).unwrap_or_else(|| format!("A-{}", 1_000 + self.dice.below(9_000)))
        } else {
            facts.topic.clone()
        }
    }
}

struct Bounds {
    least: f64,
    most: f64,
    step: Option<f64>,
}

impl Bounds {
    fn of(schema: &Map<String, Value>, whole: bool) -> Self {
        let number = |name: &str| schema.get(name).and_then(Value::as_f64);
        let inside = if whole { 1.0 } else { 1e-6 };
        let least = number("minimum").or_else(|| number("exclusiveMinimum").map(|bound| bound + inside));
        let most = number("maximum").or_else(|| number("exclusiveMaximum").map(|bound| bound - inside));
        let least_or = least.unwrap_or_else(|| most.map_or(0.0, |most| if most >= 0.0 { 0.0 } else { most - 100.0 }));
        let step = number("multipleOf").filter(|step| *step > 0.0).or(whole.then_some(1.0));
        Self { least: least_or, most: most.unwrap_or_else(|| 100.0f64.max(least_or + 100.0)), step }
    }

    fn admit(&self, value: f64) -> bool {
        (self.least..=self.most).contains(&value) && self.step.is_none_or(|step| ((value / step).fract()).abs() < 1e-9)
    }

    fn spread(&self, chance: f64) -> f64 {
        let value = self.least + chance * (self.most - self.least);
        let Some(step) = self.step else {
            return (value * 100.0)
                .round()
                .clamp((self.least * 100.0).ceil(), (self.most * 100.0).floor().max(self.least * 100.0))
                / 100.0;
        };
        let down = (value / step).floor() * step;
        if down < self.least { (self.least / step).ceil() * step } else { down }
    }

    /// A confident one, as models like to be.
    fn share(&self, chance: f64) -> f64 {
        self.spread(0.6 + 0.38 * chance).clamp(self.least, self.most.max(self.least))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and any integer within the bounds will do")]
fn to_integer(value: f64) -> i64 {
    value as i64
}

fn size(schema: &Map<String, Value>, name: &str) -> Option<usize> {
    schema.get(name).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok())
}

/// The type, or what the other words of the schema suggest. Of several types the first but `null`.
fn kind(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema.contains_key("properties") || schema.contains_key("required") => "object",
        _ if schema.contains_key("items") || schema.contains_key("prefixItems") => "array",
        _ if schema.contains_key("minimum") || schema.contains_key("maximum") => "number",
        _ => "string",
    }
}

fn without(schema: &Map<String, Value>, word: &str) -> Map<String, Value> {
    schema.iter().filter(|(name, _)| *name != word).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Both schemas at once: properties and required names of both, else the second's word.
fn merged(first: &Value, second: &Map<String, Value>) -> Value {
    let mut whole = first.as_object().cloned().unwrap_or_default();
    for (name, value) in second {
        match (whole.get_mut(name), value) {
            (Some(Value::Object(own)), Value::Object(more)) if name == "properties" => own.extend(more.clone()),
            (Some(Value::Array(own)), Value::Array(more)) if name == "required" => own.extend(more.iter().cloned()),
            _ => {
                whole.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(whole)
}

/// Another value for a list whose items must differ.
fn unused(schema: &Value, items: &[Value]) -> Option<Value> {
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        return options.iter().find(|option| !items.contains(option)).cloned();
    }
    match (schema.get("type").and_then(Value::as_str), items.first()?) {
        (Some("integer"), Value::Number(first)) => Some(json!(first.as_i64()? + i64::try_from(items.len()).ok()?)),
        (Some("string"), Value::String(first)) => Some(json!(format!("{first} {}", items.len() + 1))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(schema: &Value, text: &str) -> Value {
        instance(schema, &Facts::of(text), 0, &mut Dice::of_text(text))
    }

    /// Made for several texts, each must satisfy the schema by another reader's judgement.
    fn satisfied(schema: &Value) {
        let judge = jsonschema::validator_for(schema).unwrap();
        for text in
            ["", "Where is my order A-4711? I paid 30 euros in Paris.", "A red bike, size 54, for children", "x"]
        {
            let value = make(schema, text);
            assert!(
                judge.is_valid(&value),
                "{value} for {schema}: {:?}",
                judge.validate(&value).err().map(|e| e.to_string())
            );
        }
    }

    #[test]
    fn values_satisfy_their_schema() {
        for schema in [
            json!({"type": "object", "required": ["label", "confidence"], "additionalProperties": false, "properties": {
                "label": {"enum": ["billing", "shipping", "other"]}, "confidence": {"type": "number", "minimum": 0, "maximum": 1}}}),
            json!({"type": "array", "items": {"type": "string", "minLength": 20, "maxLength": 25}, "minItems": 2, "maxItems": 3}),
            json!({"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": true}),
            json!({"type": "array", "items": {"type": "integer", "minimum": 5}, "minItems": 4, "uniqueItems": true}),
            json!({"type": "object", "properties": {"clauses": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/clause"}}},
                "required": ["clauses"], "$defs": {"clause": {"type": "object", "required": ["kind", "quote"], "additionalProperties": false,
                "properties": {"kind": {"type": "string", "enum": ["payment", "liability"]}, "quote": {"type": "string"}, "days": {"type": ["integer", "null"]}}}}}),
            json!({"type": "integer", "multipleOf": 7, "minimum": 10, "maximum": 30}),
            json!({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5}),
            json!({"type": "integer", "maximum": -4}),
            json!({"type": "number", "exclusiveMinimum": 0, "maximum": 0.25}),
            json!({"type": "string", "pattern": "^[A-Z]{2}-\\d{4}$"}),
            json!({"const": {"a": [1]}}),
            json!({"anyOf": [{"type": "null"}, {"type": "boolean"}]}),
            json!({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}]}),
            json!({"type": "object", "required": ["anything"]}),
            json!({"prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2, "type": "array"}),
            json!({"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "v": {"type": "integer"}}, "required": ["v", "next"]}),
            json!({"enum": [1, null, "x"]}),
            json!(true),
        ] {
            satisfied(&schema);
        }
    }

    #[test]
    fn formats_are_kept() {
        for format in ["date", "date-time", "time", "email", "uuid", "uri", "ipv4", "ipv6", "hostname", "duration"] {
            let schema = json!({"type": "string", "format": format});
            let judge = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            let value = make(&schema, "x");
            assert!(judge.is_valid(&value), "{format}: {value}");
        }
    }

    #[test]
    fn recursion_without_end_ends() {
        let binary =
            json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        assert!(make(&binary, "").to_string().len() < 2_000_000);
        assert_eq!(make(&json!({"$ref": "#"}), ""), Value::Null);
        assert_eq!(make(&json!({"$ref": "#/nowhere"}), "").as_str(), Some("your request"));
    }

    #[test]
    fn fields_take_their_words_from_the_text() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "label": {"enum": ["billing", "shipping"]},
            "amount": {"type": "number"}, "order_id": {"type": "string"}}});
        let value = make(&schema, "My parcel A-4711 for 30 euros did not arrive in Paris.");
        assert_eq!(value, json!({"city": "Paris", "label": "shipping", "amount": 30.0, "order_id": "A-4711"}));
    }
}
