//! The variables of a prompt: their schemas, defaults and checks.

use serde_json::{Map, Value};

use super::schema_work::{Visits, work_of};
use crate::types::Diagnostic;

/// A variable's schema, ready to check values.
#[derive(Debug)]
pub(super) struct Variable {
    rule: Rule,
    pub(super) default: Option<Value>,
}

#[derive(Debug)]
enum Rule {
    /// The common case, without the weight of a validator: a string of at most so many characters.
    Text {
        longest: Option<u64>,
    },
    /// A list of messages, put where a placeholder stands.
    Messages {
        most: usize,
    },
    Schema(Box<Schema>),
}

#[derive(Debug)]
struct Schema {
    validator: jsonschema::Validator,
    text: Value,
    /// What checking the smallest value costs at most, in visits.
    work: u64,
}

const MAX_MESSAGES: usize = 2_000;

/// A value whose check took more visits is refused without the place of its mistake.
const MOST_EXPLAINED: u64 = 200_000;

/// JSON Schema's keywords that say something about one value. Any other keyword is likely a typing error.
const KEYWORDS: [&str; 45] = [
    "type",
    "default",
    "description",
    "title",
    "examples",
    "enum",
    "const",
    "format",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "items",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "minItems",
    "maxItems",
    "uniqueItems",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "required",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
];

const TYPES: [&str; 8] = ["string", "integer", "number", "boolean", "array", "object", "null", "messages"];

const ROLES: [&str; 7] = ["system", "developer", "user", "assistant", "model", "tool", "function"];

/// Whether `schema` is our own type for a list of messages.
pub(super) fn is_messages(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("messages")
}

impl Variable {
    /// Reads the schema of one variable; mistakes get `key` as their place.
    pub(super) fn read(key: &str, schema: &Value, visits: &mut Visits) -> Result<Self, Vec<Diagnostic>> {
        let Value::Object(fields) = schema else {
            return Err(vec![Diagnostic::new(key, "is a JSON Schema, such as { type = \"string\" }")]);
        };
        let mut diagnostics = Vec::new();
        let messages = is_messages(schema);
        let known: &[&str] = if messages { &["type", "default", "description", "maxItems"] } else { &KEYWORDS };
        for field in fields.keys().filter(|field| !known.contains(&field.as_str())) {
            diagnostics.push(Diagnostic::new(format!("{key}.{field}"), unknown(field, known)));
        }
        if has_reference(schema) {
            diagnostics.push(Diagnostic::new(key, "`$ref` and its kin are not available; write the schema out"));
        }
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let rule = if messages { messages_rule(fields) } else { rule(schema, fields) };
        let rule = rule.map_err(|message| vec![Diagnostic::new(key, message)])?;
        let variable = Self { rule, default: fields.get("default").cloned() };
        match variable.default.as_ref().map(|default| variable.check(default, visits)) {
            Some(Err(message)) => Err(vec![Diagnostic::new(format!("{key}.default"), message)]),
            _ => Ok(variable),
        }
    }

    /// Whether `value` fits; if not, the rest of a sentence about the variable. The value itself is never shown.
    ///
    /// A check cannot be interrupted, so one that would visit too much is refused before it begins.
    pub(super) fn check(&self, value: &Value, visits: &mut Visits) -> Result<(), String> {
        match &self.rule {
            Rule::Text { longest } => check_text(value, *longest),
            Rule::Messages { most } => check_messages(value, *most),
            Rule::Schema(schema) => schema.check(value, visits),
        }
    }

    /// Whether values are checked by a JSON Schema.
    pub(super) fn has_schema(&self) -> bool {
        matches!(self.rule, Rule::Schema(_))
    }
}

impl Schema {
    fn check(&self, value: &Value, visits: &mut Visits) -> Result<(), String> {
        let visited = visits.of(&self.text, self.work, value);
        let visited = visited.ok_or("takes too long to check by its schema: send less, or make the schema simpler")?;
        if self.validator.is_valid(value) {
            return Ok(());
        }
        // The reason is looked for in passes of its own, one for each level of the schema.
        if visited > MOST_EXPLAINED {
            return Err("breaks its schema".to_owned());
        }
        self.validator.validate(value).map_err(|error| {
            let path = error.instance_path().to_string();
            let place = if path.is_empty() { String::new() } else { format!(" at {path:.200}") };
            format!("breaks its schema{place}: {:.400}", error.masked_with("the value").to_string())
        })
    }
}

/// The message for an unknown key, with the nearest known one.
pub(super) fn unknown(key: &str, known: &[&str]) -> String {
    let short: String = key.chars().take(60).collect();
    let near = known.iter().map(|name| (strsim::osa_distance(&short, name), name)).min();
    match near {
        Some((distance, name)) if distance <= 3 && distance < name.len() => {
            format!("`{short}` is unknown; did you mean `{name}`?")
        }
        _ if known.len() <= 12 => format!("`{short}` is unknown; there are {}", known.join(", ")),
        _ => format!("`{short}` is unknown"),
    }
}

fn has_reference(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().any(|(key, value)| key.starts_with('$') || has_reference(value)),
        Value::Array(items) => items.iter().any(has_reference),
        _ => false,
    }
}

fn rule(schema: &Value, fields: &Map<String, Value>) -> Result<Rule, String> {
    if let Some(Value::String(name)) = fields.get("type")
        && !TYPES.contains(&name.as_str())
    {
        return Err(format!("is not a JSON Schema: type {}", unknown(name, &TYPES)));
    }
    let known = ["type", "default", "description", "title", "examples", "maxLength"];
    let longest = fields.get("maxLength").map(Value::as_u64);
    let plain = fields.get("type").and_then(Value::as_str) == Some("string");
    if plain && longest != Some(None) && fields.keys().all(|key| known.contains(&key.as_str())) {
        return Ok(Rule::Text { longest: longest.flatten() });
    }
    // The linear engine: a pattern written by one user must not stall on a text sent by another.
    let patterns = jsonschema::PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20);
    let options = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .with_pattern_options(patterns)
        .offline();
    let built = options.build(schema);
    let made = |validator| Rule::Schema(Box::new(Schema { validator, text: schema.clone(), work: work_of(schema) }));
    built.map(made).map_err(|error| {
        let path = error.instance_path().to_string();
        let place = if path.is_empty() { String::new() } else { format!(" at {path:.200}") };
        format!("is not a JSON Schema{place}: {:.400}", error.to_string())
    })
}

fn messages_rule(fields: &Map<String, Value>) -> Result<Rule, String> {
    let most = match fields.get("maxItems") {
        None => MAX_MESSAGES,
        Some(most) => most.as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX),
    };
    if most > MAX_MESSAGES { Err(format!("`maxItems` is at most {MAX_MESSAGES}")) } else { Ok(Rule::Messages { most }) }
}

fn check_text(value: &Value, longest: Option<u64>) -> Result<(), String> {
    let Value::String(text) = value else { return Err(format!("must be a string, not {}", kind(value))) };
    match longest {
        // No text has more characters than bytes, so most need not be counted.
        Some(longest) if text.len() as u64 > longest && text.chars().count() as u64 > longest => {
            Err(format!("has {} characters; at most {longest} are allowed", text.chars().count()))
        }
        _ => Ok(()),
    }
}

fn check_messages(value: &Value, most: usize) -> Result<(), String> {
    let Value::Array(messages) = value else {
        return Err(format!("must be a list of messages, not {}", kind(value)));
    };
    if messages.len() > most {
        return Err(format!("has {} messages; at most {most} are allowed", messages.len()));
    }
    for (i, message) in messages.iter().enumerate() {
        // An item of OpenAI's Responses, such as a call, has a type in place of a role.
        if message.get("role").is_none() && message.get("type").is_some_and(Value::is_string) {
            continue;
        }
        let role = message.get("role").and_then(Value::as_str);
        if !role.is_some_and(|role| ROLES.contains(&role)) {
            return Err(format!("[{i}] must be an object whose `role` is one of {}", ROLES.join(", ")));
        }
        let content = message.get("content").or_else(|| message.get("parts"));
        let says = content.is_some_and(|content| content.is_string() || content.is_array());
        let calls = ["tool_calls", "function_call", "refusal"].iter().any(|key| message.get(key).is_some());
        if !says && !calls {
            return Err(format!("[{i}] must have `content`, a string or a list of parts"));
        }
    }
    Ok(())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_checked_by_their_schema_and_never_told() {
        for (schema, good, bad) in [
            (json!({"type": "string", "maxLength": 2}), json!("éé"), json!("SECRET")),
            (json!({"type": "integer", "minimum": 3}), json!(3), json!(2)),
            (json!({"enum": ["a", "b"]}), json!("b"), json!("SECRET")),
            (json!({"type": "array", "items": {"type": "string"}}), json!(["a"]), json!([{"SECRET": "SECRET"}])),
            (
                json!({"type": "string", "pattern": "^(a+)+$"}),
                json!("aaa"),
                json!("aaaaaaaaaaaaaaaaaaaaaaaaaaaaSECRET"),
            ),
            (json!({"type": "messages"}), json!([{"role": "user", "content": "x"}]), json!([{"role": "SECRET"}])),
            (json!({"type": "messages", "maxItems": 0}), json!([]), json!([{"role": "user", "content": ""}])),
            (json!({"type": "messages"}), json!([{"role": "assistant", "tool_calls": []}]), json!({"role": "user"})),
            (json!({"type": ["string", "null"]}), json!(null), json!(1)),
        ] {
            let variable = Variable::read("v", &schema, &mut Visits::default()).unwrap();
            assert_eq!(variable.check(&good, &mut Visits::default()), Ok(()), "{schema}");
            let message = variable.check(&bad, &mut Visits::default()).unwrap_err();
            assert!(!message.contains("SECRET"), "{schema}: {message}");
        }
    }

    #[test]
    fn a_check_that_would_take_long_is_refused_before_it_begins() {
        let many = json!((0..100_000).collect::<Vec<u32>>());
        let parts = |part: &dyn Fn(usize) -> Value| (0..1_000).map(part).collect::<Vec<_>>();
        for (schema, value) in [
            (json!({"allOf": parts(&|n| json!({"items": {"not": {"const": n + 1_000_000}}}))}), many.clone()),
            (json!({"anyOf": parts(&|n| json!({"items": {"const": n}}))}), many.clone()),
            (json!({"oneOf": parts(&|n| json!({"contains": {"const": n + 1_000_000}}))}), many.clone()),
            (json!({"items": {"enum": parts(&|n| json!(n))}}), many.clone()),
            (json!({"items": {"not": {"allOf": parts(&|n| json!({"const": n}))}}}), many.clone()),
            (json!({"allOf": parts(&|n| json!({"uniqueItems": true, "title": n.to_string()}))}), many.clone()),
            (json!({"allOf": parts(&|n| json!({"pattern": format!("{n}$")}))}), json!("a".repeat(500_000))),
            (json!({"pattern": "(a|b)*a(a|b){900}$"}), json!("a".repeat(1_000_000))),
            (
                json!({"allOf": parts(&|n| json!({"propertyNames": {"not": {"const": n.to_string()}}}))}),
                (0..50_000).map(|n| (n.to_string(), json!(0))).collect::<Map<_, _>>().into(),
            ),
            (
                json!({"allOf": parts(&|_| json!({"additionalProperties": {"type": "number"}}))}),
                (0..50_000).map(|n| (n.to_string(), json!(0))).collect::<Map<_, _>>().into(),
            ),
        ] {
            let variable = Variable::read("v", &schema, &mut Visits::default()).unwrap();
            let refused = variable.check(&value, &mut Visits::default()).unwrap_err();
            assert!(refused.contains("too long"), "{schema:.80}: {refused}");
        }
    }

    #[test]
    fn a_large_honest_value_is_checked() {
        let fields: Map<String, Value> = (0..40).map(|n| (format!("f{n}"), json!({"type": "integer"}))).collect();
        let row: Map<String, Value> = (0..40).map(|n| (format!("f{n}"), json!(n))).collect();
        let schema = json!({"type": "array", "items": {"type": "object", "properties": fields}});
        let variable = Variable::read("v", &schema, &mut Visits::default()).unwrap();
        let mut visits = Visits::default();
        assert_eq!(variable.check(&json!(vec![row; 1_000]), &mut visits), Ok(()));
        let text = json!({"type": "string", "minLength": 1, "pattern": "^.{1,2000}$"});
        let variable = Variable::read("v", &text, &mut Visits::default()).unwrap();
        assert_eq!(variable.check(&json!("a".repeat(2_000)), &mut visits), Ok(()));
    }

    #[test]
    fn bad_schemas_are_refused() {
        for (schema, word) in [
            (json!("string"), "JSON Schema"),
            (json!({"type": "strin"}), "JSON Schema"),
            (json!({"type": "string", "maxlength": 3}), "maxLength"),
            (json!({"type": "string", "default": 3}), "string"),
            (json!({"$ref": "https://example.com/x"}), "unknown"),
            (json!({"items": {"$ref": "file:///etc/passwd"}}), "$ref"),
            (json!({"type": "string", "pattern": "("}), "schema"),
            (json!({"type": "messages", "items": {}}), "unknown"),
            (json!({"type": "string", "maxLength": -1}), "schema"),
        ] {
            let diagnostics = Variable::read("v", &schema, &mut Visits::default()).unwrap_err();
            let text = diagnostics[0].to_string().to_lowercase();
            assert!(text.contains(&word.to_lowercase()), "{schema}: {text}");
        }
    }
}
