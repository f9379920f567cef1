//! Structured outputs of Claude models, wherever they are served: for which schemas they have them.

use serde_json::{Map, Value};

use super::capabilities::{Capabilities, Schemas};
use crate::chat::{Format, Request, Structured};

/// Keywords that the native enforcement of a schema refuses.
const REFUSED: [&str; 24] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "contains",
    "prefixItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
    "unevaluatedItems",
    "not",
    "if",
    "then",
    "else",
    "oneOf",
];

/// The deepest schema that is looked into; a request is not read deeper.
const MAX_DEPTH: usize = 128;

/// How the model of a request keeps to its format. For a model that enforces the schema itself, the schema is closed.
pub(super) fn structured(request: &mut Request) -> Structured {
    if Capabilities::of(request).schemas == Schemas::None {
        return Structured::Tool;
    }
    match &mut request.format {
        Some(Format::JsonObject) => Structured::Tool,
        Some(Format::JsonSchema { schema, .. }) => match closed(schema) {
            Some(closed) => {
                *schema = closed;
                Structured::Native
            }
            None => Structured::Tool,
        },
        None | Some(Format::Text) => Structured::Native,
    }
}

/// The schema with every object closed, as native enforcement requires. An answer that keeps to the closed schema also keeps
/// to the schema of the request. `None` where the schema has something that native enforcement refuses.
fn closed(schema: &Value) -> Option<Value> {
    let mut path = Vec::new();
    if !schema.is_object() || refers_to_itself(schema, schema, &mut path) {
        return None;
    }
    close(schema, 0)
}

fn close(schema: &Value, depth: usize) -> Option<Value> {
    let Value::Object(fields) = schema else { return Some(schema.clone()) };
    if depth > MAX_DEPTH || fields.keys().any(|key| REFUSED.contains(&key.as_str())) {
        return None;
    }
    let mut out = Map::with_capacity(fields.len() + 1);
    for (key, value) in fields {
        let value = match (key.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(members)) => {
                let close = |(name, member): (&String, &Value)| Some((name.clone(), close(member, depth + 1)?));
                Value::Object(members.iter().map(close).collect::<Option<_>>()?)
            }
            ("anyOf" | "allOf", Value::Array(list)) => {
                list.iter().map(|one| close(one, depth + 1)).collect::<Option<_>>()?
            }
            ("items", value) => close(value, depth + 1)?,
            ("additionalProperties", value) if value != false => return None,
            ("minItems", value) if value.as_u64().is_none_or(|least| least > 1) => return None,
            ("enum", Value::Array(list)) if list.iter().any(|one| one.is_object() || one.is_array()) => return None,
            ("$ref", Value::String(place)) if !place.starts_with('#') => return None,
            (_, value) => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    let object = match fields.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => fields.contains_key("properties"),
    };
    if object {
        out.entry("additionalProperties").or_insert_with(|| false.into());
    }
    Some(out.into())
}

/// Whether following the references in `schema` leads back to one that is being followed, or nowhere.
fn refers_to_itself<'a>(root: &'a Value, schema: &'a Value, path: &mut Vec<&'a str>) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().any(|(key, value)| match value {
            Value::String(place) if key == "$ref" => {
                let found = place.strip_prefix('#').and_then(|place| root.pointer(place));
                let Some(found) = found.filter(|_| !path.contains(&place.as_str()) && path.len() < MAX_DEPTH) else {
                    return true;
                };
                path.push(place);
                let back = refers_to_itself(root, found, path);
                path.pop();
                back
            }
            value => refers_to_itself(root, value, path),
        }),
        Value::Array(list) => list.iter().any(|one| refers_to_itself(root, one, path)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(model: &str, format: Option<Format>) -> Structured {
        structured(&mut Request { model: model.to_owned(), format, ..Request::default() })
    }

    fn schema(schema: Value) -> Format {
        Format::JsonSchema { name: "n".to_owned(), description: None, schema, strict: None }
    }

    #[test]
    fn models_before_structured_outputs_answer_by_a_tool() {
        let wanted = schema(json!({"type": "object", "properties": {}}));
        for (model, expected) in [
            ("claude-3-5-sonnet-20241022", Structured::Tool),
            ("us.anthropic.claude-3-haiku-20240307-v1:0", Structured::Tool),
            ("anthropic/claude-sonnet-4", Structured::Tool),
            ("claude-sonnet-4-20250514", Structured::Tool),
            ("claude-sonnet-4-5-20250929", Structured::Native),
            ("claude-haiku-4-5", Structured::Native),
            ("claude-opus-4-6", Structured::Native),
            ("claude-opus-5", Structured::Native),
            ("some-gateway-name", Structured::Native),
        ] {
            assert_eq!(of(model, Some(wanted.clone())), expected, "{model}");
        }
        assert_eq!(of("claude-opus-4-6", Some(Format::JsonObject)), Structured::Tool);
        assert_eq!(of("claude-opus-4-6", None), Structured::Native);
    }

    #[test]
    fn a_schema_is_closed_or_left_to_a_tool() {
        let open = json!({"type": "object", "properties": {"a": {"type": ["object", "null"], "properties": {}},
            "minimum": {"type": "array", "items": {"$ref": "#/$defs/n"}}}, "$defs": {"n": {"type": "number"}}});
        let closed_one = closed(&open).unwrap();
        assert_eq!(closed_one["additionalProperties"], false);
        assert_eq!(closed_one["properties"]["a"]["additionalProperties"], false);
        assert_eq!(closed(&closed_one), Some(closed_one.clone()));
        for refused in [
            json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}),
            json!({"type": "object", "additionalProperties": true}),
            json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "object", "not": {}}}}}),
            json!({"type": "object", "properties": {"next": {"$ref": "#"}}}),
            json!({"type": "object", "properties": {"x": {"$ref": "https://example.com/x.json"}}}),
            json!({"anyOf": [{"oneOf": []}]}),
        ] {
            assert_eq!(closed(&refused), None, "{refused}");
        }
    }
}
