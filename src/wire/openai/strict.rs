//! What OpenAI requires of a strict schema; it answers 400 to any other.

use serde_json::Value;

use crate::chat::Emulated;

/// Keywords that OpenAI refuses in a strict schema.
const UNKNOWN: [&str; 8] = ["allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"];

/// Whether a schema may be marked as strict: each of its objects is closed, and has no field that may be left out.
fn may_be_strict(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object") && is_kept(schema)
}

fn is_kept(schema: &Value) -> bool {
    let Value::Object(fields) = schema else { return true };
    if UNKNOWN.iter().any(|name| fields.contains_key(*name)) {
        return false;
    }
    let properties = fields.get("properties").and_then(Value::as_object);
    let is_object = properties.is_some() || fields.get("type").is_some_and(|kind| kind == "object");
    let required = |name: &String| {
        let names = fields.get("required").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|required| required == name))
    };
    if is_object
        && (fields.get("additionalProperties") != Some(&Value::Bool(false))
            || !properties.is_none_or(|properties| properties.keys().all(required)))
    {
        return false;
    }
    let named = ["properties", "$defs", "definitions"].iter().filter_map(|name| fields.get(*name)?.as_object());
    let listed = fields.get("anyOf").and_then(Value::as_array);
    named.flat_map(|schemas| schemas.values()).all(is_kept)
        && fields.get("items").is_none_or(is_kept)
        && listed.is_none_or(|schemas| schemas.iter().all(is_kept))
}

/// Whether to ask for `strict` with this schema; where the schema does not allow what was asked for, `emulated` notes that.
pub fn keep_strict(wanted: Option<bool>, schema: Option<&Value>, emulated: &mut Emulated) -> Option<bool> {
    if wanted != Some(true) || schema.is_none_or(may_be_strict) {
        return wanted;
    }
    emulated.note("strict");
    Some(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_closed_objects_without_optional_fields_are_kept_to_strictly() {
        let closed = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        let leaf = json!({"type": "string"});
        let inner = closed(json!({"b": leaf}), json!(["b"]));
        let open = json!({"type": "object", "properties": {"b": leaf}, "required": ["b"]});
        for (schema, allowed) in [
            (closed(json!({}), json!([])), true),
            (json!({"type": "object", "additionalProperties": false}), true),
            (closed(json!({"a": leaf, "b": {"anyOf": [inner, {"type": "null"}]}}), json!(["b", "a"])), true),
            (closed(json!({"a": {"type": "array", "items": inner}}), json!(["a"])), true),
            (closed(json!({"a": leaf, "b": leaf}), json!(["a"])), false),
            (closed(json!({"a": leaf}), Value::Null), false),
            (open.clone(), false),
            (closed(json!({"a": open}), json!(["a"])), false),
            (closed(json!({"a": {"type": "array", "items": open}}), json!(["a"])), false),
            (closed(json!({"a": {"anyOf": [open]}}), json!(["a"])), false),
            (closed(json!({"a": {"oneOf": [leaf]}}), json!(["a"])), false),
            (json!({"type": "array", "items": inner}), false),
            (json!({"$ref": "#/$defs/a", "$defs": {"a": inner}}), false),
            (json!(true), false),
        ] {
            assert_eq!(may_be_strict(&schema), allowed, "{schema}");
            let strict = |wanted| {
                let mut emulated = Emulated::default();
                let strict = keep_strict(wanted, Some(&schema), &mut emulated);
                (strict, emulated.is_empty())
            };
            assert_eq!(strict(Some(true)), (Some(allowed), allowed), "{schema}");
            assert_eq!(strict(None), (None, true));
            assert_eq!(strict(Some(false)), (Some(false), true));
        }
        let mut definitions = closed(json!({"a": {"$ref": "#/$defs/o"}}), json!(["a"]));
        definitions["$defs"] = json!({"o": open});
        assert!(!may_be_strict(&definitions));
    }
}
