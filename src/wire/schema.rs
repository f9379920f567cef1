//! JSON Schema that a caller sent with a request, to check an answer against: in bounded time for any schema.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// The most steps that a check may take, by estimate.
const MOST_STEPS: u64 = 2_000_000;

/// The deepest value that is checked; a parser reads none deeper.
const MAX_DEPTH: usize = 128;

/// Keywords whose schemas hold for the same value.
const HERE: [&str; 9] = ["anyOf", "allOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "$ref"];

/// Keywords whose schemas hold for a value within the value.
const WITHIN: [&str; 10] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
    "items",
    "prefixItems",
    "contains",
    "additionalItems",
];

/// Other ways to name schemas than `$ref`.
const ELSEWHERE: [&str; 5] = ["$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor"];

/// The most mistakes that are reported.
const MOST_REPORTED: usize = 5;

/// A schema that can be checked.
pub struct Schema {
    validator: jsonschema::Validator,
    /// How many times a value may be looked at for each level of nesting.
    growth: u64,
    /// How many schemas hold for one value at most.
    width: u64,
}

impl Schema {
    /// Reads a schema. `None` where it is no schema, or where checking could take too long: then an answer can only be
    /// checked for being JSON.
    #[must_use]
    pub fn read(schema: &Value) -> Option<Self> {
        let mut survey = Survey { root: schema, seen: HashSet::new(), steps: 0, growth: 1, width: 1 };
        survey.land(schema)?;
        // The linear engine: no pattern of a caller's may stall on a text of a model's.
        let patterns = jsonschema::PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20);
        let options =
            jsonschema::options().with_draft(jsonschema::Draft::Draft202012).with_pattern_options(patterns).offline();
        let validator = options.build(schema).ok()?;
        Some(Self { validator, growth: survey.growth, width: survey.width })
    }

    /// Checks a value.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence for the model that made it.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let (count, depth) = measure(value);
        let each = self.growth.saturating_pow(u32::try_from(depth).unwrap_or(u32::MAX));
        if count.saturating_mul(each).saturating_mul(self.width) > MOST_STEPS {
            return Ok(());
        }
        let mistakes: Vec<String> =
            self.validator.iter_errors(value).take(MOST_REPORTED).map(|error| shown(&error)).collect();
        if mistakes.is_empty() { Ok(()) } else { Err(format!("it breaks the schema: {}", mistakes.join("; "))) }
    }
}

fn shown(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let place = if path.is_empty() { String::new() } else { format!("at {path:.200}: ") };
    format!("{place}{:.300}", error.to_string())
}

/// How many values are in a value, and how deep they stand.
fn measure(value: &Value) -> (u64, usize) {
    let inner = |values: &mut dyn Iterator<Item = &Value>| {
        values.map(measure).fold((1, 1), |(count, deepest), (more, depth)| (count + more, deepest.max(depth + 1)))
    };
    match value {
        Value::Array(list) => inner(&mut list.iter()),
        Value::Object(fields) => inner(&mut fields.values()),
        _ => (1, 1),
    }
}

/// A walk over a schema that bounds how often a validator may look at one value.
struct Survey<'a> {
    root: &'a Value,
    /// The schemas that the walk has reached, by address.
    seen: HashSet<*const Value>,
    steps: usize,
    growth: u64,
    width: u64,
}

impl<'a> Survey<'a> {
    /// Looks at a schema that holds for a value: at all that hold for the same value, and then at those within.
    fn land(&mut self, schema: &'a Value) -> Option<()> {
        if !self.seen.insert(std::ptr::from_ref(schema)) {
            return Some(());
        }
        let mut within = Vec::new();
        let mut here = 0;
        self.gather(schema, 0, &mut here, &mut within)?;
        // `true` and `false` take no time.
        within.retain(|(_, schema)| schema.is_object());
        self.width = self.width.max(here);
        // Of one property there is one schema in each place that names it; anything else may be of any.
        let mut named: HashMap<&str, u64> = HashMap::new();
        let mut any = 0;
        for (name, _) in &within {
            match name {
                Some(name) => *named.entry(name).or_default() += 1,
                None => any += 1,
            }
        }
        let most = named.values().copied().max().unwrap_or(0) + any;
        self.growth = self.growth.max(most);
        for (_, schema) in within {
            self.land(schema)?;
        }
        Some(())
    }

    /// Gathers what holds for the same value as `schema`. `None` where that has no end.
    fn gather(
        &mut self,
        schema: &'a Value,
        depth: usize,
        here: &mut u64,
        within: &mut Vec<(Option<&'a str>, &'a Value)>,
    ) -> Option<()> {
        self.steps += 1;
        *here += 1;
        if depth > MAX_DEPTH || self.steps > 20_000 {
            return None;
        }
        let Value::Object(fields) = schema else { return Some(()) };
        for (key, value) in fields {
            let key = key.as_str();
            match value {
                Value::String(place) if key == "$ref" => {
                    let target = place.strip_prefix('#').and_then(|place| self.root.pointer(place))?;
                    self.gather(target, depth + 1, here, within)?;
                }
                // Other references are not followed here, so the time of a check is not known.
                Value::String(_) if ELSEWHERE.contains(&key) => return None,
                Value::Object(members) if matches!(key, "properties" | "patternProperties") => {
                    let is_named = key == "properties";
                    within.extend(members.iter().map(|(name, one)| (is_named.then_some(name.as_str()), one)));
                }
                Value::Object(members) if key == "dependentSchemas" => {
                    members.values().try_for_each(|one| self.gather(one, depth + 1, here, within))?;
                }
                Value::Array(list) if HERE.contains(&key) => {
                    list.iter().try_for_each(|one| self.gather(one, depth + 1, here, within))?;
                }
                value if HERE.contains(&key) => self.gather(value, depth + 1, here, within)?,
                Value::Array(list) if WITHIN.contains(&key) => within.extend(list.iter().map(|one| (None, one))),
                value if WITHIN.contains(&key) => within.push((None, value)),
                _ => {}
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_checked_and_its_mistakes_are_told_by_their_place() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}, "to": {"$ref": "#/$defs/to"}},
            "required": ["n"], "additionalProperties": false, "$defs": {"to": {"enum": ["a", "b"]}}});
        let schema = Schema::read(&schema).unwrap();
        assert_eq!(schema.check(&json!({"n": 1, "to": "a"})), Ok(()));
        for (value, word) in [
            (json!({"n": 0}), "at /n"),
            (json!({}), "\"n\" is a required"),
            (json!({"n": 1, "to": "c"}), "at /to"),
            (json!({"n": 1, "x": 2}), "Additional properties"),
            (json!([]), "object"),
        ] {
            let mistakes = schema.check(&value).unwrap_err();
            assert!(mistakes.contains(word), "{value}: {mistakes}");
        }
    }

    #[test]
    fn a_recursive_schema_is_checked_where_that_ends() {
        let list = json!({"type": "object", "properties": {"n": {"type": "number"},
            "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}}, "required": ["n", "next"]});
        let schema = Schema::read(&list).unwrap();
        let mut good = json!(null);
        let mut bad = json!({});
        for n in 0..40 {
            good = json!({"n": n, "next": good});
            bad = json!({"n": n, "next": bad});
        }
        assert_eq!(schema.check(&good), Ok(()));
        assert!(schema.check(&bad).is_err());
        for endless in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"anyOf": [{"$ref": "#"}]}]}),
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"type": "nonsense"}),
        ] {
            assert!(Schema::read(&endless).is_none(), "{endless}");
        }
    }

    #[test]
    fn a_check_that_would_take_for_ever_is_not_made() {
        // Each level looks twice at the next: 2^60 looks at a value 60 deep.
        let node = json!({"anyOf": [{"properties": {"c": {"$ref": "#"}}, "required": ["x"]},
            {"properties": {"c": {"$ref": "#"}}, "required": ["y"]}]});
        let schema = Schema::read(&node).unwrap();
        let mut deep = json!({});
        (0..60).for_each(|_| deep = json!({"c": deep}));
        assert_eq!(schema.check(&deep), Ok(()));
        assert!(schema.check(&json!({"c": {}})).is_err());
        // The same without depth: 2^30 schemas for one value.
        let mut chain = serde_json::Map::new();
        for n in 0..30 {
            let next = json!({"$ref": format!("#/$defs/{}", n + 1)});
            chain.insert(n.to_string(), json!({"anyOf": [next.clone(), next]}));
        }
        chain.insert("30".to_owned(), json!({"type": "string"}));
        assert!(Schema::read(&json!({"$ref": "#/$defs/0", "$defs": chain})).is_none());
    }
}
